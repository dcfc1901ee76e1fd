"""Users, sessions, revocations and kept answers, the same over SQLite and a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from resources.errors import (
    AuthenticationError,
    ContractError,
    LastAdminError,
    TenantNotFoundError,
    UserExistsError,
    UserNotFoundError,
)
from resources.registry import Registry
from resources.registry.answer_store import KeptAnswer
from resources.registry.passwords import hash_password, new_password, password_fits

KEY, ASKED = b"k" * 32, b"r" * 32


def test_the_first_administrator_is_made_once_and_by_one(registry: Registry) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: registry.ensure_first_admin("admin", "secret"), range(4)))
    assert sorted(made) == [False, False, False, True]
    assert [user.roles for user in registry.users()] == [("platform_admin",)]
    assert password_fits("secret", registry.password_hash_of("admin"))


def test_a_user_lives_in_one_tenant_or_on_the_platform(registry: Registry) -> None:
    registry.request("t1", "starter", "ann")
    bob, password = registry.create_user("bob", "t1", ("tenant_admin", "tenant_app"), "ann")
    assert (bob.tenant_roles, bob.platform_roles) == ({"t1": ["tenant_admin", "tenant_app"]}, ())
    assert password_fits(password, registry.password_hash_of("bob"))
    for name, tenant, roles, error in (
        ("bob", None, (), UserExistsError),
        ("eve", "ghost", (), TenantNotFoundError),
        ("eve", "t1", ("platform_admin",), ContractError),
        ("eve", None, ("tenant_admin",), ContractError),
        ("Eve", None, (), ContractError),
    ):
        with pytest.raises(error):
            registry.create_user(name, tenant, roles, "ann")
    assert [user.name for user in registry.users()] == ["bob"]
    with pytest.raises(UserNotFoundError):
        registry.user("bob", within="t2")
    with registry.reading() as session:
        assert password not in repr(session.execute(text("SELECT * FROM registry_users")).all())


def test_roles_are_given_and_taken_once_and_the_last_administrator_stays(registry: Registry) -> None:
    registry.ensure_first_admin("admin", "secret")
    registry.create_user("ann", None, (), "admin")
    assert registry.give_role("ann", "platform_admin", "admin").roles == ("platform_admin",)
    assert registry.give_role("ann", "platform_admin", "admin").roles == ("platform_admin",)
    assert [entry.action for entry in registry.audit()].count("user.role_given") == 1
    registry.take_role("admin", "platform_admin", "ann")
    for change in (
        registry.disable_user,
        lambda name, actor: registry.take_role(name, "platform_admin", actor),
    ):
        with pytest.raises(LastAdminError):
            change("ann", "ann")
    assert registry.user("ann").disabled_at is None


def test_a_refresh_token_is_good_once_and_an_old_one_ends_the_session(registry: Registry) -> None:
    registry.create_user("ann", None, (), "test")
    session_id, first = registry.start_session("ann")
    name, same_session, second = registry.continue_session(first)
    assert (name, same_session) == ("ann", session_id)
    assert second != first
    with pytest.raises(AuthenticationError, match="used twice"):
        registry.continue_session(first)
    with pytest.raises(AuthenticationError, match="has ended"):
        registry.continue_session(second)
    assert f"session:{session_id}" in registry.revocations()
    assert [entry.action for entry in registry.audit()][-1] == "session.reuse_detected"
    with registry.reading() as session:
        assert first.partition(".")[2] not in repr(
            session.execute(text("SELECT * FROM registry_user_sessions")).all()
        )


def test_of_two_uses_of_a_refresh_token_at_once_one_wins_and_the_session_ends(registry: Registry) -> None:
    registry.create_user("ann", None, (), "test")
    _, token = registry.start_session("ann")

    def use(_: int) -> str | None:
        try:
            return registry.continue_session(token)[2]
        except AuthenticationError:
            return None

    with ThreadPoolExecutor(4) as pool:
        won = [following for following in pool.map(use, range(4)) if following]
    assert len(won) == 1
    with pytest.raises(AuthenticationError):
        registry.continue_session(won[0])


def test_a_session_ends_with_its_time_its_user_and_its_password(registry: Registry) -> None:
    registry.create_user("ann", None, (), "test")
    tokens = [registry.start_session("ann")[1] for _ in range(3)]
    with registry.writing() as session:
        session_id = tokens[0].partition(".")[0]
        session.execute(
            text("UPDATE registry_user_sessions SET expires_at = '2020-01-01' WHERE session_id = :id"),
            {"id": session_id},
        )
    with pytest.raises(AuthenticationError):
        registry.continue_session(tokens[0])
    tokens[1] = registry.continue_session(tokens[1])[2]
    before = dt.datetime.now(dt.UTC)
    registry.reset_password("ann", "admin")
    assert registry.revocations()["user:ann"] >= before
    for token in tokens:
        with pytest.raises(AuthenticationError):
            registry.continue_session(token)
    registry.disable_user("ann", "admin")
    with pytest.raises(AuthenticationError):
        registry.start_session("ann")
    assert registry.password_hash_of("ann") is None


def test_an_answer_is_begun_once_kept_and_let_go(registry: Registry) -> None:
    with ThreadPoolExecutor(6) as pool:
        begun = list(pool.map(lambda _: registry.begin_answer("user:ann", KEY, ASKED), range(6)))
    assert begun.count(None) == 1
    assert registry.begin_answer("user:bob", KEY, ASKED) is None, "keys are each actor's own"
    registry.keep_answer("user:ann", KEY, 201, b"sealed")
    assert registry.begin_answer("user:ann", KEY, ASKED) == KeptAnswer(ASKED, 201, b"sealed")
    registry.forget_answer("user:ann", KEY)
    assert registry.begin_answer("user:ann", KEY, ASKED) is not None, "what is kept is not let go"
    registry.forget_answer("user:bob", KEY)
    assert registry.begin_answer("user:bob", KEY, ASKED) is None


def test_passwords_are_hashed_and_nobody_has_an_empty_one() -> None:
    hashed = hash_password("correct horse")
    assert hashed.startswith("$argon2id$")
    assert password_fits("correct horse", hashed)
    assert not password_fits("correct horse ", hashed)
    assert not password_fits("correct horse", None)
    assert not password_fits("x" * 2000, hashed)
    assert len({new_password() for _ in range(50)}) == 50
    for password in ("", "x" * 2000):
        with pytest.raises(ContractError):
            hash_password(password)
