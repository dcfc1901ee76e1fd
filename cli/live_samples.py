"""One look at the door and the lander over HTTP: health, counters, gauges. No rates (`live_rates`), no showing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families

from resources.embedded.stack import READY_PATHS, service_urls

if TYPE_CHECKING:
    from typing import Any

    from resources.settings import Settings

TIMEOUT_S = 2.0
UP, NOT_READY, DOWN = "up", "not ready", "down"
Series = tuple[str, tuple[tuple[str, str], ...]]  # a metric's name, its labels sorted
Values = Mapping[Series, float]


@dataclass(frozen=True)
class Look:
    """A service at one moment. `values` is None where its metrics could not be read, and `error` says why."""

    url: str
    state: str = DOWN
    values: Values | None = None
    error: str | None = None


@dataclass(frozen=True)
class Sample:
    """Door and lander at one moment."""

    at_s: float  # monotonic
    door: Look
    lander: Look
    lander_file: Mapping[str, Any] = field(default_factory=dict)  # what it last wrote of itself


def sample(settings: Settings, client: httpx.Client) -> Sample:
    """Look now. A home that does not exist has no token, and nothing of it runs."""
    token = settings.scrape_token() if settings.home.exists() else ""
    urls = service_urls(settings)
    door, lander = (_look(client, urls[name], READY_PATHS[name], token) for name in ("ingest", "lander"))
    return Sample(time.monotonic(), door, lander, _lander_file(settings))


def _look(client: httpx.Client, url: str, ready_path: str, token: str) -> Look:
    try:
        is_ready = client.get(url + ready_path).is_success
        answer = client.get(url + "/metrics", headers={"Authorization": f"Bearer {token}"})
    except httpx.HTTPError as error:
        return Look(url, error=f"no answer: {type(error).__name__}")
    state = UP if is_ready else NOT_READY
    if not answer.is_success:
        return Look(url, state, error=f"/metrics answered {answer.status_code}: is it another home's?")
    return Look(url, state, values_of(answer.text))


def values_of(exposition: str) -> Values:
    """Series → value of Prometheus' text format."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def _lander_file(settings: Settings) -> Mapping[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads((settings.status_dir / "lander.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):  # there never was a lander
        return {}
    return document
