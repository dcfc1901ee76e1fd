"""How large a request's head may be. uvicorn's httptools protocol has no limit: a head without an end fills the memory.

Belongs here: the limit, for a head that is complete (an answer of 431) and for one that is not (the connection's
end). The door has a protocol of its own, with deadlines too (`ingest_api.connections`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.types import Scope

HEAD_MAX_BYTES = 64 * 1024  # the largest access token is 16,384; uvicorn's h11 protocol has the same limit
TOO_LARGE = (
    f"request line and headers may have {HEAD_MAX_BYTES} bytes together; send fewer or shorter headers"
)


def is_head_too_large(scope: Scope) -> bool:
    """Whether the head of this request, as it was read, is over the limit."""
    fields = sum(len(name) + len(value) + len(b": \r\n") for name, value in scope["headers"])
    return fields + len(scope["raw_path"] or b"") + len(scope["query_string"]) > HEAD_MAX_BYTES


class BoundedHeadProtocol(HttpToolsProtocol):
    """A connection that ends when a head goes on and on."""

    _head_bytes = 0  # since the last complete head
    _is_in_head = True

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """What follows is a body, or another request."""
        self._is_in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse on, unless the head is too long by now."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES and not self.transport.is_closing():
                self.send_400_response(TOO_LARGE)
