"""`unmogrowp keyring`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from cli.keyring import keyring_app
from resources.errors import SettingsError
from resources.pii import Keyring, TenantPii
from resources.settings import Settings

HOME = "UNMOGROWP_HOME"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KEYRING", "KMS_KEY_ID", "KMS_REGION", "KMS_ENDPOINT"):
        monkeypatch.delenv(f"UNMOGROWP_{name}", raising=False)
    monkeypatch.setenv(HOME, str(tmp_path))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(keyring_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_new_prints_one_document_that_is_a_keyring() -> None:
    keys = json.loads(run("new", "--json"))["keyring"]
    assert list(keys) == ["k1"]
    Keyring(keys)
    assert json.loads(run("new", "--json"))["keyring"] != keys
    assert list(json.loads(run("new"))) == ["k1"]  # for people: the value itself, ready to be stored


def test_rotate_adds_a_key_to_the_embedded_stacks_own_file_and_old_seals_open(home: Path) -> None:
    before = Settings(home=home).keys()
    sealed = TenantPii(Keyring(before), "t123").seal(b"x", "c")
    assert json.loads(run("rotate", "--json"))["keys"] == ["k1", "k2"]
    after = Settings(home=home).keys()
    assert (after["k1"], list(after)) == (before["k1"], ["k1", "k2"])
    assert TenantPii(Keyring(after), "t123").unseal(sealed, "c") == b"x"
    (file,) = (home / "secrets").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_rotate_of_a_given_keyring_prints_it_and_writes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = json.loads(run("new", "--json"))["keyring"]
    monkeypatch.setenv("UNMOGROWP_KEYRING", json.dumps(given))
    rotated = json.loads(run("rotate", "--json"))["keyring"]
    assert (rotated["k1"], list(rotated)) == (given["k1"], ["k1", "k2"])
    assert list(home.iterdir()) == []


def test_out_writes_a_new_file_of_mode_0600_and_overwrites_none(home: Path) -> None:
    target = home / "keyring.json"
    assert json.loads(run("new", "--out", str(target), "--json")) == {"file": str(target), "keys": ["k1"]}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    content = target.read_text()
    result = CliRunner().invoke(keyring_app, ["new", "--out", str(target)])
    assert (result.exit_code, target.read_text()) == (1, content)
    assert "is not overwritten" in result.stderr


def test_a_keyring_that_does_not_open_is_not_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNMOGROWP_KEYRING", '{"k1": "short"}')
    with pytest.raises(SettingsError, match="key k1 in UNMOGROWP_KEYRING"):
        run("rotate")


def test_wrapping_without_a_kms_key_says_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="--kms-key-id"):
        run("wrap")


def test_an_embedded_keyring_moves_under_kms_and_rotates_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    kms = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    kms.start()
    try:
        endpoint = "http://{}:{}".format(*kms.get_host_and_port())
        client = boto3.client("kms", region_name="eu-central-1", endpoint_url=endpoint)
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        monkeypatch.setenv("UNMOGROWP_KMS_REGION", "eu-central-1")
        monkeypatch.setenv("UNMOGROWP_KMS_ENDPOINT", endpoint)
        before = Settings().keys()
        run("wrap", "--kms-key-id", key_id, "--json")
        run("rotate", "--kms-key-id", key_id, "--json")
        stored, opened = Settings().stored_keys(), Settings().keys()
    finally:
        kms.stop()
    assert all(value.startswith("kms:") for value in stored.values())
    assert (opened["k1"], list(opened)) == (before["k1"], ["k1", "k2"])
    assert before["k1"] not in (home / "secrets" / "keyring.json").read_text()
