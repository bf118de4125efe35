"""The command line: `brain COMMAND --workspace DIR [--json]`. Each command calls the package that does the work.

Exit codes: 0 done; 1 refused or failed, with a plain line that says what to do; 2 wrong usage.
"""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import brain_access  # noqa: F401 - its commands
import brain_change  # noqa: F401 - its commands
import brain_demo  # noqa: F401 - its commands
import brain_importing  # noqa: F401 - its commands
import brain_learning  # noqa: F401 - its commands
from brain_command import (
    ONLY_READS,
    PORT,
    READABLE,
    STOP,
    WITHOUT_APPROVAL,
    Command,
    Failed,
    Result,
    check_folder_of,
    check_machine,
    check_port,
    command,
    main,
    table_options,
)
from decisioning.errors import Refused
from serving import machine
from serving.access.users import operating_system_user
from serving.settings import Workspace

if TYPE_CHECKING:  # takes a while to import
    from decisioning.catalogue.check.everything import Environment
    from features.ledger import SubjectKind

NEW_MB, SERVE_MB = 50, 100
"""The room on the disk that a new workspace needs to work in, and a server for what it writes at once."""


@command(workspace=False)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--bare", is_flag=True, help="Make no catalogue: `brain import` makes one from your data.")
def new(folder: Path, bare: bool) -> Result:
    """Make a workspace with a small catalogue to start from."""
    machine.check_empty(folder)
    check_machine(folder, NEW_MB)
    from serving.brain import releasing

    return releasing.new(folder, {} if bare else None)


@command(stopped=ONLY_READS)
def check(workspace: Workspace) -> Result:
    """Find all mistakes in the catalogue, and run its personas."""
    from serving.brain import releasing

    return releasing.check(workspace)


@command()
@click.option("--to", type=click.Choice(["test", "prod"]), help="Take what serves here to another environment.")
@WITHOUT_APPROVAL
def release(workspace: Workspace, to: "Environment | None", reason: str) -> Result:
    """Release the files of the catalogue as one immutable release that serves from now on; prod asks for approval."""
    from serving.brain import releasing

    if to is None:
        return releasing.release(workspace, operating_system_user(), reason)
    from serving.commands.releases import approving

    return approving.release_to(workspace, to, operating_system_user(), reason)


@command()
@click.argument("hash")
def approve(workspace: Workspace, hash: str) -> Result:
    """Approve, as a second person, the very bytes with this HASH: a release, a model, or the end of a pause."""
    from serving.commands.releases import approving

    return approving.approve(workspace, hash, operating_system_user())


@command()
def releases(workspace: Workspace) -> Result:
    """List what served and who approved it, what waits for approval, and what serves without it."""
    from serving.commands.releases import approving

    return approving.list_releases(workspace)


@main.group()
def policies() -> None:
    """Show what a change of policies does to customers, and find mistakes in policies."""


def population_options(function: Command) -> Command:
    """Add the options that choose the customers to compare."""
    personas = click.option("--personas", is_flag=True, help="Compare the catalogue's personas instead of customers.")
    sample = click.option(
        "--sample", type=click.IntRange(1), default=1000, show_default=True, help="The most customers to compare."
    )
    return personas(sample(function))


@command(group=policies, stopped=ONLY_READS)
@click.argument("before", default="current")
@click.argument("after", default="files")
@population_options
def diff(workspace: Workspace, before: str, after: str, sample: int, personas: bool) -> Result:
    """List changes between two releases (hashes, `current`, `files`), and who gains or loses actions by which gate."""
    from serving.commands.releases import policy_changes

    return policy_changes.diff(workspace, before, after, sample, personas=personas)


@command(group=policies, stopped=ONLY_READS)
@click.argument("release", default="files")
@population_options
def audit(workspace: Workspace, release: str, sample: int, personas: bool) -> Result:
    """Find rules that never decide, that contradict each other, or that nobody passes."""
    from serving.commands.releases import policy_changes

    return policy_changes.audit(workspace, release, sample, personas=personas)


