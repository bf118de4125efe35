"""The command line: `brain COMMAND --workspace DIR [--json]`; each command hands over to the package that does it.

Exit codes: 0 done; 1 refused or failed, with what to do in plain words; 2 wrong usage.
"""

import functools
import gc
import getpass
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from decisioning.errors import BrainError, ConfigError, Refused
from serving.settings import Workspace

Result = dict[str, Any] | int | None
Command = Callable[..., Result]
READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="central-brain")
def main() -> None:
    """Next best action: one place that decides what to do next for a customer."""
    gc.set_threshold(100_000, 50, 50)  # a collection walks every library that a command imported: seconds of its start
    if not sys.warnoptions:
        warnings.showwarning = _not_shown


def _not_shown(*_: Any, **__: Any) -> None:
    """Warnings are between libraries (some reset the filters when imported) and nothing that a user can mend."""


def command(
    *, name: str | None = None, workspace: bool = True, group: click.Group = main
) -> Callable[[Command], click.Command]:
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
        return group.command(name or function.__name__.strip("_"))(decorated)

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
@click.option("--bare", is_flag=True, help="Without a catalogue: `brain import` will make one from your data.")
def new(folder: Path, bare: bool) -> Result:
    """Make a workspace with a small catalogue to start from."""
    from serving import releasing

    return releasing.new(folder, {} if bare else None)


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


@main.group()
def policies() -> None:
    """What a change of policies does to customers, and what is wrong with policies."""


def of_a_population(function: Command) -> Command:
    """Options that say whom to look at."""
    everyone = click.option("--personas", is_flag=True, help="The catalogue's personas instead of the customers.")
    some = click.option("--sample", type=click.IntRange(1), default=1000, show_default=True, help="Customers at most.")
    return everyone(some(function))


@command(group=policies)
@click.argument("before")
@click.argument("after", default="files")
@of_a_population
def diff(workspace: Workspace, before: str, after: str, sample: int, personas: bool) -> Result:
    """Who gains or loses which actions between two releases (hashes, or `files`), and through which gate."""
    from serving import comparing

    return comparing.diff(workspace, before, after, sample, personas=personas)


@command(group=policies)
@click.argument("release", default="files")
@of_a_population
def audit(workspace: Workspace, release: str, sample: int, personas: bool) -> Result:
    """Find rules that never decide, that contradict each other, or that nobody passes."""
    from serving import comparing

    return comparing.audit(workspace, release, sample, personas=personas)


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
@click.option(
    "--retry", "retried", multiple=True, metavar="ID", help="Send this dead letter again; `all` for every one."
)
@click.option("--secret", is_flag=True, help="Show what the receiver checks signatures with.")
def moments(workspace: Workspace, retried: tuple[str, ...], secret: bool) -> Result:
    """Deliveries of moments that were given up, to be looked at or sent again."""
    from serving.moments import dead_letters
    from serving.webhooks import secret_of, shown

    told = dead_letters(workspace, retried)
    return {**told, "secret": shown(secret_of(workspace))} if secret else told


@command()
def serve(workspace: Workspace) -> Result:
    """Answer requests over HTTP until Ctrl-C."""
    from serving.lifecycle import serve_forever

    def say(line: str) -> None:
        click.echo(line, err=True)

    def ready(run: Any) -> None:
        if click.get_current_context().params["as_json"]:
            click.echo(json.dumps({"url": run.url, "pid": run.pid}))
        else:
            say(f"ready: {run.url}/docs")

    return serve_forever(workspace, on_ready=ready, say=say)


@command()
@click.argument("request", type=click.File("rb"), default="-")
def decide(workspace: Workspace, request: Any) -> Result:
    """One decision, asked as over HTTP: a JSON file, or standard input."""
    from serving.offline import decide_once

    return decide_once(workspace, request.read())


