"""The control plane's HTTP interface for commands: the admin token from this home, problems as errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from resources.errors import AuthorizationError, PermanentError, ServiceUnavailableError, TenantNotFoundError

if TYPE_CHECKING:
    from resources.settings import Settings


class ControlPlaneClient:
    """Calls as the platform's administrator of this home."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"http://{settings.bind_host}:{settings.control_plane_port}"
        token = settings.first_run_secret("admin.token")
        self._headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer, None for an empty one.

        Raises:
            TenantNotFoundError: 404.
            AuthorizationError: 401 or 403.
            PermanentError: any other 4xx, with the problem's own sentence.
            ServiceUnavailableError: no answer, or 5xx.
        """
        try:
            answer = httpx.request(method, self._url + path, json=body, headers=self._headers, timeout=30.0)
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"the control plane at {self._url} does not answer: start the stack with `unmogrowp up`"
            ) from error
        if answer.is_success:
            return answer.json() if answer.content else None
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
