"""File systems on which SQLite's write-ahead log does not hold, and which one a file is on (Linux).

Processes that use the log share memory through a mapped file, and locks; SQLite itself says that it "does not work over
a network filesystem" (https://sqlite.org/wal.html).
"""

from pathlib import Path
from typing import Final, NamedTuple

from decisioning.errors import Refused

MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "glusterfs"),
        *("lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "panfs", "wekafs"),
    )
)
_CLUSTER: Final = frozenset(("gfs2", "ocfs2", "acfs"))
_OF_THE_HOST: Final = frozenset(("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs"))
"""Folders that a virtual machine or a container shares with the machine that it runs on."""
_LOCAL_FUSE: Final = frozenset(("fuse.fuse-overlayfs",))
"""The layers of a container that was started without root; all else in user space is network or untried."""


class Mount(NamedTuple):
    """A mounted file system: where, and of which type."""

    point: Path
    kind: str

    @property
    def is_shared(self) -> bool:
        """Tell whether another machine may use it too, or memory cannot be shared through it."""
        in_user_space = self.kind == "fuse" or (self.kind.startswith("fuse.") and self.kind not in _LOCAL_FUSE)
        return in_user_space or self.kind in _NETWORK | _CLUSTER | _OF_THE_HOST


def require_local(file: Path, mounts: Path = MOUNTS) -> None:
    """Raise Refused if a database at `file`, which need not exist yet, is on a file system that is not local."""
    mount = mount_of(file, mounts)
    if mount is not None and mount.is_shared:
        raise Refused(
            f"{file.name} is on a shared file system ({mount.kind} at {mount.point}), on which databases of SQLite get "
            "damaged: move the workspace to a disk of this machine"
        )


def mount_of(file: Path, mounts: Path = MOUNTS) -> Mount | None:
    """Return what `file` is on; None if the system does not tell."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    place, innermost = file.resolve(), None
    for mount in map(_parsed, lines):
        # of two at the same place, the later one covers the earlier
        if place.is_relative_to(mount.point) and (innermost is None or mount.point.is_relative_to(innermost.point)):
            innermost = mount
    return innermost


def _parsed(line: str) -> Mount:
    """Return a line of mountinfo: `id parent device root POINT options [optional …] - KIND source options`."""
    before, _, after = line.partition(" - ")
    point = before.split(" ")[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
    return Mount(Path(point), after.split(" ")[0])
