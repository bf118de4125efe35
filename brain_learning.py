"""The commands that learn and watch: train, evaluate, promote, trial, retrain, report."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from brain_command import ONLY_READS, READABLE, WITHOUT_APPROVAL, Result, check_folder_of, command, table_options
from decisioning.errors import Refused
from serving.access.users import operating_system_user
from serving.pages.languages import Language
from serving.settings import Workspace

if TYPE_CHECKING:  # commands import what they need, so that `brain --help` is fast
    from decisioning.catalogue.release import Release
    from features.ledger import Ledger
    from features.profile.offline import History
    from training.learning.context import LearningContext


@command(stopped="nothing was registered: a model is kept once it is whole; run it again")
@click.argument("what", type=click.Choice(["propensity", "risk", "sentiment", "messages"]), default="propensity")
@click.option("--outcome", help="What counts as positive; for propensity, by default what each action declares.")
@click.option("--feature", help="For risk: the feature of source `model` that gets the score.")
@click.option("--inputs", help="The features that the model may read, separated by commas; by default all.")
@click.option(
    "--tune-seconds", type=click.FloatRange(1), help="For propensity: how long to look for better settings first."
)
@click.option("--data", type=READABLE, help="For sentiment and messages: a table with text, label, language.")
@click.option("--customers", type=READABLE, help="For risk, with --scores: a table with a column customer_id.")
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, path_type=Path),
    help="For risk: a Parquet file to write the scores of --customers to.",
)
@table_options
def train(workspace: Workspace, what: str, data: Path | None, table: dict[str, Any], **options: Any) -> Result:
    """Train and register: propensity, risk with its scores, sentiment of messages, or what is heard in messages."""
    customers, scores = options.pop("customers"), options.pop("scores")
    if what != "risk" and (customers or scores):
        raise Refused("models of risk alone score every customer: leave --customers and --scores out")
    if (customers is None) != (scores is None):
        raise Refused("--scores needs --customers, a table with a column customer_id, and the other way round")
    check_folder_of(scores)
    if what not in _FROM_MESSAGES:
        if data is not None or any(table.values()):
            raise Refused(f"{what} learns from the ledger: leave --data out, and what states how it is written")
        return train_in(workspace, what, files=(customers, scores) if customers and scores else None, **options)
    if data is None or any(options.values()):
        raise Refused(f"{what} learns from messages alone: give --data FILE, and none of the other options")
    return _FROM_MESSAGES[what](workspace, data, table)


@contextmanager
def learning_context(workspace: Workspace, reason: str = "") -> "Iterator[LearningContext]":
    """Open what the commands that learn work on; `reason` is why approval of a model is gone round.

    Raises Refused if nothing has been released yet.
    """
    from serving.commands.importing import open_stores

    with open_stores(workspace) as (ledger, release, history):
        yield _context(workspace, ledger, release, history, reason)


def _context(
    workspace: Workspace, ledger: "Ledger", release: "Release", history: "History", reason: str = ""
) -> "LearningContext":
    from features.approvals.door import Door
    from training.learning.context import LearningContext, TrialRules
    from training.registry import Registry

    settings = workspace.settings.retrain
    rules = TrialRules(settings.reward, settings.worthwhile_gain, settings.longest_days)
    registry = Registry(workspace.data)
    door = Door(ledger, workspace.settings.environment, operating_system_user(), reason)
    return LearningContext(workspace.data, ledger, release, history, registry, workspace.secret(), rules, door=door)


def _train_sentiment(workspace: Workspace, file: Path, table: dict[str, Any]) -> dict[str, Any]:
    from features.importing.opening import Stated
    from features.ledger import now_us
    from features.messages.hearing.corrections import mood_of
    from serving.commands.progress import phases
    from serving.events.corrected_messages import corrected_messages
    from training.learning import sentiment
    from training.rows import message_data

    with learning_context(workspace) as context, phases() as progress:
        corrected = corrected_messages(context.ledger, context.release, now_us(), mood_of)
        messages = message_data.read_messages(file, Stated(**table))
        data = messages.with_corrected(corrected.by_language(), corrected.only_counted)
        return sentiment.train(context, data, now_us(), progress)


def _train_hearing(workspace: Workspace, file: Path, table: dict[str, Any]) -> dict[str, Any]:
    from features.importing.opening import Stated
    from features.ledger import now_us
    from features.messages.hearing.corrections import label_of
    from serving.commands.progress import phases
    from serving.events.corrected_messages import corrected_messages
    from training.learning.messages import hearing

    with learning_context(workspace) as context, phases() as progress:
        corrected = corrected_messages(context.ledger, context.release, now_us(), label_of)
        own = hearing.read_own(file, Stated(**table)).with_corrected(corrected.labels, corrected.only_counted)
        return hearing.train(context, own, now_us(), progress)


_FROM_MESSAGES = {"sentiment": _train_sentiment, "messages": _train_hearing}


def train_in(
    workspace: Workspace,
    what: str,
    outcome: str | None = None,
    feature: str | None = None,
    inputs: str | None = None,
    tune_seconds: float | None = None,
    files: tuple[Path, Path] | None = None,
) -> dict[str, Any]:
    """Train a propensity or a risk model in a workspace, as the options of `brain train` say.

    :param files: the table of customers whose scores are wanted, and the file to write them to
    """
    if what == "risk":
        _check_risk(outcome, feature, tune_seconds)
    from features.ledger import now_us
    from serving.commands.progress import phases
    from training.learning import workflow

    names = tuple(inputs.split(",")) if inputs else None
    with learning_context(workspace) as context, phases() as progress:
        options: dict[str, Any] = {"inputs": names, "now_us": now_us(), "progress": progress}
        if what == "propensity":
            return workflow.train(context, outcome=outcome, tune_s=tune_seconds, **options)
        assert outcome is not None
        assert feature is not None
        trained = workflow.train_risk(context, outcome=outcome, feature=feature, **options)
        if files is None:
            return trained
        from serving.commands.scores import write_scores_of

        return trained | write_scores_of(workspace, feature, files, partial(_scores_of, context, feature))


def _check_risk(outcome: str | None, feature: str | None, tune_seconds: float | None) -> None:
    """Raise Refused if the options of `brain train risk` do not go together."""
    if tune_seconds is not None:
        raise Refused("propensity models alone are tuned: leave --tune-seconds out")
    if not (outcome and feature):
        raise Refused("a risk model needs --outcome and --feature, such as --outcome churned --feature churn_risk")


def _scores_of(context: "LearningContext", feature: str, ids: Sequence[str]) -> list[float | None]:
    """Return the scores of customers as they are now, None for those who have none."""
    from features.ledger import now_us
    from training.fitting.scoring import current_scores

    streams = [context.ledger.stream_of("person", id_) for id_ in ids]
    scores = current_scores(feature, streams, context.ledger, context.release, context.history, now_us())
    return [scores.get(stream) for stream in streams]


@command(stopped=ONLY_READS)
@click.option("--reward", type=click.Choice(["outcome", "value_eur"]), default="outcome", show_default=True)
@click.option("--outcome", help="What counts as positive; by default what each action declares.")
@click.option(
    "--against", "other", metavar="RELEASE", help="Evaluate another release (a hash), or `files` before their release."
)
def evaluate(workspace: Workspace, reward: str, outcome: str | None, other: str | None) -> Result:
    """Estimate what the trained policy, the logged one and each constant action earn, with intervals."""
    if other is not None:
        return _evaluate_release(workspace, other, reward, outcome)
    from features.ledger import now_us
    from serving.commands.progress import phases
    from training.learning import workflow

    with learning_context(workspace) as context, phases() as progress:
        return workflow.evaluate(context, now_us=now_us(), reward=reward, outcome=outcome, progress=progress)  # type: ignore[arg-type]


def _evaluate_release(workspace: Workspace, name: str, reward: str, outcome: str | None) -> dict[str, Any]:
    from features.ledger import now_us
    from features.profile.offline import History
    from serving.commands.offline import open_brain
    from serving.commands.progress import phases
    from serving.commands.releases.naming import release_named
    from training.learning.release_evaluation import ReleaseQuestion, evaluate_release

    with open_brain(workspace) as brain, phases() as progress:
        other, snapshot = release_named(brain, name), brain.snapshot

        def scorer_of(model: str) -> Any:
            return brain.model_of(other, model).score

        question = ReleaseQuestion(other, scorer_of, reward, outcome)  # type: ignore[arg-type]
        context = _context(workspace, brain.ledger, snapshot.release, History(snapshot.profiles))
        return evaluate_release(context, question, now_us=now_us(), progress=progress)


@command()
@click.argument("model", default="propensity")
@click.option(
    "--justify", help="Why it may serve against its verdict or for unequal groups; kept, signed, with your name."
)
@WITHOUT_APPROVAL
def promote(workspace: Workspace, model: str, justify: str | None, reason: str) -> Result:
    """Let MODEL serve, in running servers too: a name's challenger (sentiment-en) or a version (7, sentiment-en@2)."""
    name, at, version = ("propensity", "@", model) if model.isdecimal() else model.partition("@")
    if at and not version.isdecimal():
        raise Refused(f"{model} names no model: write a name, a version, or both, such as sentiment-en@2")
    return promote_in(workspace, int(version) if at else None, name, justify, reason)


