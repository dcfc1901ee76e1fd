"""Two tenants on running servers, once per module; and how many examples a thorough run takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.two_tenants import World, two_tenants

if TYPE_CHECKING:
    from collections.abc import Iterator

THOROUGH = "thorough"
settings.register_profile(THOROUGH, max_examples=200)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("two") / "home") as running:
        yield running
