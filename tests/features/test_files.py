"""Replacing a file: the old content or the new, whenever the writer stops."""

import os
from pathlib import Path

import pytest

from features.files import replace_file, unfinished


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def write(draft: Path) -> None:
        draft.write_text("new")
        assert (draft, path.read_text()) == (unfinished(path), "old")

    replace_file(path, write)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        replace_file(path, lambda draft: draft.write_text(str(1 // 0)))
    assert path.read_text() == "old"


@pytest.mark.parametrize("durable", [False, True])
def test_only_a_durable_file_and_its_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    path, synced = tmp_path / "state.json", list[tuple[bool, bool]]()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append((_is_folder(handle), path.exists())))
    replace_file(path, lambda draft: draft.write_text("new"), durable=durable)
    assert synced == ([(False, False), (True, True)] if durable else []), "the file before its rename, then the folder"


def _is_folder(handle: int) -> bool:
    return Path(f"/proc/self/fd/{handle}").resolve().is_dir()


def test_processes_that_contend_write_under_names_of_their_own(tmp_path: Path) -> None:
    path, drafts = tmp_path / "name@1", list[Path]()

    def write(draft: Path) -> None:
        drafts.append(draft)
        draft.write_text("new")
        if len(drafts) == 1:
            replace_file(path, write, contended=True)

    replace_file(path, write, contended=True)
    assert len(set(drafts)) == 2
    assert list(tmp_path.iterdir()) == [path]
