"""Planes with and without numbers behind the browser tests, and a person who is signed in to one.

Belongs here: what several of the dashboard's test modules share. Assertions belong to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tenant_plane import build_web
from tests.e2e.browser import opened
from tests.e2e.dashboard_world import TRACED, push_world
from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess, running

# page -> path, and what its heading says in both languages
PAGES = {
    "overview": ("/", "Overview", "Обзор"),
    "attribution": ("/attribution", "Attribution", "Атрибуция"),
    "cohorts": ("/cohorts", "Cohorts", "Когорты"),
    "spend": ("/spend", "ROAS & spend", "ROAS и расходы"),
    "funnel": ("/funnel", "Funnel", "Воронка"),
    "fraud": ("/fraud", "Fraud", "Фрод"),
    "value": ("/value", "User value", "Ценность"),
    "trace": ("/trace", "Install trace", "Разбор установки"),
    "data": ("/data", "Data & quota", "Данные и квоты"),
    "users": ("/users", "Users", "Пользователи"),
    "account": ("/account", "Your account", "Ваша учётная запись"),
}
ONE_INSTALL = f"/trace?id={TRACED.replace(' ', '%20')}"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """A plane with forty days of numbers."""
    build_web.build()
    with running(PlaneProcess(tmp_path_factory.mktemp("full"), extra={"PLAN": "standard"})) as started:
        push_world(started)
        yield started


@pytest.fixture(scope="session")
def empty_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """A plane that nothing was pushed to."""
    build_web.build()
    with running(PlaneProcess(tmp_path_factory.mktemp("empty"), tenant_id="empty_one")) as started:
        yield started


@contextmanager
def visitor(browser: Browser, plane: PlaneProcess, **options: Any) -> Iterator[Page]:
    """A page whose session is open already; `options` are the browser context's."""
    with opened(browser, **options) as page:
        body = {"user": "admin", "password": PASSWORD}
        page.request.post(f"{plane.url}/api/v1/auth", data=body)
        yield page


def show(page: Page, plane: PlaneProcess, path: str) -> None:
    """Go to a page and wait for its numbers and charts."""
    page.goto(plane.url + path)
    settle(page)


def settle(page: Page) -> None:
    """Wait for the numbers and every chart."""
    page.locator("[data-testid^=page-]:not([data-busy=true])").wait_for()
    page.wait_for_load_state("networkidle")
    for chart in page.locator("[data-drawn]").all():
        chart.and_(page.locator("[data-drawn=true]")).wait_for()


def api(plane: PlaneProcess, path: str) -> dict[str, Any]:
    """What the plane's API says."""
    with plane.signed_in() as client:
        return dict(client.get(f"/api/v1/{path}").raise_for_status().json())
