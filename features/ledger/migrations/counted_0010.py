"""What `ledger_0010` makes of a stream's records: the rules and layouts of that time, whatever the code does later."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from struct import Struct
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

_HEADER = Struct("<BBIqqI")
_ERASED, _RESTRICTED = 1, 2
_NEVER_US, _FOREVER_US = -(2**62), 2**62
_HORIZON_US = 800 * 86_400_000_000
_LEAD_US = 5_000_000 - 1
_STRICTNESS = {"granted": 0, "refused": 1, "withdrawn": 2, "objected": 3}
_STATES = ("reserved", "expired", "not_delivered", "delivered", "seen", "pitched")
_IDENTITY = ("action", "outcome", "offer_id", "value_eur", "occurred_us")
KINDS = ("consent", "link", "unlink", "linked_to", "flag", "outcome", "observation", "contact")
"""The kinds of records that are read."""
Outcome = tuple[str, str, int, str]
"""Action, outcome, time, and [offer_id, value_eur] as JSON."""
Mark = tuple[str, int]


class Told(NamedTuple):
    """One record: when it was told to have happened, when it was recorded, and its body."""

    version: int
    kind: str
    occurred_us: int
    at_us: int
    body: Mapping[str, Any]

    @property
    def counted_us(self) -> int:
        """When it counts."""
        return min(self.occurred_us, self.at_us)


class Made(NamedTuple):
    """What the records of one stream amount to.

    `outcomes`: how often each happened. `marks`: offer -> contact states that were told. `moved`: offer -> time, of
    contacts that were observed later than they were recorded.
    """

    standing: bytes
    outcomes: Mapping[Outcome, int]
    marks: Mapping[str, tuple[Mark, ...]]
    moved: Mapping[str, int]


def is_erased(standing: bytes) -> bool:
    """Tell whether a standing is that of an erased subject."""
    return bool(standing[1] & _ERASED)


def made_of(records: Sequence[Told], latest_us: int, standing: bytes, outcomes: Mapping[Outcome, int]) -> Made:
    """Return what the records amount to.

    What the standing holds of the past stays if nothing of the past has changed, else it is made by the next append.

    :param latest_us: the newest time that counts of any record of the stream
    :param outcomes: what the table has
    :raises KeyError, TypeError, ValueError, AttributeError: a body is not what its kind has
    """
    own, moved = outcomes_of(records), _moved(records)
    _, _, number, before_us, _, length = _HEADER.unpack_from(standing)
    held = standing[_HEADER.size : _HEADER.size + length]
    _, times, _, _, other = from_json(standing[_HEADER.size + length :])
    since_us = latest_us - _HORIZON_US
    if own != outcomes or moved or before_us != latest_us or any(at_us < since_us for _, _, at_us, _ in own):
        number, held, times, other = 0, b"", {}, []
    restricted_us, restricted = max(
        ((r.counted_us, bool(r.body["restricted"])) for r in records if r.kind == "flag"), default=(_NEVER_US, False)
    )
    rest = [_columns(_consents(records)), times, _columns(_links(records)), _holder(records), other]
    header = _HEADER.pack(4, _RESTRICTED * restricted, number, latest_us, restricted_us, len(held))
    return Made(header + held + to_json(rest), own, _marks(records), moved)


def _consents(records: Iterable[Told]) -> list[tuple[Any, ...]]:
    """Return the consents that hold, a row each, in order of purpose and channel."""
    by_key: dict[tuple[str, str], tuple[Any, ...]] = {}
    for r in records:
        if r.kind == "consent":
            b = r.body
            about, told = (b["purpose"], b["channel"]), (b["status"], b["source"], b["notice_version"])
            row = (*about, *told, r.counted_us, b.get("expires_us"), r.version, b.get("asserted_by"))
            by_key[about] = max(by_key.get(about, row), row, key=_consent_order)
    return [by_key[key] for key in sorted(by_key)]


def _consent_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    _, _, status, source, notice, at_us, expires_us, _, asserted_by = row
    lead_us = 0 if status == "granted" else _LEAD_US
    ends_us = _FOREVER_US if expires_us is None else expires_us
    return at_us + lead_us, _STRICTNESS[status], -ends_us, source, notice, asserted_by or ""


def _links(records: Iterable[Told]) -> list[tuple[Any, ...]]:
    """Return the words about visitors that hold, a row each, in order of visitor."""
    by_visitor: dict[str, tuple[Any, ...]] = {}
    for r in records:
        if r.kind in ("link", "unlink"):
            row = (r.body["visitor"], r.body["kind"], r.body["source"], r.counted_us, r.kind == "link")
            by_visitor[row[0]] = max(by_visitor.get(row[0], row), row, key=_link_order)
    return [by_visitor[visitor] for visitor in sorted(by_visitor)]


def _link_order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    _, kind, source, at_us, linked = row
    return at_us + (0 if linked else _LEAD_US), not linked, kind, source


def _holder(records: Iterable[Told]) -> list[Any] | None:
    """Return the last word about whose visitor it is; of two of the same time, the one that was recorded later."""
    holder: list[Any] | None = None
    for r in records:
        if r.kind == "linked_to" and (holder is None or holder[1] <= r.counted_us):
            holder = [r.body["person"], r.counted_us, bool(r.body["linked"])]
    return holder


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def outcomes_of(records: Iterable[Told]) -> dict[Outcome, int]:
    """Return how often each outcome happened; below 0: only corrections of it are recorded."""
    counts: Counter[Outcome] = Counter()
    moved: dict[tuple[Any, ...], int] = {}
    for r in records:
        if r.kind == "observation":
            offer_id = _observation_id(r)
            for o in r.body.get("outcomes", ()):
                at_us = min(o.get("occurred_us") or r.occurred_us, r.at_us)
                counts[_outcome({**o, "action": r.body["action"], "offer_id": offer_id}, at_us)] += 1
        elif r.kind == "outcome":
            if r.body["outcome"] != "retracted":
                counts[_outcome(r.body, r.counted_us)] += 1
                moved[_identity({**r.body, "occurred_us": r.occurred_us})] = r.counted_us
            if wrong := r.body.get("corrects"):
                counts[_outcome(wrong, moved.get(_identity(wrong), wrong["occurred_us"]))] -= 1
    return {outcome: times for outcome, times in counts.items() if times}


def _outcome(body: Mapping[str, Any], at_us: int) -> Outcome:
    value = body.get("value_eur")
    detail = to_json([body.get("offer_id"), None if value is None else float(value) + 0.0]).decode()
    return body["action"], body["outcome"], at_us, detail


def _identity(outcome: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(outcome.get(name) for name in _IDENTITY)


def _observation_id(r: Told) -> str:
    return r.body.get("observation_id") or "observed-" + sha256(to_json([r.body, r.occurred_us])).hexdigest()[:24]


def _moved(records: Iterable[Told]) -> dict[str, int]:
    observed = (r for r in records if r.kind == "observation" and r.occurred_us > r.at_us)
    return {_observation_id(r): r.at_us for r in observed if r.body["action"] != "none"}


def _marks(records: Iterable[Told]) -> dict[str, tuple[Mark, ...]]:
    """Return what was told of contacts whose decision may not be recorded yet: those that no other exceeds."""
    told: dict[str, set[Mark]] = {}
    for r in records:
        if r.kind == "contact":
            if r.body.get("corrects"):  # nothing was told ahead any more when these came
                return {}
            told.setdefault(r.body["offer_id"], set()).add((r.body["state"], r.counted_us))
    return {offer: tuple(sorted(filter(partial(_stands_out, marks), marks))) for offer, marks in told.items()}


def _stands_out(marks: Iterable[Mark], mark: Mark) -> bool:
    rank: Callable[[str], int] = _STATES.index
    return not any(m != mark and rank(m[0]) >= rank(mark[0]) and m[1] >= mark[1] for m in marks)
