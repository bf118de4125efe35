"""What a card says of one action, or of one event, as sentences, plots and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from serving.pages.card.calibration import calibration_part
from serving.pages.charts import Bar, bar_chart
from serving.pages.figures import NOTHING, between, bracketed, count, estimate, number, percent, plural, ratio, spaced
from serving.pages.parts import NO_DRAWING, PagePart, Sentence
from serving.pages.tables import TextTable
from serving.pages.wording import Wording

Row = Mapping[str, Any]
_SOURCES: Final = {
    "own": "its own rows",
    "superseded": "the action that it replaces",
    "group": "its group",
    "all": "all actions",
    "earlier": "an earlier version",
    "none": "the prior of no effect",
}
_CALIBRATION: Final = (
    "Rows that the model had not seen, in groups by what was predicted, with two standard errors. "
    "A true prediction is on the line."
)
TAKES: Final = "It takes ten customers of either result."
UNSEEN: Final = "This is the AUC, on customers that the model had not seen."
_ENGLISH: Final = Wording(
    "en",
    {
        "between": "{0}, between {1} and {2}",
        "predicted": "Predicted",
        "happened": "Happened",
        "column-rows": "Rows",
        "column-customers": "Customers",
    },
)
_ADDS: Final = "Adds to the log odds"
_MOVES: Final = "What one standard deviation more of each adds to the log odds, with its 95% interval."


@dataclass(frozen=True, slots=True)
class ActionCard:
    """What the figures of one action rest on; `said` tells whose rows they are of."""

    name: str
    said: str
    sentences: tuple[Sentence, ...]
    limits: tuple[str, ...]
    parts: tuple[PagePart, ...]


def action_card(action: Row) -> ActionCard:
    """Return the part of a card on one action, as a page shows it."""
    return ActionCard(
        action["action"],
        action.get("said", ""),
        tuple(_sentences(action)),
        tuple(action["known_limits"]),
        tuple(_parts(action)),
    )


def ranking_part(actions: Sequence[Row]) -> PagePart | None:
    """Return the plot of how well each action's customers are ranked, the best first; None if nothing is known."""
    known = [(action["action"], action["held_out"]["auc"]) for action in actions]
    order = sorted(((n, auc) for n, auc in known if auc["value"] is not None), key=lambda pair: -pair[1]["value"])
    if not order:
        return None
    bars = [Bar(name, auc["value"], auc["low"], auc["high"]) for name, auc in order]
    title = "How well customers are ranked, by action"
    table = TextTable(title, ("Action", "AUC"), [(name, _known(auc, "")) for name, auc in order])
    text = "AUC on customers that the model had not seen, with its 95% interval: 0.5 is chance, 1 makes no mistake."
    return PagePart(title, table, text, bar_chart(title, bars, ratio, around=0.5))


def evidence_table(actions: Sequence[Row]) -> TextTable:
    """Return what the figures of each action rest on."""
    columns = ("Action", "Rows", "Customers", "Positive", "Rate", "Weights from", "Transparency")
    return TextTable("What each action rests on", columns, [_row(action) for action in actions])


def _row(action: Row) -> tuple[str, ...]:
    counts = (count(action["evidence"][name]) for name in ("rows", "customers", "positives"))
    weights = ", ".join(f"{name} {percent(part, 0)}" for name, part in _weights(action))
    return action["action"], *counts, _known(action["rate"], "share"), weights, str(action["transparency"])


def _known(figure: Row, unit: str) -> str:
    return NOTHING if figure["value"] is None else between(figure["value"], figure["low"], figure["high"], unit)


def _weights(action: Row) -> Iterator[tuple[str, float]]:
    """Yield what determines at least a two-hundredth of the action's weights, the largest share first."""
    yield from sorted(((n, p) for n, p in action["weights_from"].items() if p >= 0.005), key=lambda pair: -pair[1])


def _sentences(action: Row) -> Iterator[Sentence]:
    evidence, rate = action["evidence"], action["rate"]
    if evidence["rows"]:
        yield _ranking(action["held_out"]["auc"])
        share = bracketed(rate["value"], rate["low"], rate["high"], "share")
        counted = f"{count(evidence['positives'])} of {plural(evidence['rows'], 'row')}"
        yield Sentence("", counted, f" of {plural(evidence['customers'], 'customer')} were positive: {share}.")
    sources = [f"{_SOURCES[name]} ({percent(part, 0)})" for name, part in _weights(action)]
    what = ", ".join(sources[:-1])
    yield Sentence("What it has learned comes from ", f"{what} and {sources[-1]}" if what else sources[-1], ".")


def _ranking(auc: Row) -> Sentence:
    if auc["value"] is None:
        return Sentence("", "How well it ranks customers cannot be told yet", f". {TAKES}")
    value, low, high = estimate(auc["value"], auc["low"], auc["high"], "share")
    before = "Of a customer with a positive result and one without, it puts the right one first in "
    return Sentence(before, value, f" of cases (between {low} and {high}); chance is 50%.", UNSEEN)


def _parts(action: Row) -> Iterator[PagePart]:
    if bins := action["reliability"]:
        yield calibration_part("Predicted and happened", _CALIBRATION, bins, _ENGLISH, action["action"])
    if moved := action["moved_by"]:
        limits = [(spaced(m["feature"]), m["adds"], m["low"], m["high"]) for m in moved]
        drawing = bar_chart("What moves it most", [Bar(*limit) for limit in limits], ratio)
        rows = [(name, between(*limit)) for name, *limit in limits]
        yield _part(action, "What moves it most", ("Feature", _ADDS), rows, _MOVES, drawing)
    if split := action["trees_split_on"]:
        rows = [(spaced(s["feature"]), percent(s["share"], 0)) for s in split]
        yield _part(action, "What its trees read", ("Feature", "Share of what trees gain"), rows)
    if treatments := action["treatments"]:
        counted = [(t["treatment"], count(t["rows"]), number(t["adds"], 2)) for t in treatments]
        yield _part(action, "Its treatments", ("Treatment", "Rows", _ADDS), counted)


def _part(
    action: Row,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    text: str = "",
    drawing: Markup = NO_DRAWING,
) -> PagePart:
    return PagePart(title, TextTable(f"{title}: {action['action']}", columns, rows), text, drawing)
