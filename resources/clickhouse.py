"""The door to ClickHouse: a plain typed client, the same for the embedded engine and for a real server.

What belongs here: connecting, querying, inserting, and saying of every failure whether trying again may help.
What does not: SQL of the marts (`dbt_project/`), and the embedded engine itself (`resources/embedded/`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from resources.errors import PermanentError, ServiceUnavailableError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

    from resources.settings import Settings

Result = TypeVar("Result")
Parameters = Mapping[str, object]

EMBEDDED_PASSWORD_FILE = "clickhouse_password"  # noqa: S105 - the name of a file under HOME/secrets

# Codes after which the same statement may succeed: the server was busy, out of reach or short of something
# that comes back. Any other code is the statement's own fault. Names as `errorCodeToName` gives them; a test
# compares them with the engine's.
RETRYABLE_CODES = {
    159: "TIMEOUT_EXCEEDED",
    198: "DNS_ERROR",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    373: "SESSION_IS_LOCKED",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    499: "S3_ERROR",
    517: "CANNOT_ASSIGN_ALTER",
    999: "KEEPER_EXCEPTION",
}

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNKNOWN_TABLE = 60
_UNKNOWN_DATABASE = 81
_DEFAULT_PORTS = {"http": 8123, "https": 8443}


class ClickHouseRefusedError(PermanentError):
    """ClickHouse refused the statement and would refuse it again; `code` is its error code (0: none)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_unknown_table(self) -> bool:
        """Whether a table is missing: of a mart, that no slice of any tenant was ever materialised."""
        return self.code == _UNKNOWN_TABLE


