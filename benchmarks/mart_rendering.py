"""The dbt project's models as SQL texts: rendered by dbt itself, in process, once per rule set.

What belongs here: parsing and compiling without a server, and putting a tenant and dates into what came out. What
does not: running the SQL (`mart_lab`). Tenant and dates are rendered as sentinels and replaced afterwards, so a
model that computes with a date in Jinja, not in SQL, would be wrong here; a test compares the two ways.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.dbt_files import DBT_PROJECT_DIR
from resources.errors import PermanentError

SENTINEL_TENANT = "zz_lab_sentinel"
SENTINEL_FIRST, SENTINEL_LAST = dt.date(1971, 3, 5), dt.date(1971, 3, 6)
DATABASE = "marts"
# `compile` never connects with these flags, so the port that nobody listens on is never asked
_PROFILE = {
    "unmogrowp": {
        "target": "lab",
        "outputs": {
            "lab": {
                "type": "clickhouse",
                "driver": "http",
                "host": "127.0.0.1",
                "port": 1,
                "schema": DATABASE,
            }
        },
    }
}


@dataclass(frozen=True)
class MartTable:
    """What the table of a model looks like, from its contract and configuration."""

    name: str
    columns: tuple[tuple[str, str], ...]
    engine: str
    partition_by: str
    order_by: str
    slice_keys: tuple[
        tuple[str, str], ...
    ] = ()  # further columns of a slice, and the var with the value of each
    is_restatement: bool = False


@dataclass(frozen=True)
class RenderedModel:
    """One model's query for one tenant's dates, which are sentinels in `sql`."""

    name: str
    is_view: bool
    query_settings: str
    sql: str

    def sql_for(self, tenant: str, first_date: dt.date, last_date: dt.date) -> str:
        """The query with a tenant and dates in the sentinels' places."""
        text = self.sql.replace(SENTINEL_TENANT, tenant)
        text = text.replace(SENTINEL_FIRST.isoformat(), first_date.isoformat())
        return text.replace(SENTINEL_LAST.isoformat(), last_date.isoformat())


@functools.cache
def tables() -> dict[str, MartTable]:
    """Every slice table of the project."""
    nodes = (node for node in _parsed().nodes.values() if node.resource_type == "model")
    return {node.name: _table(node) for node in nodes if node.config.materialized == "slice_table"}


def render(
    variables: Mapping[str, Any], models: Collection[str] | None = None, *, with_parents: bool = True
) -> tuple[RenderedModel, ...]:
    """These tables and those they are made from, and every view, parents first.

    None named are all that a usual run makes: not the versions under other rules, which are a restatement's.

    Raises:
        PermanentError: no such table, or the project does not parse or compile; the message is dbt's.
    """
    if unknown := set(models or ()) - tables().keys():
        raise PermanentError(f"the dbt project has no slice table {', '.join(sorted(unknown))}")
    if models is None:
        wanted = {name for name, table in tables().items() if not table.is_restatement}
    else:
        wanted = _with_parents(models) if with_parents else set(models)
    return _rendered(json.dumps(variables, sort_keys=True), tuple(sorted(wanted)))


@functools.lru_cache(maxsize=256)
def _rendered(variables: str, models: tuple[str, ...]) -> tuple[RenderedModel, ...]:
    manifest = _parsed().deepcopy()  # compiling writes into it, and a compiled node is not compiled again
    selection = ("--select", *models, "config.materialized:view", "--indirect-selection", "empty")
    result = _dbt(("compile", "--no-introspect", *selection, "--vars", variables), manifest)
    return tuple(_model(node) for node in _in_order(result, manifest))


@functools.cache
def _parsed() -> Any:
    return _dbt(("parse",), None)


def _dbt(arguments: tuple[str, ...], manifest: Any) -> Any:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - 2.6 s of CPU, and most commands never render

    with _directory() as directory:
        options = ("--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", directory)
        outputs = ("--target-path", f"{directory}/target", "--log-path", f"{directory}/logs")
        runner = dbtRunner(manifest=manifest)
        answer = runner.invoke(["--log-level", "none", "--no-populate-cache", *arguments, *options, *outputs])
    if not answer.success:
        raise PermanentError(f"the dbt project does not {arguments[0]}: {_reason(answer)}")
    return answer.result


def _reason(answer: Any) -> str:
    failed = getattr(answer.result, "results", ()) or ()
    messages = [f"{result.node.name}: {result.message}" for result in failed if result.status != "success"]
    return "; ".join(messages) or str(answer.exception)


@contextmanager
def _directory() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mart-rendering-") as directory:
        (Path(directory) / "profiles.yml").write_text(json.dumps(_PROFILE))  # JSON is YAML
        yield directory


def _with_parents(models: Collection[str]) -> set[str]:
    nodes = _parsed().nodes
    waiting = [unique_id for unique_id, node in nodes.items() if node.name in models]
    seen: set[str] = set()
    while waiting:
        unique_id = waiting.pop()
        if unique_id in nodes and unique_id not in seen:
            seen.add(unique_id)
            waiting += nodes[unique_id].depends_on.nodes
    return {nodes[unique_id].name for unique_id in seen} & tables().keys()


def _in_order(result: Any, manifest: Any) -> list[Any]:
    """Compiled nodes, each after those it refers to, directly or through models that have no table."""
    compiled = {outcome.node.unique_id: outcome.node for outcome in result.results}
    ordered: dict[str, Any] = {}

    def visit(unique_id: str) -> None:
        if unique_id in ordered or unique_id not in manifest.nodes:
            return
        for parent in manifest.nodes[unique_id].depends_on.nodes:
            visit(parent)
        ordered[unique_id] = compiled.get(unique_id)

    for unique_id in sorted(compiled):
        visit(unique_id)
    return [node for node in ordered.values() if node is not None]


def _table(node: Any) -> MartTable:
    config = node.config.to_dict()
    order = config.get("order_by") or "tuple()"
    return MartTable(
        name=node.name,
        columns=tuple((column.name, column.data_type) for column in node.columns.values()),
        engine=config.get("engine") or "MergeTree()",
        partition_by=config.get("partition_by") or "tuple()",
        order_by=order if isinstance(order, str) else f"({', '.join(order)})",
        slice_keys=tuple((config.get("slice_keys") or {}).items()),
        is_restatement="restatement" in node.tags,
    )


def _model(node: Any) -> RenderedModel:
    settings = node.config.to_dict().get("query_settings") or {}
    return RenderedModel(
        name=node.name,
        is_view=node.config.materialized == "view",
        query_settings=", ".join(f"{key} = {value!r}" for key, value in settings.items()),
        sql=node.compiled_code,
    )
