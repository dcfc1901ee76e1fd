"""Postbacks at the door: what Apple signed comes in as it was, what it did not goes to quarantine with the reason."""

from __future__ import annotations

import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.skan_reference import is_signed, postback_faults
from ingest_api import fast_lane
from ingest_api.quarantine import unseal_body
from ingest_api.skan import POSTBACKS_MAX, postback_finding
from resources.pii import Keyring
from resources.skan.signature import signed_text
from schemas import event_schemas, event_versions
from tests.support.door import TENANT, Landing, RunningDoor, assert_problem, click, now_text

if TYPE_CHECKING:
    from resources.settings import Settings

SAMPLES = [example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]]
FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = SAMPLES
NDJSON = "application/x-ndjson"
FORGED = {**FOUR, "app-id": 1}
# postback → code, pointer, and words of the reason
REFUSED: list[tuple[Any, str, str, str]] = [
    (FORGED, "bad_signature", "/postback/attribution-signature", "is not Apple's signature of this postback"),
    (
        {**FOUR, "attribution-signature": "bm90IERFUg=="},
        "bad_signature",
        "/postback/attribution-signature",
        "not of a DER-encoded ECDSA signature",
    ),
    (
        {**FOUR, "attribution-signature": "%"},
        "bad_signature",
        "/postback/attribution-signature",
        "is not base64",
    ),
    ({"version": "4.0", "ad-network-id": "a"}, "missing_field", "/postback/source-identifier", "is required"),
    ({"version": "5.0", "who": 1}, "unsupported_version", "/postback/version", "must be one of 2.0, 2.1"),
    ({**TWO_ONE, "did-win": True}, "unknown_field", "/postback/did-win", "is no field of version 2.1"),
    ({**FOUR, "conversion-value": 64}, "out_of_range", "/postback/conversion-value", "must be 0 to 63"),
    ({}, "missing_field", "/postback/version", "is required"),
    ("x", "wrong_type", "/postback", "has the wrong JSON type"),
]


def event(postback: Any, **fields: Any) -> dict[str, Any]:
    return {
        "eventId": str(uuid.uuid4()),
        "tenantId": TENANT,
        "timestamp": now_text(),
        "eventType": "skan_postback",
        "postback": postback,
        **fields,
    }


