"""The commands that bring in a company's own data: import, its draft and its check, and import-signals."""

import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import click

from brain_command import KEEPS_ALL, READABLE, Result, check_readable, command, open_workspace, table_options
from decisioning.errors import Refused
from serving.access.users import operating_system_user
from serving.settings import CONFIG_NAME, Workspace


@command(name="import", workspace=False, stopped=KEEPS_ALL)
@click.argument("mapping")
@click.argument("files", nargs=-1)
@table_options
@click.option("--check", is_flag=True, help="Say all that is missing or wrong, and import nothing.")
@click.option("--outcome", metavar="COLUMN", help="For `draft`: the column that says what came of a contact.")
@click.option("--event", metavar="COLUMN", help="For `draft`: the column of what happened by itself, such as leaving.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="For `draft`: the file to write.")
@click.option(
    "--workspace",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="The folder that `brain new` made; `draft` makes it.",
)
def import_(
    folder: Path, mapping: str, files: tuple[str, ...], table: dict[str, Any], check: bool, **options: Any
) -> Result:
    """Import FILES by MAPPING: `profile`, a recipe's name, or a mapping file; `draft` writes one from the files."""
    if mapping != "draft":
        Workspace.open(folder)  # a folder that is none is told before its files
    if mapping in ("draft", "profile") and not files:
        raise click.UsageError(f"name the file to read: brain import {mapping} FILE")
    if mapping == "profile" and len(files) > 1:
        raise Refused("`brain import profile` reads one file: run it again for each of the others")
    if mapping in ("draft", "profile") or Path(mapping).is_file():  # a name of no recipe is told first
        check_readable([file if os.path.exists(file) else file.partition("=")[2] or file for file in files])
    if mapping != "draft" and (stated := [name for name, value in options.items() if value is not None]):
        raise Refused(f"--{stated[0]} is for `brain import draft`: leave it out")
    if mapping == "draft" or check:
        return _before_import(folder, mapping, files, table, **options)
    from serving.commands import importing
    from serving.commands.progress import phases

    workspace = open_workspace(folder)
    with phases() as progress:
        if mapping == "profile":
            return importing.import_profile(workspace, Path(files[0]), table, progress)
        _refuse_stated(mapping, table)
        return importing.import_log(workspace, mapping, files, operating_system_user(), progress)


def _before_import(
    folder: Path, mapping: str, files: tuple[str, ...], table: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """Draft a mapping, in a new workspace if there is none, or check one."""
    if mapping == "draft":
        if not (folder / CONFIG_NAME).exists():
            _make_workspace(folder)
        from serving.commands import before_import

        return before_import.write_draft(Workspace.open(folder), files, table, **options)
    if mapping == "profile":
        raise Refused("`--check` is for mappings: `brain import profile` writes nothing unless all of a file is right")
    _refuse_stated(mapping, table)
    _do_without_pandas()
    from serving.commands import before_import

    return before_import.check_import(Workspace.open(folder), mapping, files)


def _make_workspace(folder: Path) -> None:
    from serving.brain import releasing

    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is no workspace, and not empty: name a workspace or a new folder with --workspace")
    releasing.new(folder, {})


def _do_without_pandas() -> None:
    """Keep pyarrow from importing pandas, only to recognise objects of it: that takes half a second.

    Only where the process is this command's own, as pyarrow never asks again.
    """
    if click.get_current_context().find_root().info_name != "main":
        sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas(MetaPathFinder):
    """Hides pandas."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        """Raise ModuleNotFoundError for pandas; otherwise leave it to the next finder."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not needed", name=fullname)


def _refuse_stated(mapping: str, table: dict[str, Any]) -> None:
    if stated := [name for name, value in table.items() if value is not None]:
        raise Refused(f"--{stated[0]} is for `brain import profile`: state `{stated[0]}` of each file in {mapping}")


@command(name="import-signals", stopped=KEEPS_ALL)
@click.argument("file", type=READABLE)
def import_signals(workspace: Workspace, file: Path) -> Result:
    """Import past signals from FILE (Parquet or JSON lines, a CloudEvent per row); if it stops, run it again."""
    from dataclasses import asdict

    from features.importing.signals import import_signals as replay
    from serving.brain.active import active_release, open_ledger
    from serving.commands.progress import phases

    with open_ledger(workspace) as ledger, phases() as progress:
        packed = ledger.get_release(active_release(ledger, workspace.settings.environment))
        result = replay(file, packed, ledger, workspace.data / "imports", progress)
    if result.refused and not (result.accepted or result.duplicate or result.erased):
        first = "; ".join(f"row {p['row']}: {p['problem']}" for p in result.problems[:3])
        raise Refused(f"all {result.refused} rows of {file.name} were refused: {first}")
    return asdict(result)
