"""The vault gives every subject one key, whoever met it first, and keeps each original under it once."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from resources.settings import Settings
from resources.vault import Original, Vault, open_vault

if TYPE_CHECKING:
    from pathlib import Path

TENANT = "t123"


def device(name: str) -> Original:
    """The original that names its own subject, as a device's does."""
    return Original(name, "device_id", name, name, f"plain {name}")


def user(subject: str, value: str) -> Original:
    return Original(subject, "user_id", f"f_{value}", f"p_{value}", value)


def values_of(vault: Vault, subject: str) -> list[str]:
    return [item.value for item in vault.reveal(TENANT, subject)]


def test_new_known_and_erased_subjects_come_together(tmp_path: Path) -> None:
    vault = open_vault(Settings(home=tmp_path))
    assert vault.store(TENANT, [device("d1"), user("d1", "jane"), device("d2")]) == 3
    vault.destroy(TENANT, "d2")
    more = [
        device("d2"),
        user("d2", "jo"),
        user("d1", "jim"),
        device("d3"),
        user("d3", "joe"),
        user("d4", "x"),
    ]
    assert vault.store(TENANT, more) == 4
    assert values_of(vault, "d1") == ["plain d1", "jane", "jim"]
    assert values_of(vault, "d2") == []
    assert values_of(vault, "d3") == ["plain d3", "joe"]
    assert values_of(vault, "d4") == ["x"]
    vault.close()


def test_what_was_kept_is_not_kept_twice_by_a_vault_that_does_not_know(tmp_path: Path) -> None:
    given = [device(f"d{number}") for number in range(5)] + [user("d0", "jane")]
    first, second = (open_vault(Settings(home=tmp_path)) for _ in range(2))
    assert first.store(TENANT, given) == 6
    assert second.store(TENANT, [*given, user("d1", "jo")]) == 1
    assert second.store(TENANT, [*given, device("d9")]) == 1
    assert values_of(first, "d1") == ["plain d1", "jo"]
    assert values_of(first, "d9") == ["plain d9"]
    first.close()
    second.close()


def test_vaults_that_meet_the_same_subjects_at_once_open_what_each_other_wrote(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    names = [f"d{number:03}" for number in range(300)]
    with ExitStack() as opened:
        vaults = [opened.enter_context(closing(open_vault(settings))) for _ in range(3)]
        writers = [
            threading.Thread(
                target=vault.store,
                args=(TENANT, [one for name in names for one in (device(name), user(name, f"user {at}"))]),
            )
            for at, vault in enumerate(vaults)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        for name in names:
            assert values_of(vaults[0], name) == [f"plain {name}", "user 0", "user 1", "user 2"]
