"""Keys wrapped by AWS KMS, on moto's HTTP server: opened once, rotated without a loss, refused in one sentence."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from resources import keyring_kms
from resources.errors import ServiceUnavailableError, SettingsError
from resources.keyring_kms import ENCRYPTION_CONTEXT, KMS_PREFIX, new_wrapped_key, unwrapped, wrapped_key
from resources.pii import Keyring, TenantPii
from resources.settings import Settings

REGION = "eu-central-1"
PLAIN = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(scope="module")
def kms() -> Iterator[str]:
    """The endpoint of a KMS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    unwrapped.cache_clear()


def client(endpoint: str) -> Any:
    return boto3.client("kms", region_name=REGION, endpoint_url=endpoint)


@pytest.fixture
def key_id(kms: str) -> str:
    return str(client(kms).create_key()["KeyMetadata"]["KeyId"])


def settings(kms: str, keys: dict[str, str]) -> Settings:
    return Settings(keyring=SecretStr(json.dumps(keys)), kms_region=REGION, kms_endpoint=kms)


def test_a_new_key_is_stored_wrapped_and_opens_to_32_bytes(kms: str, key_id: str) -> None:
    value = new_wrapped_key(key_id, REGION, kms)
    assert value.startswith(KMS_PREFIX)
    opened = settings(kms, {"k1": value}).keys()["k1"]
    assert len(base64.b64decode(opened)) == 32
    assert opened not in value


def test_a_keyring_that_moves_under_kms_keeps_every_pseudonym_and_seal(kms: str, key_id: str) -> None:
    before = TenantPii(Keyring({"k1": PLAIN}), "t123")
    wrapped = settings(kms, {"k1": wrapped_key(PLAIN, key_id, REGION, kms)})
    after = TenantPii(Keyring(wrapped.keys()), "t123")
    assert after.pseudonym("device_id", "d") == before.pseudonym("device_id", "d")
    assert after.unseal(before.seal(b"x", "c"), "c") == b"x"
    assert wrapped.stored_keys()["k1"].startswith(KMS_PREFIX)


def test_rotation_opens_the_old_seals_with_the_new_and_changes_no_pseudonym(kms: str, key_id: str) -> None:
    k1 = new_wrapped_key(key_id, REGION, kms)
    other_kms_key = client(kms).create_key()["KeyMetadata"]["KeyId"]
    k2 = new_wrapped_key(other_kms_key, REGION, kms)
    before = TenantPii(Keyring(settings(kms, {"k1": k1}).keys()), "t123")
    after = TenantPii(Keyring(settings(kms, {"k1": k1, "k2": k2}).keys()), "t123")
    assert after.pseudonym("user_id", "u") == before.pseudonym("user_id", "u")
    assert after.unseal(before.seal(b"old", "c"), "c") == b"old"
    with pytest.raises(SettingsError, match="key k2 of tenant t123"):
        before.unseal(after.seal(b"new", "c"), "c")


def test_a_key_is_opened_once_per_process(kms: str, key_id: str) -> None:
    leaving = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    leaving.start()
    host, port = leaving.get_host_and_port()
    ring = settings(f"http://{host}:{port}", {"k1": new_wrapped_key(key_id, REGION, kms), "k2": PLAIN})
    first = ring.keys()
    leaving.stop()
    assert ring.keys() == first


def test_a_ciphertext_of_another_application_does_not_open(kms: str, key_id: str) -> None:
    answer = client(kms).encrypt(KeyId=key_id, Plaintext=bytes(32), EncryptionContext={"other": "keyring"})
    stray = KMS_PREFIX + base64.b64encode(answer["CiphertextBlob"]).decode()
    with pytest.raises(SettingsError, match="AWS KMS will not open a key"):
        settings(kms, {"k1": stray}).keys()
    assert ENCRYPTION_CONTEXT == {"unmogrowp": "keyring"}  # another one would lock every stored key out


def test_an_unknown_kms_key_is_permanent_and_names_the_setting(kms: str) -> None:
    with pytest.raises(SettingsError, match=r"NotFoundException.*UNMOGROWP_KMS_KEY_ID"):
        new_wrapped_key("00000000-0000-0000-0000-000000000000", REGION, kms)


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], str]]:
    """Starts a server that answers every call with one of KMS's errors (moto refuses nothing and throttles nobody)."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, code: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.dumps({"__type": code, "message": "no"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "AccessDeniedException", SettingsError),
        (400, "DisabledException", SettingsError),
        (400, "ThrottlingException", ServiceUnavailableError),
        (500, "KMSInternalException", ServiceUnavailableError),
        (503, "SomethingNew", ServiceUnavailableError),
        (400, "SomethingNew", SettingsError),
    ],
)
def test_what_kms_answers_is_permanent_or_retryable(
    answering: Callable[[int, str], str], status: int, code: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=code):
        unwrapped(KMS_PREFIX + base64.b64encode(b"c").decode(), REGION, answering(status, code))


def test_a_kms_that_is_away_is_retryable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring_kms, "ATTEMPTS", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(ServiceUnavailableError, match="UNMOGROWP_KMS_ENDPOINT"):
            unwrapped(KMS_PREFIX + "YWJj", REGION, f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_no_credentials_and_no_region_are_said(kms: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="region"):
        unwrapped(KMS_PREFIX + "YWJj", None, kms)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(SettingsError, match="credentials"):
        unwrapped(KMS_PREFIX + "YWJj", REGION, kms)


def test_a_wrapped_key_that_is_not_base64_is_refused_without_asking() -> None:
    with pytest.raises(SettingsError, match="wrap it again"):
        unwrapped("kms:***", REGION, "http://127.0.0.1:9")
