"""schemathesis over every OpenAPI file and its running service: no fault of ours, no answer that is not described.

A few examples per operation here; `--hypothesis-profile=thorough` takes 200.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from control_plane.app import create_app as create_control_plane
from inference_api.app import create_app as create_inference
from ingest_api.app import create_app as create_door
from resources.embedded.stack import free_port
from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.tenant_gateway import PARQUET_TYPE
from tests.hostile.conftest import THOROUGH
from tests.support.attack_catalogue import ENDS_OWN_SESSION
from tests.support.attacks import OPENAPI_DIR, operations
from tests.support.control_plane_server import access_token_of
from tests.support.served_app import served
from tests.support.trace_world import served as clickhouse_served
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from schemathesis.schemas import APIOperation

    Operation = APIOperation[Any, Any, Any, Any]

TENANT = "t123"
ROOMS = sorted(path.stem for path in OPENAPI_DIR.glob("*.json"))
EXAMPLES = 4  # of each operation and kind: 80 operations in half a minute
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# what is there, so that some requests find something
KNOWN = {
    "tenant_id": TENANT,
    "mart": "installs",
    "date": "2026-11-01",
    "version": 1,
    "name": "ann",
}


@schemathesis.serializer(PARQUET_TYPE)
def as_it_is(_context: object, value: object) -> bytes:
    """What schemathesis made for a Parquet file: any bytes."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    """Room → where it serves, and the headers of somebody who may do everything there."""
    home = tmp_path_factory.mktemp("home")
    ours = Settings(home=home, clickhouse_port=free_port("127.0.0.1", 0, set()))
    registry = Registry.from_settings(ours)
    registry.migrate()
    registry.request(TENANT, "starter", "test")
    for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
        registry.transition(TENANT, state, actor="test")
    for name, role in (("ann", "support"), ("operator", "platform_admin")):
        registry.create_user(name, None, (role,), "test")
    keys = {kind: registry.mint_key(TENANT, kind, "test") for kind in ("ingest", "export")}
    with ExitStack() as stack:
        stack.callback(registry.close)
        stack.enter_context(clickhouse_served(ours))
        plane = stack.enter_context(running(PlaneProcess(tmp_path_factory.mktemp("plane"))))
        control = stack.enter_context(served(create_control_plane(ours, registry)))
        inference = stack.enter_context(served(create_inference(ours, registry)))
        door = stack.enter_context(served(create_door(ours, registry)))
        session = stack.enter_context(plane.signed_in()).headers["Authorization"]
        yield {
            "control_plane": (control, bearer(access_token_of(registry, control, "operator"))),
            "inference_api": (inference, bearer(keys["export"])),
            "ingest_api": (door, bearer(keys["ingest"])),
            "tenant_plane": (plane.url, {"Authorization": session, "X-Tenant-ID": TENANT}),
        }


def is_thorough() -> bool:
    return settings.get_current_profile_name() == THOROUGH


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "X-Tenant-ID": TENANT}


def operations_of(room: str) -> list[Operation]:
    schema = schemathesis.openapi.from_dict(json.loads((OPENAPI_DIR / f"{room}.json").read_text()))
    return [found.ok() for found in schema.get_all_operations()]


def cases_of(operation: Operation) -> st.SearchStrategy[Case]:
    """Requests that follow the contract, some about what is there, and requests that break it."""
    there = {name: value for name, value in KNOWN.items() if f"{{{name}}}" in operation.path}
    kinds = [operation.as_strategy()]
    if there and operation.method != "delete":
        kinds.append(operation.as_strategy(path_parameters=there))
    if operation.body or operation.query or operation.path_parameters:
        kinds.append(operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    return st.one_of(kinds)


def fault_of(operation: Operation, url: str, headers: dict[str, str]) -> str:
    """What is wrong with the operation; nothing, as it should be."""
    sent = headers
    if (operation.method.upper(), operation.path) in ENDS_OWN_SESSION:
        sent = {"X-Tenant-ID": TENANT}

    @settings(
        max_examples=settings.get_profile(THOROUGH).max_examples if is_thorough() else EXAMPLES,
        derandomize=not is_thorough(),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases_of(operation))
    def ask(case: Case) -> None:
        case.call_and_validate(base_url=url, headers=sent, checks=CHECKS, timeout=30)

    try:
        ask()
    except (Failure, BaseExceptionGroup) as error:
        told = error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
        return "\n".join(str(one) for one in told)
    return ""


@pytest.mark.parametrize("room", ROOMS)
def test_no_request_makes_a_fault_of_ours_or_an_answer_that_is_not_described(
    doors: dict[str, tuple[str, dict[str, str]]], room: str
) -> None:
    url, headers = doors[room]
    wrong = {operation.label: fault_of(operation, url, headers) for operation in operations_of(room)}
    assert len(wrong) == len(operations(room))
    assert not any(wrong.values()), "\n\n".join(f"{label}: {text}" for label, text in wrong.items() if text)
