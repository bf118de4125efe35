"""Training rows from the ledger alone: imported observations and our own decisions, once their windows have closed."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa

from decisioning.catalogue import read, unpack
from decisioning.release import Release
from decisioning.schema import Facts, FeatureSchema
from decisioning.standing import Contact, ContactState
from features.ledger import Ledger, Record
from features.ledger.standing import RETRACTED
from features.matrix import Columns, FeatureMatrix, columns_from_table, columns_of
from features.views import TIME
from training.frame import Bools, Floats, TrainingSet

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.offline import History

NONE = "none"
"""The action of leaving the customer alone."""
KINDS = ("observation", "decision", "contact", "outcome", "flag")
Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what); in all is 0 where nobody knows yet."""

_PAGE = 5_000
_EVER_US = 2**62
_STATES: Mapping[str, int] = {state: rank for rank, state in enumerate(get_args(ContactState))}
_NO_CHOICE = frozenset({"no_candidates", "all_withheld", "no_room", "silenced"})


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`rows`, and which of its actions could have been taken in each: `permitted` (n, k).

    All of them where nobody recorded it, as in imported observations.
    """

    rows: TrainingSet
    permitted: Bools


@dataclass(frozen=True, slots=True)
class _Row:
    """One thing that was done, or left undone. `served`: the facts of the decision; else `context` over the history."""

    stream: str
    at_us: int
    id: str
    action: str
    treatment: str
    probability: float
    served: Facts | None
    context: Facts
    permitted: frozenset[str] | None
    told: frozenset[str] | None
    contact: Contact | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    stream: str
    id: str | None
    action: str
    name: str
    at_us: int
    value_eur: float


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What counts as the positive outcome of each action, and until when."""

    release: Release
    outcome: str | None

    def positive(self, action: str) -> frozenset[str]:
        """Names of its positive outcomes; of doing nothing, those of every action."""
        if self.outcome is not None:
            return frozenset({self.outcome})
        known = self.release.actions.values() if action == NONE else (self.release.actions[action],)
        return frozenset(name for a in known for name in a.outcomes.positive)

    def window_us(self, action: str) -> int:
        """How long its outcome is waited for; after doing nothing, as long as for any action."""
        if action != NONE:
            return self.release.actions[action].outcomes.window_us
        return max((a.outcomes.window_us for a in self.release.actions.values()), default=0)

    def labelled(self, row: _Row) -> bool:
        """Whether the row's source could say if the outcome came."""
        if row.action != NONE and row.action not in self.release.actions:
            return False
        if row.told is not None:
            return not row.told.isdisjoint(self.positive(row.action))
        return (
            self.outcome is None or row.action == NONE or self.outcome in self.release.actions[row.action].outcomes.all
        )


