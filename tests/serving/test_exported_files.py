"""The list of exported files: whole after any crash, and what is on it is cleaned or said not to be."""

import fcntl
import json
import logging
import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.errors import Refused
from serving.customers import exported_files
from serving.customers.exported_files import ExportedFile
from serving.settings import Workspace

pytestmark = pytest.mark.promise("erasure.exported-files")
GONE = frozenset({"gone"})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "brain.yaml").write_text("")
    workspace = Workspace.open(tmp_path)
    workspace.data.mkdir()
    return workspace


def export_of(workspace: Workspace, stream: str, name: str | None = None) -> Path:
    out = workspace.root / (name or f"{stream}.json")
    with exported_files.written(workspace, out, "export", (stream,)) as half:
        half.write_text(stream)
    return out


def clean(workspace: Workspace) -> int:
    return exported_files.clean(workspace, GONE, str)


def listed(workspace: Workspace) -> list[ExportedFile]:
    return [ExportedFile(**json.loads(line)) for line in workspace.written_file.read_text().splitlines()]


@pytest.mark.parametrize("before", [None, 0o644])
def test_an_export_is_for_its_owner_alone(workspace: Workspace, before: int | None) -> None:
    out = workspace.root / "one.json"
    if before is not None:
        out.touch(before)
    umask = os.umask(0)
    try:
        export_of(workspace, "one")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert stat.S_IMODE(workspace.written_file.stat().st_mode) == 0o600
    assert [file.name for file in workspace.root.iterdir() if file.name.endswith(".half")] == []
    assert [(file.path, file.what, file.stream) for file in listed(workspace)] == [(str(out), "export", "one")]


def test_a_pipe_is_written_to_and_neither_replaced_nor_recorded(workspace: Workspace) -> None:
    out = workspace.root / "pipe"
    os.mkfifo(out)
    reading = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    with exported_files.written(workspace, out, "export", ("one",)) as half:
        half.write_bytes(b"one")
    assert (os.read(reading, 9), stat.S_ISFIFO(out.stat().st_mode)) == (b"one", True)
    os.close(reading)
    assert not workspace.written_file.exists()


def test_a_link_stays_a_link_to_the_file_that_is_written(workspace: Workspace) -> None:
    elsewhere, out = workspace.root / "elsewhere", workspace.root / "link.json"
    elsewhere.mkdir()
    out.symlink_to(elsewhere / "one.json")
    with exported_files.written(workspace, out, "export", ("one",)) as half:
        half.write_text("one")
    assert (out.is_symlink(), (elsewhere / "one.json").read_text()) == (True, "one")
    assert [file.path for file in listed(workspace)] == [str(elsewhere / "one.json")]


def test_a_last_line_that_was_cut_off_ends_no_cleaning_and_no_export_and_is_told(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    gone = export_of(workspace, "gone")
    with workspace.written_file.open("a") as file:
        file.write('{"path": "/home/some')
    with caplog.at_level(logging.WARNING, "brain"):
        assert clean(workspace) == 1
        export_of(workspace, "other")
    assert not gone.exists()
    assert [record.getMessage().partition(" of ")[0] for record in caplog.records] == ["the last line"]
    assert [file.stream for file in listed(workspace)] == ["other"]


def test_damage_in_the_middle_is_refused_and_not_passed_over(workspace: Workspace) -> None:
    export_of(workspace, "gone")
    workspace.written_file.write_text("no entry\n" + workspace.written_file.read_text())
    with pytest.raises(Refused, match="it is damaged"):
        clean(workspace)


def test_a_crash_while_the_list_is_written_forgets_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = export_of(workspace, "gone")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            exported_files.register(workspace, gone, "batch")
    assert clean(workspace) == 1
    assert not gone.exists()


def test_a_draft_of_a_killed_command_is_removed_and_one_that_is_being_written_is_not(workspace: Workspace) -> None:
    out = workspace.root / "one.json"
    with exported_files.written(workspace, out, "export", ("one",)) as half:
        clean(workspace)
        assert half.exists()
        left = listed(workspace)
        half.write_text("one")
    half.write_text("one, as a killed command left it")
    workspace.written_file.write_text("".join(json.dumps({**_json(entry)}) + "\n" for entry in left))
    assert clean(workspace) == 1
    assert (half.exists(), workspace.written_file.read_text()) == (False, "")


def _json(entry: ExportedFile) -> dict[str, object]:
    return {"path": entry.path, "what": entry.what, "digest": entry.digest}


def test_what_a_killed_cleaning_was_writing_is_removed(workspace: Workspace) -> None:
    out = workspace.root / "batch.parquet"
    with exported_files.written(workspace, out, "batch") as half:
        pq.write_table(pa.table({"customer_id": ["gone", "other"]}), half)
    half.write_text("as a killed cleaning left it")
    assert clean(workspace) == 1
    assert not half.exists()
    assert pq.read_table(out)["customer_id"].to_pylist() == ["other"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize("stream", ["gone", "other"])
def test_a_file_that_somebody_changed_is_left_alone_and_told_if_it_may_hold_an_erased_one(
    workspace: Workspace, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = export_of(workspace, stream)
    out.write_text("changed")
    with caplog.at_level(logging.WARNING, "brain"):
        clean(workspace)
    assert out.read_text() == "changed"
    assert len(caplog.records) == (stream == "gone")


def test_a_file_that_cannot_be_cleaned_is_told_and_tried_again_and_the_others_are_cleaned(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, free = export_of(workspace, "gone", "stuck.json"), export_of(workspace, "gone", "free.json")
    unlink = Path.unlink

    def refusing(path: Path, *, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "brain"):
        patched.setattr(Path, "unlink", refusing)
        assert clean(workspace) == 1
    assert (stuck.exists(), free.exists(), len(caplog.records)) == (True, False, 1)
    assert clean(workspace) == 1
    assert not stuck.exists()


def test_the_lock_is_not_the_file_that_is_replaced(workspace: Workspace) -> None:
    export_of(workspace, "one")
    with workspace.written_file.with_suffix(".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