@command()
@click.argument("to", required=False)
@WITHOUT_APPROVAL
def rollback(workspace: Workspace, to: str | None, reason: str) -> Result:
    """Serve the previous release again, or the release with the hash TO; list the gates and caps that it removes."""
    from serving.brain import releasing

    return releasing.rollback(workspace, operating_system_user(), to, reason)


@command()
@click.argument("action")
@click.option("--resume", is_flag=True, help="Offer the action again.")
@WITHOUT_APPROVAL
def pause(workspace: Workspace, action: str, resume: bool, reason: str) -> Result:
    """Stop offering an action within two seconds, without a release."""
    from serving.brain.releases import pausing

    return pausing.pause(workspace, action, operating_system_user(), resume=resume, reason=reason)


@command()
@click.option("--retry", multiple=True, metavar="ID", help="Send this dead letter again; `all` for every one.")
@click.option("--secret", is_flag=True, help="Show the secret with which the receiver checks signatures.")
def moments(workspace: Workspace, retry: tuple[str, ...], secret: bool) -> Result:
    """List deliveries of moments that were given up, or send them again."""
    from serving.commands.access import keys
    from serving.events.moments import dead_letters

    letters = dead_letters(workspace, retry)
    return {**letters, "secret": keys.webhook_secret(workspace)} if secret else letters


@command(stopped=None)
@PORT
def serve(workspace: Workspace, port: int | None) -> Result:
    """Serve decisions over HTTP until Ctrl-C."""
    workspace = workspace.at_port(port) if port else workspace
    check_port(workspace)
    from serving.access.files import advice
    from serving.commands.verifying import check_start
    from serving.lifecycle import serve_forever

    check_machine(workspace.root, SERVE_MB)

    def say(line: str) -> None:
        click.echo(line, err=True)

    def ready(run: Any) -> None:
        if click.get_current_context().params["as_json"]:
            click.echo(json.dumps({"url": run.url, "pid": run.pid}))
        else:
            say(f"ready: {run.url}/docs")
            say(f"keys, one per scope: {workspace.keys}/; send `Authorization: Bearer KEY`")

    check_start(workspace)
    if warning := advice(workspace):
        say(warning)
    return serve_forever(workspace, on_ready=ready, say=say)


@command()
@click.argument("request", type=click.File("rb"), default="-")
@click.option("--release", help="Preview under this release: a hash, `current`, `files`, or a folder with a catalogue.")
def decide(workspace: Workspace, request: Any, release: str | None) -> Result:
    """Make one decision for the body of an HTTP request: a JSON file or standard input."""
    from serving.commands.offline import decide_once, preview_once

    body = request.read()
    return decide_once(workspace, body) if release is None else preview_once(workspace, body, release)


@command(stopped=ONLY_READS)
@click.argument("customers", type=READABLE)
@click.option("--channel", required=True, help="The channel to decide for, by its id.")
@click.option("--placement", "placements", multiple=True, required=True, help="A slot to fill; give it once for each.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The Parquet file to write."
)
@click.option("--batch-id", help="An id of this batch; the same id again gives the same decisions while they hold.")
@click.option("--preview", is_flag=True, help="Decide the same, and commit nothing.")
@table_options
def batch(workspace: Workspace, customers: Path, out: Path, table: dict[str, Any], **options: Any) -> Result:
    """Decide for every customer_id of a table, which may have account_id, locale and context columns."""
    check_folder_of(out)
    from features.importing.opening import Stated, open_table
    from serving.commands import batch as batches

    if not options["preview"]:
        options["batch_id"] = options["batch_id"] or uuid.uuid4().hex
        STOP.says = f"the decisions so far are kept; to go on, run it again with --batch-id {options['batch_id']}"
    opened = open_table(customers, Stated(**table))
    return batches.run(workspace, opened, out, options.pop("channel"), options.pop("placements"), **options)


_ACCOUNT = click.option("--account", "account_id", help="An account instead of a customer.")


