"""What is wrong with the postback of a `skan_postback` event, in the words of `reasons`. Pure.

A forged postback never becomes an event: it is refused here and lies in quarantine as it came. How a signature is
verified is `resources.skan`'s. That a postback counts once is not the door's to know: two deliveries of one
`transaction-id` may be days apart, and at different workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest_api.bodies import BodyTooManyError
from ingest_api.reasons import Finding
from resources.errors import PostbackError
from resources.skan.signature import verified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POSTBACK_TYPE = "skan_postback"
POSTBACKS_MAX = (
    1_000  # of one body, at 79 µs each: nothing else is answered meanwhile; networks send them singly
)
_FIELD = "/postback"


def check_postbacks(events: Sequence[Any]) -> None:
    """Pass when a body holds no more postbacks than are verified in one go.

    Raises:
        BodyTooManyError: it does.
    """
    count = sum(isinstance(event, dict) and event.get("eventType") == POSTBACK_TYPE for event in events)
    if count > POSTBACKS_MAX:
        raise BodyTooManyError(
            "too_many_postbacks", f"a batch may hold {POSTBACKS_MAX} SKAdNetwork postbacks: send several"
        )


def postback_finding(event: Mapping[str, Any]) -> Finding | None:
    """The first thing wrong with the postback of an event that meets its contract; None for other types."""
    if event.get("eventType") != POSTBACK_TYPE:
        return None
    try:
        verified(event["postback"])
    except PostbackError as error:
        return Finding(error.code, f"{_FIELD}{error.pointer}", f"{_FIELD}{error}")
    return None
