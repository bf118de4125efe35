"""The command line: `brain COMMAND --workspace DIR [--json]`; each command hands over to the package that does it.

Exit codes: 0 done; 1 refused or failed, with what to do in plain words; 2 wrong usage.
"""

import functools
import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from decisioning.errors import BrainError, ConfigError, Refused
from serving.settings import Workspace

Result = dict[str, Any] | int | None
Command = Callable[..., Result]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="central-brain")
def main() -> None:
    """Next best action: one place that decides what to do next for a customer."""


def command(*, name: str | None = None, workspace: bool = True) -> Callable[[Command], click.Command]:
    """A command with `--json`, and `--workspace` unless it makes one; errors become one plain line and exit 1."""

    def wrap(function: Command) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, **arguments: Any) -> None:
            try:
                if workspace:
                    arguments["workspace"] = Workspace.open(arguments["workspace"])
                result = function(**arguments)
            except BrainError as error:
                sys.exit(_refused(error, as_json))
            except KeyboardInterrupt:
                sys.exit(130)
            _show(result, as_json)
            sys.exit(result if isinstance(result, int) else 0)

        decorated = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")(
            run
        )
        if workspace:
            where = click.Path(file_okay=False, path_type=Path)
            decorated = click.option(
                "--workspace", type=where, default=".", show_default=True, help="The folder `brain new` made."
            )(decorated)
        return main.command(name or function.__name__.strip("_"))(decorated)

    return wrap


def _refused(error: BrainError, as_json: bool) -> int:
    if as_json:
        problems = [vars(p) for p in error.problems] if isinstance(error, ConfigError) else []
        click.echo(json.dumps({"error": str(error), "problems": problems}))
    else:
        click.echo(str(error), err=True)
    return 1


def _show(result: Result, as_json: bool) -> None:
    if not isinstance(result, dict):
        return
    if as_json:
        click.echo(json.dumps(result, default=str))
        return
    from serving.console import show

    show(result)


@command(workspace=False)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def new(folder: Path) -> Result:
    """Make a workspace with a small catalogue to start from."""
    from serving import releasing

    return releasing.new(folder)


@command()
def check(workspace: Workspace) -> Result:
    """Find every mistake in the catalogue, and run its personas."""
    from serving import releasing

    return releasing.check(workspace)


@command()
def release(workspace: Workspace) -> Result:
    """Make what is in the files serve, as one immutable release."""
    from serving import releasing

    return releasing.release(workspace, getpass.getuser())


@command()
@click.argument("to", required=False)
def rollback(workspace: Workspace, to: str | None) -> Result:
    """Serve the release before, or the one named by its hash."""
    from serving import releasing

    return releasing.rollback(workspace, getpass.getuser(), to)


@command()
@click.argument("action")
@click.option("--resume", is_flag=True, help="Offer it again.")
def pause(workspace: Workspace, action: str, resume: bool) -> Result:
    """Stop offering an action within two seconds, without a release."""
    from serving import releasing

    return releasing.pause(workspace, action, resume=resume)


@command()
def serve(workspace: Workspace) -> Result:
    """Answer requests over HTTP until Ctrl-C."""
    from serving.lifecycle import serve_forever

    def say(line: str) -> None:
        click.echo(line, err=True)

    return serve_forever(workspace, on_ready=lambda run: say(f"ready: {run.url}/docs"), say=say)


@command()
@click.argument("request", type=click.File("rb"), default="-")
def decide(workspace: Workspace, request: Any) -> Result:
    """One decision, asked as over HTTP: a JSON file, or standard input."""
    from serving.offline import decide_once

    return decide_once(workspace, request.read())


@command()
@click.argument("customer_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def export(workspace: Workspace, customer_id: str, out: Path | None) -> Result:
    """Everything that is held about a customer."""
    from serving.offline import export_customer

    exported = export_customer(workspace, customer_id)
    if out is None:
        return exported
    out.write_text(json.dumps(exported, default=str))
    return {"customer_id": customer_id, "written": str(out), "records": len(exported["records"])}


@command()
@click.argument("customer_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(workspace: Workspace, customer_id: str, yes: bool) -> Result:
    """Forget a customer for good; they stay left alone."""
    from serving.offline import erase_customer

    if not yes and not click.confirm("Everything that is held about this customer is destroyed. Go on?", err=True):
        raise Refused("nothing was erased")
    return erase_customer(workspace, customer_id)


@command()
@click.option("--sample", type=click.IntRange(1), help="Recompute this many decisions, spread over all.")
def verify(workspace: Workspace, sample: int | None) -> Result:
    """Check every chain of the ledger, and that decisions come out again byte for byte."""
    from serving.offline import verify as verify_all

    found = verify_all(workspace, sample)
    if found["flaws"] or found["different"]:
        raise Refused(
            f"{len(found['flaws'])} flaws in the ledger, {len(found['different'])} decisions that come out differently: "
            + "; ".join([*found["flaws"][:5], *found["different"][:5]])
        )
    return found


if __name__ == "__main__":
    main()