def _subject(customer_id: str | None, account_id: str | None) -> tuple[str, "SubjectKind"]:
    """Return the id that a command names, and of what kind of subject it is."""
    if customer_id is not None and account_id is None:
        return customer_id, "person"
    if account_id is not None and customer_id is None:
        return account_id, "account"
    raise click.UsageError("name either a customer, or an account with --account ID")


@command(stopped=ONLY_READS)
@click.argument("customer_id", required=False)
@_ACCOUNT
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@click.option("--purpose", help="Why you look, such as `rights` or `complaint 4711`; it is recorded that you looked.")
def export(
    workspace: Workspace, customer_id: str | None, account_id: str | None, out: Path | None, purpose: str | None
) -> Result:
    """Export everything that is held about a customer, or about an account."""
    subject_id, kind = _subject(customer_id, account_id)
    check_folder_of(out)
    from serving.commands.offline import export_customer

    return export_customer(workspace, subject_id, out, kind, purpose)


@command()
@click.argument("customer_id", required=False)
@_ACCOUNT
@click.option("--who", help="Who looked: `key:ID`, `person:ID` or `user:NAME`; by default everybody.")
@click.option("--after", type=click.IntRange(0), default=0, help="The `next` of the page before.")
def looks(workspace: Workspace, customer_id: str | None, account_id: str | None, who: str | None, after: int) -> Result:
    """List who looked at customers, when and why: at all, at one customer, or at one account."""
    subject_id, kind = (None, None) if customer_id is account_id is None else _subject(customer_id, account_id)
    subject = None if subject_id is None or kind is None else (kind, subject_id)
    from serving.commands.offline import list_looks

    return list_looks(workspace, subject, who, after)


@command()
@click.argument("customer_id", required=False)
@_ACCOUNT
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(workspace: Workspace, customer_id: str | None, account_id: str | None, yes: bool) -> Result:
    """Erase a customer for good, who is never contacted again; or an account, and none of its people."""
    subject_id, kind = _subject(customer_id, account_id)
    whom = "account" if kind == "account" else "customer"
    if not yes and not click.confirm(f"Everything that is held about this {whom} is destroyed. Go on?", err=True):
        raise Refused("nothing was erased")
    from serving.commands.offline import erase_customer

    return erase_customer(workspace, subject_id, kind)


@command()
@click.argument("customer_id", required=False)
@_ACCOUNT
@click.option("--lift", is_flag=True, help="Lift the restriction.")
def restrict(workspace: Workspace, customer_id: str | None, account_id: str | None, lift: bool) -> Result:
    """Keep the data of a customer, or of an account, but use it for nothing: no decision, training or contact."""
    subject_id, kind = _subject(customer_id, account_id)
    from serving.commands.offline import restrict_customer

    return restrict_customer(workspace, subject_id, restricted=not lift, kind=kind)


@command(stopped=ONLY_READS)
@click.option("--sample", type=click.IntRange(1), help="How many decisions to recompute, spread over all.")
def verify(workspace: Workspace, sample: int | None) -> Result:
    """Check every file, the ledger's checkpoints and chains, and recompute decisions byte for byte."""
    from serving.commands.verifying import folded
    from serving.commands.verifying import verify as verify_all

    results = verify_all(workspace, sample)
    flaws, different = results["flaws"], results["different"]
    if not flaws and not different:
        return results
    summary = f"{len(flaws):,} flaws, {len(different):,} decisions that come out differently"
    advice = "run `brain repair`; what it cannot repair is to be put back from your backup"
    return Failed(results, "; ".join([summary, *folded(flaws), *folded(different), advice]))


@command(stopped="what was repaired is kept; run it again for the rest")
def repair(workspace: Workspace) -> Result:
    """Make anew what other files tell: online store, copies of checkpoints and models, the log of decisions."""
    from serving.commands.repairing import repair as repair_all

    report = repair_all(workspace)
    if not report["cannot"]:
        return report
    return Failed(report, f"{len(report['repaired'])} repaired; cannot be repaired: {'; '.join(report['cannot'])}")


if __name__ == "__main__":
    main()
