"""A tenant's own bucket on a real S3 server: files first, manifest last, parts put together or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.drills.receivers import receiving
from resources.destination_settings import DestinationSettings
from resources.destinations import buckets
from resources.destinations.attempts import NotTakenError
from resources.destinations.buckets import Bucket, probe, upload
from resources.destinations.parcels import Parcel
from resources.destinations.wire import Answer, Wire
from resources.errors import DeliveryRefusedError, DestinationError
from tests.support.servers import S3Server, s3_server

FOLDER = "own/exports/installs/date=2026-11-03"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path]]:
    directory = tmp_path_factory.mktemp("s3")
    with s3_server(directory) as running:
        yield running, directory / "s3" / running.bucket


class Recording(Wire):
    """The wire, and what went over it; `broken_after` requests it breaks."""

    def __init__(self, *hosts: str, broken_after: int | None = None) -> None:
        super().__init__(DestinationSettings(allowed_hosts=frozenset(hosts), timeout_s=20))
        self.sent: list[tuple[str, str]] = []
        self.broken_after = broken_after

    def send(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        if len(self.sent) == self.broken_after and method == "PUT":
            self.broken_after = None
            raise NotTakenError("the connection broke")
        self.sent.append((method, url))
        return super().send(method, url, headers, body)


def bucket_of(server: S3Server, **changes: str) -> Bucket:
    known = {
        "endpoint": server.endpoint,
        "bucket": server.bucket,
        "prefix": "own/exports",
        "region": "us-east-1",
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }
    return Bucket(**(known | changes))


def parcel(content: bytes = b"PAR1 PAR1") -> Parcel:
    return Parcel(
        "t1", "installs", dt.date(2026, 11, 3), 0, "key", b'{"files": []}\n', {"part-0.parquet": content}
    )


def test_files_come_first_and_the_manifest_last(server: tuple[S3Server, Path]) -> None:
    running, directory = server
    wire = Recording(urlsplit(running.endpoint).netloc)
    upload(wire, bucket_of(running), parcel())
    assert (directory / FOLDER / "part-0.parquet").read_bytes() == b"PAR1 PAR1"
    assert (directory / FOLDER / "manifest.json").read_bytes() == b'{"files": []}\n'
    assert [method for method, _ in wire.sent] == ["PUT", "PUT"]
    assert wire.sent[-1][1].endswith("/manifest.json")


def test_a_large_file_goes_in_parts_and_a_broken_one_leaves_nothing(
    server: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, directory = server
    monkeypatch.setattr(buckets, "PART_BYTES", 5 * 1024 * 1024)  # S3's smallest; ours would only take longer
    content = bytes(range(256)) * 48 * 1024  # 12 MiB
    large = Parcel("t1", "large", dt.date(2026, 11, 3), 0, "key", b"{}", {"part-0.parquet": content})
    folder = directory / "own/exports/large/date=2026-11-03"
    broken = Recording(urlsplit(running.endpoint).netloc, broken_after=2)  # begun, one part sent
    with pytest.raises(NotTakenError):
        upload(broken, bucket_of(running), large)
    assert broken.sent[-1][0] == "DELETE"  # the parts are given up
    assert not (folder / "part-0.parquet").exists()
    assert not (folder / "manifest.json").exists()
    whole = Recording(urlsplit(running.endpoint).netloc)
    upload(whole, bucket_of(running), large)
    assert [method for method, _ in whole.sent] == ["POST", "PUT", "PUT", "PUT", "POST", "PUT"]
    assert (folder / "part-0.parquet").read_bytes() == content


def test_a_probe_leaves_nothing_behind(server: tuple[S3Server, Path]) -> None:
    running, directory = server
    probe(Recording(urlsplit(running.endpoint).netloc), bucket_of(running, prefix="probed"))
    assert [path for path in directory.rglob("*") if "unmogrowp-test" in path.name] == []


def test_a_wrong_key_is_a_refusal_that_shows_no_secret(server: tuple[S3Server, Path]) -> None:
    running, _ = server
    wrong = bucket_of(running, secret_access_key="not-the-secret")
    with pytest.raises(DeliveryRefusedError, match="refused with 403") as raised:
        upload(Recording(urlsplit(running.endpoint).netloc), wrong, parcel())
    assert "not-the-secret" not in str(raised.value) + repr(wrong)


def test_a_store_that_fails_may_take_it_later_and_a_private_one_is_never_asked() -> None:
    with receiving() as store:
        store.mood = "503"
        own = Bucket(store.url, "lake", "", "us-east-1", "key", "secret")
        with pytest.raises(NotTakenError, match="503"):
            upload(Recording(store.host), own, parcel())
        asked = len(store.arrived)
        with pytest.raises(DestinationError):
            upload(Recording(), own, parcel())
        assert len(store.arrived) == asked == 1
