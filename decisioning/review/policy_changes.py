"""What a change of policies does to a population, and what is wrong with the policies of a release. Pure.

Gains and losses are counted by screening everybody under both releases, so they are exactly what would be decided. The
truth of a single rule is computed for all customers at once, in columns.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import Mask
from decisioning.deciding.arms import NBA
from decisioning.deciding.case import facts_for
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known
from decisioning.review.catalogue_changes import Move
from decisioning.rules import Columns, Rule, columns_of, compile_rule, never_true

ABSENT = "release:absent"
"""Stands for the gate of an action that a release does not have on a channel."""


@dataclass(frozen=True)
class SampledCustomer:
    """A customer of the population: a name to show, the requests made for them, and what is known of them."""

    name: str
    asks: tuple[Ask, ...]
    known: Known


@dataclass(frozen=True)
class Moved:
    """How many customers gain (or lose) an action, by the gate that stopped it before (or stops it now)."""

    action: str
    gate: str
    gained: bool
    customers: int
    examples: tuple[str, ...]


def moves_of(
    before: Release, after: Release, members: Iterable[SampledCustomer], now_us: int
) -> dict[Move, dict[str, None]]:
    """Return (action, gate, gained) -> the names of those who gain or lose it so, on any channel of their requests."""
    moved: dict[Move, dict[str, None]] = defaultdict(dict)
    for member in members:
        for key in _moves(before, after, member, now_us):
            moved[key][member.name] = None
    return moved


def compared(moves: Mapping[Move, Mapping[str, None]], examples: int = 3) -> list[Moved]:
    """Return how many gain or lose which actions, most customers first."""
    rows = [Moved(a, gate, g, len(who), tuple(islice(who, examples))) for (a, gate, g), who in moves.items()]
    return sorted(rows, key=lambda m: (-m.customers, m.action, m.gate, m.gained))


def _moves(before: Release, after: Release, member: SampledCustomer, now_us: int) -> Iterator[Move]:
    """Yield (action, gate, gained) of one customer, channel by channel."""
    for ask in member.asks:
        was, now = (_gates(ask, member.known, release, now_us) for release in (before, after))
        for action in sorted(was.keys() | now.keys()):
            one, other = was.get(action, ABSENT), now.get(action, ABSENT)
            if (one is None) != (other is None):
                yield action, one or other or ABSENT, other is None


def _gates(ask: Ask, known: Known, release: Release, now_us: int) -> dict[str, str | None]:
    """Return action -> None if one of its treatments passes, else the gate that stopped the first of them."""
    if ask.channel not in release.channels:
        return {}
    known_here = release.channels[ask.channel].placements
    placements = tuple(p for p in ask.placements if p.name in known_here)
    if not placements:
        return {}
    asked = ask.model_copy(update={"placements": placements})
    screened = screened_for(asked, known, release, now_us=now_us, arm=NBA)
    gates: dict[str, str | None] = {}
    for stopped in screened.withheld:
        gates.setdefault(stopped.treatment.partition(".")[0], stopped.gate)
    return gates | dict.fromkeys((screened.view.actions[i].id for i in np.flatnonzero(screened.permitted)), None)


@dataclass(frozen=True)
class Ruled:
    """One rule of the catalogue: whether it permits or denies, and the actions that it is about."""

    id: str
    rule: Rule
    deny: bool
    actions: tuple[str, ...]

    @property
    def passing(self) -> str:
        """The condition under which an action passes, as a rule; UNKNOWN is left aside."""
        return f"!({self.rule.text})" if self.deny else f"({self.rule.text})"


@dataclass(frozen=True)
class Finding:
    """A problem of these gates, and why: `what` is `dead`, `shadowed`, `nobody-passes` or `contradiction`."""

    what: str
    gates: tuple[str, ...]
    why: str


def ruled(release: Release) -> tuple[Ruled, ...]:
    """Return every protection and policy that is about some action."""
    catalogue, rules = release.catalogue, []
    for protection in catalogue.protections:
        about = _ids(release, lambda a: a.sells_or_lends)
        rules.append(Ruled(f"protection:{protection.id}", release.rule(protection.when), True, about))
    for policy in catalogue.policies:
        about = _ids(release, policy.attach.covers)
        rules.append(Ruled(f"{policy.level}:{policy.id}", release.rule(policy.rule), policy.deny is not None, about))
    return tuple(r for r in rules if r.actions)


def _ids(release: Release, test: Callable[[Action], bool]) -> tuple[str, ...]:
    return tuple(name for name, action in release.actions.items() if test(action))


def contradictions(release: Release) -> list[Finding]:
    """Return pairs of rules about a common action that never both pass.

    They are found by interval analysis, so they hold for every customer and not only for a sample.
    """
    features, findings = release.schema.features, []
    for one, other in combinations(ruled(release), 2):
        shared = [a for a in one.actions if a in other.actions]
        if not shared or one.rule.reads.isdisjoint(other.rule.reads):
            continue
        why = never_true(compile_rule(f"{one.passing} && {other.passing}", features), features)
        if why is not None:
            findings.append(Finding("contradiction", (one.id, other.id), f"about {', '.join(shared)}: {why}"))
    return findings


def audited(release: Release, everyone: Sequence[Known], ask: Ask, now_us: int) -> list[Finding]:
    """Return the rules that stop nobody in a population, stop nobody alone, or let nobody pass.

    Rules that read what only a request has (a page, a channel) are left out, because a population has no requests.
    """
    rules = [r for r in ruled(release) if not r.rule.reads & _of_requests(release)]
    if not everyone or not rules:
        return []
    facts = [facts_for(ask, known, release, now_us) for known in everyone]
    columns = columns_of(facts, release.schema.features.values())
    passes = {r.id: _passing(r, release, everyone, columns, now_us) for r in rules}
    stopping: dict[str, list[str]] = {a: [r.id for r in rules if a in r.actions] for a in release.actions}
    none = np.zeros(len(facts), dtype=np.int64)
    failed = {a: np.sum([none, *(~passes[r][a] for r in ids)], axis=0) for a, ids in stopping.items()}
    return [finding for r in rules if (finding := _judged(r, passes[r.id], failed)) is not None]


def _judged(rule: Ruled, passes: Mapping[str, Mask], failed: Mapping[str, NDArray[np.int64]]) -> Finding | None:
    stopped = sum(int((~passed).sum()) for passed in passes.values())
    alone = sum(int((~passed & (failed[action] == 1)).sum()) for action, passed in passes.items())
    n = next(iter(passes.values())).size
    if not stopped:
        return Finding("dead", (rule.id,), f"stops none of {n} customers")
    if stopped == n * len(passes):
        return Finding("nobody-passes", (rule.id,), f"none of {n} customers passes")
    if not alone:
        return Finding("shadowed", (rule.id,), "whomever it stops, another rule stops, too")
    return None


def _passing(
    rule: Ruled, release: Release, everyone: Sequence[Known], columns: Columns, now_us: int
) -> dict[str, Mask]:
    """Return action -> bool (n,), who passes the rule; the same for every action unless the rule reads its own."""
    n = len(everyone)

    def history(action: str, outcome: str, window_us: int) -> NDArray[np.float64]:
        return np.asarray([k.person.history(action, outcome, now_us - window_us) for k in everyone], dtype=np.float64)

    def passing(action: str | None) -> Mask:
        truth = rule.rule.truth_column(columns, n, history, action)
        return truth.false if rule.deny else truth.true

    if rule.rule.per_action:
        return {action: passing(action) for action in rule.actions}
    return dict.fromkeys(rule.actions, passing(None))


def _of_requests(release: Release) -> frozenset[str]:
    return frozenset(f.name for f in release.schema.features.values() if f.source == "context" and f.name != "now")


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """Return kind of finding -> how many there are."""
    return dict(sorted(Counter(f.what for f in findings).items()))
