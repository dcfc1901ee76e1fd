"""A real Chromium for tests: the machine's own, else the one that npm carries; driven by Playwright.

Belongs here: finding and starting the browser. What a page should show belongs to the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tenant_plane import build_web

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # the tests run as root in containers; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """An executable, and what must be in its environment."""

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """The machine's Chromium or Chrome, else `packed_chromium()`."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return Chromium(Path(found)) if found else packed_chromium()


def packed_chromium(directory: Path = build_web.WEB / "node_modules" / ".chromium") -> Chromium:
    """The Chromium inside the npm package, with the shared libraries and fonts it brings; unpacked once."""
    directory.mkdir(parents=True, exist_ok=True)
    node = build_web.find_node()
    build_web.install(node)
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(directory),
        "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x",
    }
    script = build_web.WEB / "scripts" / "chromium.mjs"
    said = subprocess.run(
        [node.node, script], env=environment, cwd=build_web.WEB, check=True, capture_output=True, timeout=300
    )
    parts = json.loads(said.stdout)
    # the package's own fonts.conf names /tmp/fonts; without a single font Chromium aborts
    fonts = directory / "fonts.conf"
    fonts.write_text(FONTS.format(fonts=parts["fonts"], cache=directory / "fonts-cache"))
    return Chromium(
        Path(parts["executable"]),
        {"LD_LIBRARY_PATH": parts["libraries"], "FONTCONFIG_FILE": str(fonts)},
    )


@contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium with an empty profile."""
    chromium = find_chromium()
    started = playwright.chromium.launch(
        executable_path=chromium.executable,
        args=ARGUMENTS,
        env={**os.environ, **chromium.environment},
        timeout=60_000,
    )
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module.

    Playwright keeps an event loop running as long as it lives; tests that start their own cannot run beside it.
    """
    with sync_playwright() as playwright, launched(playwright) as started:
        yield started


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in its own context; it ends with an error when the page logged one or broke the policy."""
    size = {"width": 1280, "height": 900}
    context = browser.new_context(
        **{"viewport": size, "locale": "en-GB", "timezone_id": "UTC", "color_scheme": "light"} | options
    )
    shown = context.new_page()
    shown.set_default_timeout(15_000)
    errors: list[str] = []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield shown
    context.close()
    # a refused sign-in and a server that is down are logged by the browser itself and are what tests ask for
    unexpected = [error for error in errors if not error.startswith("Failed to load resource")]
    assert unexpected == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a person who reads English on a desk."""
    with opened(browser) as shown:
        yield shown
