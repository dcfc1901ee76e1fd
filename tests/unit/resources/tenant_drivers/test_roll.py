"""Rolling planes to a version in waves: order, stop, way back, resumption, on real Helm releases."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from resources.errors import ContractError
from resources.helm_settings import HelmSettings
from resources.registry import Registry, TenantState
from resources.settings import Settings
from resources.tenant_drivers.helm import HelmTenantDriver
from resources.tenant_drivers.roll import Roll, waves
from tests.support.helm_home import HelmHome, helm_home
from tests.support.tenant_homes import opened_home, prepared, provisioning

TENANTS = ("t1", "t2", "t3", "t4")


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HelmHome]:
    """Four planes at 1.0.0, t2 of a larger plan than the others."""
    with helm_home(tmp_path_factory.mktemp("roll")) as home:
        for tenant_id in TENANTS:
            home.registry.request(tenant_id, "standard" if tenant_id == "t2" else "starter", "ann")
            home.registry.transition(tenant_id, TenantState.PROVISIONING, actor="job")
            home.provision(tenant_id)
            home.registry.transition(tenant_id, TenantState.ACTIVE, actor="job")
        home.registry.request("asked", "starter", "ann")
        yield home


@pytest.fixture
def home(provisioned: HelmHome) -> Iterator[HelmHome]:
    yield provisioned
    provisioned.api.objects.broken_tags.clear()


def _versions(home: HelmHome) -> dict[str, str | None]:
    return {tenant_id: home.driver.version(tenant_id) for tenant_id in TENANTS}


def _results(home: HelmHome, version: str, sizes: str, **options: Any) -> list[tuple[str, int, str]]:
    driver = home.with_helm(smoke_test_timeout_s=0.1)
    report = Roll(driver, home.registry, **options).run(version, sizes)
    return [(step.tenant_id, step.wave, step.result) for step in report.steps]


def _told(home: HelmHome) -> list[tuple[str, str | None, Any]]:
    """What the audit trail says of rolls."""
    entries = home.registry.audit(limit=10_000)
    return [(each.action, each.tenant_id, each.after) for each in entries if "roll" in each.action]


def test_a_roll_stops_at_the_first_plane_that_does_not_come_up_takes_it_back_and_goes_on_when_asked_again(
    home: HelmHome,
) -> None:
    home.api.objects.broken_tags.add("unmogrowp-client-t3/1.1.0")
    assert _results(home, "1.1.0", "1,2") == [
        ("t1", 1, "moved"),
        ("t3", 2, "failed"),
        ("t4", 2, "not reached"),
        ("t2", 3, "not reached"),  # the larger plan comes last
    ]
    assert _versions(home) == {"t1": "1.1.0", "t2": "1.0.0", "t3": "1.0.0", "t4": "1.0.0"}
    assert _told(home) == [
        ("tenant.roll_wave_begun", None, {"wave": 1, "version": "1.1.0", "tenants": ["t1"]}),
        ("tenant.rolled", "t1", {"version": "1.1.0", "wave": 1}),
        (
            "tenant.roll_wave_ended",
            None,
            {"wave": 1, "version": "1.1.0", "tenants": ["t1"], "results": {"moved": 1}},
        ),
        ("tenant.roll_wave_begun", None, {"wave": 2, "version": "1.1.0", "tenants": ["t3", "t4"]}),
        ("tenant.roll_failed", "t3", {"version": "1.0.0", "wave": 2}),
        (
            "tenant.roll_wave_ended",
            None,
            {
                "wave": 2,
                "version": "1.1.0",
                "tenants": ["t3", "t4"],
                "results": {"failed": 1, "not_reached": 1},
            },
        ),
    ], "what was not reached has not begun"
    home.driver.smoke_test("t3")  # it serves, with the old version

    home.api.objects.broken_tags.clear()
    assert [result for _, _, result in _results(home, "1.1.0", "1,2")] == [
        "was there",
        "moved",
        "moved",
        "moved",
    ]
    assert set(_versions(home).values()) == {"1.1.0"}


def test_a_plane_at_the_version_that_is_not_well_stops_the_roll_too(home: HelmHome) -> None:
    _results(home, "1.2.0", "100%")
    found = home.api.objects
    found.broken_tags.add("unmogrowp-client-t1/1.2.0")
    home.driver.move_to("t1", "1.2.0")
    assert [result for _, _, result in _results(home, "1.2.0", "1")] == ["failed", *["not reached"] * 3]


def test_planes_of_a_wave_can_be_moved_at_once(home: HelmHome) -> None:
    assert [result for _, _, result in _results(home, "1.3.0", "4", parallel=4)] == ["moved"] * 4
    assert set(_versions(home).values()) == {"1.3.0"}


def _roll_in_a_child(settings: Settings, helm: HelmSettings, starting: Any) -> None:
    registry = Registry(settings.registry_url)
    starting.recv()
    Roll(HelmTenantDriver(settings, helm, registry), registry).run("1.4.0", "1")


def test_a_roll_that_was_killed_is_finished_by_the_next(home: HelmHome) -> None:
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("forkserver").Process(
        target=_roll_in_a_child, args=(home.settings, home.helm, receiving)
    )
    child.start()
    assert child.pid is not None
    home.api.kill_at_write = (20, child.pid)  # in the second tenant: each takes 15
    sending.send("go")
    child.join(60)
    home.api.kill_at_write = None
    assert child.exitcode == -signal.SIGKILL
    assert "1.4.0" in _versions(home).values()
    results = [result for _, _, result in _results(home, "1.4.0", "1")]
    assert results[0] == "was there"
    assert set(results) == {"was there", "moved"}
    assert set(_versions(home).values()) == {"1.4.0"}


def test_the_command_shows_the_plan_rolls_and_tells_a_stop_in_one_sentence(
    home: HelmHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNMOGROWP_HOME", str(home.settings.home))
    monkeypatch.setenv("UNMOGROWP_TENANT_DRIVER", "helm")
    for name, value in home.helm.model_dump(exclude_none=True).items():
        monkeypatch.setenv(f"UNMOGROWP_HELM_{name.upper()}", str(value))
    monkeypatch.setenv("UNMOGROWP_HELM_SMOKE_TEST_TIMEOUT_S", "0.1")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["tenant", "roll", *arguments])

    planned = json.loads(run("--version", "1.5.0", "--dry-run", "--json").stdout)
    assert planned["dryRun"] is True
    assert [(each["tenant_id"], each["wave"]) for each in planned["tenants"]] == [
        ("t1", 1),
        ("t3", 2),
        ("t4", 2),
        ("t2", 2),
    ]
    assert "1.5.0" not in _versions(home).values()

    home.api.objects.broken_tags.add("unmogrowp-client-t4/1.5.0")
    before = home.driver.version("t4")
    stopped = run("--version", "1.5.0", "--json")
    assert stopped.exit_code == 1
    assert json.loads(stopped.stdout)["counts"] == {"moved": 2, "was_there": 0, "failed": 1, "not_reached": 1}
    said = " ".join(stopped.stderr.split())
    assert "the roll to 1.5.0 stopped in wave 2: tenant t4:" in said
    assert f"it is back at {before}; 1 not reached" in said

    home.api.objects.broken_tags.clear()
    finished = run("--version", "1.5.0")
    assert finished.exit_code == 0
    assert "Roll to 1.5.0" in finished.stdout


def test_a_local_plane_is_restarted_under_the_new_name(tmp_path: Path) -> None:
    _, registry, driver = opened_home(tmp_path / "home")
    assert Roll(driver, registry).run("2", "1").document()["tenants"] == []
    provisioning(registry, "t123")
    prepared(driver, "t123")
    registry.transition("t123", TenantState.ACTIVE, actor="job")
    report = Roll(driver, registry).plan("2", "1")
    assert [(step.tenant_id, step.before) for step in report.steps] == [("t123", "0")]
    registry.close()


def test_waves_are_counts_and_shares_and_the_last_size_repeats() -> None:
    assert waves("abcdefgh", "1,2,50%") == [["a"], ["b", "c"], ["d", "e", "f", "g"], ["h"]]
    assert waves("ab", "1%") == [["a"], ["b"]]
    assert waves("", "1") == []
    for wrong in ("", "0", "101%", "-1", "half", "1,,2"):
        with pytest.raises(ContractError, match="wave size"):
            waves("abc", wrong)


@given(st.integers(0, 60), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_waves_hold_every_tenant_once_and_in_order(total: int, sizes: list[int]) -> None:
    tenants = [f"t{number}" for number in range(total)]
    cut = waves(tenants, ",".join(map(str, sizes)))
    assert [tenant for wave in cut for tenant in wave] == tenants
    assert all(cut)


@pytest.mark.parametrize("version", ["latest", "", "1.0 ", "../x"])
def test_what_names_no_version_is_refused(home: HelmHome, version: str) -> None:
    with pytest.raises(ContractError, match="names no version"):
        Roll(home.driver, home.registry).plan(version, "1")
