"""`python -m inference_api`: migrates the tenant registry and serves on `inference_port`."""

from __future__ import annotations

import sys

from inference_api.app import create_app
from resources.serving.process import serve

if __name__ == "__main__":
    sys.exit(serve(create_app, lambda settings: settings.inference_port))
