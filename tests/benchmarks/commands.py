"""How much processor time each command takes to its first error, and to its first line that is of use.

`python -m tests.benchmarks.commands [WORKSPACE]` prints a table in Markdown. Without a workspace the demo's is built
first, which takes half a minute. Commands that start Ray are measured to their first error alone.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

import brain_demo

ROOT = Path(__file__).parents[2]
ASK = {"request_id": "bench", "customer_id": "c-1042", "account_id": "a-7", "channel": "web", "mode": "preview"}
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of the commands: with this variable, each would compile all sources anew."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Case:
    """A command: arguments with which it must fail, if there are any, and with which it must succeed."""

    words: str
    wrong: Sequence[str] | None
    right: Sequence[str] | None
    stdin: str = ""
    in_workspace: bool = True


CASES = (
    Case("--help", ["nosuch"], [], in_workspace=False),
    Case("new", ["."], ["{}/new"], in_workspace=False),
    Case("check", None, []),
    Case("release", ["--to", "test"], []),
    Case("releases", None, []),
    Case("policies diff", ["nosuch"], []),
    Case("policies audit", ["nosuch"], ["--sample", "100"]),
    Case("rollback", ["nosuch"], None),
    Case("pause", ["tv-bundel"], ["tv-bundle"]),
    Case("approve", ["nosuch"], None),
    Case("decide", None, [], json.dumps({**ASK, "placements": [{"name": "hero"}]})),
    Case("import", ["nosuch", "people.csv"], None),
    Case("import profile", ["absent.csv"], ["{}/people.csv"]),
    Case("import-signals", ["absent.parquet"], None),
    Case("batch", ["{}/people.csv", "--channel", "nosuch", "--placement", "x", "--out", "{}/out.parquet"], None),
    Case("train", ["--outcome", "nosuch"], []),
    Case("evaluate", ["--outcome", "nosuch"], []),
    Case("card", ["nosuch"], ["tv-bundle"]),
    Case("trial", ["--share", "2"], ["--share", "0.5"]),
    Case("retrain", None, []),
    Case("promote", ["nosuch"], ["--justify", "measured"]),
    Case("report", None, ["--out", "{}/report.html"]),
    Case("verify", ["--sample", "0"], ["--sample", "5"]),
    Case("repair", None, []),
    Case("moments", ["--retry", "nosuch"], []),
    Case("export", [], ["c-1042"]),
    Case("looks", [], []),
    Case("restrict", ["nosuch"], ["c-1043"]),
    Case("erase", ["nosuch", "--yes"], ["c-1044", "--yes"]),
    Case("key create", ["--scope", "nosuch"], ["--scope", "decide"]),
    Case("key list", None, []),
    Case("secret list", None, []),
    Case("user list", None, []),
    Case("serve", ["--port", "{port}"], None),
    Case("demo", ["--port", "{port}", "--workspace", "{}/new-demo"], None, in_workspace=False),
)


def main(workspace: Path | None) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        at, port = Path(folder), taken.getsockname()[1]
        if workspace is None:
            brain_demo.build(at / "demo", 5000)
        else:
            shutil.copytree(workspace, at / "demo")
            _measured(Case("releases", None, []), [], at, port)  # what names the copy's folder is written anew once
        (at / "people.csv").write_text("customer_id,monthly_fee_eur\nc-1042,50\n")
        click.echo(
            "| `brain` | CPU s to the first error | CPU s to the first line | CPU s in all |\n| --- | --- | --- | --- |"
        )
        for case in CASES:
            failed, done = (_measured(case, arguments, at, port) for arguments in (case.wrong, case.right))
            click.echo(f"| {case.words} | {failed[0]} | {done[0]} | {done[1]} |")


def _measured(case: Case, arguments: Sequence[str] | None, at: Path, port: int) -> tuple[str, str]:
    """Return the seconds to the first line and to the end; dashes if there is nothing to run. `port` is taken."""
    if arguments is None:
        return "-", "-"
    where = ["--workspace", str(at / "demo")] if case.in_workspace else []
    command = [
        sys.executable,
        "-m",
        "brain",
        *case.words.split(),
        *(a.format(at, port=port) for a in arguments),
        *where,
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(case.stdin)
    process.stdin.close()
    process.stdout.readline()
    first_s = _cpu_s(process.pid)
    process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    return f"{first_s:.2f}", f"{usage.ru_utime + usage.ru_stime:.2f}"


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, or of all of it if it just ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS_A_SECOND


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
