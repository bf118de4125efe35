"""The systemd unit that the project ships, and a loop that does with it what systemd does where systemd is not running.

The loop reads what to start, where, and with which limits from the unit itself, and it starts the command again as
`Restart=always` says. As root it also makes the file system read-only around the workspace, gives the command a
temporary folder of its own, and takes every capability from it.
"""

import configparser
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import serving

UNIT = Path(serving.__file__).parent / "deploy" / "brain@.service"
ROOT = Path(__file__).parents[2]
_NAMESPACE = """
set -e
private="$1"; shift
for kept in {kept}; do
  case "$kept" in /tmp/*) inside="$private${{kept#/tmp}}"; mkdir -p "$inside"; mount --bind "$kept" "$inside";; esac
done
mount --bind {workspace} {workspace}
mount -o remount,bind,ro /
mount --rbind "$private" /tmp
cd {workspace}
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def directives(text: str, section: str, instance: str) -> dict[str, str]:
    """Return the directives of a section of a unit, with `%i` as the instance's name."""
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return {name: value.replace("%i", instance) for name, value in parser[section].items()}


def is_root_with_mounts() -> bool:
    """Tell whether a file system can be mounted in a namespace of its own, and capabilities can be taken away."""
    probe = ["unshare", "--mount", "setpriv", "--no-new-privs", "--bounding-set=-all", "true"]
    try:
        return os.geteuid() == 0 and subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Service:
    """A unit that runs for one workspace, until it is stopped."""

    def __init__(self, workspace: Path, private_tmp: Path, output: Path) -> None:
        shipped = UNIT.read_text()
        paths = directives(shipped, "Service", "shop")
        moved = shipped.replace(paths["WorkingDirectory"].replace("shop", "%i"), str(workspace))
        self.directives = directives(moved, "Service", workspace.name)
        self.workspace, self.private_tmp, self.output = workspace, private_tmp, output
        self.starts = 0
        self._stopping = threading.Event()
        self._loop = threading.Thread(target=self._run, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return ExecStart with this environment's Python and code, inside what the unit allows."""
        _, *arguments = shlex.split(self.directives["ExecStart"])
        program = [sys.executable, str(ROOT / "brain.py"), *arguments]
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # systemd may raise it, and this may not
        limits = ["prlimit", f"--nofile={min(allowed, int(self.directives['LimitNOFILE']))}"]
        if not is_root_with_mounts():
            return [*limits, *program]
        assert self.directives["ReadWritePaths"] == str(self.workspace)
        kept = " ".join(shlex.quote(str(path)) for path in (ROOT, self.workspace))
        script = _NAMESPACE.format(kept=kept, workspace=shlex.quote(str(self.workspace)))
        namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(self.private_tmp)]
        return [*limits, *namespace, *program]

    def start(self) -> None:
        """Start the unit; it is started again whenever it ends."""
        self._loop.start()

    def kill(self) -> None:
        """Kill the main process, which is all that systemd knows of the unit until it looks at its control group."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)

    def stop(self) -> int:
        """End the unit as `systemctl stop` does; return the exit code of its main process."""
        assert self._process is not None
        self._stopping.set()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=float(self.directives["TimeoutStopSec"]))
        self._loop.join()
        return code

    def _run(self) -> None:
        assert self.directives["Restart"] == "always"
        while not self._stopping.is_set():
            with self.output.open("ab") as output:
                self._process = subprocess.Popen(
                    self.command(),
                    cwd=self.directives["WorkingDirectory"],
                    env={**_environment(), "HOME": "/nonexistent"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    umask=int(self.directives["UMask"], 8),
                    start_new_session=True,
                )
            self.starts += 1
            self._process.wait()
            self._stopping.wait(float(self.directives["RestartSec"]))


def _environment() -> dict[str, str]:
    """Return what systemd gives a system service, and where this code is."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
