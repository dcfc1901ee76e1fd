"""An attempt that may be repeated, in front of a receiver whose circuit may be open. Knows no protocol."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from resources.errors import CircuitOpenError, DeliveryRefusedError, ServiceUnavailableError
from resources.registry.circuits import TIMEOUT_WEIGHT, CircuitState

ATTEMPTS = 6  # 0.25 + 0.5 + 1 + 2 + 4 s between them: about the 5 s a restarted plane needs, and some more
BASE_DELAY_S = 0.25
DELAY_MAX_S = 8.0  # a longer Retry-After is left to the delivery's next try

T = TypeVar("T")


class NotTakenError(ServiceUnavailableError):
    """An attempt failed that may pass later: how long the receiver asks to wait, and whether it hung."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0, is_timeout: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_timeout = is_timeout


class Circuits(Protocol):
    """What is asked before and told after an attempt; the registry is one."""

    def admit(self, tenant_id: str, destination_id: str) -> dt.datetime | None:
        """None when something may be sent now; else until when not."""

    def circuit_failed(
        self, tenant_id: str, destination_id: str, reason: str, weight: int = 1
    ) -> CircuitState:
        """Count a failure."""

    def circuit_succeeded(self, tenant_id: str, destination_id: str) -> None:
        """Close the circuit."""


@dataclass(frozen=True)
class Attempts:
    """How often and how fast; `circuits` None: no receiver is ever left alone (tests, tools)."""

    circuits: Circuits | None = None
    count: int = ATTEMPTS
    base_delay_s: float = BASE_DELAY_S

    def make(self, tenant_id: str, destination_id: str, send: Callable[[], T]) -> T:
        """What `send` gives, repeated while it raises `NotTakenError` and the circuit stays closed.

        Raises:
            CircuitOpenError: the receiver is left alone now; nothing was sent.
            NotTakenError: every attempt failed, or the circuit opened.
            DeliveryRefusedError: the receiver said no.
        """
        self._check_admitted(tenant_id, destination_id)
        attempt = 1
        while True:
            try:
                taken = send()
            except DeliveryRefusedError:  # it answers: there is nothing wrong with the way there
                self._note_success(tenant_id, destination_id)
                raise
            except NotTakenError as error:
                state = self._note_failure(tenant_id, destination_id, error)
                if attempt >= self.count or state is not CircuitState.CLOSED:
                    raise
                time.sleep(self._delay_s(attempt, error.retry_after_s))
                attempt += 1
            else:
                self._note_success(tenant_id, destination_id)
                return taken

    def _check_admitted(self, tenant_id: str, destination_id: str) -> None:
        retry_at = None if self.circuits is None else self.circuits.admit(tenant_id, destination_id)
        if retry_at is not None:
            raise CircuitOpenError(
                f"tenant {tenant_id}: destination {destination_id} failed too often and is left alone until "
                f"{retry_at:%H:%M:%S} UTC; `unmogrowp exports status` shows why",
                retry_at,
            )

    def _note_success(self, tenant_id: str, destination_id: str) -> None:
        if self.circuits is not None:
            self.circuits.circuit_succeeded(tenant_id, destination_id)

    def _note_failure(self, tenant_id: str, destination_id: str, error: NotTakenError) -> CircuitState:
        if self.circuits is None:
            return CircuitState.CLOSED
        weight = TIMEOUT_WEIGHT if error.is_timeout else 1
        return self.circuits.circuit_failed(tenant_id, destination_id, str(error), weight)

    def _delay_s(self, attempt: int, asked_s: float) -> float:
        """Exponential with jitter, at least what the receiver asks for, at most DELAY_MAX_S."""
        backoff_s = self.base_delay_s * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        delay_s: float = min(max(backoff_s, asked_s), DELAY_MAX_S)
        return delay_s


def retry_after_s(header: str | None) -> float:
    """The seconds of a `Retry-After` header; a date counts as nothing."""
    return float(header) if header is not None and header.isdigit() else 0.0