def promote_in(
    workspace: Workspace, version: int | None, name: str, justify: str | None = None, reason: str = ""
) -> dict[str, Any]:
    """Promote a version in a workspace, by default the challenger; `justify` is kept with the user's name.

    A risk model then scores every customer, as after its training. `reason`: why approval is gone round.
    """
    from features.ledger import now_us
    from training.learning.promotion import Justification, promote
    from training.learning.workflow import write_champions_scores

    who, at_us = operating_system_user().name, now_us()
    with learning_context(workspace, reason) as context:
        signed = Justification(who, justify.strip()) if justify and justify.strip() else None
        promoted = promote(context, at_us, name=name, version=version, justification=signed)
        return {**promoted, **write_champions_scores(context, name, at_us)}


@command(stopped=ONLY_READS)
@click.argument("action", required=False)
@click.option("--version", type=int, help="By default the champion, else the challenger.")
@click.option("--model", "name", help="A model such as churn-risk; by default propensity.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A page to write the card to, as HTML.")
def card(workspace: Workspace, action: str | None, version: int | None, name: str | None, out: Path | None) -> Result:
    """Show what a model's propensities rest on: evidence, what they borrow, held-out figures and known limits."""
    from serving.pages.card.page import write_card
    from training.learning import report
    from training.registry import Registry
    from training.reporting import cards

    shown = report.card_of(Registry(workspace.data), version, action, name)
    page = {} if out is None else {"page": str(write_card(out, shown))}
    if action is not None or click.get_current_context().params["as_json"]:
        return {**shown, **page}
    return {**shown, "actions": cards.overview(shown), **page}


