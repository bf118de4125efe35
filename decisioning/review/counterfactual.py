"""What the customer could change to get another first offer: one change, else two, found by deciding again.

Only facts that the catalogue calls `changeable` change, and consents, which the customer can always give and withdraw.
Everything else stays as it was: the time, the draws, the release, and what a model derived from other facts. Every
counterfactual was decided with these changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from typing import Any

from decisioning.catalogue.actions import PROFILING
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Computation, Decision
from decisioning.facts.forms import Known, Scorer
from decisioning.facts.schema import Feature, Value
from decisioning.facts.standing import Consent, ConsentStatus
from decisioning.review.replaying import decide_as, recomputed

MAX_TRIES = 300
"""The most decisions that are made again; a customer waits for the answer."""
_GIVING, _WITHDRAWING = 2.0, 3.0
"""The sizes of a consent given or withdrawn, larger than that of any fact."""


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
    """The changes, the action that was offered first (`was`) and the one that would be; None stands for no offer."""

    changes: tuple[Change, ...]
    was: str | None
    becomes: str | None


def counterfactual(record: dict[str, Any], known: Known, release: Release, score: Scorer) -> Counterfactual | None:
    """Return the smallest change, else pair of changes, that gives the recorded decision another first offer.

    Among single changes, one that leaves no offer at all comes last, because it tells the customer least. None if there
    is none, and if `score` no longer gives what was decided.

    :param score: the scorer of the model that the decision names, for facts that were not scored yet
    """
    was = first_offer(decide_as(record, known, release, score))
    if was != _first(record["answer"]):
        return None
    least: Counterfactual | None = None
    for changes in islice(_candidate_changes(recomputed(record, known, release)), MAX_TRIES):
        if least is not None and len(changes) > 1:
            break
        becomes = first_offer(decide_as(record, applied(changes, record, known, release), release, score))
        if becomes not in (was, None):
            return Counterfactual(changes, was, becomes)
        if becomes != was and least is None:
            least = Counterfactual(changes, was, becomes)
    return least


def applied(changes: tuple[Change, ...], record: dict[str, Any], known: Known, release: Release) -> Known:
    """Return what would be known if the customer had made these changes before the decision."""
    facts = {**known.facts, **{c.name: c.becomes for c in changes if not c.consent}}
    statuses = {c.name: "granted" if c.becomes else "withdrawn" for c in changes if c.consent}
    channel, at_us = record["request"]["channel"], record["decided_us"]
    others = (c for c in known.person.consents if not (c.purpose in statuses and c.channel == channel))
    changed = (_consent(release, name, channel, status, at_us) for name, status in statuses.items())
    return replace(known, facts=facts, person=replace(known.person, consents=(*others, *changed)))


def first_offer(decision: Decision) -> str | None:
    """Return the action of the first offer, in the order of the request's placements, or None if there is no offer."""
    return _first(decision.answer)


def _first(answer: dict[str, Any]) -> str | None:
    return next((str(o["action"]) for p in answer["placements"] for o in p["offers"]), None)


def _consent(release: Release, purpose: str, channel: str, status: str, at_us: int) -> Consent:
    given: ConsentStatus = "granted" if status == "granted" else "withdrawn"
    notice = release.purposes[purpose].notice_version
    return Consent(purpose, channel, given, "counterfactual", notice, at_us, None, record=0)


def _candidate_changes(computed: Computation) -> Iterator[tuple[Change, ...]]:
    """Yield single changes by size, then pairs by the sum of their sizes; ties by name."""
    singles = sorted(chain(_of_facts(computed), _of_consents(computed)), key=_by_size)
    pairs = [(a, b) for a, b in combinations(singles, 2) if a.name != b.name]
    yield from ((change,) for change in singles)
    yield from sorted(pairs, key=lambda p: (p[0].size + p[1].size, _by_size(p[0]), _by_size(p[1])))


def _by_size(change: Change) -> tuple[float, str, str]:
    return change.size, change.name, str(change.becomes)


def _of_facts(computed: Computation) -> Iterator[Change]:
    for feature in computed.release.schema.features.values():
        was = computed.facts.get(feature.name)
        if was is None:  # what is not known was not changed from anything
            continue
        for value in feature.choices:
            if value != was:
                yield Change(feature.name, was, value, _size(feature, was, value))


def _size(feature: Feature, was: Value, becomes: Value) -> float:
    """Return 1 for another text; for a number, its move as a share of the largest possible one."""
    if isinstance(becomes, bool | str) or not isinstance(was, int | float):
        return 1.0
    every = [float(was), *(float(v) for v in feature.choices)]
    return abs(float(becomes) - float(was)) / (max(every) - min(every))


def _of_consents(computed: Computation) -> Iterator[Change]:
    """Yield every purpose that candidates need, except those with a legal obligation, which no refusal changes."""
    view, settled = computed.view, _settled(computed.release, computed.case.ask.channel)
    for purpose in sorted({PROFILING, *(p for p, _ in view.purposes)} & computed.release.purposes.keys() - settled):
        allowed = computed.screened.permissions[purpose].allowed
        yield Change(purpose, allowed, not allowed, _WITHDRAWING if allowed else _GIVING, consent=True)


def _settled(release: Release, channel: str) -> set[str]:
    return {b.purpose for b in release.catalogue.bases if b.basis == "legal-obligation" and channel in b.channels}
