"""How commands get an access token: one that is given, a person's sign-in, or this home's first administrator.

`unmogrowp login` keeps a person's refresh token in HOME/secrets/session.json (mode 0600); each use of it gives the
next. Calling the control plane is `control_plane_client`'s.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from resources.errors import AuthenticationError, PermanentError, ServiceUnavailableError
from resources.file_lock import exclusive_file_lock
from resources.secret_files import replaced_secret
from resources.settings import ADMIN_SECRET_FILE, FIRST_ADMIN

if TYPE_CHECKING:
    from pathlib import Path

    from resources.settings import Settings

SESSION_FILE = "session.json"
TIMEOUT_S = 30.0  # argon2 takes half a second on a busy core, and two are checked at a time


class SignIn:
    """Tokens for the commands of one home."""

    def __init__(self, settings: Settings, control_plane_url: str) -> None:
        self._settings = settings
        self._url = f"{control_plane_url}/oauth/token"

    def access_token(self) -> str:
        """A token that is good now.

        Raises:
            AuthenticationError: nobody is signed in, or the sign-in has ended.
            ServiceUnavailableError: the control plane does not answer.
        """
        settings = self._settings
        if settings.access_token is not None:
            return settings.access_token.get_secret_value()
        if settings.oidc_issuer:
            raise AuthenticationError(
                "tokens come from the OIDC issuer here: get one there and set UNMOGROWP_ACCESS_TOKEN"
            )
        if self._file.exists():
            return self._refreshed()
        password = settings.first_run_secret(ADMIN_SECRET_FILE)
        try:
            tokens = self._asked(grant_type="password", username=FIRST_ADMIN, password=password)
        except AuthenticationError as error:
            raise AuthenticationError(
                f"{FIRST_ADMIN}'s password is no longer the one of HOME/secrets/{ADMIN_SECRET_FILE}: "
                "`unmogrowp login --user NAME` signs you in"
            ) from error
        return str(tokens["access_token"])

    def start(self, user: str, password: str) -> None:
        """Sign a person in, for this home's commands.

        Raises:
            AuthenticationError: user or password is wrong.
            ServiceUnavailableError: the control plane does not answer.
        """
        tokens = self._asked(grant_type="password", username=user, password=password)
        self._keep(user, tokens)

    def forget(self) -> str | None:
        """Who was signed in; nobody is any more."""
        user = self.user()
        self._file.unlink(missing_ok=True)
        return user

    def user(self) -> str | None:
        """Who signed in with `start`."""
        return None if not self._file.exists() else str(json.loads(self._file.read_text())["user"])

    @property
    def _file(self) -> Path:
        return self._settings.secrets_dir / SESSION_FILE

    def _refreshed(self) -> str:
        with exclusive_file_lock(
            self._file.with_suffix(".lock")
        ):  # two commands at once would use one token twice
            kept = json.loads(self._file.read_text())
            try:
                tokens = self._asked(grant_type="refresh_token", refresh_token=kept["refresh_token"])
            except AuthenticationError as error:
                raise AuthenticationError(
                    f"the sign-in of {kept['user']} has ended: `unmogrowp login --user {kept['user']}`, "
                    "or `unmogrowp logout` to act as this home's administrator"
                ) from error
            self._keep(kept["user"], tokens)
        return str(tokens["access_token"])

    def _keep(self, user: str, tokens: dict[str, Any]) -> None:
        replaced_secret(self._file, json.dumps({"user": user, "refresh_token": tokens["refresh_token"]}))

    def _asked(self, **form: str) -> dict[str, Any]:
        try:
            answer = httpx.post(self._url, data=form, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"the control plane at {self._url} does not answer: start the stack with `unmogrowp up`"
            ) from error
        if answer.is_success:
            tokens: dict[str, Any] = answer.json()
            return tokens
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise AuthenticationError(str(answer.json()["detail"]))
        if answer.is_client_error:
            raise PermanentError(str(answer.json()["detail"]))
        raise ServiceUnavailableError(f"the control plane answers {answer.status_code}; try again")
