"""A file's content as bytes, unpacked where its name ends in `.gz` or `.zst`.

A packed file that ends early is an error here, never a short file: half an export must not pass for all of it.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from resources.errors import ContractError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PACKED_CHUNK_BYTES = 16 * 1024  # what it unpacks to is held at once: 0.2 MB of usual CSV, 1.6 MB at 100:1
PACKED_SUFFIXES = (".gz", ".zst")


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """The file's content as bytes.

    Raises:
        ContractError: the packed file ends early or is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            if path.suffix == ".zst":
                yield io.BufferedReader(_Zstd(file))
            elif path.suffix == ".gz":
                yield io.BufferedReader(gzip.GzipFile(fileobj=file))
            else:
                yield file
        except (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as error:
            raise ContractError(
                f"{path.name} ends early or is damaged ({error}): fetch it again, then repeat the import"
            ) from error


def name_unpacked(path: Path) -> str:
    """The file's name without `.gz` or `.zst`."""
    return path.stem if path.suffix in PACKED_SUFFIXES else path.name


class _Zstd(io.RawIOBase):
    """Unpacks frame after frame; the library's own reader takes a cut frame for the end of the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unpacker = zstandard.ZstdDecompressor().decompressobj()
        self._is_inside_frame = False
        self._packed = self._plain = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills the buffer with what follows, nothing at the end.

        Raises:
            EOFError: the file ends inside a frame.
        """
        view = memoryview(buffer).cast("B")
        while not self._plain:
            self._packed = self._packed or self._file.read(_PACKED_CHUNK_BYTES)
            if not self._packed:
                if self._is_inside_frame:
                    raise EOFError("the last frame is not whole")
                return 0
            self._plain = self._unpacker.decompress(self._packed)
            self._is_inside_frame = not self._unpacker.eof
            self._packed = self._unpacker.unused_data
            if self._unpacker.eof:
                self._unpacker = zstandard.ZstdDecompressor().decompressobj()
        part = self._plain[: len(view)]
        view[: len(part)] = part
        self._plain = self._plain[len(part) :]
        return len(part)
