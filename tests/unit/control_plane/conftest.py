"""Fixtures of the control plane's tests: one running server per module."""

from tests.support.control_plane_server import server

__all__ = ["server"]
