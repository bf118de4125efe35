"""Why the first offer of a customer is another under another release, in one English sentence. Pure."""

from collections.abc import Iterator
from math import isclose

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Computation, Decision
from decisioning.records.kept import KeptPick
from decisioning.review.narrative import gate_in_words, title_of
from decisioning.review.simulated.outcomes import NOTHING, rows_of

LOCALE = "en"
_RULE = {"en": "the rule", "nl": "de regel"}
LONGEST_TITLE = 60
LEVELS = ("eligibility", "applicability", "suitability", "protection")


def titles_of(before: Decision | None, after: Decision | None) -> tuple[str, str]:
    """Return what the first offers say, before and after; `nothing` where there is none."""
    return _first_title(before), _first_title(after)


def cause_of(before: Decision | None, after: Decision | None) -> str:
    """Return why the first offers of two decisions differ, as the end of a sentence that begins with "because".

    The two were made with the same facts, time and draws.
    """
    if before is None or after is None:
        return "one of the releases does not have this place"
    old, new = _first(before), _first(after)
    drawn = any(pick.probability < 1.0 for decision in (before, after) for pick in decision.kept.picks)
    unseen = "the odds of this draw have changed; the draw is the same"
    unseen = unseen if drawn else "something that is placed before it has changed"
    return next(_causes(before.computed, after.computed, old, new), unseen)


def _causes(before: Computation, after: Computation, old: KeptPick | None, new: KeptPick | None) -> Iterator[str]:
    """Yield the causes, the most telling first."""
    if before.mood != after.mood and before.mood.silence_sales != after.mood.silence_sales:
        yield "sales are silenced at this moment" if after.mood.silence_sales else "sales are silenced no longer"
    if old is not None:
        yield from _stopped(before, after, old, "now")
    if new is not None:
        yield from _stopped(after, before, new, "before")
    yield from _revalued(before, after, old, new)


def _stopped(own: Computation, other: Computation, pick: KeptPick, when: str) -> Iterator[str]:
    """Yield why the other release does not let through what a release offers."""
    title, action = _name(own, pick.row), own.view.actions[pick.row].id
    rows = other.view.rows_by_action.get(action, ())
    if not rows:
        yield f"{title} is not in the release any more" if when == "now" else f"{title} is new"
    elif not any(other.screened.permitted[row] for row in rows):
        gate = next((w.gate for w in other.screened.withheld if w.treatment.partition(".")[0] == action), None)
        reason = "no place shows it" if gate is None else f"{gate_for_company(other.release, gate)} ({gate})"
        yield f"{title} is stopped now: {reason}" if when == "now" else f"{title} was stopped before: {reason}"


def _revalued(before: Computation, after: Computation, old: KeptPick | None, new: KeptPick | None) -> Iterator[str]:
    """Yield what one of the two offers is worth now, and what changed it."""
    for own, other, pick in ((after, before, new), (before, after, old)):
        if pick is None:
            continue
        row = rows_of(other.view).get(own.view.ids[pick.row])
        if row is None:
            continue
        rows = (row, pick.row) if own is after else (pick.row, row)
        changes = list(_changed(before, after, *rows))
        if changes:
            yield f"{_name(own, pick.row)} {_worth(before, after, *rows)}: {', '.join(changes)}"


def _worth(before: Computation, after: Computation, was: int, now: int) -> str:
    priority = [float(c.ranking.field.priority[i]) for c, i in ((before, was), (after, now))]
    return f"is worth {_eur(priority[1])} in the ranking instead of {_eur(priority[0])}"


def _changed(before: Computation, after: Computation, was: int, now: int) -> Iterator[str]:
    """Yield the factors of a candidate's priority that differ: `was` and `now` are its rows."""
    one, other = before.screened.worth, after.screened.worth
    pairs = (
        ("its chance of success", _likely(before, was), _likely(after, now), _percent),
        ("its value", one.value_eur.item(was), other.value_eur.item(now), _eur),
        ("its cost", one.cost_eur.item(was), other.cost_eur.item(now), _eur),
        ("its context weight", one.weight.item(was), other.weight.item(now), _factor),
        ("its lever", one.lever.item(was), other.lever.item(now), _factor),
    )
    for name, first, second, words in pairs:
        if not isclose(first, second, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{name} went from {words(first)} to {words(second)}"
    if not np.array_equal(before.view.tier[was], after.view.tier[now]):
        yield "its tier is another"


def _likely(computed: Computation, row: int) -> float:
    """Return what a candidate's priority is computed from, 0 if it was not scored."""
    at = int(computed.screened.rows.searchsorted(row))
    scored = at < len(computed.screened.rows) and computed.screened.rows[at] == row
    return float(computed.scores.ranking[at]) if scored else 0.0


def gate_for_company(release: Release, gate: str, locale: str = LOCALE) -> str:
    """Return a gate in words; by its name where the catalogue does not describe it."""
    kind, _, name = gate.partition(":")
    words, undescribed = (gate_in_words(release, named, locale) for named in (gate, f"{kind}:"))
    return f"{_RULE[locale]} {name}" if words == undescribed and kind in LEVELS else words


def _first(decision: Decision) -> KeptPick | None:
    return next(iter(decision.kept.offers), None)


def _first_title(decision: Decision | None) -> str:
    pick = None if decision is None else _first(decision)
    return NOTHING if decision is None or pick is None else _name(decision.computed, pick.row)


def _name(computed: Computation, row: int) -> str:
    """Return the title of a candidate, or the words of its action's id if it begins with a whole message."""
    title = title_of(computed, row, LOCALE)
    return title if len(title) <= LONGEST_TITLE else computed.view.actions[row].id.replace("-", " ")


def _eur(amount: float) -> str:
    return f"€{amount:,.2f}"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _factor(factor: float) -> str:
    return f"{factor:g}"
