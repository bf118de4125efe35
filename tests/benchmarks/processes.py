"""Runs a command and measures it with all processes that it starts: time, CPU, and memory at its peak."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_EVERY_S = 0.1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Spent:
    """What a command took: seconds, CPU seconds of all its processes, and the peak of the largest one in bytes.

    CPU of a process counts up to the last look at it, 0.1 s before its end at most.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: float = 0.0
    output: str = ""
    _cpu: dict[int, float] = field(default_factory=dict)

    def look_at(self, root: int) -> None:
        """Add what the process and its descendants have used until now."""
        for pid in _family(root):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue  # it has just ended
            self._cpu[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
            self.peak_bytes = max(self.peak_bytes, 1024.0 * int(peak))
        self.cpu_s = sum(self._cpu.values())


def run_measured(
    command: Sequence[str], cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Spent:
    """Run a command to its end and return what it took; asserts that it succeeds."""
    spent, start_s = Spent(), time.perf_counter()
    environment = {**os.environ, **(environment or {})}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while True:
            try:
                output, errors = process.communicate(timeout=_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                spent.look_at(process.pid)
    assert process.returncode == 0, (output + errors)[-2000:]
    spent.wall_s, spent.output = time.perf_counter() - start_s, output
    return spent


def _family(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    family = [root]
    for pid in family:  # grows while it is read
        family += children.get(pid, [])
    return family
