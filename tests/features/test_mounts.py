"""Databases of SQLite are opened on disks of this machine only, because their write-ahead log shares memory."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from decisioning.errors import Refused
from features import mounts
from features.ledger import Ledger
from features.mounts import mount_of, require_local
from features.profile.spool import Spool
from features.profile.stores.sqlite import SqliteOnline

LINE = "{id} 27 0:{id} {root} {point} rw,relatime {optional}- {kind} {source} rw,vers=4.2\n"
SHARED = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "ceph", "lustre", "gfs2", "fuse", "fuse.sshfs")
LOCAL = ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "fuseblk", "fuse.fuse-overlayfs")


def table(folder: Path, *points: tuple[str, str]) -> Path:
    """Write a table of mounts as the kernel does: a space in a name is an octal escape."""
    rows = [("/", "ext4"), *points]
    file = folder / "mountinfo"
    file.write_text(
        "".join(
            LINE.format(
                id=n, root="/", point=p.replace(" ", r"\040"), optional="shared:1 " * (n % 2), kind=k, source="x"
            )
            for n, (p, k) in enumerate(rows)
        )
    )
    return file


@pytest.mark.parametrize("kind", SHARED)
def test_a_shared_file_system_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path, kind: str) -> None:
    known = table(tmp_path, ("/srv/my brain é", kind))
    with pytest.raises(Refused) as refused:
        require_local(Path("/srv/my brain é/shop/data/ledger.db"), known)
    assert str(refused.value) == (
        f"ledger.db is on a shared file system ({kind} at /srv/my brain é), on which databases of SQLite get damaged: "
        "move the workspace to a disk of this machine"
    )


@pytest.mark.parametrize("kind", LOCAL)
def test_a_disk_of_this_machine_is_not_refused(tmp_path: Path, kind: str) -> None:
    require_local(Path("/srv/brain/data/ledger.db"), table(tmp_path, ("/srv/brain", kind)))


def test_the_innermost_and_the_last_mount_counts(tmp_path: Path) -> None:
    known = table(tmp_path, ("/srv", "nfs4"), ("/srv/local", "ext4"), ("/srv/twice", "ext4"), ("/srv/twice", "cifs"))
    kinds = {
        place: mount_of(Path(place) / "ledger.db", known) for place in ("/srv/local/a", "/srv/locally", "/srv/twice")
    }
    assert {place: mount and mount.kind for place, mount in kinds.items()} == {
        "/srv/local/a": "ext4",
        "/srv/locally": "nfs4",
        "/srv/twice": "cifs",
    }


def test_without_a_table_of_mounts_nothing_is_refused(tmp_path: Path) -> None:
    require_local(tmp_path / "ledger.db", tmp_path / "there is none")


def test_a_link_to_a_shared_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    with pytest.raises(Refused, match="nfs4"):
        require_local(tmp_path / "link" / "ledger.db", table(tmp_path, (str(tmp_path / "shared"), "nfs4")))


@pytest.mark.promise("serving.shared-file-system")
def test_no_database_of_a_workspace_is_opened_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = table(tmp_path, (str(tmp_path), "nfs4"))
    monkeypatch.setattr(mounts.require_local, "__defaults__", (known,))
    for open_it in (
        lambda: Ledger.open(tmp_path / "ledger.db", b"0" * 32),
        lambda: Spool(tmp_path / "spool.db"),
        lambda: SqliteOnline(tmp_path / "online.db").writer,
    ):
        with pytest.raises(Refused, match="shared file system"):
            open_it()
    assert [file.name for file in tmp_path.iterdir()] == ["mountinfo"]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, mounted for real."""
    folder = tmp_path / "real mount"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "t", folder], check=False).returncode:
        pytest.skip("mounting needs the rights of root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_mount_is_found_and_one_in_memory_is_local(mounted: Path) -> None:
    assert mount_of(mounted / "data" / "ledger.db") == (mounted, "tmpfs")
    with Ledger.open(mounted / "ledger.db", b"0" * 32):
        pass
