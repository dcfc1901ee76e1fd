"""Webhooks over real HTTP: signed as the scheme says, announced once per content, never led elsewhere."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from benchmarks.drills.receivers import Receiver, receiving
from resources.destination_settings import DestinationSettings
from resources.destinations.attempts import NotTakenError
from resources.destinations.book import DestinationBook
from resources.destinations.parcels import Parcel
from resources.destinations.webhooks import ROTATION_OVERLAP, WebhookSecrets, new_secret, signature_headers
from resources.destinations.wire import ANSWER_MAX_BYTES, Wire
from resources.errors import DeliveryRefusedError, DestinationError, DestinationNotFoundError
from resources.registry import Registry
from resources.settings import Settings

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
MANIFEST = json.dumps({"files": [{"name": "part-0.parquet", "sha256": "00"}], "restatement": 0}).encode()
PARCEL = Parcel(
    "t1", "installs", dt.date(2026, 11, 3), 0, "t1:installs:0:00", MANIFEST, {"part-0.parquet": b"PAR1"}
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry.from_settings(Settings(home=tmp_path))
    registry.migrate()
    for tenant in ("t1", "t2"):
        registry.request(tenant, "starter", "test")
    yield registry
    registry.close()


def book(tmp_path: Path, registry: Registry, *hosts: str, timeout_s: float = 5.0) -> DestinationBook:
    return DestinationBook(
        Settings(home=tmp_path),
        registry,
        DestinationSettings(allowed_hosts=frozenset(hosts), timeout_s=timeout_s),
    )


def test_a_message_carries_the_scheme_s_signature_and_its_library_verifies_it(
    tmp_path: Path, registry: Registry, receiver: Receiver
) -> None:
    own = book(tmp_path, registry, receiver.host)
    added = own.add_webhook("t1", f"{receiver.url}/hook", "ann")
    own.deliver(added.destination, PARCEL)
    (taken,) = receiver.arrived
    message = Webhook(added.secret).verify(taken.body, taken.headers)
    assert (message["type"], message["data"]["mart"]) == ("export.published", "installs")
    assert message["data"]["manifest"] == json.loads(MANIFEST)
    headers = taken.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + taken.body
    key = base64.b64decode(added.secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(taken.body, taken.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(added.secret).verify(taken.body + b" ", taken.headers)


def test_a_signature_is_refused_when_its_moment_has_passed() -> None:
    secret, body = new_secret(), b'{"type":"ping"}'
    old = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=6)
    with pytest.raises(WebhookVerificationError, match="old"):
        Webhook(secret).verify(body, signature_headers(WebhookSecrets(secret), "msg_1", body, old))
    fresh = signature_headers(WebhookSecrets(secret), "msg_1", body, dt.datetime.now(dt.UTC))
    with pytest.raises(WebhookVerificationError):  # a captured signature says its own moment
        Webhook(secret).verify(body, fresh | {"webhook-timestamp": str(int(fresh["webhook-timestamp"]) + 60)})


def test_a_repetition_has_the_same_id_and_body_and_a_restatement_another(
    tmp_path: Path, registry: Registry, receiver: Receiver
) -> None:
    own = book(tmp_path, registry, receiver.host)
    added = own.add_webhook("t1", receiver.url, "ann")
    restated = replace(PARCEL, restatement=1, idempotency_key="t1:installs:1:11")
    for parcel in (PARCEL, PARCEL, restated):
        own.deliver(added.destination, parcel)
    first, second, third = receiver.arrived
    assert (first.key, first.body) == (second.key, second.body)
    assert third.key != first.key
    assert [message["type"] for message in receiver.messages()] == ["export.published"] * 2 + [
        "export.restated"
    ]


def test_while_a_secret_is_rotated_both_verify_and_then_the_new_one_alone() -> None:
    old = WebhookSecrets(new_secret())
    new = old.rotated(NOW)
    during, after = NOW + dt.timedelta(hours=1), NOW + ROTATION_OVERLAP
    assert new.valid(during) == [new.secret, old.secret]
    assert new.valid(after) == [new.secret]
    moment = dt.datetime.now(dt.UTC)
    headers = signature_headers(old.rotated(moment), "msg_1", b"{}", moment)
    assert len(headers["webhook-signature"].split(" ")) == 2
    Webhook(old.secret).verify(b"{}", headers)


def test_a_rotation_in_the_book_answers_with_the_new_secret_and_signs_with_both(
    tmp_path: Path, registry: Registry, receiver: Receiver
) -> None:
    own = book(tmp_path, registry, receiver.host)
    added = own.add_webhook("t1", receiver.url, "ann")
    rotated = own.rotate("t1", added.destination.destination_id, "ann")
    assert rotated.secret != added.secret
    own.test(registry.destination("t1", added.destination.destination_id))
    (taken,) = receiver.arrived
    for secret in (added.secret, rotated.secret):
        assert Webhook(secret).verify(taken.body, taken.headers)["type"] == "ping"
    with pytest.raises(DestinationNotFoundError):
        own.rotate("t2", added.destination.destination_id, "bob")


def test_secrets_are_nowhere_in_the_clear(tmp_path: Path, registry: Registry, receiver: Receiver) -> None:
    added = book(tmp_path, registry, receiver.host).add_webhook("t1", receiver.url, "ann")
    files = [path.read_bytes() for path in tmp_path.rglob("registry.db*")]
    assert files
    assert not any(added.secret.removeprefix("whsec_").encode() in content for content in files)
    assert added.secret not in repr(added.destination)
    assert "destination.added" in [entry.action for entry in registry.audit("t1")]


@pytest.mark.parametrize(
    ("mood", "error"),
    [
        ("500", NotTakenError),
        ("429", NotTakenError),
        ("404", DeliveryRefusedError),
        ("302", DeliveryRefusedError),
    ],
)
def test_what_an_answer_means(
    tmp_path: Path, registry: Registry, receiver: Receiver, mood: str, error: type[Exception]
) -> None:
    own = book(tmp_path, registry, receiver.host)
    added = own.add_webhook("t1", receiver.url, "ann")
    receiver.mood, receiver.answers = mood, {"Location": f"{receiver.url}/elsewhere", "Retry-After": "3"}
    with pytest.raises(error) as raised:
        own.deliver(added.destination, PARCEL)
    assert len(receiver.arrived) == 1  # no redirect was followed
    if mood == "429":
        assert isinstance(raised.value, NotTakenError)
        assert raised.value.retry_after_s == 3


def test_a_receiver_that_hangs_is_told_as_such(
    tmp_path: Path, registry: Registry, receiver: Receiver
) -> None:
    own = book(tmp_path, registry, receiver.host, timeout_s=0.2)
    added = own.add_webhook("t1", receiver.url, "ann")
    receiver.mood = "hang"
    with pytest.raises(NotTakenError, match="in time") as raised:
        own.deliver(added.destination, PARCEL)
    assert raised.value.is_timeout


def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_looked_at(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str | bytes, port: object, *args: object, **options: object) -> object:
        asked.append(str(host))
        if str(host) == "rebind.example":  # no name server is ours to change: the resolver's answer is
            return real("127.0.0.1" if len(asked) == 1 else "192.0.2.1", port, *args, **options)  # type: ignore[arg-type]  # passed on
        return real(host, port, *args, **options)  # type: ignore[arg-type]  # as above

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    port = receiver.host.split(":")[1]
    wire = Wire(DestinationSettings(allowed_hosts=frozenset({f"rebind.example:{port}"}), timeout_s=5))
    answer = wire.send("POST", f"http://rebind.example:{port}/hook", {}, b"{}")
    assert answer.status == 200
    assert asked.count("rebind.example") == 1
    assert receiver.arrived[0].headers["host"] == f"rebind.example:{port}"


def test_at_delivery_the_address_is_looked_at_again(
    tmp_path: Path, registry: Registry, receiver: Receiver
) -> None:
    added = book(tmp_path, registry, receiver.host).add_webhook("t1", receiver.url, "ann")
    with pytest.raises(DestinationError):
        book(tmp_path, registry).deliver(added.destination, PARCEL)
    with pytest.raises(DestinationError, match="not public"):
        book(tmp_path, registry).add_webhook("t1", "https://169.254.169.254/latest/meta-data", "ann")
    with pytest.raises(DestinationError, match="another tenant"):
        book(tmp_path, registry, receiver.host).deliver(added.destination, replace(PARCEL, tenant_id="t2"))
    assert receiver.arrived == []


def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pour() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    while True:
                        connection.sendall(b"x" * 65_536)
                except OSError:
                    return

        thread = threading.Thread(target=pour)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        wire = Wire(DestinationSettings(allowed_hosts=frozenset({host}), timeout_s=10))
        answer = wire.send("POST", f"http://{host}/", {}, b"{}")
        thread.join(timeout=20)
    assert len(answer.body) == ANSWER_MAX_BYTES
