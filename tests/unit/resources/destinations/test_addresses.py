"""What this platform connects to on a tenant's word: public https, nothing of our own network."""

from __future__ import annotations

import socket

import pytest

from resources.destinations.addresses import checked_url, is_public, resolved
from resources.destinations.attempts import NotTakenError
from resources.errors import DestinationError

NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ],
)
def test_an_address_that_is_not_the_internet_s_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_an_address_of_the_internet_passes(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("gopher://127.0.0.1:6379/_", "https"),
        ("https://", "name a host"),
        ("https://user:pass@example.com/", "without a user"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com:99999/", "no URL"),
        ("https://[::1", "no URL"),
        ("https://example.com/\r\nHost: x", "ASCII"),
        ("https://exa mple.com/", "blanks"),
        ("https://example.com/" + "x" * 2050, "2048"),
        ("https://пример.рф/", "ASCII"),
    ],
)
def test_only_a_plain_https_url_of_a_host_is_one(url: str, reason: str) -> None:
    with pytest.raises(DestinationError, match=reason):
        checked_url(url, NOBODY)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:7f00:1]",
    ],
)
def test_our_own_machine_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(DestinationError, match="not public"):
        resolved(f"https://{host}/hook", NOBODY)


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two_faced(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two_faced)  # no real name has both
    with pytest.raises(DestinationError, match="not public"):
        resolved("https://two-faced.example/", NOBODY)


def test_a_name_that_nobody_has_may_have_an_address_later() -> None:
    with pytest.raises(NotTakenError, match="no address now"):
        resolved("https://no-such-name.invalid/", NOBODY)


def test_a_host_is_allowed_with_its_very_port_alone() -> None:
    allowed = frozenset({"127.0.0.1:9000"})
    assert resolved("http://127.0.0.1:9000/x", allowed).address == "127.0.0.1"
    for url in ("http://127.0.0.1:9001/x", "http://127.0.0.1/x", "http://localhost:9000/x"):
        with pytest.raises(DestinationError):
            resolved(url, allowed)
    with pytest.raises(DestinationError, match="not public"):
        resolved("https://127.0.0.1:9001/x", allowed)
