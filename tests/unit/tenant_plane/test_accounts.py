"""The tenant's users: who may manage them, what ends with them, and that nobody locks a tenant out."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.unit.tenant_plane.plane_process import PASSWORD, PlaneProcess, running


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    with running(PlaneProcess(tmp_path_factory.mktemp("office"))) as started:
        yield started


@pytest.fixture
def admin(office: PlaneProcess) -> Iterator[httpx.Client]:
    with office.signed_in() as client:
        yield client


def add(admin: httpx.Client, user: str, role: str = "tenant_analyst") -> str:
    answer = admin.post("/api/v1/users", json={"user": user, "role": role})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["password"])


def signed_in(plane: PlaneProcess, user: str, password: str) -> httpx.Client:
    with plane.client() as client:
        body = {"user": user, "password": password, "mode": "bearer"}
        token = client.post("/api/v1/auth", json=body).raise_for_status().json()["token"]
    return plane.client(Authorization=f"Bearer {token}")


def test_an_analyst_reads_and_does_nothing_else(office: PlaneProcess, admin: httpx.Client) -> None:
    with signed_in(office, "ana", add(admin, "ana")) as ana:
        assert ana.get("/api/v1/auth").json()["role"] == "tenant_analyst"
        assert ana.get("/api/v1/dashboard/spend").status_code == 200
        event = {"tenantId": "t123"}
        refused = [
            ana.get("/api/v1/users"),
            ana.post("/api/v1/users", json={"user": "eve", "role": "tenant_admin"}),
            ana.put("/api/v1/users/ana", json={"role": "tenant_admin"}),
            ana.post("/api/v1/users/admin/password"),
            ana.delete("/api/v1/users/admin"),
            ana.post("/api/v1/events/ingest", json=event),
        ]
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert "eve" not in {each["user"] for each in admin.get("/api/v1/users").json()["users"]}


def test_a_role_counts_from_the_next_request_on(office: PlaneProcess, admin: httpx.Client) -> None:
    with signed_in(office, "bo", add(admin, "bo", "tenant_admin")) as bo:
        assert bo.get("/api/v1/users").status_code == 200
        assert admin.put("/api/v1/users/bo", json={"role": "tenant_analyst"}).status_code == 204
        assert bo.get("/api/v1/users").status_code == 403


def test_who_is_removed_is_out_at_once_and_stays_in_the_history(
    office: PlaneProcess, admin: httpx.Client
) -> None:
    password = add(admin, "cy@example.org")
    with signed_in(office, "cy@example.org", password) as cy:
        assert admin.delete("/api/v1/users/cy@example.org").status_code == 204
        assert cy.get("/api/v1/auth").status_code == 401
    with office.client() as client:
        body = {"user": "cy@example.org", "password": password}
        assert client.post("/api/v1/auth", json=body).status_code == 401
    listed = admin.get("/api/v1/users").json()
    assert "cy@example.org" not in {each["user"] for each in listed["users"]}
    newest = listed["changes"][0]
    assert (newest["actor"], newest["action"], newest["user"]) == ("admin", "removed", "cy@example.org")
    assert admin.delete("/api/v1/users/cy@example.org").status_code == 404


def test_a_renewed_password_ends_the_old_one_and_every_session(
    office: PlaneProcess, admin: httpx.Client
) -> None:
    old = add(admin, "di")
    with signed_in(office, "di", old) as di:
        new = admin.post("/api/v1/users/di/password").json()["password"]
        assert new != old
        assert di.get("/api/v1/auth").status_code == 401
    with signed_in(office, "di", new) as di:
        assert di.get("/api/v1/auth").status_code == 200
    assert old not in admin.get("/api/v1/users").text and new not in admin.get("/api/v1/users").text


def test_people_change_their_own_password_and_their_other_sessions_end(
    office: PlaneProcess, admin: httpx.Client
) -> None:
    first = add(admin, "ed")
    with signed_in(office, "ed", first) as here, signed_in(office, "ed", first) as elsewhere:
        wrong = here.post("/api/v1/auth/password", json={"current": "no", "new": "a better passphrase"})
        assert wrong.status_code == 403
        short = here.post("/api/v1/auth/password", json={"current": first, "new": "short"})
        assert short.status_code == 422
        right = here.post("/api/v1/auth/password", json={"current": first, "new": "a better passphrase"})
        assert right.status_code == 204
        assert here.get("/api/v1/auth").status_code == 200
        assert elsewhere.get("/api/v1/auth").status_code == 401


def test_a_stolen_session_may_not_guess_the_password(office: PlaneProcess, admin: httpx.Client) -> None:
    with signed_in(office, "flo", add(admin, "flo")) as thief:
        guess = {"current": "guess", "new": "a better passphrase"}
        statuses = [thief.post("/api/v1/auth/password", json=guess).status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]


def test_a_tenant_never_loses_its_last_administrator(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(PlaneProcess(tmp_path_factory.mktemp("last"), extra={"USERS_MAX": "2"})) as plane:
        with plane.signed_in() as admin:
            demoted = admin.put("/api/v1/users/admin", json={"role": "tenant_analyst"})
            assert (demoted.status_code, "no administrator" in demoted.json()["detail"]) == (409, True)
            assert admin.delete("/api/v1/users/admin").status_code == 409
            password = add(admin, "gil", "tenant_admin")
            full = admin.post("/api/v1/users", json={"user": "hal", "role": "tenant_analyst"})
            assert (full.status_code, "allows 2 users" in full.json()["detail"]) == (409, True)
            taken = admin.post("/api/v1/users", json={"user": "gil", "role": "tenant_analyst"})
            assert taken.status_code == 409
        with signed_in(plane, "gil", password) as gil:
            assert gil.delete("/api/v1/users/admin").status_code == 204
        plane.stop()
        plane.start()
        with plane.client() as client:  # the first password opens nothing any more
            body = {"user": "admin", "password": PASSWORD}
            assert client.post("/api/v1/auth", json=body).status_code == 401


def test_names_that_are_no_names_are_refused(admin: httpx.Client) -> None:
    for user in ("", " ", "a b", "../x", "<script>", "x" * 200):
        answer = admin.post("/api/v1/users", json={"user": user, "role": "tenant_analyst"})
        assert answer.status_code == 422, user
    assert admin.post("/api/v1/users", json={"user": "ok", "role": "platform_admin"}).status_code == 422
