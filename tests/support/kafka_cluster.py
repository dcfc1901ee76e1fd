"""librdkafka's own broker simulation as a cluster for tests: real clients, real wire protocol, real faults.

It is part of the shared library that the Kafka client ships; its C functions are called through ctypes. It
keeps 5 MiB per partition and drops the oldest beyond that. `DeleteRecordsProxy` adds the one request that
the client sends and the simulation does not know.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import confluent_kafka

from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

BROKERS = (1, 2, 3)
RD_KAFKA_PRODUCER = 0
API_PRODUCE, API_VERSIONS, API_DELETE_RECORDS, API_INIT_PRODUCER_ID = 0, 18, 21, 22
FIRST_COMPACT_VERSION = 3  # of ApiVersions
_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "conf_new": (_POINTER, []),
    "conf_set": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "new": (_POINTER, [ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "destroy": (None, [_POINTER]),
    "mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "mock_cluster_destroy": (None, [_POINTER]),
    "mock_cluster_bootstraps": (ctypes.c_char_p, [_POINTER]),
    "mock_topic_create": (ctypes.c_int, [_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "mock_group_initial_rebalance_delay_ms": (None, [_POINTER, ctypes.c_int32]),
    "mock_broker_set_down": (ctypes.c_int, [_POINTER, ctypes.c_int32]),
    "mock_broker_set_up": (ctypes.c_int, [_POINTER, ctypes.c_int32]),
    "mock_broker_set_host_port": (None, [_POINTER, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int]),
    "mock_partition_set_leader": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32],
    ),
    "mock_partition_delete_records": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64],
    ),
    "mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
}


def _load() -> ctypes.CDLL:
    bundled = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    [path] = bundled.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class KafkaCluster:
    """Three brokers on the loopback, in this process. A context manager."""

    def __init__(self) -> None:
        self._library = _load()
        text = ctypes.create_string_buffer(512)
        config = self._call("conf_new")
        self._call("conf_set", config, b"log_level", b"0", text, len(text))
        self._client = self._call("new", RD_KAFKA_PRODUCER, config, text, len(text))
        self._cluster = self._call("mock_cluster_new", self._client, len(BROKERS))
        self._call("mock_group_initial_rebalance_delay_ms", self._cluster, 0)
        self.bootstrap = self._call("mock_cluster_bootstraps", self._cluster).decode()

    def __enter__(self) -> KafkaCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._call("mock_cluster_destroy", self._cluster)
        self._call("destroy", self._client)

    def create_topic(self, topic: str, partitions: int = 3) -> None:
        assert self._call("mock_topic_create", self._cluster, topic.encode(), partitions, len(BROKERS)) == 0

    def take_down(self, *brokers: int) -> None:
        """Close the brokers' connections and take no new ones; who leads what stays as it is."""
        for broker in brokers:
            assert self._call("mock_broker_set_down", self._cluster, broker) == 0

    def bring_up(self, *brokers: int) -> None:
        for broker in brokers:
            assert self._call("mock_broker_set_up", self._cluster, broker) == 0

    def elect(self, topic: str, partitions: Iterable[int], broker: int) -> None:
        for partition in partitions:
            self._call("mock_partition_set_leader", self._cluster, topic.encode(), partition, broker)

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """What retention does."""
        name = topic.encode()
        result = self._call("mock_partition_delete_records", self._cluster, name, partition, before_offset)
        assert result == 0

    def fail_next(self, api: int, *codes: int) -> None:
        """Answer the next requests of a kind with these error codes."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._call("mock_push_request_errors_array", self._cluster, api, len(codes), errors)

    def advertise(self, broker: int, port: int) -> None:
        self._call("mock_broker_set_host_port", self._cluster, broker, b"127.0.0.1", port)

    def _call(self, name: str, *arguments: object) -> object:
        return getattr(self._library, f"rd_kafka_{name}")(*arguments)


def kafka_settings(cluster: KafkaCluster, home: Path, **fields: object) -> Settings:
    """Settings over a fresh topic of three partitions, with its own group of landers."""
    topic = f"events-{uuid.uuid4().hex}"
    cluster.create_topic(topic)
    given = {
        "event_log": "kafka",
        "kafka_bootstrap": cluster.bootstrap,
        "kafka_topic": topic,
        "kafka_group": topic,
        "kafka_session_timeout_s": 2.0,  # a group that became empty lets the next member wait about that long
        **fields,
    }
    return Settings(home=home, **given)  # type: ignore[arg-type]  # one test's fields


class DeleteRecordsProxy:
    """Stands before every broker, passes requests on, and carries out DeleteRecords itself."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._sockets: list[socket.socket] = []
        self.deleted: list[tuple[str, int, int]] = []  # topic, partition, before offset
        ports = []
        for broker, address in zip(BROKERS, cluster.bootstrap.split(","), strict=True):
            listener = socket.create_server(("127.0.0.1", 0))
            self._sockets.append(listener)
            ports.append(listener.getsockname()[1])
            cluster.advertise(broker, ports[-1])
            self._start(self._accept, listener, int(address.rpartition(":")[2]))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports)

    def close(self) -> None:
        for item in self._sockets:
            item.close()

    def _start(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]  # a method

    def _accept(self, listener: socket.socket, broker_port: int) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed
            broker = socket.create_connection(("127.0.0.1", broker_port))
            self._sockets += [client, broker]
            lock = threading.Lock()
            asked: dict[int, int] = {}  # correlation id → version of the ApiVersions requests under way
            self._start(self._requests, client, broker, lock, asked)
            self._start(self._answers, client, broker, lock, asked)

    def _requests(
        self, client: socket.socket, broker: socket.socket, lock: threading.Lock, asked: dict[int, int]
    ) -> None:
        while frame := _frame(client):
            api, version, correlation = struct.unpack_from(">hhi", frame)
            if api == API_VERSIONS:
                asked[correlation] = version
            if api != API_DELETE_RECORDS:
                _send(broker, frame)
                continue
            answer = struct.pack(">i", correlation) + self._delete(frame)
            with lock:
                _send(client, answer)
        broker.close()

    def _answers(
        self, client: socket.socket, broker: socket.socket, lock: threading.Lock, asked: dict[int, int]
    ) -> None:
        while frame := _frame(broker):
            version = asked.pop(struct.unpack_from(">i", frame)[0], None)
            if version is not None:
                frame = _with_delete_records(frame, version)
            with lock:
                _send(client, frame)
        client.close()

    def _delete(self, frame: bytes) -> bytes:
        """One topic, one partition, version 0: all that the reader asks for."""
        at = 8
        [client_id_length] = struct.unpack_from(">h", frame, at)
        at += 2 + client_id_length
        topics, length = struct.unpack_from(">ih", frame, at)
        at += 6
        topic = frame[at : at + length]
        partitions, partition, offset = struct.unpack_from(">iiq", frame, at + length)
        assert (topics, partitions) == (1, 1)
        self._cluster.delete_records(topic.decode(), partition, offset)
        self.deleted.append((topic.decode(), partition, offset))
        return struct.pack(">iih", 0, 1, length) + topic + struct.pack(">iiqh", 1, partition, offset, 0)


def _with_delete_records(answer: bytes, version: int) -> bytes:
    """An ApiVersions answer that also names DeleteRecords, version 0."""
    [error] = struct.unpack_from(">h", answer, 4)
    if error:
        return answer
    entry = struct.pack(">hhh", API_DELETE_RECORDS, 0, 0)
    if version >= FIRST_COMPACT_VERSION:
        assert answer[6] < 127, "the count is one byte"
        return answer[:6] + bytes([answer[6] + 1]) + entry + b"\0" + answer[7:]
    [count] = struct.unpack_from(">i", answer, 6)
    return answer[:6] + struct.pack(">i", count + 1) + entry + answer[10:]


def _frame(source: socket.socket) -> bytes:
    """The next length-prefixed message; empty when the connection has ended."""
    head = _exactly(source, 4)
    return _exactly(source, struct.unpack(">i", head)[0]) if head else b""


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        try:
            part = source.recv(count - len(parts))
        except OSError:
            return b""
        if not part:
            return b""
        parts += part
    return parts


def _send(target: socket.socket, frame: bytes) -> None:
    try:
        target.sendall(struct.pack(">i", len(frame)) + frame)
    except OSError:
        target.close()