@pytest.fixture(params=["scan", "full path"])
def any_door(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """The door with its native scan in front, and without it."""
    if request.param == "scan" and not fast_lane.is_built():
        pytest.skip("the native scan was not built: no C compiler at `make setup`")
    with RunningDoor(settings.with_changes(native_scan=request.param == "scan")) as running:
        yield running


@pytest.mark.parametrize("version", event_versions())
def test_every_signed_sample_is_taken_alone_and_in_a_batch(any_door: RunningDoor, version: str) -> None:
    for sample in SAMPLES:
        assert any_door.client.post(f"/{version}/events/ingest", json=event(sample)).status_code == 202
    events = [event(sample) for sample in SAMPLES]
    for sent in (events, [*events, click()]):
        body = orjson.dumps(sent)
        answer = any_door.client.post(
            f"/{version}/events/batch", content=body, headers={"Content-Type": "application/json"}
        ).json()
        assert (answer["accepted"], answer["quarantined"]) == (len(sent), 0)


@pytest.mark.parametrize(("postback", "code", "pointer", "words"), REFUSED)
def test_a_postback_that_apple_did_not_sign_is_refused_with_its_place_and_reason(
    any_door: RunningDoor, postback: Any, code: str, pointer: str, words: str
) -> None:
    document = assert_problem(any_door.send(event(postback)), 422, code)
    assert document["pointer"] == pointer
    assert words in document["detail"]
    assert document["detail"].startswith(pointer)
    assert document["quarantined"]


def test_a_forged_postback_is_refused_alone_among_good_events_of_every_kind(any_door: RunningDoor) -> None:
    sent = [event(FOUR), event(FORGED), click(), event(LOSING), event({**THREE, "did-win": False})]
    for body, content_type in (
        (orjson.dumps(sent), "application/json"),
        (b"\n".join(map(orjson.dumps, sent)), NDJSON),
    ):
        rows = any_door.send_batch(body, Content_Type=content_type).json()["events"]
        assert [row.get("code") for row in rows] == [None, "bad_signature", None, None, "bad_signature"]


def test_a_batch_of_more_postbacks_than_are_verified_in_one_go_is_refused_whole(
    any_door: RunningDoor,
) -> None:
    most = [event(FORGED)] * POSTBACKS_MAX + [click()] * 10
    assert any_door.send_batch(orjson.dumps(most)).json()["quarantined"] == POSTBACKS_MAX
    document = assert_problem(
        any_door.send_batch(orjson.dumps([*most, event(FOUR)])), 413, "too_many_postbacks"
    )
    assert "1000 SKAdNetwork postbacks" in document["detail"]


def test_the_lake_holds_a_postback_as_apple_sent_it_and_quarantine_a_forged_one(
    settings: Settings, door: RunningDoor
) -> None:
    good, bad = event(FOUR), event(FORGED)
    assert door.send_batch(orjson.dumps([good, bad])).status_code == 202
    with Landing(settings) as landing:
        landing.land_all()
        [row] = landing.rows()
        [refused] = landing.rows("raw.quarantine")
    assert (row["event_id"], json.loads(row["body"])["postback"]) == (good["eventId"], FOUR)
    assert (refused["reason_code"], refused["pointer"]) == (
        "bad_signature",
        "/postback/attribution-signature",
    )
    keyring = Keyring(settings.keys())
    kept = unseal_body(keyring, TENANT, refused["quarantine_id"], refused["body_sealed"])
    assert json.loads(kept)["postback"] == FORGED


def test_other_types_are_not_looked_at() -> None:
    assert postback_finding(click(postback=FORGED)) is None
    assert postback_finding({"postback": FORGED}) is None


def agrees(postback: dict[str, Any]) -> bool:
    """Whether the door's finding is one that the independent reference allows; whether it accepts."""
    found = postback_finding({"eventType": "skan_postback", "postback": postback})
    faults = set(postback_faults(postback))
    assert (found is None) == (not faults), (postback, found, faults)
    assert found is None or (found.code, found.pointer) in faults, (postback, found, faults)
    return found is None


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.integers(0, 2**64 - 1),
    st.sampled_from(
        [1.0, 0.5, [], {}, "", "0", "low", "4.0", "2.0", "2.2", "5239", "a\u2063b", "é", "example.com\n"]
    ),
    st.text(max_size=8),
    *(st.sampled_from(list(sample.values())) for sample in SAMPLES),
)
NAMES = sorted({name for sample in SAMPLES for name in sample} | {"country-code"})


@hypothesis_settings(max_examples=400, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    dropped=st.sets(st.sampled_from(NAMES), max_size=2),
    changed=st.dictionaries(st.sampled_from(NAMES), ODD, max_size=2),
)
def test_the_door_and_the_reference_agree_on_changed_postbacks(
    sample: dict[str, Any], dropped: set[str], changed: dict[str, Any]
) -> None:
    postback = {name: value for name, value in sample.items() if name not in dropped} | changed
    agrees({"version": sample["version"], **postback})


def test_the_door_and_the_reference_agree_on_damaged_signatures() -> None:
    rng = random.Random(3)  # noqa: S311 - repeatable damage, not a secret
    accepted = 0
    for _ in range(300):
        sample = rng.choice(SAMPLES)
        text = sample["attribution-signature"]
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice("Az09+/=%") * rng.randrange(3) + text[place + rng.randrange(3) :]
        accepted += agrees({**sample, "attribution-signature": text})
    assert accepted  # some changes write what was there


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_the_references_own_curve_takes_apples_signatures_and_no_other(sample: dict[str, Any]) -> None:
    text, signature = signed_text(sample), sample["attribution-signature"]
    assert is_signed(text, signature)
    assert not is_signed(text + "0", signature)
    others = [other["attribution-signature"] for other in SAMPLES if other is not sample]
    assert not any(is_signed(text, other) for other in others)
