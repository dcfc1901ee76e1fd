"""Dagster from outside: launch jobs over slices and read runs, through the webserver's GraphQL.

For commands and tests; assets and sensors use their context.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from resources.errors import PermanentError, ServiceUnavailableError

LOCATION = "unmogrowp"
REPOSITORY = "__repository__"
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
IN_FLIGHT = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
POLL_S = 1.0

RUNS_QUERY = """
query Runs($filter: RunsFilter, $limit: Int) {
  runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results { runId jobName status startTime endTime tags { key value } } }
    ... on PythonError { message }
  }
}"""
LAUNCH_MUTATION = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
    ... on PipelineNotFoundError { message }
  }
}"""
CURSOR_QUERY = """
query Cursor($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) {
    __typename
    ... on Sensor { sensorState { typeSpecificData { ... on SensorData { lastCursor } } } }
  }
}"""
ERRORS_QUERY = """
query Failure($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run { eventConnection(limit: 1000) { events {
      __typename ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
      ... on RunFailureEvent { error { message } } } } }
  }
}"""


@dataclass(frozen=True)
class Run:
    """A Dagster run as the webserver tells it; seconds since the epoch, None where it has not begun or ended."""

    run_id: str
    job: str
    status: str
    started_s: float | None
    ended_s: float | None
    tags: dict[str, str]


class DagsterClient:
    """The webserver at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def runs(self, *, job: str | None = None, statuses: tuple[str, ...] = (), limit: int = 500) -> list[Run]:
        """Runs, newest first."""
        wanted: dict[str, object] = {"statuses": list(statuses)} if statuses else {}
        if job:
            wanted["pipelineName"] = job
        answer = self._query(RUNS_QUERY, {"filter": wanted, "limit": limit})["runsOrError"]
        if "results" not in answer:
            raise PermanentError(f"Dagster does not list its runs: {answer.get('message', answer)}")
        return [
            Run(
                run_id=row["runId"],
                job=row["jobName"],
                status=row["status"],
                started_s=row["startTime"],
                ended_s=row["endTime"],
                tags={tag["key"]: tag["value"] for tag in row["tags"]},
            )
            for row in answer["results"]
        ]

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Queue a run of a job and return its id.

        Raises:
            PermanentError: Dagster refuses; the message is Dagster's.
        """
        params = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job},
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._query(LAUNCH_MUTATION, {"params": params})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise PermanentError(f"Dagster does not launch {job}: {answer.get('message') or answer}")
        return str(answer["run"]["runId"])

    def follow(self, run_ids: list[str], timeout_s: float) -> Iterator[dict[str, Run]]:
        """Yield the state of these runs about once a second until all have ended.

        Raises:
            ServiceUnavailableError: the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            state = {run.run_id: run for run in self.runs() if run.run_id in run_ids}
            yield state
            if len(state) == len(run_ids) and all(run.status in FINISHED for run in state.values()):
                return
            if time.monotonic() > deadline:
                raise ServiceUnavailableError(
                    f"runs did not end within {timeout_s:.0f} s; Dagster goes on with them"
                )
            time.sleep(POLL_S)

    def sensor_cursor(self, name: str) -> str | None:
        """The cursor a sensor kept at its last tick; None before the first.

        Raises:
            PermanentError: there is no such sensor.
        """
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "sensorName": name}
        sensor = self._query(CURSOR_QUERY, {"selector": selector})["sensorOrError"]
        if sensor["__typename"] != "Sensor":
            raise PermanentError(f"Dagster has no sensor {name}")
        data = sensor["sensorState"]["typeSpecificData"] or {}
        return data.get("lastCursor")

    def failure(self, run_id: str) -> str:
        """Why a run failed, in its own words."""
        events = (
            self._query(ERRORS_QUERY, {"runId": run_id})["runOrError"]
            .get("eventConnection", {})
            .get("events", [])
        )
        messages = []
        for event in events:
            error = event.get("error")
            if error:
                causes = error.get("causes") or []
                message = (causes[-1] if causes else error)["message"].strip()
                messages.append(f"{event.get('stepKey', 'run')}: {message}")
        return "; ".join(messages) or "no error was recorded"

    def _query(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        try:
            answer = httpx.post(
                f"{self._url}/graphql", json={"query": query, "variables": variables}, timeout=60.0
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"the Dagster webserver at {self._url} does not answer: {error}"
            ) from error
        document = answer.json()
        if document.get("errors"):
            raise PermanentError(f"Dagster's GraphQL refuses: {document['errors'][0]['message']}")
        data: dict[str, Any] = document["data"]
        return data
