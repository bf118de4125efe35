"""Choices from the log of decisions, for the value of policies: what each slot could have got, and what came of it.

Choices are selected by when they were made, never by what was drawn or by what happened: all that were drawn, once the
longest window of all has closed. An offer that did not reach the customer earned nothing. What a slot could have got
follows from deciding again from the record: an action that an earlier slot took, or that had no room, is not among it.
Of a decision that cannot be made again, or in which an action could be shown that is gone, no slot is used.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.catalogue.release import Release
from decisioning.review.what_if import logged_odds
from decisioning.times import DAY_US
from features.decisions.log import DecisionLog, Progress
from features.decisions.parsing import NOTHING
from features.ledger import Ledger, Record
from features.ledger.as_of_decision import KnownAtDecisions, decisions_by_seq, is_erased
from training.fitting.terms import terms_of
from training.model.frame import Bools, Floats, Ints, TrainingSet
from training.rows.columns import bools, floats, unit_codes
from training.rows.logged import ReleaseOf, to_training_set, with_nothing

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History

MOST_DECISIONS = 20_000
"""Decisions that are made again, at most: each takes a few milliseconds."""
_DRAWN = """
SELECT * EXCLUDE (_label, _value_eur, _odds), coalesce(_succeeded, false) AS _label,
  coalesce(_earned_eur, 0.0) AS _value_eur,
  _source = 'observation' AND _told IS NOT NULL
    AND bool_or(_label IS NULL) OVER (PARTITION BY _source, _told) AS _untold,
  _source = 'observation' AND bool_or(_action NOT IN ({actions})) OVER (
    PARTITION BY _source, _channel, _at_us // {day_us}) AS _beside_gone
FROM log JOIN units USING (_stream) WHERE _at_us + {longest_us} <= {now_us} ORDER BY _at_us, _stream, _id
"""
_OPEN = """
SELECT count(DISTINCT coalesce(_decision, _id)) AS n FROM log WHERE _at_us + {longest_us} > {now_us}
"""
_GONE = "action gone"
_Slots = dict[int, dict[tuple[str, int], int]]
"""Number of a decision in the ledger -> placement and rank -> the row of the slot."""


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """n choices over k actions by d decisions, which actions could have been taken in each, and whose they are.

    `rows`: a decision's choices follow each other in the order of its slots; the probability is that of the action.
    `permitted` (n, k): what the slot could get, given the picks before. `decision` (n,): the number of the decision,
    from 0 on without gaps. `unit` (n,): codes of the customers, as the log's view `units` has them.
    `left_out`: how many decisions were left out, by reason.
    """

    rows: TrainingSet
    permitted: Bools
    decision: Ints
    unit: Ints
    left_out: Mapping[str, int]

    @classmethod
    def single(cls, rows: TrainingSet) -> "Choices":
        """Return rows as one decision each, each of another customer, in which every action could be chosen."""
        each = np.arange(len(rows))
        return cls(rows, np.ones((len(rows), len(rows.actions)), dtype=np.bool_), each, each, {})

    @property
    def decisions(self) -> int:
        """The number of decisions."""
        return int(self.decision[-1]) + 1 if len(self.decision) else 0

    @property
    def customers(self) -> int:
        """The number of customers."""
        return len(np.unique(self.unit))

    @property
    def unit_of_decision(self) -> Ints:
        """The customers of the decisions, (d,)."""
        return self.unit[np.flatnonzero(np.diff(self.decision, prepend=-1))]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Every slot and observation whose windows have closed, of actions that the release has, in order of time.

    `rows` and `table`, with the columns of the log, run parallel. `unit` (n,): codes of the customers, from 0 on in the
    order in which they come. `left_out`: how many decisions and observations were left out, by reason.
    """

    rows: TrainingSet
    table: pa.Table
    unit: Ints
    left_out: Counter[str]


def drawn_rows(
    log: DecisionLog,
    release: Release,
    history: "History",
    release_of: ReleaseOf,
    now_us: int,
    outcome: str | None = None,
) -> Drawn:
    """Return what was drawn, whatever came of it. The log is taken as it was last updated.

    Of imported observations, those whose source does not tell the outcomes of all that it offered are left out, and
    those of a channel and day on which an action was offered that is gone.

    :param outcome: counts as success, instead of any positive outcome of the action
    """
    actions = sorted({*release.actions, NOTHING})
    longest_us = max((a.outcomes.window_us for a in release.with_superseded.values()), default=0)
    named = ", ".join(f"'{action}'" for action in actions)
    times = {"longest_us": longest_us, "now_us": now_us, "day_us": DAY_US, "actions": named}
    table = log.query(_DRAWN.format(**times), release, outcome)
    left_out = Counter({"window still open": int(log.query(_OPEN.format(**times), release)["n"][0].as_py())})
    decision = pc.coalesce(table["_decision"], table["_id"])
    for reason, unusable in _unusable(table):
        left_out[reason] += len(pc.unique(decision.filter(pa.array(unusable))))
    kept = ~np.logical_or.reduce([unusable for _, unusable in _unusable(table)])
    decided = pc.unique(decision.filter(pa.array(kept)))
    kept &= np.asarray(pc.is_in(table["_action"], value_set=pa.array(actions, pa.string())))
    table = table.filter(pa.array(kept))
    left_out[_GONE] += len(decided) - len(pc.unique(decision.filter(pa.array(kept))))
    rows = with_nothing(to_training_set(table, release, history, release_of))
    rows = replace(rows, terms=terms_of(release, rows.actions))
    return Drawn(rows, table, unit_codes(table["_customer"]), +left_out)


def _unusable(table: pa.Table) -> list[tuple[str, Bools]]:
    """Return which rows tell nothing about policies, (n,), by reason."""
    is_gone, is_untold = bools(table["_beside_gone"]), bools(table["_untold"])
    observed = np.asarray(pc.equal(table["_source"], "observation"), dtype=np.bool_)
    unlogged = observed & np.isnan(floats(table["_probability"]))
    if unlogged.sum() == observed.sum():  # of a log without probabilities, evaluations say that they need them
        unlogged[:] = False
    return [
        ("control group", np.asarray(pc.equal(table["_arm"], "holdout"), dtype=np.bool_)),
        ("imported beside an action that is gone", is_gone),
        ("imported without the outcomes of all actions", is_untold & ~is_gone),
        ("imported without its probability", unlogged & ~is_untold & ~is_gone),
    ]


def open_choices(
    drawn: Drawn,
    which: Bools,
    ledger: Ledger,
    release: Release,
    release_of: ReleaseOf,
    progress: Progress | None = None,
) -> Choices:
    """Return the drawn rows of a mask (n,) with what each slot could have got, by deciding again from the records.

    Decisions come first, by their number in the ledger, then observations. Decisions in which nothing was left to
    chance are left out: every policy would decide them alike.
    """
    slates = _Slates(drawn.rows.actions)
    slots, left_out = _slots(drawn.table, which), Counter(drawn.left_out)
    numbers = sorted(slots)[-MOST_DECISIONS:]
    left_out["older than the latest that are made again"] += len(slots) - len(numbers)
    known, again = KnownAtDecisions(ledger), _Again(set(release.actions), release_of)
    for n, record in enumerate(decisions_by_seq(ledger, set(numbers))):
        if progress:
            progress(n, len(numbers), "deciding again")
        odds = again.odds(record, known)
        reason = odds if isinstance(odds, str) else slates.add(record.body or {}, odds, slots[record.seq])
        left_out.update([reason] if reason else [])
    observed = np.flatnonzero(which & np.asarray(pc.equal(drawn.table["_source"], "observation"), dtype=np.bool_))
    return slates.choices(drawn, observed, +left_out)


def _slots(table: pa.Table, which: Bools) -> _Slots:
    slots: _Slots = defaultdict(dict)
    columns = (table[name].to_pylist() for name in ("_source", "_seq", "_placement", "_rank"))
    for row, (source, seq, placement, rank) in enumerate(zip(*columns, strict=True)):
        if which[row] and source == "decision":
            slots[seq][placement, rank] = row
    return slots


class _Again:
    """Decides again from records; `actions` are those that there are now."""

    def __init__(self, actions: Set[str], release_of: ReleaseOf) -> None:
        self._actions, self._release_of = actions, release_of

    def odds(self, record: Record, known: KnownAtDecisions) -> list[dict[str, float]] | str:
        """Return per pick what its slot could get, as `logged_odds` does, or why the decision is left out."""
        body = record.body
        if body is None:
            return "erased"
        release = self._release_of(body["release"])
        if any(release.candidates[c][0].id not in self._actions for c in body["scores"]["candidates"]):
            return _GONE
        then = known.known(record.stream, body, release.standing_rules)
        return "erased" if is_erased(then) else logged_odds(body, then, release)


class _Slates:
    """Collects the slots of decisions that were made again."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._code = {action: n for n, action in enumerate(actions)}
        self._rows: list[int] = []
        self._decision: list[int] = []
        self._odds: list[Floats] = []

    def add(self, body: Mapping[str, Any], odds: Sequence[Mapping[str, float]], slots: Mapping[Any, int]) -> str | None:
        """Add a decision's slots; return why it is left out, if it is."""
        places = [(pick["placement"], pick["rank"]) for pick in body["picks"]]
        if any(place not in slots for place in places):
            return "not in the log"
        if all(len(of_slot) == 1 for of_slot in odds):
            return "nothing was left to chance"
        number = self._decision[-1] + 1 if self._decision else 0
        for place, of_slot in zip(places, odds, strict=True):
            chances = np.zeros(len(self._code))
            for action, chance in of_slot.items():
                if action in self._code:
                    chances[self._code[action]] = chance
            self._rows.append(slots[place])
            self._decision.append(number)
            self._odds.append(chances)
        return None

    def choices(self, drawn: Drawn, observed: Ints, left_out: Mapping[str, int]) -> Choices:
        """Return all slots, followed by observations, of which every action of their channel could be chosen."""
        decided, first = np.array(self._rows, dtype=np.int64), self._decision[-1] + 1 if self._decision else 0
        at = np.concatenate((decided, observed))
        odds = np.array(self._odds).reshape(len(decided), len(self._code))
        rows = drawn.rows.take(at)
        probability = rows.probability.copy()
        probability[: len(decided)] = odds[np.arange(len(decided)), rows.action[: len(decided)]]
        permitted = np.vstack((odds > 0.0, _offered_on_channel(drawn, observed)))
        decision = np.concatenate((np.array(self._decision, dtype=np.int64), first + np.arange(len(observed))))
        return Choices(replace(rows, probability=probability), permitted, decision, drawn.unit[at], left_out)


def _offered_on_channel(drawn: Drawn, observed: Ints) -> Bools:
    """Return the actions that some observation of the same channel took, (len(observed), k)."""
    channel = drawn.table["_channel"].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    source = np.asarray(pc.equal(drawn.table["_source"], "observation"), dtype=np.bool_)
    result = np.zeros((len(observed), len(drawn.rows.actions)), dtype=np.bool_)
    for code in np.unique(channel[observed]).tolist():
        offered = np.unique(drawn.rows.action[source & (channel == code)])
        result[np.ix_(channel[observed] == code, offered)] = True
    return result
