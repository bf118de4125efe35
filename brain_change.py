"""The command that simulates a change before it is released."""

from pathlib import Path

import click

from brain_command import ONLY_READS, Result, check_folder_of, command
from serving.pages.languages import Language
from serving.settings import Workspace

_NAMES = "The release before: a hash or its beginning, `current`, `files` or a folder. CHANGED takes the same."


@command(name="simulate-change", stopped=ONLY_READS)
@click.argument("changed", default="files")
@click.option("--against", "before", metavar="REV", default="current", show_default=True, help=_NAMES)
@click.option("--sample", type=click.IntRange(1), default=1000, show_default=True, help="The most customers to decide.")
@click.option("--as-of", metavar="TIME", help="The moment of all decisions: 2026-12-01T10:00:00Z; by default now.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="A page to write.")
@click.option("--lang", type=click.Choice(("en", "nl")), default="en", help="The language of the page.")
def simulate_change(
    workspace: Workspace, changed: str, before: str, sample: int, as_of: str | None, page: Path | None, lang: Language
) -> Result:
    """Show what CHANGED, by default the files, does to customers: whose first offer changes, money, help, fairness."""
    check_folder_of(page)
    from serving.commands.offline import open_brain
    from serving.commands.progress import phases
    from serving.commands.releases.simulated_handovers import handovers_of
    from serving.commands.releases.simulating import described, named_pair, simulate, with_gates_in_words, write_page
    from serving.pages.simulation.words import sentences, simulation_wording
    from training.learning.simulated_change import change_figures, per_day

    with open_brain(workspace) as brain, phases() as progress:
        pair = named_pair(brain, before, changed)
        simulated = simulate(brain, pair, as_of, progress, sample)
        figures = with_gates_in_words(simulated, {**described(simulated), **change_figures(simulated.rows)})
        figures["handovers"] = handovers_of(brain, pair, simulated.at_us, per_day)
    figures = {"summary": list(sentences(figures, simulation_wording("en")).values()), **figures}
    if page is not None:
        write_page(workspace, page, simulated, figures, lang)
    return {**figures, "page": None if page is None else str(page)}
