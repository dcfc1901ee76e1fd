"""Blocked networks: canonical ranges, the cap, and pseudonyms equal to those that events get."""

from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from pydantic import ValidationError

from assets.marts import dbt_vars
from assets.partitions import RunSlices
from resources.pii import Keyring, TenantPii
from resources.rules import RuleSet
from resources.rules.blocked import MAX_BLOCKED_NETWORKS, blocked_ip_pseudonyms

DAY = dt.date(2026, 11, 10)
KEYRING = Keyring({"k1": base64.b64encode(b"k" * 32).decode()})


def networks(*ranges: str) -> tuple[str, ...]:
    return RuleSet(blocked_networks=ranges).blocked_networks


def test_ranges_are_kept_sorted_and_without_those_inside_another() -> None:
    given = ("10.1.0.0/16", "2001:DB8::/40", "10.1.255.0/24", "10.0.0.0/16", "10.1.0.0/16", "9.9.9.0/24")
    assert networks(*given) == ("9.9.9.0/24", "10.0.0.0/16", "10.1.0.0/16", "2001:db8::/40")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("198.51.100.7/24", "without host bits"),
        ("198.51.100.7", "/16 to /24"),
        ("10.0.0.0/15", "/16 to /24"),
        ("2001:db8::/31", "/16 to /24 or IPv6 /32 to /48"),
        ("2001:db8::/49", "/16 to /24 or IPv6 /32 to /48"),
        ("::ffff:10.0.0.0/104", "IPv6 /32 to /48"),
        ("everybody", "CIDR range"),
        ("", "CIDR range"),
    ],
)
def test_a_range_that_the_lake_could_not_tell_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        networks("9.9.9.0/24", text)


def test_as_many_networks_as_dbt_s_argument_holds_and_no_more() -> None:
    eight = [f"10.{number}.0.0/16" for number in range(8)]
    rules = RuleSet(blocked_networks=tuple(eight))
    pseudonyms = blocked_ip_pseudonyms(rules.blocked_networks, TenantPii(KEYRING, "t1"))
    assert len(set(pseudonyms)) == MAX_BLOCKED_NETWORKS
    argument = json.dumps(
        dbt_vars(
            RunSlices("t1", (DAY,)),
            clean_events="x" * 1000,
            rules=rules,
            currency="EUR",
            blocked_ip_pseudonyms=pseudonyms,
        )
    )
    assert len(argument) < 128 * 1024 - 40_000, "and the rules themselves"
    with pytest.raises(ValidationError, match="hold 2049 networks"):
        networks(*eight, "9.9.9.0/24")
    with pytest.raises(ValidationError, match="hold 65536 networks"):
        networks("2001:db8::/32")


def test_every_address_of_a_range_has_a_blocked_pseudonym_and_no_other_has() -> None:
    pii = TenantPii(KEYRING, "t1")
    blocked = blocked_ip_pseudonyms(networks("198.51.100.0/22", "2001:db8:4::/47"), pii)
    assert len(blocked) == 4 + 2
    inside = ("198.51.100.0", "198.51.103.255", "::ffff:198.51.101.9", "2001:db8:5::1", "2001:db8:4:ffff::1")
    outside = ("198.51.99.255", "198.51.104.0", "2001:db8:6::1")
    assert {pii.pseudonym("ip", address) for address in inside} <= set(blocked)
    assert not {pii.pseudonym("ip", address) for address in outside} & set(blocked)
    assert not set(blocked) & set(
        blocked_ip_pseudonyms(networks("198.51.100.0/22"), TenantPii(KEYRING, "t2"))
    )
