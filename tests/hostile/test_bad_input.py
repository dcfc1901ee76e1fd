"""Public collections of bad input against the door: refused with a reason or stored faithfully, never lost.

Each case is sent as a whole body and inside a field; then everything is landed and counted: what was accepted
must read equal in `raw.events`, what was refused must open byte for byte from `raw.quarantine`.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest_api.quarantine import unseal_body
from resources.pii import Keyring
from resources.settings import Settings
from tests.support.door import TENANT, Landing, RunningDoor, founding_event

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[2].parent / "shared/data"
JSON_FILES = sorted((DATA / "json_test_suite").rglob("*.json"))
NAUGHTY_STRINGS = DATA / "blns/blns.json"

needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not beside this checkout")


class Ledger:
    """What was sent and how it was answered; `settle` compares it with what landed."""

    def __init__(self, door: RunningDoor) -> None:
        self._door = door
        self._accepted: dict[str, Any] = {}
        self._refused: Counter[bytes] = Counter()

    def send(self, path: str, body: bytes, event: Any = None) -> int:
        """Send a body that is one delivery; `event` is what it means where its sender knows."""
        response = self._door.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code < 500, (body[:80], response.text)
        if response.status_code == 202:
            assert event is not None, body[:80]
            self._accepted[event["eventId"]] = event
        else:
            document = response.json()
            assert response.headers["content-type"] == "application/problem+json"
            assert document["detail"]
            if response.status_code != 413:  # too large: the sender is told that nothing was taken
                assert document["quarantined"]
                self._refused[body] += 1
        return response.status_code

    def send_batch(self, body: bytes) -> None:
        """Send a body as a batch; its elements count one by one."""
        response = self._door.send_batch(body)
        assert response.status_code < 500, (body[:80], response.text)
        if response.status_code == 202:
            assert all(row["reason"] for row in response.json()["events"])
            self._refused.update(elements(body))
        elif response.status_code != 413:
            assert response.json()["quarantined"]
            self._refused[body] += 1

    def settle(self) -> tuple[int, int]:
        """Land everything and compare; how many were accepted and refused."""
        settings = self._door.settings
        with Landing(settings) as landing:
            landing.land_all()
            stored = {row["event_id"]: json.loads(row["body"]) for row in landing.rows()}
            sealed = landing.rows("raw.quarantine")
        assert stored.keys() == self._accepted.keys()
        for event_id, event in self._accepted.items():
            assert without_device(stored[event_id]) == without_device(event)
        keyring = Keyring(settings.keys())
        opened = Counter(
            unseal_body(keyring, TENANT, row["quarantine_id"], row["body_sealed"]) for row in sealed
        )
        assert opened == self._refused
        return len(stored), len(sealed)


def elements(body: bytes) -> list[bytes]:
    """The very bytes of an array's elements, found by another parser than the door's."""
    text = body.decode()
    decoder = json.JSONDecoder()
    found: list[bytes] = []
    at = text.index("[") + 1
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        if text[at] == "]":
            return found
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError:
            return [body.strip()[1:-1]]  # the suite's deepest files are arrays of one
        found.append(text[at:end].encode())
        at = end


def without_device(event: dict[str, Any]) -> dict[str, Any]:
    """The device is a pseudonym in the lake."""
    return {name: value for name, value in event.items() if name != "deviceId"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with RunningDoor(Settings(home=tmp_path)) as door:
        yield Ledger(door)


@needs_data
def test_every_file_of_the_json_test_suite_is_refused_with_a_reason_or_stored_faithfully(
    ledger: Ledger,
) -> None:
    assert len(JSON_FILES) > 300
    for file in JSON_FILES:
        raw = file.read_bytes()
        status = ledger.send("/v1/events/ingest", raw)
        if file.name.startswith("n_"):
            assert status in (400, 413), file.name
        event = founding_event(metadata={"value": None})
        body = orjson.dumps(event).replace(b"null", raw)
        with contextlib.suppress(ValueError, RecursionError):  # else the door must refuse it
            event["metadata"] = json.loads(body)["metadata"]
        status = ledger.send("/v1/events/ingest", body, event)
        if file.name.startswith("y_"):
            assert status == 202, file.name
    accepted, refused = ledger.settle()
    assert accepted > 90
    assert refused > len(JSON_FILES)


@needs_data
def test_every_file_of_the_json_test_suite_as_a_batch_is_accounted_for(ledger: Ledger) -> None:
    for file in JSON_FILES:
        ledger.send_batch(file.read_bytes())
    ledger.settle()


@needs_data
def test_every_naughty_string_is_refused_with_a_reason_or_stored_faithfully(ledger: Ledger) -> None:
    strings: list[str] = json.loads(NAUGHTY_STRINGS.read_text())
    assert len(strings) > 500
    for text in strings:
        ledger.send("/v1/events/ingest", text.encode())
        for fields in (
            {"metadata": {text: text}},
            {"campaign": text},
            {"clickId": text},
            {"deviceId": text or "d"},
        ):
            event = founding_event(**fields)
            status = ledger.send("/v1/events/ingest", orjson.dumps(event), event)
            assert status == 202 or len(text) not in range(1, 129), text
    accepted, refused = ledger.settle()
    assert accepted > 4 * (len(strings) - 40)
    assert refused >= len(strings)
