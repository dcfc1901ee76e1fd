"""The embedded stack seen from outside: ports, the remembered process, the Procfile, waiting."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from resources.embedded.stack import (
    PORT_FIELDS,
    busy_ports,
    free_port,
    procfile_commands,
    running_stack,
    stack_environment,
    stop_stack,
    wait_until_ready,
    with_free_ports,
    write_pid,
)
from resources.errors import ServiceUnavailableError
from resources.settings import Settings


def test_a_held_port_is_reported_and_replaced(settings: Settings) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        taken = settings.with_changes(ingest_port=held.getsockname()[1])
        assert busy_ports(taken)["ingest_port"] == taken.ingest_port
        moved = with_free_ports(taken)
    ports = [getattr(moved, field) for field in PORT_FIELDS]
    assert taken.ingest_port not in ports
    assert len(set(ports)) == len(ports)


def test_a_port_that_is_taken_by_us_already_is_not_given_twice() -> None:
    first = free_port("127.0.0.1", 0, set())
    assert free_port("127.0.0.1", first, {first}) != first


def test_changed_settings_derive_their_paths_anew(settings: Settings) -> None:
    assert settings.registry_url.startswith("sqlite:///")
    moved = settings.with_changes(home=settings.home / "elsewhere")
    assert "elsewhere" in moved.registry_url


def test_a_stack_whose_process_has_died_does_not_run(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    assert running_stack(settings) is None
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (settings.home / "stack.json").write_text(json.dumps({"pid": int(done.stdout), "ports": {}}))
    assert running_stack(settings) is None
    assert stop_stack(settings) is False


def test_a_running_stack_tells_its_process_and_ports(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    write_pid(settings)
    running = running_stack(settings)
    assert running is not None
    assert running.pid == os.getpid()
    assert settings.with_changes(**running.ports).ingest_port == settings.ingest_port


def test_a_real_clickhouse_or_mlflow_server_replaces_the_embedded_process(settings: Settings) -> None:
    assert {"clickhouse", "mlflow", "ingest", "lander", "daemon"} <= set(procfile_commands(settings))
    elsewhere = settings.with_changes(
        clickhouse_url="http://ch:8123", mlflow_tracking_uri="http://mlflow:5000"
    )
    assert not {"clickhouse", "mlflow"} & set(procfile_commands(elsewhere))


def test_every_variable_of_the_procfile_is_in_the_stacks_environment(settings: Settings) -> None:
    environment = stack_environment(settings)
    for command in procfile_commands(settings).values():
        for word in command.replace('"', " ").replace("/", " ").split():
            if word.startswith("$"):
                assert word[1:] in environment


def test_waiting_for_a_stack_that_ended_says_so_at_once(settings: Settings) -> None:
    quiet = with_free_ports(settings)
    with pytest.raises(ServiceUnavailableError, match="ended while it started"):
        wait_until_ready(quiet, timeout_s=60, alive=lambda: False)
