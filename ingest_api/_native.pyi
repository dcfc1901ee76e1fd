"""Types of the optional extension `ingest_api/native/module.c`; `fast_lane` is its only caller."""

class Contract:
    def __init__(self, types: tuple[tuple[bytes, tuple[Rule, ...]], ...], default_type: int, /) -> None: ...
    def ids(
        self,
        body: bytes,
        format: int,  # noqa: A002 - positional only
        tenant: bytes,
        oldest_us: int,
        newest_us: int,
        event_bytes_max: int,
        depth_max: int,
        count_max: int,
        /,
    ) -> list[str] | None: ...

class Columns:
    def __init__(self) -> None: ...
    def add(
        self,
        contract: Contract,
        body: bytes,
        format: int,  # noqa: A002 - positional only
        tenant: bytes,
        tenant_number: int,
        depth_max: int,
        count: int,
        /,
    ) -> bool: ...
    def values(self) -> tuple[bytes, bytes, list[str]]: ...
    def pairs(self) -> bytes: ...
    def facts(self) -> tuple[bytes, bytes]: ...
    def build(self, tokens: list[str], rows: bytes, /) -> tuple[bytes, bytes, bytes]: ...

# name, operation, is required, personal kind, minimum, maximum, options, members
Rule = tuple[bytes, int, bool, int, int, int, tuple[bytes, ...], tuple["Rule", ...]]
