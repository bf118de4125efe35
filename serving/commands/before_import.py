"""`brain import draft` and `brain import --check`: what comes before an import. Nothing heavy is imported for them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import time_ns
from typing import Any

from decisioning.catalogue.check.everything import Environment
from decisioning.catalogue.source import YamlNode, decode, parse
from decisioning.errors import ConfigError, Mistake, Refused
from features.importing.checking import checked_catalogue
from features.importing.drafting import draft_mapping, names
from features.importing.generate import catalogue_files
from features.importing.opening import Stated, open_table
from features.importing.opening.stated import OPTIONS
from features.importing.plan import assign_paths, make_plan
from features.importing.reading import MappingSource, unknown_columns
from features.importing.recipes import mapping_file, open_mapping
from serving.settings import Workspace


def write_draft(
    workspace: Workspace,
    files: tuple[str, ...],
    table: Mapping[str, Any],
    outcome: str | None,
    event: str | None,
    out: Path | None,
) -> dict[str, Any]:
    """Write a draft of a mapping for files into the workspace; raises Refused rather than replace a file.

    :param table: how the files are written, as far as that is stated
    :param outcome: the column with what came of a contact
    :param event: the column with what customers did by themselves
    """
    paths = [Path(file) for file in files]
    path = out or workspace.root / f"{names.slug(paths[0].name.partition('.')[0], 'file')}.yaml"
    if path.exists():
        raise Refused(f"{path} exists, and no draft replaces a file: move it away, or name another with --out")
    draft = draft_mapping(path.stem, paths, path.resolve().parent, time_ns() // 1000, outcome, event, Stated(**table))
    try:
        with path.open("x") as file:
            file.write(draft.text)
    except FileExistsError:
        raise Refused(
            f"{path} exists, and no draft replaces a file: move it away, or name another with --out"
        ) from None
    shown = os.path.relpath(path)
    return {
        "draft": str(path),
        "read": list(draft.how),
        "guesses": draft.guesses,
        "blanks": draft.blanks,
        "next": f"write what is true in place of each FILL_IN, then run: brain import {shown} --check",
    }


def check_import(workspace: Workspace, mapping: str, files: tuple[str, ...]) -> dict[str, Any]:
    """Say at once what an import would refuse, from the beginning of each file; write nothing.

    Raises ConfigError with all mistakes of the mapping and the catalogue, and what is wrong with the files.
    """
    catalogue = {
        str(path.relative_to(workspace.catalogue)): decode(str(path.relative_to(workspace.root)), path.read_bytes())
        for path in sorted(workspace.catalogue.rglob("*.y*ml"))
    }
    problems = _import_problems(mapping, files, catalogue, workspace.settings.environment, time_ns() // 1000)
    if problems:
        raise ConfigError(problems)
    return {
        "result": "nothing is missing, as far as the beginning of each file shows",
        "next": f"brain import {' '.join((mapping, *files))}",
    }


def _import_problems(
    mapping: str, arguments: Sequence[str], catalogue: Mapping[str, str], environment: Environment, now_us: int
) -> list[Mistake]:
    """Return everything that is missing or wrong: in the mapping, in the catalogue, and in the files.

    :param catalogue: the workspace's catalogue files, relative path -> text
    """
    try:
        source, folder = open_mapping(mapping)
    except ConfigError as error:
        return [*error.problems, *_of_headers(mapping, arguments)]
    return list(_of_import(source, folder, arguments, catalogue, environment, now_us))


def _of_import(
    source: MappingSource,
    folder: Path,
    arguments: Sequence[str],
    catalogue: Mapping[str, str],
    environment: Environment,
    now_us: int,
) -> Iterator[Mistake]:
    assertions = source.node.at(("assertions",))
    if environment == "prod" and source.mapping.assertions:
        yield assertions.problem("prod takes no assertions", "replace them by records, or use another environment")
    try:
        plan = make_plan(source, assign_paths(source, folder, arguments), now_us, beginning=True)
        checked_catalogue(plan, catalogue_files(plan, catalogue), environment)
    except ConfigError as error:
        yield from error.problems
    except Refused as error:
        for line in str(error).splitlines():
            yield source.node.at(("files",)).problem(line)


def _of_headers(mapping: str, arguments: Sequence[str]) -> Iterator[Mistake]:
    """Yield the columns and files that a mapping names and that are not there, though other parts of it are wrong."""
    path = mapping_file(mapping)
    root = parse(path.name, decode(path.name, path.read_bytes())).root
    if root is None or "files" not in root.items:
        return
    bare = [text for text in arguments if "=" not in text]
    for n, node in enumerate(root.items["files"].items.values()):
        given = bare[n] if n < len(bare) else str(node.at(("path",)).value)
        if node.items.get("path") is not None or n < len(bare):
            yield from _of_header(node, path.resolve().parent / given if n >= len(bare) else Path(given))


def _of_header(node: YamlNode, path: Path) -> Iterator[Mistake]:
    options = {key: node.value.get(key) for key in OPTIONS}
    try:
        yield from unknown_columns(node, open_table(path, Stated(**options)))
    except Refused as error:
        yield node.problem(str(error))
