"""HTTP by hand over a socket: requests that no client library would send, and their answers."""

from __future__ import annotations

import socket

import httpx

from tests.support.door import TENANT, TOKEN, RunningDoor

HEAD = (
    f"POST /v1/events/batch HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer {TOKEN}\r\n"
    f"X-Tenant-ID: {TENANT}\r\nContent-Type: application/json\r\n"
)
TIMEOUT_S = 0.4  # a strict door's patience, with a head as with a body


def connected(door: RunningDoor) -> socket.socket:
    host, port = door.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection, however it ends."""
    received = b""
    while True:
        try:
            part = connection.recv(65_536)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part


def answer_to(door: RunningDoor, request: bytes) -> httpx.Response:
    """The one answer of a connection that sends this and then waits."""
    with connected(door) as connection:
        connection.sendall(request)
        return parsed(connection)


def parsed(connection: socket.socket) -> httpx.Response:
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        assert part, f"the connection ended without an answer: {received!r}"
        received += part
    head, body = received.split(b"\r\n\r\n", 1)
    lines = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines[1:])]
    length = int({name.lower(): value for name, value in headers}[b"content-length"])
    while len(body) < length:
        body += connection.recv(65_536)
    return httpx.Response(int(lines[0].split()[1]), headers=headers, content=body)