def build(
    ledger: Ledger,
    release: Release,
    history: "History",
    now_us: int,
    *,
    outcome: str | None = None,
    idle: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Rows of the actions of `release` (and `none`), sorted by time, whatever the order of the ledger.

    A contact that was not delivered, or not seen where its channel counts on that, has no label and gives no row.

    :param outcome: the label is this outcome, instead of any positive one of the action
    :param idle: with a row for each slot that a decision left empty though it had a choice: it earned nothing. For
        the value of policies; what a customer does when left alone is learned from observations only
    """
    log = _read(ledger, idle=idle, progress=progress)
    wanted = _Wanted(release, outcome)
    rows = [r for r in log.rows() if wanted.labelled(r) and r.at_us + wanted.window_us(r.action) <= now_us]
    rows.sort(key=lambda r: (r.at_us, r.stream, r.id))
    label, value_eur = _labels(rows, log.happened(), wanted)
    x = _features(rows, release.schema, history, progress)
    actions = tuple(sorted({r.action for r in rows}))
    treatments = tuple(tuple(sorted({r.treatment for r in rows if r.action == a and r.treatment})) for a in actions)
    code = {a: n for n, a in enumerate(actions)}
    data = TrainingSet(
        x=x,
        feature_names=FeatureMatrix(release.schema).names,
        actions=actions,
        groups=tuple(NONE if a == NONE else release.actions[a].group for a in actions),
        treatments=treatments,
        action=np.array([code[r.action] for r in rows], dtype=np.int64),
        treatment=np.array([_position(treatments[code[r.action]], r.treatment) for r in rows], dtype=np.int64),
        label=label,
        probability=np.array([r.probability for r in rows], dtype=np.float64),
        value_eur=value_eur,
        at_us=np.array([r.at_us for r in rows], dtype=np.int64),
    )
    return Dataset(data, _permitted(rows, actions))


def _position(known: tuple[str, ...], name: str) -> int:
    return known.index(name) if name else -1


def _permitted(rows: Sequence[_Row], actions: tuple[str, ...]) -> Bools:
    all_of_them = np.ones(len(actions), dtype=np.bool_)
    masks = {r.permitted: np.array([a in r.permitted for a in actions]) for r in rows if r.permitted is not None}
    found = [all_of_them if r.permitted is None else masks[r.permitted] for r in rows]
    return np.array(found, dtype=np.bool_).reshape(len(rows), len(actions))


def _labels(rows: Sequence[_Row], outcomes: Iterable[_Outcome], wanted: _Wanted) -> tuple[Bools, Floats]:
    """Whether the positive outcome came within the window, and what it was worth: both (n,)."""
    label, value_eur = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows))
    finder = _Finder(rows)
    for told in outcomes:
        row = finder.row_of(told)
        if row is None or told.name not in wanted.positive(rows[row].action):
            continue
        if 0 <= told.at_us - rows[row].at_us <= wanted.window_us(rows[row].action):
            label[row] = True
            value_eur[row] += told.value_eur
    return label, value_eur


class _Finder:
    """Which row an outcome belongs to: the contact it names, else the last one of its action before it."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self.by_id = {(r.stream, r.id): n for n, r in enumerate(rows)}
        self.by_action: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for n, r in enumerate(rows):  # in order of time
            self.by_action[r.stream, r.action].append((r.at_us, n))

    def row_of(self, told: _Outcome) -> int | None:
        if told.id is not None:
            return self.by_id.get((told.stream, told.id))
        known = self.by_action.get((told.stream, told.action), [])
        before = bisect_right(known, (told.at_us, len(self.by_id)))
        return known[before - 1][1] if before else None


def _features(rows: Sequence[_Row], schema: FeatureSchema, history: "History", progress: Progress | None) -> Floats:
    """(n, f): facts as served for decisions; for observations, what was known of the customer at their time."""
    matrix = FeatureMatrix(schema)
    x = np.full((len(rows), len(matrix.names)), np.nan)
    served = np.array([r.served is not None for r in rows], dtype=np.bool_)
    if served.any():
        facts = [r.served for r in rows if r.served is not None]
        x[served] = matrix.rows(columns_of(facts, schema), len(facts))
    observed = [r for r in rows if r.served is None]
    if observed:
        if progress:
            progress(0, len(observed), "features")
        x[~served] = matrix.rows(_as_known(observed, schema, history), len(observed))
        if progress:
            progress(len(observed), len(observed), "features")
    return x


def _as_known(rows: Sequence[_Row], schema: FeatureSchema, history: "History") -> Columns:
    """Columns of the history at each row's time, and over them what the observation itself says."""
    times = pa.array([r.at_us for r in rows], pa.int64()).cast(TIME)
    entities = pa.table({"subject": pa.array([r.stream for r in rows], pa.string()), "event_timestamp": times})
    columns = dict(columns_from_table(history.point_in_time(entities), schema))
    said = sorted({name for r in rows for name in r.context if name in schema})
    own = columns_of([r.context for r in rows], FeatureSchema(tuple(schema[name] for name in said)))
    for name in said:
        has = np.array([name in r.context for r in rows], dtype=np.bool_)
        columns[name] = np.where(has, own[name], columns[name]) if name in columns else own[name]
    return columns


@dataclass
class _Log:
    """What the ledger says, by record."""

    ledger: Ledger
    idle: bool
    found: dict[tuple[str, str], _Row] = field(default_factory=dict)
    states: dict[str, ContactState] = field(default_factory=dict)
    outcomes: list[_Outcome] = field(default_factory=list)
    corrected: Counter[_Outcome] = field(default_factory=Counter)
    restricted: dict[str, tuple[int, bool]] = field(default_factory=dict)
    _actions: dict[str, tuple[tuple[str, frozenset[str]], ...]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """One record; what an erased subject left behind says nothing, what an account repeats is not said twice."""
        body = record.body
        if body is None or body.get("scope") == "account":
            return
        if record.kind == "observation":
            self._observation(record, body)
        elif record.kind == "decision":
            self._decision(record, body)
        elif record.kind == "flag":
            told, known = (record.occurred_us, bool(body["restricted"])), self.restricted.get(record.stream)
            self.restricted[record.stream] = max(told, known or told)
        elif record.kind == "contact":
            known = self.states.get(body["offer_id"], body["state"])
            self.states[body["offer_id"]] = max(known, body["state"], key=_STATES.__getitem__)
        else:
            self._told(record, body)

    def _told(self, record: Record, body: dict[str, Any]) -> None:
        if body["outcome"] != RETRACTED:
            self.outcomes.append(
                _outcome_of(record.stream, body, body.get("offer_id"), body["action"], record.occurred_us)
            )
        if wrong := body.get("corrects"):
            told = _outcome_of(record.stream, wrong, wrong["offer_id"], wrong["action"], wrong["occurred_us"])
            self.corrected[told] += 1

    def happened(self) -> list[_Outcome]:
        """The outcomes, but for those that were corrected."""
        return list((Counter(self.outcomes) - self.corrected).elements())

    def rows(self) -> list[_Row]:
        """Everything that was done and got far enough to have an answer, but for who is restricted now."""
        silent = {stream for stream, (_, restricted) in self.restricted.items() if restricted}
        rows = (r for r in self.found.values() if r.stream not in silent)
        return [r for r in rows if r.contact is None or self._reached(r.contact)]

    def _reached(self, contact: Contact) -> bool:
        fields = {name: getattr(contact, name) for name in Contact.__slots__}
        state = self.states.get(contact.offer_id, "reserved")
        return Contact(**{**fields, "state": state}).counts_at(_EVER_US)

    def _add(self, row: _Row) -> None:
        """Of two with the same name, the earlier."""
        known = self.found.setdefault((row.stream, row.id), row)
        if row.at_us < known.at_us:
            self.found[row.stream, row.id] = row

    def _observation(self, record: Record, body: dict[str, Any]) -> None:
        name = body.get("observation_id") or f"observed-{record.seq}"
        told = body.get("told")
        self._add(
            _Row(
                stream=record.stream,
                at_us=record.occurred_us,
                id=name,
                action=body["action"],
                treatment=_short(body.get("treatment")),
                probability=_number(body.get("probability")),
                served=None,
                context=body.get("facts") or {},
                permitted=None,
                told=frozenset(told) if told is not None else None,
            )
        )
        for outcome in body.get("outcomes") or ():
            at_us = outcome.get("occurred_us") or record.occurred_us
            self.outcomes.append(_outcome_of(record.stream, outcome, name, body["action"], at_us))

    def _decision(self, record: Record, body: dict[str, Any]) -> None:
        contacts = iter(body["contacts"])
        reasons = {p["name"]: p["empty_reason"] for p in body["answer"]["placements"]}
        for n, pick in enumerate(body["picks"]):
            shown = pick["treatment"] is not None
            contact = Contact(**next(contacts)) if shown else None
            if shown or (self.idle and reasons.get(pick["placement"]) not in _NO_CHOICE):
                self._add(self._pick(record, body, pick, contact, n))

    def _pick(
        self, record: Record, body: dict[str, Any], pick: dict[str, Any], contact: Contact | None, n: int
    ) -> _Row:
        return _Row(
            stream=record.stream,
            at_us=body["decided_us"],
            id=contact.offer_id if contact else f"{body['decision_id']}.nothing.{n}",
            action=contact.action if contact else NONE,
            treatment=_short(contact.treatment) if contact else "",
            probability=_number(pick["probability"]),
            served=body["facts"],
            context={},
            permitted=self._could(body, pick["placement"]) if self.idle else None,
            told=None,
            contact=contact,
        )

    def _could(self, body: dict[str, Any], placement: str) -> frozenset[str]:
        """The actions that passed every filter and can go there; doing nothing always can."""
        known = self._candidates(body["release"])
        scored = (known[c] for c in body["scores"]["candidates"])
        return frozenset({NONE, *(action for action, placements in scored if placement in placements)})

    def _candidates(self, digest: str) -> tuple[tuple[str, frozenset[str]], ...]:
        """(action, placements) of every candidate of the release that decided."""
        if digest not in self._actions:
            release = Release(read(unpack(self.ledger.get_release(digest))), digest)
            self._actions[digest] = tuple((a.id, frozenset(t.placements)) for a, t in release.candidates)
        return self._actions[digest]


def _read(ledger: Ledger, *, idle: bool, progress: Progress | None) -> _Log:
    log, after, done = _Log(ledger, idle), 0, 0
    while page := ledger.scan(KINDS, after, _PAGE):
        for record in page:
            log.take(record)
        after, done = page[-1].seq, done + len(page)
        if progress:
            progress(done, 0, "ledger")
    return log


def _outcome_of(stream: str, body: Mapping[str, Any], name: str | None, action: str, at_us: int) -> _Outcome:
    value = body.get("value_eur")
    return _Outcome(stream, name, action, body["outcome"], at_us, 0.0 if value is None else value)


def _short(treatment: str | None) -> str:
    """A treatment's id within its action."""
    return (treatment or "").rpartition(".")[2]


def _number(probability: float | None) -> float:
    return float("nan") if probability is None else float(probability)
