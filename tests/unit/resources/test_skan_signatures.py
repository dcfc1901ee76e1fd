"""Postbacks: Apple's signed samples verify, and nothing that differs from one in a signed field does."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from resources.errors import (
    MalformedSignatureError,
    PostbackError,
    PostbackSignatureError,
    UnsupportedPostbackError,
)
from resources.settings import APPLICATION_ROOT
from resources.skan.postback import VERSIONS, parsed, signed_names
from resources.skan.signature import SEPARATOR, apple_key, signed_text, verified
from schemas import event_schemas

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from resources.skan.postback import Postback

DATA = APPLICATION_ROOT.parent / "shared" / "data" / "skan_postbacks" / "testdata"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the samples' files are not beside the checkout")
# The schema's examples are Apple's samples: "Verifying an install-validation postback" (4.0), "Combining parameters
# for SKAdNetwork 3 postbacks", "Combining parameters for previous SKAdNetwork postback versions" (2.2, 2.1).
SAMPLES = [example["postback"] for example in event_schemas("v1")["skan_postback"]["examples"]]
SIGNED = [
    pytest.param(sample, name, id=f"{sample['version']}-{at}-{name}")
    for at, sample in enumerate(SAMPLES)
    for name in signed_names(sample["version"])
    if name in sample
]
FOUR, COARSE, THREE, LOSING, TWO_TWO, TWO_ONE = SAMPLES
P192, P256 = ec.generate_private_key(ec.SECP192R1()), ec.generate_private_key(ec.SECP256R1())


def key_for(version: str) -> ec.EllipticCurvePrivateKey:
    return P192 if version == "2.0" else P256


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """The document under a signature of ours, of the curve of its version."""
    text = signed_text(document).encode()
    signature = key_for(document["version"]).sign(text, ec.ECDSA(SHA256()))
    return {**document, "attribution-signature": base64.b64encode(signature).decode()}


def by_our_keys(document: dict[str, Any]) -> Postback:
    return verified(document, lambda version: public_text(key_for(version)))


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, form)).decode()


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def refusal(
    document: dict[str, Any], verify: Callable[[dict[str, Any]], Postback] = verified
) -> PostbackError:
    with pytest.raises(PostbackError) as caught:
        verify(document)
    return caught.value


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_each_of_apples_six_samples_verifies(sample: dict[str, Any]) -> None:
    postback = verified(sample)
    assert (postback.version, postback.app_id, postback.is_test) == (sample["version"], 525463029, False)


@needs_data
def test_the_samples_are_those_of_the_shared_files_and_the_invalid_ones_are_refused_for_their_reasons() -> (
    None
):
    files = {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}
    assert sorted(map(json.dumps, files.values())) == sorted(map(json.dumps, SAMPLES))
    assert len(files) == 6
    malformed = refusal(loaded(DATA / "invalid" / "bad-signature.json"))
    assert isinstance(malformed, MalformedSignatureError)
    assert (malformed.code, malformed.pointer) == ("bad_signature", "/attribution-signature")
    missing = refusal(loaded(DATA / "invalid" / "no-required-params.json"))
    assert (missing.code, missing.pointer) == ("missing_field", "/source-identifier")
    future = refusal(loaded(DATA / "err" / "version-from-future.json"))
    assert isinstance(future, UnsupportedPostbackError)
    assert str(future) == "/version must be one of 2.0, 2.1, 2.2, 3.0, 4.0"


def loaded(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_the_fields_of_a_postback_are_read_by_version() -> None:
    web, losing, older = verified(FOUR), verified(LOSING), verified(TWO_ONE)
    assert (web.campaign, web.source_domain, web.fine_value, web.sequence_index) == (
        "5239",
        "example.com",
        63,
        0,
    )
    assert (verified(COARSE).campaign, verified(COARSE).coarse_value) == ("39", "high")
    assert (losing.did_win, losing.source_app_id, losing.is_redownload) == (False, None, True)
    assert (older.did_win, older.fidelity_type, older.campaign, older.source_app_id) == (
        True,
        None,
        "42",
        1234567891,
    )


ODD: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.sampled_from(["4.0", "3.0", "2.2", "2.1", "2.0", "true", "com.example", "5239", "0"]),
    st.from_regex(r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"),
    st.lists(st.integers(), max_size=2),
)


@pytest.mark.parametrize(("sample", "name"), SIGNED)
@hypothesis_settings(max_examples=40, deadline=None)
@given(value=ODD)
def test_a_changed_signed_field_is_refused(sample: dict[str, Any], name: str, value: Any) -> None:
    old = sample[name]
    if type(value) is type(old) and value == old:
        return
    error = refusal({**sample, name: value})
    assert error.pointer in {f"/{name}", "/attribution-signature"} or name == "version"


@pytest.mark.parametrize(("sample", "name"), SIGNED)
def test_a_signed_field_that_stays_right_in_form_breaks_the_signature(
    sample: dict[str, Any], name: str
) -> None:
    old = sample[name]
    other: Any = (
        "99" if name == "source-identifier" else f"{old}"[:-1] + ("a" if f"{old}"[-1] != "a" else "b")
    )
    if isinstance(old, bool):
        other = not old
    elif isinstance(old, int):
        other = 1 - old if old <= 1 else old + 1
    if name != "version":
        error = refusal({**without(sample, "conversion-value"), name: other})  # a later window may have none
        assert type(error) is PostbackSignatureError
        assert "send it exactly as Apple sent it" in str(error)


@pytest.mark.parametrize(("sample", "name"), SIGNED)
def test_a_signed_field_left_out_is_refused(sample: dict[str, Any], name: str) -> None:
    error = refusal(without(sample, name))
    is_optional = name in {"source-app-id", "source-domain"}
    assert error.code == ("bad_signature" if is_optional else "missing_field")
    assert error.pointer == ("/attribution-signature" if is_optional else f"/{name}")


def test_what_apple_does_not_sign_may_change() -> None:
    for value in (0, 1, 62):
        assert verified({**FOUR, "conversion-value": value}).fine_value == value
    for name in ("low", "medium"):
        assert verified({**COARSE, "coarse-conversion-value": name}).coarse_value == name
    assert verified(without(FOUR, "conversion-value")).fine_value is None
    assert verified({**FOUR, "country-code": "US"}) == verified(FOUR)
    assert verified(dict(reversed(FOUR.items()))) == verified(FOUR)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "not of a DER-encoded"),
        ("MEUCIGRm!", "is not base64"),
        ("MEUCIGRmSMrqedN", "is not base64"),
        ("ключ", "is not base64"),
        ("AAAA", "not of a DER-encoded"),
        (FOUR["attribution-signature"][:-8], "not of a DER-encoded"),
        (FOUR["attribution-signature"][:-1] + "\n", "is not base64"),
        ("A" * 97, "is longer than 96"),
    ],
)
def test_a_malformed_signature_is_told_from_a_wrong_one(signature: str, reason: str) -> None:
    error = refusal({**FOUR, "attribution-signature": signature})
    assert isinstance(error, MalformedSignatureError)
    assert reason in str(error)
    assert (
        type(refusal({**FOUR, "attribution-signature": COARSE["attribution-signature"]}))
        is PostbackSignatureError
    )


def test_a_missing_signature_and_one_of_another_type_are_named() -> None:
    assert refusal(without(FOUR, "attribution-signature")).code == "missing_field"
    assert refusal({**FOUR, "attribution-signature": None}).code == "wrong_type"


def variants() -> list[dict[str, Any]]:
    """Every version with and without what it may leave out, in every window."""
    found = []
    for sample in (TWO_ONE, TWO_TWO, THREE, FOUR):
        bare = without(sample, "source-app-id", "source-domain", "conversion-value")
        sources: list[dict[str, Any]] = [{}, {"source-app-id": 0}, {"source-app-id": 5}]
        if sample is FOUR:
            sources.append({"source-domain": "shop.example"})
        found += [{**bare, **source} for source in sources]
    found += [{**TWO_ONE, "version": "2.0"}, {**without(TWO_ONE, "source-app-id"), "version": "2.0"}]
    bare = without(FOUR, "source-domain", "conversion-value")
    found += [{**bare, "postback-sequence-index": at, "coarse-conversion-value": "low"} for at in (1, 2)]
    return [copy.deepcopy(document) for document in found]


def test_every_version_verifies_with_and_without_what_it_may_leave_out() -> None:
    assert {document["version"] for document in variants()} == set(VERSIONS)
    for document in variants():
        postback = by_our_keys(signed(document))
        assert postback.is_test == (document.get("source-app-id") == 0)
        assert type(refusal(signed(document))) is PostbackSignatureError  # not Apple's key
    texts = {signed_text(document) for document in variants()}
    assert len(texts) == len(variants())


def test_a_signature_over_another_hash_or_order_is_refused() -> None:
    text = signed_text(FOUR)
    for other in (
        P256.sign(text.encode(), ec.ECDSA(SHA384())),
        P256.sign(SEPARATOR.join(reversed(text.split(SEPARATOR))).encode(), ec.ECDSA(SHA256())),
        P256.sign(text.replace(SEPARATOR, "").encode(), ec.ECDSA(SHA256())),
    ):
        document = {**FOUR, "attribution-signature": base64.b64encode(other).decode()}
        assert type(refusal(document, by_our_keys)) is PostbackSignatureError


def test_the_key_is_the_versions_and_each_is_of_its_curve() -> None:
    assert {version: curve_of(apple_key(version)) for version in VERSIONS} == {
        "2.0": "secp192r1",
        **dict.fromkeys(("2.1", "2.2", "3.0", "4.0"), "secp256r1"),
    }


def curve_of(key: str) -> str:
    loaded = load_der_public_key(base64.b64decode(key))
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    return loaded.curve.name


def test_what_was_verified_by_one_key_is_not_by_another() -> None:
    document = signed(without(FOUR, "conversion-value"))
    for _ in range(2):  # outcomes are kept: by key, too
        assert by_our_keys(document).version == "4.0"
        assert type(refusal(document)) is PostbackSignatureError


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES),
    changes=st.dictionaries(st.sampled_from(sorted({n for s in SAMPLES for n in s})), ODD, min_size=1),
)
def test_whatever_a_postback_holds_the_error_is_a_typed_one(
    sample: dict[str, Any], changes: dict[str, Any]
) -> None:
    document = {**sample, **changes}
    try:
        assert parsed(document) == verified(document)
    except PostbackError as error:
        assert error.pointer.startswith("/")
        assert str(error).startswith(error.pointer)
