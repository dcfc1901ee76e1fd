"""Two tenants on running servers, once per module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.two_tenants import World, two_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("two") / "home") as running:
        yield running
