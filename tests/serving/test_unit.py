"""The systemd unit that the project ships."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import brain
from tests.serving.server import product
from tests.serving.unit import UNIT, Service, directives, is_root_with_mounts

WITHIN_S = 60.0
BUSY_S = 300.0
"""How long a start may take where other programs use the cores (see supervisor.START_LIMIT_S)."""


def test_the_unit_starts_a_command_that_there_is_and_restarts_it_always() -> None:
    service = directives(UNIT.read_text(), "Service", "shop")
    _, name, option, folder = service["ExecStart"].split()
    assert name in brain.main.commands
    assert option in brain.main.commands[name].params[0].opts + brain.main.commands[name].params[1].opts
    assert service["WorkingDirectory"] == service["ReadWritePaths"] == folder
    assert (service["Restart"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("always", "yes", "strict")
    assert directives(UNIT.read_text(), "Unit", "shop")["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_mistake_in_it(tmp_path: Path) -> None:
    text = UNIT.read_text()
    program = directives(text, "Service", "shop")["ExecStart"].split()[0]
    here = text.replace(program, "/bin/true").replace("=brain\n", "=root\n")
    for unit, is_right in ((here, True), (here.replace("NoNewPrivileges", "NoNewPrivilege"), False)):
        file = tmp_path / UNIT.name
        file.write_text(unit)
        found = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
        assert ((found.returncode, found.stderr) == (0, "")) == is_right, found.stderr


@pytest.mark.server
@pytest.mark.long
@pytest.mark.promise("serving.supervisor-killed")
def test_a_service_whose_supervisor_is_killed_serves_again_by_itself(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Twice, with everything read-only but the workspace and a temporary folder, where this may be tried."""
    record_property("hardened", is_root_with_mounts())
    server = product(tmp_path / "shop")
    private = tmp_path / "private"
    private.mkdir(mode=0o1777)
    service = Service(server.root, private, tmp_path / "journal")
    service.start()
    try:
        _until_ready(server, 2 * BUSY_S)
        for start in (2, 3):
            service.kill()
            killed_s = time.monotonic()
            _until_ready(server, BUSY_S)
            record_property(f"start {start} serves after", f"{time.monotonic() - killed_s:.0f} s")
            assert service.starts == start
    finally:
        code = service.stop()
    said = (tmp_path / "journal").read_text()
    assert code == 0, said
    assert "Traceback" not in said
    assert "Read-only file system" not in said
    assert list(private.glob("brain-*")) == []


def _until_ready(server: Callable[..., tuple[int, object]], within_s: float) -> None:
    """Wait until the server of this start is ready: the one before may answer for a moment after a kill."""
    time.sleep(1.0)
    until = time.monotonic() + within_s
    while server("GET", "/readyz")[0] != 200:
        assert time.monotonic() < until, "not ready"
        time.sleep(0.2)
