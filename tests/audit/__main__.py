"""`make audit`: vulnerabilities, licences and sizes of what the product installs; writes sbom.json (CycloneDX).

It fails if a vulnerability is known, or if a part has a licence that the product may not be made of. The licences of
what only developers have are checked, too.
"""

import sys
import tomllib
from pathlib import Path

from tests.audit import bom, vulnerabilities
from tests.audit.licences import PROGRAMS, TOOLS, WEAK, expression, refusals
from tests.audit.parts import Part, installed, pinned, size_bytes

ROOT = Path(__file__).parents[2]
SBOM = ROOT / "sbom.json"
EXTRAS = ("psycopg", "psycopg-binary")
"""What the optional extras of the product install, beside requirements.txt."""
LARGEST = 15


def main() -> int:
    pins = pinned(ROOT / "requirements.txt")
    parts, tools = installed([*pins, *EXTRAS]), installed(pinned(ROOT / "requirements-dev.txt").keys() - pins.keys())
    absent = sorted(pins.keys() - {part.name for part in parts})
    report = vulnerabilities.look_up(pins)
    refused = refusals([*parts, *tools])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    document = bom.written(parts, project["name"], project["version"])
    SBOM.write_text(document + "\n")
    for line in [*_sizes(parts), *_licences([*parts, *tools]), *_rest(report, absent, document)]:
        print(line)
    for line in (*report.found, *refused):
        print(f"refused: {line}", file=sys.stderr)
    return 1 if report.found or refused or bom.flaw(document) else 0


def _sizes(parts: list[Part]) -> list[str]:
    sizes = {part: size_bytes(part) for part in parts}
    largest = sorted(parts, key=lambda part: -sizes[part])[:LARGEST]
    rows = [f"{sizes[part] / 1e6:8.1f} MB  {part.name} {part.version}  {expression(part)}" for part in largest]
    return [f"{len(parts)} packages, {sum(sizes.values()) / 1e6:.0f} MB; the largest:", *rows]


def _licences(parts: list[Part]) -> list[str]:
    named = {**WEAK, **PROGRAMS, **{name: f"{about} (only developers have it)" for name, about in TOOLS.items()}}
    rows = [f"  {part.name}: {named[part.name]}" for part in parts if part.name in named]
    return ["copyleft, named in tests/audit/licences.py:", *rows]


def _rest(report: vulnerabilities.Report, absent: list[str], document: str) -> list[str]:
    known = f"NOT CHECKED: {report.unknown}" if report.unknown else f"{len(report.found)} known"
    elsewhere = [f"not installed on this machine, so not looked at: {', '.join(absent)}"] if absent else []
    return [f"vulnerabilities: {known}", *elsewhere, f"list of parts: {SBOM.name}, {bom.flaw(document) or 'valid'}"]


if __name__ == "__main__":
    sys.exit(main())