@command(name="import")
@click.argument("mapping")
@click.argument("files", nargs=-1, required=True)
@click.option("--separator", default=",", show_default=True, help="Of a CSV file for `brain import profile`.")
def import_(workspace: Workspace, mapping: str, files: tuple[str, ...], separator: str) -> Result:
    """Bring in FILES by MAPPING: `profile`, a recipe's name, or a mapping file."""
    from serving import importing
    from serving.progress import phases

    with phases() as progress:
        if mapping == "profile":
            return importing.import_profile(workspace, Path(files[0]), separator, progress)
        return importing.import_log(workspace, mapping, files, getpass.getuser(), progress)


@command(name="import-signals")
@click.argument("file", type=READABLE)
def import_signals(workspace: Workspace, file: Path) -> Result:
    """Bring in past signals from FILE, Parquet or JSON lines, a CloudEvent a row; if it stops, run it again."""
    from dataclasses import asdict

    from features.importing.signals import import_signals as replay
    from serving import releasing
    from serving.progress import phases

    with releasing.open_ledger(workspace) as ledger, phases() as progress:
        active = ledger.active(workspace.settings.environment)
        if active is None:
            raise Refused(f"nothing is released in {workspace.settings.environment} yet: run `brain release`")
        done = replay(file, ledger.get_release(active), ledger, workspace.data / "imports", progress)
    return asdict(done)


@command()
@click.argument("what", type=click.Choice(["propensity", "risk", "sentiment"]), default="propensity")
@click.option("--outcome", help="What counts as positive; for propensity, by default what each action declares.")
@click.option("--feature", help="Of a risk model: the feature of source `model` that takes its score.")
@click.option("--inputs", help="The features it may read, with commas between; by default all that a model may.")
@click.option("--data", type=READABLE, help="Of sentiment: CSV, Parquet or JSON lines with text, label and language.")
def train(workspace: Workspace, what: str, data: Path | None, **about: str | None) -> Result:
    """Train and register: propensity as challenger, risk with its scores, sentiment where it beats a lexicon."""
    if what != "sentiment":
        if data is not None:
            raise Refused(f"{what} learns from the ledger: leave --data out")
        return _train(workspace, what, **about)
    if data is None or any(about.values()):
        raise Refused("sentiment learns from messages alone: give --data FILE, and none of the other options")
    return _train_sentiment(workspace, data)


def _train_sentiment(workspace: Workspace, data: Path) -> dict[str, Any]:
    from serving.importing import opened
    from serving.progress import phases
    from training import labelled, sentiment
    from training.registry import Registry

    with opened(workspace) as store, phases() as progress:
        messages, registry = labelled.read(data), Registry(workspace.data)
        return sentiment.train(workspace.data, registry, messages, release=store.release.hash, progress=progress)


def _train(
    workspace: Workspace, what: str, outcome: str | None, feature: str | None, inputs: str | None
) -> dict[str, Any]:
    from features.ledger import now_us
    from serving.importing import opened
    from serving.progress import phases
    from training import workflow
    from training.registry import Registry

    names = tuple(inputs.split(",")) if inputs else None
    with opened(workspace) as store, phases() as progress:
        common: dict[str, Any] = {"inputs": names, "now_us": now_us(), "progress": progress}
        about = (workspace.data, store.ledger, store.release, store.history, Registry(workspace.data))
        if what == "propensity":
            return workflow.train(*about, outcome=outcome, **common)
        if not (outcome and feature):
            raise Refused("a risk model needs --outcome and --feature, such as --outcome churned --feature churn_risk")
        return workflow.train_risk(*about, outcome=outcome, feature=feature, **common)


@command()
@click.option("--reward", type=click.Choice(["outcome", "value_eur"]), default="outcome", show_default=True)
@click.option("--outcome", help="What counts as positive; by default what each action declares.")
def evaluate(workspace: Workspace, reward: str, outcome: str | None) -> Result:
    """What the trained policy, the logged one and each constant action are worth, from the log, with intervals."""
    from features.ledger import now_us
    from serving.importing import opened
    from serving.progress import phases
    from training import workflow

    with opened(workspace) as store, phases() as progress:
        about = (store.ledger, store.release, store.history)
        return workflow.evaluate(*about, now_us=now_us(), reward=reward, outcome=outcome, progress=progress)  # type: ignore[arg-type]


