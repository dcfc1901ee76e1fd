"""What is delivered: one published (tenant, mart, date) with its manifest. No sending here."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Parcel:
    """One export on its way. `files` are the bytes by name, without the manifest; `repr` shows no bytes."""

    tenant_id: str
    mart: str
    date: dt.date
    restatement: int
    idempotency_key: str
    manifest: bytes = field(repr=False)
    files: dict[str, bytes] = field(repr=False)

    @property
    def folder(self) -> str:
        """Where its files lie below a destination's prefix."""
        return f"{self.mart}/date={self.date.isoformat()}"

    def announcement(self) -> dict[str, object]:
        """What is told of it: a first export, or a restatement of one, with the manifest."""
        return {
            "type": "export.restated" if self.restatement else "export.published",
            "data": {
                "tenantId": self.tenant_id,
                "mart": self.mart,
                "date": self.date.isoformat(),
                "restatement": self.restatement,
                "path": f"/v1/exports/{self.mart}/{self.date.isoformat()}",
                "manifest": json.loads(self.manifest),
            },
        }
