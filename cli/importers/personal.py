"""Keeps personal values out of `metadata`, which the lake stores as it is. Pure.

Fields of the contract marked `x-pii` are pseudonymised by the lander; metadata is not. So a device id that did
not become the event's `deviceId` is left out, and where a row's own ids occur inside other columns (URLs,
event values) they are blanked. Every value left out is counted, so that the import can say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

BLANKED = "[personal]"
_SHORTEST_BLANKED = 6  # shorter texts ("12", "de") occur everywhere by chance
# Parameters of tracking links that carry ids of the person or the device, as AppsFlyer and Adjust name them.
_PARAMETERS = (
    "advertising_id|aifa|gaid|gps_adid|gps_adid_md5|idfa|idfa_md5|idfv|android_id|imei|oaid|fire_adid|"
    "amazon_fire_id|sha1_idfa|sha1_advertising_id|sha1_android_id|sha1_imei|sha1_oaid|md5_advertising_id|"
    "customer_user_id|user_id|email|af_ip|ip|ip_address|s2s_ip|af_ua|user_agent|ua"
)
_PERSONAL_PARAMETER = re.compile(rf"(?i)((?:^|[?&]|%26|%3F)(?:{_PARAMETERS})(?:=|%3D))(?:(?!%26)[^&\s])+")


def without_personal(texts: Mapping[str, str], personal: Iterable[str]) -> dict[str, str]:
    """The texts with the row's own personal values, and ids in the parameters of links, blanked."""
    own = [value.lower() for value in personal if len(value) >= _SHORTEST_BLANKED]
    return {
        name: text if len(text) < _SHORTEST_BLANKED else _blanked(text, own) for name, text in texts.items()
    }


def _blanked(text: str, own: list[str]) -> str:
    folded = text.lower()
    # looked for first: to compile an expression for each row costs five times the rest of its import
    found = [value for value in own if value in folded]
    if found:
        longest_first = sorted(found, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, longest_first)), BLANKED, text, flags=re.IGNORECASE)
    if "=" in text or "%3d" in folded:
        text = _PERSONAL_PARAMETER.sub(rf"\1{BLANKED}", text)
    return text
