"""A tenant's own S3 bucket: the export's files, then its manifest. boto3 signs and splits; `wire` sends.

boto3 hands every request to its `before-send` event first; we answer that event with our own wire, so that a
bucket's endpoint, a region's redirect included, goes through the same look at the address as a webhook.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resources.destinations.attempts import NotTakenError
from resources.destinations.parcels import Parcel
from resources.destinations.wire import RETRYABLE_STATUSES, Wire
from resources.errors import DeliveryRefusedError

MANIFEST = "manifest.json"
# A part is held in memory; S3 takes 10,000 of them, which is 160 GB of one file.
PART_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Bucket:
    """Where in which store, and the key that writes there. `repr` shows no secret."""

    endpoint: str
    bucket: str
    prefix: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    def key(self, path: str) -> str:
        """The object's key of a path below the prefix."""
        return f"{self.prefix.strip('/')}/{path}".lstrip("/")


def upload(wire: Wire, bucket: Bucket, parcel: Parcel) -> None:
    """Write the parcel's files, then its manifest: who sees the manifest, sees all that it names.

    A large file goes in parts, and becomes an object only when all of them are there.

    Raises:
        NotTakenError: the store may take it later.
        DeliveryRefusedError: it says no.
        DestinationError: its address may not be sent to (any more).
    """
    client = _client(wire, bucket)
    for name, content in parcel.files.items():
        _put(client, bucket, f"{parcel.folder}/{name}", content)
    _put(client, bucket, f"{parcel.folder}/{MANIFEST}", parcel.manifest)


def probe(wire: Wire, bucket: Bucket) -> None:
    """Write an object below the prefix and delete it again; raises as `upload`."""
    client, path = _client(wire, bucket), f"unmogrowp-test-{secrets.token_hex(4)}"
    _put(client, bucket, path, b"written by `unmogrowp destination test`, and deleted at once\n")
    with _translated(bucket):
        client.delete_object(Bucket=bucket.bucket, Key=bucket.key(path))


def _put(client: Any, bucket: Bucket, path: str, content: bytes) -> None:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - 0.4 s of import, wanted only where S3 is written

    config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False)
    with _translated(bucket):
        client.upload_fileobj(io.BytesIO(content), bucket.bucket, bucket.key(path), Config=config)


def _client(wire: Wire, bucket: Bucket) -> Any:
    import boto3  # noqa: PLC0415 - as above
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(
        signature_version="s3v4",
        retries={"total_max_attempts": 1},  # `attempts` repeats
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session(
        aws_access_key_id=bucket.access_key_id,
        aws_secret_access_key=bucket.secret_access_key,
        region_name=bucket.region,
    )
    client = session.client("s3", endpoint_url=bucket.endpoint, config=config)
    client.meta.events.register("before-send.s3", _Sender(wire))
    return client


class _Sender:
    """Answers botocore's `before-send` with the wire's answer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __call__(self, request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - as above

        body = request.body if request.body is not None else b""
        content = body.read() if hasattr(body, "read") else body
        left_out = {"expect", "content-length", "host", "transfer-encoding"}  # httpx says these itself
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name.lower() not in left_out
        }
        answer = self._wire.send(request.method, request.url, headers, bytes(content))
        return AWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))


class _Body(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self) -> Iterator[bytes]:
        """The body in one piece."""
        yield self.read()


class _translated:  # noqa: N801 - a context manager, used as a verb
    """What botocore raises, as ours."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def __enter__(self) -> None:
        """Nothing to open."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Say what an error means here."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        if isinstance(error, ClientError):
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code = str(error.response.get("Error", {}).get("Code", ""))[:60]
            if status in RETRYABLE_STATUSES or status == 0:
                raise NotTakenError(f"bucket {self._bucket.bucket} answered {status} {code}") from error
            raise DeliveryRefusedError(
                f"bucket {self._bucket.bucket} refused with {status} {code}: check its name and the key's rights"
            ) from error
        if isinstance(error, BotoCoreError):
            raise DeliveryRefusedError(
                f"bucket {self._bucket.bucket} cannot be written: {type(error).__name__}"
            ) from error
