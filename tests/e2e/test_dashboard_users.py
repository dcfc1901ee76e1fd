"""The users' page: an administrator adds, changes and removes people; an analyst does not see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tenant_plane import build_web
from tests.e2e.browser import opened
from tests.e2e.dashboard_plane import visitor
from tests.unit.tenant_plane.plane_process import PlaneProcess, running

pytestmark = pytest.mark.browser


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PlaneProcess]:
    build_web.build()
    with running(PlaneProcess(tmp_path / "office", extra={"USERS_MAX": "3"})) as started:
        yield started


def add(page: Page, user: str) -> str:
    page.get_by_label("User name").fill(user)
    page.get_by_role("button", name="Add", exact=True).click()
    shown = page.get_by_test_id("new-password")
    expect(shown).to_contain_text(f"The password of {user}")
    return shown.locator("code").inner_text()


def sign_in(page: Page, plane: PlaneProcess, user: str, password: str) -> None:
    page.goto(f"{plane.url}/users")
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_people_are_added_changed_and_removed(browser: Browser, office: PlaneProcess) -> None:
    with visitor(browser, office) as page, opened(browser) as other:
        page.goto(f"{office.url}/users")
        expect(page.get_by_text("1 of 3 users of the plan")).to_be_visible()
        password = add(page, "ana@example.org")
        row = page.locator("[data-user='ana@example.org']")
        expect(row.get_by_role("combobox")).to_have_value("tenant_analyst")

        sign_in(other, office, "ana@example.org", password)
        expect(other.get_by_test_id("error")).to_contain_text("Your role does not allow this")
        expect(other.get_by_test_id("nav-users")).to_have_count(0)

        row.get_by_role("combobox").select_option("tenant_admin")
        expect(page.get_by_test_id("changes").locator("tbody tr").first).to_contain_text("role changed")
        other.get_by_role("button", name="Try again").click()
        expect(other.get_by_test_id("users")).to_be_visible()

        row.get_by_role("button", name="Remove ana@example.org").click()
        row.get_by_role("button", name="Keep").click()
        expect(row).to_be_visible()
        row.get_by_role("button", name="Remove ana@example.org").click()
        row.get_by_role("button", name="Remove", exact=True).click()
        expect(row).to_have_count(0)
        other.reload()
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_what_the_plan_or_the_rules_refuse_is_said(browser: Browser, office: PlaneProcess) -> None:
    with visitor(browser, office) as page:
        page.goto(f"{office.url}/users")
        mine = page.locator("[data-user=admin]").get_by_role("combobox")
        mine.select_option("tenant_analyst")
        expect(page.get_by_test_id("user-error")).to_contain_text("no administrator left")
        expect(mine).to_have_value("tenant_admin")
        for user in ("bo", "cy"):
            add(page, user)
        page.get_by_label("User name").fill("di")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_test_id("user-error")).to_contain_text("allows 3 users")
        expect(page.locator("[data-user=di]")).to_have_count(0)


def test_people_change_their_own_password(browser: Browser, office: PlaneProcess) -> None:
    with visitor(browser, office) as page, opened(browser) as other:
        page.goto(f"{office.url}/users")
        lost = add(page, "bo")
        page.get_by_role("button", name="New password for bo").click()
        expect(page.get_by_test_id("new-password")).not_to_contain_text(lost)
        first = page.get_by_test_id("new-password").locator("code").inner_text()
        sign_in(other, office, "bo", first)
        other.get_by_role("link", name="bo").click()
        for current, said in (
            ("wrong", "The current password is wrong."),
            (first, "Your password was changed."),
        ):
            other.get_by_label("Current password").fill(current)
            other.get_by_label("New password").fill("a better passphrase")
            other.get_by_role("button", name="Change").click()
            expect(other.get_by_test_id("password-said")).to_have_text(said)
        other.get_by_role("button", name="Sign out").click()
        sign_in(other, office, "bo", "a better passphrase")
        expect(other.get_by_test_id("tenant")).to_be_visible()
