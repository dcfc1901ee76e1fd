"""What commands that send events share: the tenant's token, the door's address, a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.output import stderr
from resources.errors import (
    AuthenticationError,
    AuthorizationError,
    ContractError,
    ServiceUnavailableError,
    TenantStateError,
)
from resources.registry import Registry, digest_of
from resources.registry.states import STATES_WITH_LIVE_KEYS
from resources.settings import Settings
from unmogrowp import errors as sdk_errors
from unmogrowp.client import CONNECTIONS, Client


@contextmanager
def door_client(
    settings: Settings, registry: Registry, tenant_id: str, *, connections: int = CONNECTIONS
) -> Iterator[Client]:
    """A client of this stack's door for one tenant; the door has answered that it is ready.

    What the SDK raises inside the block comes out as one of the platform's own errors.

    Raises:
        TenantNotFoundError, TenantStateError: there is no such tenant, or it takes no events now.
        ServiceUnavailableError: the door is away. AuthenticationError, AuthorizationError, ContractError: it
            refuses.
    """
    token = ingest_token(settings, registry, tenant_id)
    url = f"http://{settings.bind_host}:{settings.ingest_port}"
    with platform_errors(), Client(url, tenant_id, token, connections=connections) as client:
        try:
            client.require_ready()
        except sdk_errors.DoorUnavailableError as error:
            way_out = "start the stack with `unmogrowp up`, then try again"
            raise ServiceUnavailableError(f"{error}; {way_out}") from error
        yield client


@contextmanager
def platform_errors() -> Iterator[None]:
    """The SDK's errors as the platform's, with the same sentence."""
    try:
        yield
    except sdk_errors.AuthenticationError as error:
        raise AuthenticationError(str(error)) from error
    except sdk_errors.ForbiddenError as error:
        raise AuthorizationError(str(error)) from error
    except sdk_errors.PermanentError as error:
        raise ContractError(str(error)) from error
    except sdk_errors.RetryableError as error:
        raise ServiceUnavailableError(str(error)) from error


def ingest_token(settings: Settings, registry: Registry, tenant_id: str) -> str:
    """The command line's own write token for the tenant, kept in a file of mode 0600, made when missing.

    Raises:
        TenantNotFoundError, TenantStateError: there is no such tenant, or no key of it works now.
    """
    tenant = registry.get(tenant_id)
    if tenant.state not in STATES_WITH_LIVE_KEYS:
        raise TenantStateError(
            f"tenant {tenant_id} is {tenant.state} and takes no events: wait until `unmogrowp tenant show "
            f"{tenant_id}` says active"
        )
    name = f"ingest_{tenant_id}.token"
    token = _kept_token(settings, registry, tenant_id, name)
    if registry.active_key_digests("ingest").get(digest_of(token)) == tenant_id:
        return token
    (settings.secrets_dir / name).unlink(missing_ok=True)  # revoked, or of an earlier registry
    return _kept_token(settings, registry, tenant_id, name)


def _kept_token(settings: Settings, registry: Registry, tenant_id: str, name: str) -> str:
    return settings.first_run_secret(name, lambda: registry.mint_key(tenant_id, "ingest", actor="cli"))


def progress_bar(*, hidden: bool) -> Progress:
    """A progress bar on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        disable=hidden,
        transient=True,
    )
