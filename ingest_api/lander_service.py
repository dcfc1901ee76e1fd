"""The lander's process: land every few seconds, say so in JSON lines and in `HOME/status/lander.json`.

Started by `python -m ingest_api.lander`. Landing itself is `lander`'s.
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

from ingest_api.event_log.stores import open_log_reader
from ingest_api.lander import Lander, LandReport
from resources.errors import UnMoGrowPError
from resources.lake import Lake
from resources.lean_imports import leave_out
from resources.settings import load_settings
from resources.vault import open_vault

if TYPE_CHECKING:
    from pathlib import Path

    from ingest_api.event_log.protocol import LogReader
    from resources.settings import Settings

logger = logging.getLogger("ingest_api.lander")
RETRY_WAIT_S = 2.0  # after a failed landing, doubled per failure
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

    def __init__(self, settings: Settings, lander: Lander) -> None:
        self._settings = settings
        self._lander = lander
        self._stop = threading.Event()
        self._rows_total = 0
        self._quarantined_total = 0
        self._failures = 0

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
            self._failures = 0
        except UnMoGrowPError as error:
            error_text = str(error)
            logger.warning("landing failed, will try again: %s", error)
        except Exception as error:  # a bug or an outage must not end the process: the log keeps everything
            error_text = type(error).__name__
            logger.exception("landing failed, will try again")
        self._failures += report is None
        if report is not None and report.commits:
            self._rows_total += report.rows
            self._quarantined_total += report.quarantined
            seconds = round(time.monotonic() - started_at, 3)
            logger.info("landed", extra={"fields": {**report._asdict(), "seconds": seconds}})
        self._write_status(error_text)
        return report

    def _wait_s(self, spent_s: float) -> float:
        if self._failures:
            return float(min(RETRY_WAIT_MAX_S, RETRY_WAIT_S * 2 ** min(self._failures - 1, 10)))
        return max(0.05, self._settings.land_interval_s - spent_s)

    def _backlog_bytes(self) -> int | None:
        """None while the log cannot be asked."""
        try:
            return self._lander.backlog_bytes()
        except UnMoGrowPError as error:
            logger.warning("the backlog is not known: %s", error)
            return None

    def _write_status(self, error_text: str | None) -> None:
        status = {
            "at": dt.datetime.now(dt.UTC).isoformat(),
            "backlog_bytes": self._backlog_bytes(),
            "rows_total": self._rows_total,
            "quarantined_total": self._quarantined_total,
            "failures_in_a_row": self._failures,
            "error": error_text,
        }
        path: Path = self._settings.home / "status" / "lander.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(status))
        draft.replace(path)


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
    settings = load_settings()
    with contextlib.closing(open_log_reader(settings)) as reader:
        service = LanderService(settings, make_lander(settings, reader))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        logger.info("the lander runs")
        service.run()
    logger.info("the lander has stopped")