@command()
@click.argument("model", default="propensity")
@click.option("--justify", help="Why it may serve although groups fare differently; kept with your name, signed.")
def promote(workspace: Workspace, model: str, justify: str | None) -> Result:
    """Let MODEL serve, in running servers too: a name's challenger (sentiment-en) or a version (7, sentiment-en@2)."""
    name, at, version = ("propensity", "@", model) if model.isdecimal() else model.partition("@")
    if at and not version.isdecimal():
        raise Refused(f"{model} names no model: write a name, a version, or both, such as sentiment-en@2")
    return _promote(workspace, int(version) if at else None, name, justify)


def _promote(workspace: Workspace, version: int | None, name: str, justify: str | None = None) -> dict[str, Any]:
    from features.ledger import now_us
    from training import trials

    with _shop(workspace) as shop:
        shop.log.update(shop.ledger, shop.release, now_us())
        reason = trials.Justification(getpass.getuser(), justify) if justify else None
        about: dict[str, Any] = {"secret": shop.secret, "name": name, "version": version, "justification": reason}
        return trials.promote(shop.log, shop.registry, shop.release, now_us(), **about)


@contextmanager
def _shop(workspace: Workspace) -> Iterator[Any]:
    """What the commands that learn from decisions work on."""
    from serving.importing import opened
    from training.registry import Registry
    from training.retrain import Shop

    with opened(workspace) as store:
        registry = Registry(workspace.data)
        yield Shop(workspace.data, store.ledger, store.release, store.history, registry, workspace.secret())


@command()
@click.argument("version", type=int, required=False)
@click.option("--share", type=float, help="Of decisions that it makes; 0 keeps it in shadow.")
@click.option("--end", is_flag=True, help="The champion decides alone again.")
def trial(workspace: Workspace, version: int | None, share: float | None, end: bool) -> Result:
    """Try a challenger beside the champion, in running servers too; without options, what the trial shows so far."""
    from features.ledger import now_us
    from training import trials

    with _shop(workspace) as shop:
        if end:
            shop.registry.set_trial("propensity", None)
            return {"stage": "ended"}
        if share is not None or version is not None:
            return trials.begin(shop.registry, version, share or 0.0, now_us())
        shop.log.update(shop.ledger, shop.release, now_us())
        verdict, told = trials.assess(shop.log, shop.registry, shop.release, now_us())
        return {**told, "verdict": verdict.action, "why": verdict.why}


@command()
def retrain(workspace: Workspace) -> Result:
    """The next step of learning: export, train, evaluate, try, and promote or ask, as `brain.yaml` says."""
    from features.ledger import now_us
    from serving.progress import phases
    from training.retrain import retrain as step

    wanted = workspace.settings.retrain
    with _shop(workspace) as shop, phases() as progress:
        return step(shop, now_us(), rule=wanted.promote, share=wanted.share, progress=progress)


