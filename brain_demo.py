"""The commands of the demo: build, train and serve it, and fill a workspace with a generated world."""

import os
import signal
from pathlib import Path
from typing import Any

import click

import brain_learning
from brain_command import KEEPS_ALL, PORT, STOP, Result, check_machine, check_port, command
from serving.access.users import operating_system_user
from serving.settings import CONFIG_NAME, BrainSettings, Workspace

DEMO_MB = 500
"""The room on the disk that the demo needs."""


PLAYED = "what was played is kept; play it again: it begins with new customers"


@command(workspace=False, stopped="what is built so far is kept; run it again: it goes on from there")
@click.option(
    "--workspace", "folder", type=click.Path(file_okay=False, path_type=Path), default=".demo", show_default=True
)
@click.option("--once", is_flag=True, help="Show the decisions and stop.")
@click.option("--customers", type=click.IntRange(100, 200_000), default=5000, show_default=True)
@click.option("--play", is_flag=True, help="Play five conversations into the demo that runs, and say where to look.")
@click.option("--fast", is_flag=True, help="With --play: without pauses to look.")
@PORT
def demo(folder: Path, once: bool, customers: int, play: bool, fast: bool, port: int | None) -> Result:
    """Build, train and serve the workspace of a telecom operator, and show decisions for five customers."""
    if play or fast:
        play_in(folder, is_fast=fast)
        return None
    is_new = not (folder / CONFIG_NAME).exists()
    before = Workspace(folder.resolve(), BrainSettings()) if is_new else Workspace.open(folder)
    check_port(before.at_port(port) if port else before)
    from serving.access.files import read_key_file
    from serving.commands import showing
    from serving.commands.demo import links, people
    from serving.lifecycle import serve_forever
    from training.registry import PROPENSITY, Registry
    from training.simulator import telecom

    check_machine(folder, DEMO_MB)
    if is_new or Registry(before.data).lineup(PROPENSITY).champion is None:
        build(folder, customers)
    STOP.says = None
    workspace = Workspace.open(folder)
    workspace = workspace.at_port(port) if port else workspace
    people.make_people(workspace)
    cases = [showing.Story(s.story, s.request, s.happenings) for s in telecom.SHOWCASE]

    def show(run: Any) -> None:
        showing.show_decisions(run.url, read_key_file(workspace, "admin"), cases)
        if once:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            showing.show_next(run.url, folder, [str(s.customer_id) for s in telecom.SHOWCASE])
            links.show_links(workspace, run.url, folder, telecom.SHOWCASE[0].customer_id)

    return serve_forever(workspace, on_ready=show, say=lambda line: click.echo(line, err=True))


def play_in(folder: Path, *, is_fast: bool) -> None:
    """Play conversations into the demo that runs in a workspace, at the pace of people unless `is_fast`."""
    from time import sleep

    from serving.commands.demo import asking, people
    from serving.commands.demo.play import Play

    STOP.says = PLAYED
    workspace = Workspace.open(folder)
    address = asking.server_address(workspace)
    people.make_people(workspace)
    send, agents = asking.sender(workspace, address), people.agent_ids(workspace)
    Play(send, click.echo, sleep, agents, address, is_fast).run()


def build(folder: Path, customers: int) -> None:
    """Make the demo workspace with the steps of a user, as far as they are not done: new, release, simulate, train."""
    from serving.brain import releasing
    from training.simulator import telecom

    _step(f"a telecom operator with {customers} generated customers in {folder}/ (nobody of them is real)")
    if not (folder / CONFIG_NAME).exists():
        releasing.new(folder, telecom.catalogue_files())
    workspace = Workspace.open(folder)
    released = releasing.release(workspace, operating_system_user())
    _step("released {actions} actions, {treatments} treatments, {policies} policies".format(**released))
    simulated = simulate_in(workspace, customers, seed=0)
    _step("imported {contacts} past contacts, {consents} consents; churn model AUC {churn_auc:.3f}".format(**simulated))
    trained = brain_learning.train_in(workspace, "propensity")
    brain_learning.promote_in(workspace, None, "propensity")
    _step("trained {model} on {rows} contacts: AUC {auc:.3f} on contacts it had not seen".format(**trained))


def _step(line: str) -> None:
    click.echo(line, err=True)


@command(stopped=KEEPS_ALL)
@click.option("--customers", type=click.IntRange(100, 200_000), default=5000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def simulate(workspace: Workspace, customers: int, seed: int) -> Result:
    """Fill a workspace of the demo operator with generated customers, consents and ninety days of campaign."""
    return simulate_in(workspace, customers, seed)


def simulate_in(workspace: Workspace, customers: int, seed: int) -> dict[str, Any]:
    """Fill a workspace of the demo operator with a generated world."""
    from features.ledger import now_us
    from serving.commands.progress import phases
    from training.simulator import loading, telecom

    world = telecom.generate(seed, customers, now_us())
    with brain_learning.learning_context(workspace) as context, phases() as progress:
        return loading.load_all(world, context, progress)
