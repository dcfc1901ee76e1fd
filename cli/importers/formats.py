"""Which importer reads a format, with the choices that the user can make for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.importers import Importer
from cli.importers.adjust import Adjust
from cli.importers.appsflyer import AppsFlyer
from cli.importers.mapped import MappedCsv, MappedNdjson
from cli.importers.mapping import load_mapping
from cli.importers.ndjson import Ndjson
from cli.importers.talkingdata import TalkingData
from cli.importers.values import zone_of
from resources.errors import ContractError


class ImportFormat(StrEnum):
    """The formats that can be imported."""

    TALKINGDATA = "talkingdata"
    APPSFLYER = "appsflyer"
    ADJUST = "adjust"
    CSV = "csv"
    NDJSON = "ndjson"


@dataclass(frozen=True)
class Choices:
    """What the user says beside file, format and tenant."""

    shift: str | None = None
    mapping: Path | None = None
    timezone: str | None = None
    rejected: Path | None = None


NO_CHOICES = Choices()


def importer_of(file_format: ImportFormat, choices: Choices) -> Importer:
    """The importer for a format and the choices that it knows.

    Raises:
        ContractError: a choice is missing, or means nothing for this format; or the mapping cannot be used.
    """
    zone = zone_of(choices.timezone or "UTC")
    is_mapped = file_format is ImportFormat.CSV or choices.mapping is not None
    if is_mapped:
        if file_format not in {ImportFormat.CSV, ImportFormat.NDJSON}:
            raise ContractError(f"--mapping is for csv and ndjson: {file_format} knows its own columns")
        if choices.mapping is None:
            raise ContractError("--format csv needs --mapping FILE, which says what the columns mean")
        is_csv = file_format is ImportFormat.CSV
        checked = load_mapping(choices.mapping, pointers=not is_csv, zone=zone)
        return MappedCsv(checked) if is_csv else MappedNdjson(checked)
    if choices.timezone and file_format in {ImportFormat.NDJSON, ImportFormat.TALKINGDATA}:
        raise ContractError(
            f"--timezone means nothing for {file_format}: its times have a zone; leave it out"
        )
    makers: dict[ImportFormat, Callable[[], Importer]] = {
        ImportFormat.TALKINGDATA: TalkingData,
        ImportFormat.NDJSON: Ndjson,
        ImportFormat.APPSFLYER: lambda: AppsFlyer(zone),
        ImportFormat.ADJUST: lambda: Adjust(zone),
    }
    return makers[file_format]()