@command()
@click.argument("customers", type=READABLE)
@click.option("--channel", required=True)
@click.option("--placement", "placements", multiple=True, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Parquet to write.")
@click.option("--batch-id", help="Repeating one gives the decisions already made.")
def batch(
    workspace: Workspace, customers: Path, channel: str, placements: tuple[str, ...], out: Path, batch_id: str | None
) -> Result:
    """Decide for every customer_id of a CSV or Parquet file."""
    from serving import batch as batches

    return batches.run(workspace, customers, out, channel, placements, batch_id=batch_id)


@command()
@click.option("--customers", type=click.IntRange(100, 200_000), default=5000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def simulate(workspace: Workspace, customers: int, seed: int) -> Result:
    """Fill a workspace of the demo operator with generated customers, consents and ninety days of campaign."""
    return _simulate(workspace, customers, seed)


def _simulate(workspace: Workspace, customers: int, seed: int) -> dict[str, Any]:
    from features.ledger import now_us
    from serving.importing import opened
    from serving.progress import phases
    from training.registry import Registry
    from training.simulator import loading, telecom

    world = telecom.generate(seed, customers, now_us())
    with opened(workspace) as store, phases() as progress:
        return loading.load_all(
            world, workspace.data, store.ledger, store.release, store.history, Registry(workspace.data), progress
        )


@command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="By default report.html beside the data.")
@click.option("--pdstools", type=click.Path(file_okay=False, path_type=Path), help="Models and history for pdstools.")
def report(workspace: Workspace, out: Path | None, pdstools: Path | None) -> Result:
    """What was decided and what came of it: control groups, drift, who is served badly; with a page to read."""
    from features.ledger import now_us
    from training import reports

    with _shop(workspace) as shop:
        told = reports.report(shop, now_us(), out or workspace.root / "report.html")
        return {**told, "pdstools": reports.for_pdstools(shop, now_us(), pdstools)} if pdstools else told


@command(workspace=False)
@click.option(
    "--workspace", "folder", type=click.Path(file_okay=False, path_type=Path), default=".demo", show_default=True
)
@click.option("--once", is_flag=True, help="Show the decisions and stop.")
@click.option("--customers", type=click.IntRange(100, 200_000), default=5000, show_default=True)
def demo(folder: Path, once: bool, customers: int) -> Result:
    """A telecom operator in a box: build, train, serve, and show what is decided for five customers."""
    from serving import showing
    from serving.lifecycle import serve_forever
    from training.simulator import telecom

    if not (folder / "brain.yaml").exists():
        _build_demo(folder, customers)
    workspace = Workspace.open(folder)
    cases = [showing.Case(s.story, s.request, s.happenings) for s in telecom.SHOWCASE]

    def show(run: Any) -> None:
        showing.show_decisions(run.url, cases)
        if once:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            showing.show_next(run.url, folder)

    return serve_forever(workspace, on_ready=show, say=lambda line: click.echo(line, err=True))


def _build_demo(folder: Path, customers: int) -> None:
    """Each step as a user would do it: new, release, simulate, train, promote."""
    from serving import releasing
    from training.simulator import telecom

    _step(f"a telecom operator with {customers} generated customers in {folder}/ (nobody of them is real)")
    releasing.new(folder, telecom.catalogue_files())
    workspace = Workspace.open(folder)
    released = releasing.release(workspace, getpass.getuser())
    _step("released {actions} actions, {treatments} treatments, {policies} policies".format(**released))
    told = _simulate(workspace, customers, seed=0)
    _step("imported {contacts} past contacts, {consents} consents; churn model AUC {churn_auc:.3f}".format(**told))
    made = _train(workspace, "propensity", None, None, None)
    _promote(workspace, None, "propensity")
    _step("trained {model} on {rows} contacts: AUC {auc:.3f} on contacts it had not seen".format(**made))


def _step(line: str) -> None:
    click.echo(line, err=True)


@command()
@click.argument("customer_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def export(workspace: Workspace, customer_id: str, out: Path | None) -> Result:
    """Everything that is held about a customer."""
    from serving.offline import export_customer

    return export_customer(workspace, customer_id, out)


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
@click.argument("customer_id")
@click.option("--lift", is_flag=True, help="Use it again.")
def restrict(workspace: Workspace, customer_id: str, lift: bool) -> Result:
    """Keep what is known of a customer and use it for nothing: no decision, score, training or contact."""
    from serving.offline import restrict_customer

    return restrict_customer(workspace, customer_id, restricted=not lift)


@command()
@click.option("--sample", type=click.IntRange(1), help="Recompute this many decisions, spread over all.")
def verify(workspace: Workspace, sample: int | None) -> Result:
    """Check the ledger's checkpoints and chains, and that decisions come out again byte for byte."""
    from serving.offline import verify as verify_all

    found = verify_all(workspace, sample)
    if found["flaws"] or found["different"]:
        first = "; ".join([*found["flaws"][:5], *found["different"][:5]])
        flaws, different = len(found["flaws"]), len(found["different"])
        raise Refused(f"{flaws} flaws in the ledger, {different} decisions that come out differently: {first}")
    return found


if __name__ == "__main__":
    main()
