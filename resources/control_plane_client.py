"""The control plane's HTTP interface for commands: a token by `sign_in`, problems as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn
from urllib.parse import quote

import httpx

from resources.errors import AuthorizationError, PermanentError, ServiceUnavailableError, TenantNotFoundError
from resources.sign_in import SignIn

if TYPE_CHECKING:
    from resources.settings import Settings

PAGE_SIZE = 1000  # the most a list gives at once


class ControlPlaneClient:
    """Calls as whoever is signed in at this home, without that as its first administrator."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"http://{settings.bind_host}:{settings.control_plane_port}"
        self.sign_in = SignIn(settings, self._url)
        self._token: str | None = None

    def items(self, path: str) -> list[dict[str, Any]]:
        """Everything that a paged list holds."""
        found: list[dict[str, Any]] = []
        joined = "&" if "?" in path else "?"
        following: object = ""
        while following is not None:
            after = f"&after={quote(str(following), safe='')}" if following else ""
            page = self.call("GET", f"{path}{joined}limit={PAGE_SIZE}{after}")
            found += page["items"]
            following = page["next"]
        return found

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, idempotency_key: str = ""
    ) -> Any:
        """The JSON answer, None for an empty one. Under an idempotency key a lost answer is asked for once more.

        Raises:
            TenantNotFoundError: 404.
            AuthorizationError: 401 or 403.
            PermanentError: any other 4xx, with the problem's own sentence.
            ServiceUnavailableError: no answer, or 5xx.
        """
        was_new = self._token is None
        try:
            answer = self._answer(method, path, body, idempotency_key)
        except ServiceUnavailableError:
            if not idempotency_key:
                raise
            answer = self._answer(method, path, body, idempotency_key)
        if answer.status_code == httpx.codes.UNAUTHORIZED and not was_new:  # it lives ten minutes
            self._token = None
            answer = self._answer(method, path, body, idempotency_key)
        if answer.is_success:
            return answer.json() if answer.content else None
        _raise_problem(answer)

    def download(self, path: str, tenant_id: str, accept: str, sink: BinaryIO) -> int:
        """Write an answer into `sink` as it comes; its bytes. Raises as `call`."""
        token = self.sign_in.access_token()
        headers = {"Authorization": f"Bearer {token}", "X-Tenant-ID": tenant_id, "Accept": accept}
        size_bytes = 0
        try:
            with httpx.stream("GET", self._url + path, headers=headers, timeout=30.0) as answer:
                if not answer.is_success:
                    answer.read()
                    _raise_problem(answer)
                for piece in answer.iter_bytes():
                    size_bytes += sink.write(piece)
        except httpx.HTTPError as error:
            raise self._away() from error
        return size_bytes

    def _away(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the control plane at {self._url} does not answer: start the stack with `unmogrowp up`"
        )

    def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, idempotency_key: str
    ) -> httpx.Response:
        if self._token is None:
            self._token = self.sign_in.access_token()
        headers = {"Authorization": f"Bearer {self._token}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            return httpx.request(method, self._url + path, json=body, headers=headers, timeout=30.0)
        except httpx.HTTPError as error:
            raise self._away() from error


def _raise_problem(answer: httpx.Response) -> NoReturn:
    detail = _detail(answer)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise TenantNotFoundError(detail)
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise AuthorizationError(detail)
    if answer.is_client_error:
        raise PermanentError(detail)
    raise ServiceUnavailableError(detail)


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        fields = [f"{one['pointer']} {one['reason']}" for one in problem.get("errors", ())]
        return "; ".join([str(problem.get("detail") or problem.get("title")), *fields])
    except ValueError:
        return f"HTTP {answer.status_code}"
