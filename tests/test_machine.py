"""What a machine lacks is told in one line before anything is installed or written."""

import os
import re
import resource
import shutil
import socket
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import brain
from decisioning.errors import Refused
from serving import machine

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """What `make` looks at before it installs anything, beside a folder `bin` for programs of another machine."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder)
    (tmp_path / "bin").mkdir()
    yield folder
    os.chmod(folder, 0o700)


def program(folder: Path, name: str, text: str) -> None:
    file = folder.parent / "bin" / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def make(folder: Path, *words: str) -> str:
    """Run make with the programs of `bin` before all others; return the one line that it says."""
    before = set(folder.iterdir())
    path = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
    command = ["make", "--no-print-directory", "demo", *words]
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert set(folder.iterdir()) == before, "nothing is installed"
    assert "Traceback" not in result.stderr
    return result.stdout


@pytest.mark.promise("serving.machine")
@pytest.mark.parametrize(
    ("says", "is_told"), [("3.10.13", True), ("3.14.0", True), ("3.11.7", False), ("3.12.1", False), ("3.13.0", False)]
)
def test_make_tells_a_python_that_was_not_tried(checkout: Path, says: str, is_told: bool) -> None:
    version = tuple(map(int, says.split(".")))
    code = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    program(checkout, "pythonx", f'test "$1" = -c && exec python3 -c "{code}" "$2"; echo "Python {says}"; exit 1')
    program(checkout, "uv", "exit 1")
    told = make(checkout, "PYTHON=pythonx")
    expected = f"Python 3.11, 3.12 or 3.13 is needed; pythonx is Python {says}. Try: make PYTHON=python3.11 demo\n"
    assert told == (expected if is_told else "")


def test_make_tells_that_there_is_no_python(checkout: Path) -> None:
    assert make(checkout, "PYTHON=nopython").count("\n") == 1


@pytest.mark.parametrize(
    ("program_name", "text", "says"),
    [
        ("uname", "echo Linux riscv64", "Linux on x86_64 is needed; this is Linux riscv64, for which libraries"),
        ("uname", "echo Darwin arm64", "Linux on x86_64 is needed; this is Darwin arm64"),
        ("df", "printf 'head\\n/dev/x 9 9 120 99%% /\\n'", "has 120 MB left, and 2500 are needed: make room on it"),
    ],
)
def test_make_tells_another_processor_or_a_full_disk(checkout: Path, program_name: str, text: str, says: str) -> None:
    program(checkout, program_name, text)
    told = make(checkout)
    assert says in told
    assert told.count("\n") == 1


def test_python_is_bounded_alike_wherever_it_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    after_newest = (machine.NEWEST[0], machine.NEWEST[1] + 1)
    oldest, above = (".".join(map(str, v)) for v in (machine.OLDEST, after_newest))
    assert project["requires-python"] == f">={oldest},<{above}"
    assert f"not {machine.OLDEST} <= sys.version_info[:2] <= {machine.NEWEST}" in (ROOT / "Makefile").read_text()
    machine.check_python()


@pytest.mark.promise("serving.machine")
@pytest.mark.parametrize("version", [(3, 10, 2), (3, 14, 0), (4, 0, 0)])
def test_another_python_is_refused(version: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match=r"Python 3\.11 to 3\.13 is needed, and this is \d"):
        machine.check_python(version)


def test_another_processor_is_told() -> None:
    assert machine.advice("Linux", "x86_64") == ""
    assert machine.advice("Linux", "aarch64") == (
        "this was tried on Linux x86_64 only, and this is Linux aarch64: it may not work, or be slower"
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB, mounted for real."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "t", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting needs the rights of root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.promise("commands.no-traceback", "serving.machine")
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["new", "{}"], "size=40m"),
        (["demo", "--workspace", "{}"], "size=40m"),
        (["new", "{}"], "ro,size=90m"),
        (["demo", "--workspace", "{}"], "ro,size=900m"),
    ],
)
def test_a_command_says_before_it_writes_that_the_disk_is_full_or_read_only(
    disk: Path, command: list[str], option: str
) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)
    result = CliRunner().invoke(brain.main, [word.format(disk / "shop") for word in command], prog_name="brain")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    full = rf"the disk of {disk} has 4\d MB left, and (50|500) are needed: make room on it\n"
    nothing = f"nothing can be written in {disk}: get the permission for it, or name a folder that is yours\n"
    assert re.fullmatch(re.escape(nothing) if "ro" in option else full, result.stderr)
    assert list(disk.iterdir()) == []


@pytest.mark.promise("commands.no-traceback")
def test_a_new_workspace_that_cannot_be_finished_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for folder in (tmp_path / "made", tmp_path / "other"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
        try:
            result = CliRunner().invoke(brain.main, ["new", str(folder)], prog_name="brain")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert result.exit_code == 1
        assert CliRunner().invoke(brain.main, ["new", str(folder)], prog_name="brain").exit_code == 0


@pytest.mark.promise("serving.machine")
def test_the_demo_installs_nothing_that_only_developers_need(checkout: Path) -> None:
    installed = checkout.parent / "installed"
    stand_in = f'case "$1 $2" in venv*) mkdir -p .venv/bin; cp {checkout.parent}/bin/true .venv/bin/brain;; esac'
    program(checkout, "true", "exit 0")
    program(checkout, "uv", f'{stand_in}\necho "$*" | grep -o "requirements[a-z-]*.txt" >> {installed}; true')
    environment = {**os.environ, "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}", "UV_DEFAULT_INDEX": "none"}
    for target, files in (
        ("demo", ["requirements.txt"]),
        ("demo", []),
        (".venv/.ready-developer", ["requirements-dev.txt"]),
        (".venv/.ready-developer", []),
        ("demo", []),
    ):
        installed.write_text("")
        with socket.create_server(("127.0.0.1", 0)) as server:
            free = server.getsockname()[1]
        command = ["make", "--no-print-directory", target, f"PORT={free}"]
        subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
        assert installed.read_text().split() == files


def test_make_demo_tells_a_taken_port_before_it_installs_anything(checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = make(checkout, f"PORT={port}")
    assert told == f"Port {port} is in use by another program: stop it, or take another one: make demo PORT=8001\n"
