"""Traces over HTTP: the winner, the refused, the organic, and who may see them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from control_plane.app import create_app
from resources.embedded.stack import free_port
from resources.registry import Registry, TenantState
from resources.rules import DEFAULT_RULES, HOUR_MS, RuleSet
from resources.settings import Settings
from tests.support.control_plane_server import admin_headers
from tests.support.served_app import served
from tests.support.trace_world import CROWD, OTHER, TENANT, put, world
from tests.support.trace_world import served as clickhouse_served


@dataclass
class Plane:
    """A client of the served application, its registry, and a key of each tenant."""

    client: httpx.Client
    registry: Registry
    admin: dict[str, str]
    own: dict[str, str]
    other: dict[str, str]

    def trace(self, conversion_id: str) -> dict[str, Any]:
        """The tenant's trace of a conversion, as the tenant itself sees it."""
        answer = self.client.get(f"/v1/tenants/{TENANT}/traces/{conversion_id}", headers=self.own)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def refusal(self, conversion_id: str, headers: dict[str, str], status: int) -> str:
        """The detail of the problem that the tenant's path answers with."""
        answer = self.client.get(f"/v1/tenants/{TENANT}/traces/{conversion_id}", headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return str(answer.json()["detail"])


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), clickhouse_port=free_port("127.0.0.1", 0, set())
    )
    registry = Registry(settings.registry_url)
    registry.migrate()
    keys = []
    for tenant in (TENANT, OTHER):
        registry.request(tenant, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant, state, actor="test")
        keys.append({"Authorization": f"Bearer {registry.mint_key(tenant, 'export', 'test')}"})
    with (
        clickhouse_served(settings) as clickhouse,
        served(create_app(settings, registry)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        made = Plane(client, registry, admin_headers(settings, url), *keys)
        # before the first slice of anybody there are no tables, which is nothing else than an unknown id
        assert "may not be computed yet" in made.refusal("i_won", made.own, 404)
        put(clickhouse, world())
        yield made
    registry.close()


def test_a_winner_has_its_candidates_in_the_waterfall_s_order_and_the_rules(plane: Plane) -> None:
    trace = plane.trace("i_won")
    assert (trace["conversionType"], trace["source"], trace["touchId"]) == ("install", "net_[b]", "c_won")
    assert trace["assists"] == ["c_assist", "v_assist"]
    assert trace["ctitMs"] == 2.5 * HOUR_MS
    assert [(one["touchId"], one["verdict"], one["candidateRank"]) for one in trace["candidates"]] == [
        ("c_won", "won", 1),
        ("c_assist", "assist", 2),
        ("v_assist", "assist", 3),
    ]
    assert trace["rules"] == {
        "rulesetHash": DEFAULT_RULES.content_hash,
        "version": 0,
        "versionInForce": 0,
        "isInForce": True,
    }
    assert trace["notes"] == []
    answer = plane.client.get(f"/v1/tenants/{TENANT}/traces/i_won", headers=plane.admin)
    assert answer.json() == trace, "the administrator sees the same"


def test_an_organic_install_says_whether_nothing_was_there_or_all_was_refused(plane: Plane) -> None:
    refused = plane.trace("i_refused")
    assert (refused["source"], refused["touchTime"], refused["tier"]) == ("organic", None, 5)
    [candidate] = refused["candidates"]
    assert (candidate["verdict"], candidate["candidateRank"]) == ("injection", 0)
    assert "less than 5000 ms" in candidate["reason"]
    assert refused["notes"] == ["no candidate was eligible; 1 of 1 were refused as fraud"]
    organic = plane.trace("i_organic")
    assert (organic["source"], organic["candidates"], organic["candidatesTotal"]) == ("organic", [], 0)
    assert "no click or impression is a candidate" in organic["notes"][0]


def test_reinstalls_and_reengagements_have_a_trace_too(plane: Plane) -> None:
    again = plane.trace("i_again")
    assert (again["conversionType"], again["source"], again["installId"]) == ("reinstall", "net_[b]", "i_won")
    assert any("keeps its install's credit" in note for note in again["notes"])
    back = plane.trace("s_back")
    assert (back["conversionType"], back["touchId"]) == ("re_engagement", "c_back")


def test_a_crowd_of_candidates_is_cut_and_it_is_said(plane: Plane) -> None:
    trace = plane.trace("i_crowded")
    assert len(trace["candidates"]) == 500
    assert [one["candidateRank"] for one in trace["candidates"]] == list(range(1, 501))
    assert trace["candidatesTotal"] == CROWD
    assert trace["notes"] == [f"{CROWD} candidates; here are the first 500 in order"]


def test_an_unknown_id_is_told_what_could_be_wrong(plane: Plane) -> None:
    for unknown in ("c_won", "nothing", "i_theirs"):
        detail = plane.refusal(unknown, plane.own, 404)
        for part in ("not have landed", "not be computed yet", "another tenant's", "no install"):
            assert part in detail
    assert "no click was eligible" in plane.refusal("s_alone", plane.own, 404)
    plane.refusal("it's%20none", plane.own, 422)
    answer = plane.client.get("/v1/tenants/nobody/traces/i_won", headers=plane.admin)
    assert (answer.status_code, answer.json()["title"]) == (404, "No such tenant")


def test_only_the_tenant_s_own_key_opens_its_traces(plane: Plane) -> None:
    assert "another tenant's" in plane.refusal("i_won", plane.other, 403)
    plane.refusal("i_won", {}, 401)
    plane.refusal("i_won", {"Authorization": "Bearer nothing"}, 401)


def test_rules_that_came_into_force_since_are_pointed_at(plane: Plane) -> None:
    plane.registry.add_rules(TENANT, RuleSet(click_window_ms=HOUR_MS), dt.date(2026, 3, 17), "test")
    rules = plane.trace("s_back")["rules"]
    assert (rules["version"], rules["versionInForce"], rules["isInForce"]) == (0, 1, False)
    assert "decides that date again" in plane.trace("s_back")["notes"][-1]
    assert plane.trace("i_won")["rules"]["isInForce"], "an earlier date keeps its rules"
