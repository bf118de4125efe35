"""What the product is made of, and fake parts that break the rule of licences."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.audit.__main__ import EXTRAS, ROOT
from tests.audit.licences import PROGRAMS, TOOLS, WEAK, refusals
from tests.audit.parts import Part, installed, normal, pinned
from tests.audit.vulnerabilities import read

PINS = pinned(ROOT / "requirements.txt")


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return installed([*PINS, *EXTRAS])


def fake(folder: Path, *lines: str, name: str = "helper") -> Part:
    """Return a distribution that says these lines of its licence, as an installer would leave it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(("Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines, "")))
    (part,) = installed([name], [str(folder)])
    return part


@pytest.mark.promise("supply.licences")
def test_everything_installed_has_a_licence_that_is_allowed(parts: list[Part]) -> None:
    assert refusals(parts) == []
    names = {part.name for part in parts}
    assert len(names & PINS.keys()) > 0.9 * len(PINS), "others are for other platforms"
    assert names >= WEAK.keys() | PROGRAMS.keys(), "a part that is gone needs no exception"
    readme = (ROOT / "README.md").read_text()
    assert [part for part in (*WEAK, *PROGRAMS) if f"`{part.removesuffix('-binary')}`" not in readme] == []


@pytest.mark.promise("supply.licences")
def test_what_only_developers_have_has_a_licence_that_is_allowed() -> None:
    tools = installed(pinned(ROOT / "requirements-dev.txt").keys() - PINS.keys())
    assert refusals(tools) == []
    assert {part.name for part in tools} >= TOOLS.keys()
    readme = (ROOT / "README.md").read_text()
    assert [name for name in TOOLS if f"`{name}`" not in readme] == []


@pytest.mark.promise("supply.licences")
@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["License-Expression: GPL-3.0-or-later"], "GPL-3.0-or-later may not be imported"),
        (["License-Expression: MIT AND AGPL-3.0-only"], "AGPL-3.0-only may not be imported"),
        (["License: GPLv2"], "GPL-2.0-only may not be imported"),
        (["Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"], "licence is not known"),
        (["License-Expression: MPL-2.0"], "weak copyleft that is not named"),
        (["License: Ask us"], "licence is not known"),
        (["Classifier: License :: OSI Approved"], "licence is not known"),
        ([], "licence is not known"),
    ],
)
def test_a_part_with_another_licence_is_refused(tmp_path: Path, lines: list[str], refused: str) -> None:
    (line,) = refusals([fake(tmp_path, *lines)])
    assert line.startswith("helper 1.0: ")
    assert refused in line


@pytest.mark.parametrize(
    "lines",
    [
        ["License-Expression: GPL-3.0-or-later OR MIT"],
        ["License: Apache 2.0"],
        ["Classifier: License :: OSI Approved :: BSD License", "License: see the file"],
    ],
)
def test_a_part_that_may_be_had_under_a_permissive_licence_is_allowed(tmp_path: Path, lines: list[str]) -> None:
    assert refusals([fake(tmp_path, *lines)]) == []


@pytest.mark.promise("supply.licences")
def test_what_runs_as_a_program_of_its_own_may_be_imported_by_nothing() -> None:
    """`make lint` checks the contract. Ray would import it only to look for the program, whose path it is given."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"] == "Programs of their own are imported by nothing"]
    assert contract["source_modules"] == ["decisioning", "features", "training", "serving"]
    assert {normal(name) for name in contract["forbidden_modules"]} == PROGRAMS.keys()


def test_the_list_of_parts_keeps_the_schema_and_names_them_all(parts: list[Part]) -> None:
    from tests.audit import bom  # its validator takes seconds to import, and every worker collects this file

    document = bom.written(parts, "central-brain", "0.1.0")
    assert bom.flaw(document) == ""
    told = json.loads(document)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert {(c["name"], c["version"]) for c in told["components"]} == {(part.name, part.version) for part in parts}
    assert not [c["name"] for c in told["components"] if not c["licenses"]]
    needs = {d["ref"]: d.get("dependsOn", []) for d in told["dependencies"]}
    assert any(ref.startswith("starlette@") for ref in needs[f"fastapi@{PINS['fastapi']}"])
    assert bom.flaw(document.replace('"components"', '"parts"')) != ""


def test_tools_of_developers_are_no_part_of_the_product() -> None:
    """But for those that a part itself asks for."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    tools = {"cyclonedx-python-lib", "pip-audit", "pytest", "ruff", "schemathesis", "standardwebhooks"}
    assert tools <= pinned(ROOT / "requirements-dev.txt").keys()
    assert not tools & PINS.keys()
    assert len(extras["dev"]) > len(tools)


@pytest.mark.parametrize(
    ("answer", "unknown", "found"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', "", ()),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1"}]}]}', "", ("a 1: X-1",)),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', "not found", ()),
        ("", "no connection", ()),
    ],
)
def test_a_part_that_the_database_does_not_know_was_not_checked(answer: str, unknown: str, found: tuple[str]) -> None:
    """pip-audit says `No known vulnerabilities found` of it, and exits with 0."""
    report = read(answer, "trying\nno connection")
    assert (report.unknown, report.found) == (unknown, found)
