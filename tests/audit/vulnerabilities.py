"""Which vulnerabilities of the parts are known, where the database of pip-audit can be had."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

WITHIN_S = 900
PROBE = "numpy"
"""A part that every database knows: if it does not know this one, there is no database."""


@dataclass(frozen=True)
class Report:
    """A line per known vulnerability, or why they could not be looked up."""

    found: tuple[str, ...] = ()
    unknown: str = ""


def look_up(pins: dict[str, str]) -> Report:
    """Look up the known vulnerabilities of what is pinned.

    pip-audit says that nothing is known where its database does not know a part: one part is asked for first.
    """
    probe = _asked({PROBE: pins[PROBE]})
    if probe.unknown:
        return Report(unknown=f"the database of pip-audit cannot be had here ({probe.unknown})")
    return _asked(pins)


def _asked(pins: dict[str, str]) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        options = ["--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off"]
        command = [sys.executable, "-m", "pip_audit", "-r", str(file), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    return read(done.stdout, done.stderr)


def read(answer: str, errors: str) -> Report:
    """Return what an answer of pip-audit says; a part that was passed over makes the whole unknown."""
    try:
        told = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return Report(unknown=(errors.strip().splitlines() or ["no answer"])[-1])
    if skipped := [one["skip_reason"] for one in told if "skip_reason" in one]:
        return Report(unknown=skipped[0])
    found = [(one, flaw) for one in told for flaw in one["vulns"]]
    return Report(tuple(f"{one['name']} {one['version']}: {flaw['id']}" for one, flaw in found))
