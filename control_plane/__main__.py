"""`python -m control_plane`: migrates the registry and serves on `control_plane_port`."""

from __future__ import annotations

import sys

from control_plane.app import create_app
from resources.serving.process import serve

if __name__ == "__main__":
    sys.exit(serve(create_app, lambda settings: settings.control_plane_port))
