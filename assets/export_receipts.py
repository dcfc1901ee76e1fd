"""What each receiver has taken of a slice, noted beside its manifest. Needs an object store alone.

A note names the content and the receiver's fingerprint: another plane, or another address, has taken nothing yet.
"""

from __future__ import annotations

import datetime as dt

from assets.export_files import ExportSlice, Published, json_bytes, read_json
from resources.object_store import ObjectStore
from resources.registry.destination_store import PLANE

SENDING_FILE = "sending.json"


def receipt_file(destination_id: str) -> str:
    """The note's name: the plane's is the oldest, and has the plain one."""
    return "pushed.json" if destination_id == PLANE else f"pushed-{destination_id}.json"


def is_acknowledged(store: ObjectStore, published: Published, destination_id: str, fingerprint: str) -> bool:
    """Whether this very receiver has already taken this very content, as this restatement."""
    record = read_json(store, published.slice.key(receipt_file(destination_id)))
    taken = (published.sha256, published.restatement, fingerprint)
    return record is not None and (record["sha256"], record["restatement"], record["target"]) == taken


def was_ever_acknowledged(store: ObjectStore, slice_: ExportSlice, destination_id: str) -> bool:
    """Whether any content of this slice was taken before."""
    return read_json(store, slice_.key(receipt_file(destination_id))) is not None


def acknowledge(store: ObjectStore, published: Published, destination_id: str, fingerprint: str) -> None:
    """Note beside the manifest that the receiver has taken this content."""
    record = {
        "sha256": published.sha256,
        "rows": published.rows,
        "restatement": published.restatement,
        "target": fingerprint,
    }
    store.write(published.slice.key(receipt_file(destination_id)), json_bytes(record))


def first_sent_at(store: ObjectStore, published: Published) -> dt.datetime:
    """When this content was first on its way: a moment that every repetition says again, byte for byte.

    Written before the first attempt, so that a process which dies in the middle of it changes nothing.
    """
    key = published.slice.key(SENDING_FILE)
    record = read_json(store, key)
    if record is not None and (record["sha256"], record["restatement"]) == (
        published.sha256,
        published.restatement,
    ):
        return dt.datetime.fromisoformat(record["first_sent_at"])
    now = dt.datetime.now(dt.UTC)
    first = {
        "sha256": published.sha256,
        "restatement": published.restatement,
        "first_sent_at": now.isoformat(),
    }
    store.write(key, json_bytes(first))
    return now
