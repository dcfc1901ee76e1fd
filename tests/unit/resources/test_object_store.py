"""The export store: atomic writes, and keys that stay inside."""

from pathlib import Path

import pytest

from resources.errors import ContractError
from resources.object_store import LocalObjectStore, open_object_store
from resources.settings import Settings


def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    store = open_object_store(Settings(home=tmp_path))
    store.write("t1/installs/date=2026-11-02/part-0.parquet", b"new")
    store.write("t1/installs/date=2026-11-02/part-0.parquet", b"newer")
    assert store.read("t1/installs/date=2026-11-02/part-0.parquet") == b"newer"
    assert store.keys("t1") == ["t1/installs/date=2026-11-02/part-0.parquet"]
    store.delete("t1/installs/date=2026-11-02/part-0.parquet")
    store.delete("t1/installs/date=2026-11-02/part-0.parquet")
    assert store.read("t1/installs/date=2026-11-02/part-0.parquet") is None
    assert store.keys("t1") == store.keys("never_written") == []


STRAYING = ["", "../x", "a/../../x", "/etc/passwd", "a//b", ".hidden", "a/.", "a\x00b", "a/b\n"]


@pytest.mark.parametrize("key", STRAYING)
def test_no_key_leaves_the_store(tmp_path: Path, key: str) -> None:
    store = LocalObjectStore(tmp_path / "root")
    with pytest.raises(ContractError):
        store.write(key, b"x")
    with pytest.raises(ContractError):
        store.read(key)
    assert not (tmp_path / "root").exists()


def test_a_failed_write_leaves_the_old_blob_and_no_draft(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    store.write("t1/a", b"old")
    (tmp_path / "t1" / "b").mkdir()  # a directory where the blob should go makes the rename fail
    with pytest.raises(OSError, match="directory"):
        store.write("t1/b", b"new")
    assert sorted(path.name for path in (tmp_path / "t1").iterdir()) == ["a", "b"]
    assert store.read("t1/a") == b"old"
