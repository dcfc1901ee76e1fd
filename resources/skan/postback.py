"""The fields of a postback, per SKAdNetwork version: which there are, what each may hold, which of them Apple signs.

Sources, all in Apple's StoreKit documentation: "Identifying the parameters in install-validation postbacks" (fields
and versions), "Combining parameters for previous SKAdNetwork postback versions" (2.0–2.2), "Combining parameters
for SKAdNetwork 3 postbacks", "Verifying an install-validation postback" (4.0). Signatures are `signature`'s.

Values are strict so that the signed text, in which values stand side by side, can be read in one way only: none may
hold the separator, and a domain is never a number, which would pass for an app id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from resources.errors import PostbackFieldError, UnsupportedPostbackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SIGNATURE = "attribution-signature"
FINE = "conversion-value"
COARSE = "coarse-conversion-value"
COARSE_VALUES = ("low", "medium", "high")
FINE_MAX = 63  # six bits
SEQUENCE_MAX = 2  # three conversion windows, since version 4
_INTEGER_MAX = 2**64 - 1  # what the door keeps exactly

_NETWORK = re.compile(r"[!-~]{1,255}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SOURCE = re.compile(r"[0-9]{2,4}")
_DOMAIN = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class Postback:
    """A postback whose fields are right; whether Apple signed it, `signature.verified` says.

    `campaign` is `campaign-id`, or `source-identifier` since version 4, as text. Before version 3 only the network
    that won received a postback; before version 4 there was only the first conversion window.
    """

    version: str
    ad_network_id: str
    campaign: str
    app_id: int
    transaction_id: str
    is_redownload: bool
    source_app_id: int | None
    source_domain: str | None
    fidelity_type: int | None
    did_win: bool
    sequence_index: int
    fine_value: int | None
    coarse_value: str | None

    @property
    def is_test(self) -> bool:
        """Whether it comes from a development-signed source app (Apple: `source-app-id` is then 0)."""
        return self.source_app_id == 0


class _Fault(NamedTuple):
    code: str
    demand: str


class _Field(NamedTuple):
    """One field: its check gives what is wrong with a value, None when nothing is."""

    name: str
    check: Callable[[Any], _Fault | None]
    is_required: bool = True


def _text(pattern: re.Pattern[str], demand: str) -> Callable[[Any], _Fault | None]:
    def check(value: Any) -> _Fault | None:
        if not isinstance(value, str):
            return _Fault("wrong_type", "must be a string")
        return None if pattern.fullmatch(value) else _Fault("bad_format", demand)

    return check


def _integer(maximum: int = _INTEGER_MAX) -> Callable[[Any], _Fault | None]:
    def check(value: Any) -> _Fault | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return _Fault("wrong_type", "must be an integer")
        return None if 0 <= value <= maximum else _Fault("out_of_range", f"must be 0 to {maximum}")

    return check


def _boolean(value: Any) -> _Fault | None:
    return None if isinstance(value, bool) else _Fault("wrong_type", "must be true or false")


def _coarse(value: Any) -> _Fault | None:
    if not isinstance(value, str):
        return _Fault("wrong_type", "must be a string")
    return None if value in COARSE_VALUES else _Fault("not_allowed", "must be low, medium or high")


_VERSION = _Field("version", lambda _: None)  # one of `VERSIONS`, looked at first
_AD_NETWORK = _Field("ad-network-id", _text(_NETWORK, "must be an ad network id"))
_CAMPAIGN = _Field("campaign-id", _integer())
_SOURCE_IDENTIFIER = _Field("source-identifier", _text(_SOURCE, "must be two to four digits"))
_APP = _Field("app-id", _integer())
_TRANSACTION = _Field("transaction-id", _text(_UUID, "must be a uuid"))
_REDOWNLOAD = _Field("redownload", _boolean)
_SOURCE_APP = _Field("source-app-id", _integer(), is_required=False)
_SOURCE_DOMAIN = _Field("source-domain", _text(_DOMAIN, "must be a domain"), is_required=False)
_FIDELITY = _Field("fidelity-type", _integer(1))
_DID_WIN = _Field("did-win", _boolean)
_SEQUENCE = _Field("postback-sequence-index", _integer(SEQUENCE_MAX))
_FINE = _Field(FINE, _integer(FINE_MAX), is_required=False)
_COARSE = _Field(COARSE, _coarse, is_required=False)

_HEAD = (_VERSION, _AD_NETWORK, _CAMPAIGN, _APP, _TRANSACTION, _REDOWNLOAD, _SOURCE_APP)
_HEAD_4 = (_VERSION, _AD_NETWORK, _SOURCE_IDENTIFIER, *_HEAD[3:], _SOURCE_DOMAIN)
# In the order in which Apple joins them.
_SIGNED: dict[str, tuple[_Field, ...]] = {
    "2.0": _HEAD,
    "2.1": _HEAD,
    "2.2": (*_HEAD, _FIDELITY),
    "3.0": (*_HEAD, _FIDELITY, _DID_WIN),
    "4.0": (*_HEAD_4, _FIDELITY, _DID_WIN, _SEQUENCE),
}
_UNSIGNED = dict.fromkeys(_SIGNED, (_FINE,)) | {"4.0": (_FINE, _COARSE)}
_ALL_NAMES = {field.name for fields in (*_SIGNED.values(), *_UNSIGNED.values()) for field in fields}

VERSIONS = tuple(_SIGNED)


def signed_names(version: str) -> tuple[str, ...]:
    """Names of the fields that Apple signs in a version, in the order of the signed text."""
    return tuple(field.name for field in _SIGNED[version])


def parsed(document: Mapping[str, Any]) -> Postback:
    """The postback that a JSON object is, the signature not looked at.

    Fields that no version knows are left alone: Apple adds some in between.

    Raises:
        UnsupportedPostbackError: its version is none of `VERSIONS`.
        PostbackFieldError: a field is missing, holds what it may not, or belongs to another version.
    """
    version = _version(document)
    fields = (*_SIGNED[version], *_UNSIGNED[version])
    for field in fields:
        _check(field, document)
    foreign = sorted((_ALL_NAMES - {field.name for field in fields}) & document.keys())
    if foreign:
        raise _error(
            "unknown_field", foreign[0], f"is no field of version {version}, so Apple did not sign it"
        )
    _check_together(document)
    return Postback(
        version=version,
        ad_network_id=document["ad-network-id"],
        campaign=str(document[fields[2].name]),
        app_id=document["app-id"],
        transaction_id=document["transaction-id"],
        is_redownload=document["redownload"],
        source_app_id=document.get("source-app-id"),
        source_domain=document.get("source-domain"),
        fidelity_type=document.get("fidelity-type"),
        did_win=document.get("did-win", True),
        sequence_index=document.get("postback-sequence-index", 0),
        fine_value=document.get(FINE),
        coarse_value=document.get(COARSE),
    )


def _version(document: Mapping[str, Any]) -> str:
    if "version" not in document:
        raise _error("missing_field", "version", "is required: postbacks of SKAdNetwork 1 are not taken")
    version = document["version"]
    if not isinstance(version, str):
        raise _error("wrong_type", "version", "must be a string")
    if version not in _SIGNED:
        raise UnsupportedPostbackError(
            f"/version must be one of {', '.join(VERSIONS)}", "unsupported_version", "/version"
        )
    return version


def _check(field: _Field, document: Mapping[str, Any]) -> None:
    if field.name not in document:
        if field.is_required:
            raise _error("missing_field", field.name, "is required")
        return
    fault = field.check(document[field.name])
    if fault:
        raise _error(fault.code, field.name, fault.demand)


def _check_together(document: Mapping[str, Any]) -> None:
    """What Apple's documentation says of fields that are there together."""
    if "source-app-id" in document and "source-domain" in document:
        raise _error("not_allowed", "source-domain", "stands instead of /source-app-id, never beside it")
    if FINE in document and COARSE in document:
        raise _error("not_allowed", COARSE, f"stands instead of /{FINE}, never beside it")
    if FINE in document and document.get("postback-sequence-index", 0) > 0:
        raise _error("not_allowed", FINE, "comes with the first postback alone")


def _error(code: str, name: str, demand: str) -> PostbackFieldError:
    return PostbackFieldError(f"/{name} {demand}", code, f"/{name}")
