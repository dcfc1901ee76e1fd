"""One real tenant plane for the module's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.tenant_plane.plane_process import PlaneProcess, running


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    with running(PlaneProcess(tmp_path_factory.mktemp("plane"))) as started:
        yield started