@command()
@click.argument("version", type=int, required=False)
@click.option(
    "--share", type=click.FloatRange(0, 0.9), help="The share of decisions that it makes; 0 keeps it in shadow."
)
@click.option("--end", is_flag=True, help="End the trial: the champion decides alone again.")
@click.option("--guard", is_flag=True, help="Only end the trial if it does harm; `brain serve` runs this.")
@WITHOUT_APPROVAL
def trial(
    workspace: Workspace, version: int | None, share: float | None, end: bool, guard: bool, reason: str
) -> Result:
    """Try a challenger beside the champion, in running servers too; without options, show the trial so far."""
    from features.ledger import now_us
    from training.learning import retrain, trials
    from training.registry import PROPENSITY

    with learning_context(workspace, reason) as context:
        if guard:
            return retrain.guard(context, now_us())
        if end:
            context.registry.set_trial("propensity", None)
            return {"stage": "ended"}
        if share is not None or version is not None:
            permit = partial(context.permit, PROPENSITY)
            return trials.begin(context.registry, version, share or 0.0, now_us(), permit)
        context.updated_log(now_us())
        verdict, summary = trials.assess(context, now_us())
        return {**summary, "verdict": verdict.action, "why": verdict.why}


@command(stopped="nothing was registered: a model is kept once it is whole; run it again")
def retrain(workspace: Workspace) -> Result:
    """Take the next step of learning: train, evaluate and try a model, then promote it or ask, as `brain.yaml` says."""
    from features.ledger import now_us
    from serving.commands.progress import phases
    from training.learning.retrain import retrain as step

    settings = workspace.settings.retrain
    with learning_context(workspace) as context, phases() as progress:
        return step(context, now_us(), rule=settings.promote, share=settings.share, progress=progress)


@command(stopped=ONLY_READS)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page to write; by default report.html in the workspace.",
)
@click.option(
    "--pdstools",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder to write models and history for pdstools to.",
)
@click.option("--lang", type=click.Choice(("en", "nl")), default="en", help="The language of the page.")
def report(workspace: Workspace, out: Path | None, pdstools: Path | None, lang: Language) -> Result:
    """Report what was decided and what came of it, such as control groups and drift, and write a page."""
    from features.ledger import now_us
    from serving.pages.report.kept import keep_report
    from serving.pages.report.page import first_screen, write_page
    from training.learning import report

    with learning_context(workspace) as context:
        sections = report.report(context, now_us())
        more: dict[str, Any] = {"pdstools": report.for_pdstools(context, now_us(), pdstools)} if pdstools else {}
    keep_report(workspace, sections)
    page = str(write_page(out or workspace.root / "report.html", sections, lang))
    return {"page": page, "first_screen": first_screen(sections), **sections, **more}
