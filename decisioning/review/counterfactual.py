"""What the customer could change for another first offer: one change, else two, found by deciding again.

Only facts that the catalogue calls `changeable`, and consents, which are always the customer's to give and to withdraw.
Everything else stays as it was: the time, the draws, the release, and what a model made of other facts. Whatever is
given as a counterfactual was decided so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Any

from decisioning.catalogue.actions import PROFILING
from decisioning.catalogue.release import Release
from decisioning.deciding.engine import decide_as, recomputed
from decisioning.deciding.record import Run
from decisioning.facts.forms import Decision, Known, Scorer
from decisioning.facts.schema import Feature, Value
from decisioning.facts.standing import Consent, ConsentStatus

MAX_TRIES = 300
"""Decisions made again at most; a customer waits for the answer."""
_GIVING, _WITHDRAWING = 2.0, 3.0
"""Sizes of a consent given or withdrawn, larger than that of any fact."""


@dataclass(frozen=True, slots=True)
class Change:
    """A fact from one value to another, or a consent given or withdrawn; `size` is in (0, 1] for a fact."""

    name: str
    was: Value | None
    becomes: Value
    size: float
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The changes, and the action that is then offered first, None for no offer; `was`: the one that is."""

    changes: tuple[Change, ...]
    was: str | None
    becomes: str | None


def counterfactual(record: dict[str, Any], known: Known, release: Release, score: Scorer) -> Counterfactual | None:
    """The smallest change, else pair of changes, with which the recorded decision has another first offer.

    Among single changes one that leaves no offer at all comes last, as it tells the customer least. None where none
    was found, and where `score` no longer gives what was decided.

    :param score: of the model that the decision names, for facts that nobody was scored with yet
    """
    was = first_offer(decide_as(record, known, release, score))
    if was != _first(record["answer"]):
        return None
    least: Counterfactual | None = None
    for changes in islice(_tried(recomputed(record, known, release)), MAX_TRIES):
        if least is not None and len(changes) > 1:
            break
        becomes = first_offer(decide_as(record, applied(changes, record, known, release), release, score))
        if becomes not in (was, None):
            return Counterfactual(changes, was, becomes)
        if becomes != was and least is None:
            least = Counterfactual(changes, was, becomes)
    return least


def applied(changes: tuple[Change, ...], record: dict[str, Any], known: Known, release: Release) -> Known:
    """What would be known, had the customer made these changes before the decision."""
    facts = {**known.facts, **{c.name: c.becomes for c in changes if not c.consent}}
    said = {c.name: "granted" if c.becomes else "withdrawn" for c in changes if c.consent}
    channel, at_us = record["request"]["channel"], record["decided_us"]
    kept = (c for c in known.person.consents if not (c.purpose in said and c.channel == channel))
    told = (_word(release, name, channel, status, at_us) for name, status in said.items())
    return replace(known, facts=facts, person=replace(known.person, consents=(*kept, *told)))


def first_offer(decision: Decision) -> str | None:
    """The action of the first offer, in the order of the request's placements; None where nothing is offered."""
    return _first(decision.answer)


def _first(answer: dict[str, Any]) -> str | None:
    return next((str(o["action"]) for p in answer["placements"] for o in p["offers"]), None)


def _word(release: Release, purpose: str, channel: str, status: str, at_us: int) -> Consent:
    given: ConsentStatus = "granted" if status == "granted" else "withdrawn"
    notice = release.purposes[purpose].notice_version
    return Consent(purpose, channel, given, "counterfactual", notice, at_us, None, record=0)


def _tried(run: Run) -> Iterator[tuple[Change, ...]]:
    """Single changes by size, then pairs by the sum of theirs; ties by name."""
    singles = sorted(chain(_of_facts(run), _of_consents(run)), key=_by_size)
    pairs = [(a, b) for a, b in combinations(singles, 2) if a.name != b.name]
    yield from ((change,) for change in singles)
    yield from sorted(pairs, key=lambda p: (p[0].size + p[1].size, _by_size(p[0]), _by_size(p[1])))


def _by_size(change: Change) -> tuple[float, str, str]:
    return change.size, change.name, str(change.becomes)


def _of_facts(run: Run) -> Iterator[Change]:
    for feature in run.release.schema.features.values():
        was = run.facts.get(feature.name)
        if was is None:  # what is not known was not changed from anything
            continue
        for value in feature.choices:
            if value != was:
                yield Change(feature.name, was, value, _size(feature, was, value))


def _size(feature: Feature, was: Value, becomes: Value) -> float:
    """1 for another word; of a number the part that it moves of all that it could."""
    if isinstance(becomes, bool | str) or not isinstance(was, int | float):
        return 1.0
    every = [float(was), *(float(v) for v in feature.choices)]
    return abs(float(becomes) - float(was)) / (max(every) - min(every))


def _of_consents(run: Run) -> Iterator[Change]:
    """Every purpose that candidates need, but what the law has us say: a refusal is weaker than nothing else."""
    view, settled = run.screened.view, _settled(run.release, run.ask.channel)
    for purpose in sorted({PROFILING, *(p for p, _ in view.purposes)} & run.release.purposes.keys() - settled):
        allowed = run.screened.permissions[purpose].allowed
        yield Change(purpose, allowed, not allowed, _WITHDRAWING if allowed else _GIVING, consent=True)


def _settled(release: Release, channel: str) -> set[str]:
    return {b.purpose for b in release.catalogue.bases if b.basis == "legal-obligation" and channel in b.channels}