class ClickHouseUnavailableError(ServiceUnavailableError):
    """ClickHouse cannot do this now; `code` is its error code (0: it could not be reached at all)."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ClickHouse:
    """One ClickHouse, for any number of threads; it connects at the first use.

    Args:
        url: `http://host:port` or `https://host:port`.
        user: user name.
        password: its password; never shown in errors.
        database: where unqualified table names are looked up; made at the first use when it is missing.
        connect_attempts: tries while the port refuses connections (nothing was sent then, so any statement
            may be tried again). Other failures are raised at once: only the caller knows whether to repeat.
        first_delay_s: pause after the first refused try; it doubles, up to 2 s. The defaults wait 5 s in all,
            in which the embedded server (1.5 s to start on two busy cores) comes back after a crash.
        query_timeout_s: how long an answer may take.
    """

    def __init__(
        self,
        url: str,
        user: str = "default",
        password: str = "",
        database: str = "default",
        *,
        connect_attempts: int = 7,
        first_delay_s: float = 0.1,
        query_timeout_s: int = 600,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise SettingsError(
                f"UNMOGROWP_CLICKHOUSE_URL must be http(s)://host:port, not {parts.scheme!r}://…"
            )
        self.scheme = parts.scheme
        self.host = parts.hostname
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self.user = unquote(parts.username) if parts.username else user
        self.password = unquote(parts.password) if parts.password else password
        if not _DATABASE_NAME.fullmatch(database):
            raise SettingsError(f"UNMOGROWP_CLICKHOUSE_DATABASE must be an identifier, not {database!r}")
        self.database = database
        self._proxy_path = parts.path.strip("/")
        self._connect_attempts = connect_attempts
        self._first_delay_s = first_delay_s
        self._query_timeout_s = query_timeout_s
        self._client: Client | None = None
        self._mutex = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The server that the settings name, or the embedded engine with its first-run password."""
        return cls(
            settings.clickhouse_http_url,
            user=settings.clickhouse_user,
            password=password_of(settings),
            database=settings.clickhouse_database,
        )

    def query_arrow(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Rows as an Arrow table. Bind values as `{name:Type}`: the server substitutes them.

        Raises:
            ClickHouseRefusedError, ClickHouseUnavailableError: as RETRYABLE_CODES says.
        """
        return self._run(lambda client: client.query_arrow(sql, parameters=_plain(parameters)))

    def query_rows(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Rows as dictionaries by column name: for answers of tens, not millions. Raises as `query_arrow`."""
        result = self._run(lambda client: client.query(sql, parameters=_plain(parameters), tz_mode="aware"))
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def command(
        self, sql: str, parameters: Parameters | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Run a statement that answers nothing (DDL, INSERT … SELECT, ALTER). Raises as `query_arrow`."""
        given = dict(settings) if settings else None
        self._run(lambda client: client.command(sql, parameters=_plain(parameters), settings=given))

    def insert_arrow(self, table: str, arrow: pa.Table) -> int:
        """Insert rows by column name and say how many; none is no request. Raises as `query_arrow`."""
        if arrow.num_rows:
            self._run(lambda client: client.insert_arrow(table, arrow))
        return int(arrow.num_rows)

    def ping(self) -> bool:
        """Whether ClickHouse answers a query now; one try, no waiting."""
        try:
            self._run(lambda client: client.query("SELECT 1"), attempts=1)
        except (ClickHouseUnavailableError, ClickHouseRefusedError):
            return False
        return True

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._mutex:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run(self, work: Callable[[Client], Result], attempts: int | None = None) -> Result:
        """Do `work`; if the server lost our database (its directory was deleted), make it and repeat."""
        try:
            return self._attempt(work, attempts)
        except ClickHouseRefusedError as error:
            if error.code != _UNKNOWN_DATABASE:
                raise
        self.close()
        return self._attempt(work, attempts)

    def _attempt(self, work: Callable[[Client], Result], attempts: int | None) -> Result:
        """Do `work`, waiting out refused connections, with every failure classified."""
        from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415 - 0.3 s of imports

        attempts = attempts or self._connect_attempts
        for attempt in range(attempts):
            try:
                return work(self._connected())
            except ClickHouseError as error:
                if _was_refused(error) and attempt + 1 < attempts:
                    time.sleep(min(self._first_delay_s * 2**attempt, 2.0))
                    continue
                raise self._classified(error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _connected(self) -> Client:
        with self._mutex:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Client:
        import clickhouse_connect  # noqa: PLC0415 - 0.3 s of imports

        client = clickhouse_connect.get_client(
            host=self.host,
            port=self.port,
            interface=self.scheme,
            username=self.user,
            password=self.password,
            proxy_path=self._proxy_path,
            compress=self.host not in _LOOPBACK_HOSTS,  # a loopback is faster than any codec
            autogenerate_session_id=False,  # a session allows one request at a time
            send_receive_timeout=self._query_timeout_s,
        )
        if not client.command(f"EXISTS DATABASE `{self.database}`"):
            client.command(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")
        client.database = self.database
        return client

    def _classified(self, error: Exception) -> ClickHouseRefusedError | ClickHouseUnavailableError:
        code = getattr(error, "code", None) or 0
        where = f"ClickHouse at {self.scheme}://{self.host}:{self.port}"
        if code in RETRYABLE_CODES:
            return ClickHouseUnavailableError(f"{where} cannot do this now, try again: {error}", code)
        if code or not _is_transport_failure(error):
            return ClickHouseRefusedError(f"{where} refused the statement, correct it: {error}", code)
        return ClickHouseUnavailableError(
            f"{where} does not answer: start it (`unmogrowp up`) or set UNMOGROWP_CLICKHOUSE_URL ({error})", 0
        )


def password_of(settings: Settings) -> str:
    """The password of `settings.clickhouse_user`: the given one, or the embedded engine's first-run one."""
    given = settings.clickhouse_password.get_secret_value()
    if given or settings.clickhouse_url:
        return given
    return settings.first_run_secret(EMBEDDED_PASSWORD_FILE)


def _plain(parameters: Parameters | None) -> dict[str, Any] | None:
    return dict(parameters) if parameters else None


def _was_refused(error: BaseException) -> bool:
    """Whether the port refused the connection, so that nothing of the request was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_transport_failure(error: Exception) -> bool:
    """Whether the driver lost the server, rather than having been answered or misused."""
    from clickhouse_connect.driver.exceptions import OperationalError  # noqa: PLC0415 - loaded by now

    return isinstance(error, OperationalError)
