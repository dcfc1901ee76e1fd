"""The lander's process: land every few seconds, say so in JSON lines and in `HOME/status/lander.json`.

Started by `python -m ingest_api.lander`. Landing itself is `lander`'s, what is counted `lander_metrics`', how it
is served `lander_http`'s.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy.exc import DBAPIError

from ingest_api.event_log.stores import open_log_reader
from ingest_api.lander import Lander, LandReport
from ingest_api.lander_http import LanderEndpoints, serving
from ingest_api.lander_metrics import LanderMetrics
from ingest_api.landing_lag import LagReader
from resources.errors import UnMoGrowPError
from resources.lake import Lake
from resources.lean_process import leave_out, share_one_heap
from resources.settings import load_settings
from resources.vault import open_vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ingest_api.event_log.protocol import LogReader
    from resources.settings import Settings

logger = logging.getLogger("ingest_api.lander")
RETRY_WAIT_MAX_S = 60.0


class JsonLines(logging.Formatter):
    """One JSON object per log record; `extra={"fields": …}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, tz=dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class LanderService:
    """Lands until stopped; a failure is logged, waited out and tried again."""

    def __init__(self, settings: Settings, lander: Lander, lag_s: Callable[[], float]) -> None:
        self.metrics = LanderMetrics(lag_s)
        self._settings = settings
        self._lander = lander
        self._lag_s = lag_s
        self._stop = threading.Event()

    def stop(self) -> None:
        """Finish the landing under way and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Land at every interval, at once again while batches come full."""
        while not self._stop.is_set():
            started_at = time.monotonic()
            report = self._land()
            is_full = report is not None and report.rows + report.quarantined >= self._settings.land_max_rows
            if not is_full:
                self._stop.wait(self._wait_s(time.monotonic() - started_at))

    def _land(self) -> LandReport | None:
        started_at = time.monotonic()
        error_text = None
        report = None
        try:
            report = self._lander.land_once()
        except UnMoGrowPError as error:
            error_text = str(error)
            logger.warning("landing failed, will try again: %s", error)
        except Exception as error:  # a bug or an outage must not end the process: the log keeps everything
            error_text = _told(error)
            logger.exception("landing failed, will try again")
        seconds = time.monotonic() - started_at
        if report is None:
            self.metrics.failed()
        else:
            self.metrics.landed(report, seconds)
            if report.commits:
                logger.info("landed", extra={"fields": {**report._asdict(), "seconds": round(seconds, 3)}})
        self.metrics.backlog_bytes = self._backlog_bytes()
        self._write_status(error_text)
        return report

    def _wait_s(self, spent_s: float) -> float:
        if failures := self.metrics.failures_in_a_row:
            return float(min(RETRY_WAIT_MAX_S, self._settings.land_retry_s * 2 ** min(failures - 1, 10)))
        return max(0.05, self._settings.land_interval_s - spent_s)

    def _backlog_bytes(self) -> int | None:
        """None while the log cannot be asked."""
        try:
            return self._lander.backlog_bytes()
        except (UnMoGrowPError, OSError) as error:
            logger.warning("the backlog is not known: %s", error)
            return None

    def _write_status(self, error_text: str | None) -> None:
        metrics = self.metrics
        status = {
            "at": dt.datetime.now(dt.UTC).isoformat(),
            "backlog_bytes": metrics.backlog_bytes,
            "lag_s": round(self._lag_s(), 3),
            **{f"{name}_total": count for name, count in metrics.totals.items()},
            "last_commit_at": metrics.last_commit_at and _utc(metrics.last_commit_at),
            "failures_in_a_row": metrics.failures_in_a_row,
            "error": error_text,
        }
        path: Path = self._settings.status_dir / "lander.json"
        draft = path.with_suffix(".draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(orjson.dumps(status))
            draft.replace(path)
        except OSError as error:  # the disk that keeps landings from it, most likely: it must live to go on
            logger.warning("the status file cannot be written, so it is older than this: %s", error)


def _told(error: Exception) -> str:
    """What the status says of an error that is not ours: the system's words where they hold no values of a row."""
    if isinstance(error, DBAPIError):
        return f"the database says: {error.orig}"
    return str(error) if isinstance(error, OSError) else type(error).__name__


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat()


def make_lander(settings: Settings, reader: LogReader) -> Lander:
    """The lander of these settings, its tables made. The reader stays the caller's to close."""
    lake = Lake(settings)
    lake.ensure_tables()
    return Lander(settings, lake, reader, open_vault(settings))


def main() -> None:
    """Land until SIGTERM or SIGINT."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    leave_out("pandas")  # pyarrow loads it where it finds it: 35 MB
    share_one_heap()
    settings = load_settings()
    with contextlib.closing(LagReader(open_log_reader(settings))) as reader:
        service = LanderService(settings, make_lander(settings, reader), reader.lag_s)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        endpoints = LanderEndpoints(service.metrics, settings.scrape_token())
        with serving(endpoints, settings.bind_host, settings.lander_port):
            logger.info("the lander runs")
            service.run()
    logger.info("the lander has stopped")
