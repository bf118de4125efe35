"""Record what customers did about offers and actions, and how far contacts got.

An `outcome_id` means one thing told. The same content under it is a repeat. Other content of the same subject corrects
everything that the earlier one touched, on the person's stream and on the account's. Another subject is refused. How
far a contact got and what the customer then did about the offer do not contradict each other: under one id, `accepted`
after `seen` adds to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, select

from decisioning.catalogue.actions import Action
from decisioning.errors import Conflict, Erased, NotFound, OutOfScope, RequestError, ToldOfAnother, Unavailable
from decisioning.facts.standing_rules import NO_PAST
from decisioning.nearest import did_you_mean
from features.handovers.concessions import Answered, DecidedOffer, answer_entries
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.past.changes import RETRACTED
from features.ledger.tables import RECORDS
from serving.access.callers import Maker, marked
from serving.brain.repeats import decision_of_offer
from serving.brain.runtime import Brain
from serving.contract import OutcomeIn, told_time
from serving.customers.items import ItemResult
from serving.problems import ERASED

PROGRESS: Final = ("delivered", "seen", "pitched")
"""How far a contact got, the furthest last. An outcome of an offer says that it was seen, too."""
CONTACT_STATES: Final = (*PROGRESS, "not_delivered", "expired")
"""Outcomes that report how far a contact got; every action has them."""
_CORRECTABLE: Final = ("action", "outcome", "offer_id", "value_eur")
"""The fields of an outcome that a correction may change, beside its time."""
_ATTEMPTS: Final = 20
"""How often it is tried again because something else was told under the same id, or erased, at the same time."""
_DECISIONS: Final = 50
"""How many of a customer's last decisions may name the account of an outcome that names none."""
_LAST_DECISIONS: Final = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == "decision", RECORDS.c.body.is_not(None))
    .order_by(RECORDS.c.version.desc())
    .limit(_DECISIONS)
)


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing that was told: `name` is a contact state, an outcome or `retracted`.

    `body`: what the person's record says. `account`: the stream of the account that it concerns, too. `is_outcome`:
    whether the action declares it, so that it is more than a contact state. `offer`: the offer, of what is told now.
    """

    person: str
    account: str | None
    at_us: int
    name: str
    body: Mapping[str, Any]
    is_outcome: bool
    offer: DecidedOffer | None = None

    @property
    def told_us(self) -> int:
        """The time that was told with it; it counts at `at_us`, which is not later than its recording."""
        return int(self.body.get("told_us", self.at_us))

    @property
    def offer_id(self) -> str | None:
        """The offer that it is about, if it names one."""
        return self.body.get("offer_id")

    def concerns(self, stream: str) -> bool:
        """Tell whether it changes anything on the stream."""
        return stream in (self.person, self.account)

    @property
    def mark(self) -> dict[str, Any] | None:
        """What it says of how far the contact got. That an outcome's offer was seen is `implied`: nobody told it."""
        if self.offer_id is None or self.name == RETRACTED:
            return None
        if self.name in CONTACT_STATES:
            return {"offer_id": self.offer_id, "state": self.name}
        return {"offer_id": self.offer_id, "state": "seen", "implied": True}

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What it says that the customer did."""
        if not self.is_outcome or self.name == RETRACTED:
            return None
        return {name: self.body.get(name) for name in _CORRECTABLE}


class _History(NamedTuple):
    """The records under one outcome_id, oldest first, and the key of the next."""

    records: Sequence[Record]
    next_key: str


async def record_outcome(
    brain: Brain,
    outcome: OutcomeIn,
    *,
    by: Maker | None = None,
    within_budget: bool = False,
    together: Sequence[Entry] = (),
) -> ItemResult:
    """Append one outcome, unless it is a repeat.

    :param by: what tells it, if no person does; the record says so
    :param within_budget: whether it is refused if it gives away more than is left for the customer, also of an offer
        that was not negotiated
    :param together: other records of the same commit, of kinds of their own and each with a key
    :raises Duplicate: the ledger holds one of those beside it
    :raises NotFound: the offer is unknown
    :raises RequestError: the action does not declare the outcome, or its account is not known
    :raises Erased: the customer was erased
    :raises ToldOfAnother: the id was told of another customer
    :raises OutOfScope: a program corrects what no program told
    :raises WrongState: it accepts what is not on offer any more, and there is no room left to give it
    """
    if outcome.outcome == RETRACTED and brain.ledger.lookup(_key(outcome.outcome_id)) is None:
        raise RequestError("outcome", "nothing was told under this outcome_id, so nothing can be taken back")
    telling = _telling(brain, outcome, by)
    history = _History((), _key(outcome.outcome_id))
    for _ in range(_ATTEMPTS):
        if repeated := _repeated(brain, outcome, telling, history):
            return repeated
        before = _held(brain, history.records)
        adds = _adds(telling, before)
        if before and not adds:
            _check_correction(history, by)
        entries = _entries(brain, telling, () if adds else before, history.next_key, adds=adds)
        given, guards = _given_away(brain, telling, () if adds else before, within_budget=within_budget)
        try:
            await brain.ledger.commit([*given, *entries, *together], guards)
        except Duplicate as duplicate:
            if duplicate.record.kind in {entry.kind for entry in together}:
                raise
            history = _history(brain, outcome.outcome_id)
        except Conflict:
            continue
        except Erased:
            if brain.ledger.read(telling.person, rules=NO_PAST)[0].erased:
                raise _erased(outcome) from None
        else:
            return ItemResult("recorded" if adds or not before else "corrected")
    raise Unavailable("other requests with this outcome_id kept coming first; try again")


def _repeated(brain: Brain, outcome: OutcomeIn, telling: Telling, history: _History) -> ItemResult | None:
    """Return the answer to a repeat, None for what is new."""
    if any(record.stream != telling.person for record in history.records):
        raise ToldOfAnother("outcome_id", "it was told of another customer; use a new id for each thing told")
    if any(record.body is None for record in history.records):
        raise _erased(outcome)
    tellings = [_telling_of(brain, record) for record in history.records]
    same = [t for t in tellings if _is_same(t, telling, timed=outcome.occurred_at is not None)]
    if not same:
        return None
    if any(t in _held(brain, history.records) for t in same):
        return ItemResult("repeated")
    return ItemResult("repeated", "it was told before and was corrected since; the correction holds")


def _check_correction(history: _History, by: Maker | None) -> None:
    if by is not None and any((record.body or {}).get("by") != by for record in history.records):
        raise OutOfScope("outcome_id", f"this was not told by a {by}, so a {by} cannot correct it; use a new id")


def _is_same(earlier: Telling, again: Telling, *, timed: bool) -> bool:
    """Tell whether both have the same content; a repeat without a time may be of any time."""
    names = ("offer_id", "value_eur", "account", "named_account", *(() if earlier.offer_id else ("action",)))
    alike = earlier.name == again.name and all(earlier.body.get(n) == again.body.get(n) for n in names)
    return alike and (not timed or earlier.told_us == again.told_us)


def _erased(outcome: OutcomeIn) -> Erased:
    return Erased("customer_id" if outcome.offer_id is None else "offer_id", ERASED.about)


def _key(outcome_id: str, revision: int = 0) -> str:
    """Return the ledger's key of the n-th record under an id; an id cannot spell the key of another's revision."""
    return f"outcome-revision:{revision}:{outcome_id}" if revision else f"outcome:{outcome_id}"


def _history(brain: Brain, outcome_id: str) -> _History:
    """Return what was told under an id.

    Earlier versions kept revisions under `outcome:ID#n`, which may also be the first key of an id that is spelt so.
    """
    records, revision = list[Record](), 0
    while True:
        record = brain.ledger.lookup(_key(outcome_id, revision))
        if record is None and revision:
            record = brain.ledger.lookup(f"outcome:{outcome_id}#{revision}")
            if record is not None and (record.body or {}).get("outcome_id") != outcome_id:
                record = None
        if record is None:
            return _History(records, _key(outcome_id, revision))
        if (record.body or {}).get("outcome_id", outcome_id) == outcome_id:
            records.append(record)
        revision += 1


def _held(brain: Brain, records: Sequence[Record]) -> list[Telling]:
    """Return what holds after these records: the last that corrected, and what was added to it."""
    held: list[Telling] = []
    for record in records:
        body = record.body or {}
        held = [*(held if body.get("adds") else ()), _telling_of(brain, record)]
    return held


def _adds(telling: Telling, before: Sequence[Telling]) -> bool:
    """Tell whether it adds to what holds: a later step of the same offer, which makes no earlier one untrue.

    A contact state after an outcome adds, too: what it says is true as well, or it was sent before the outcome.
    """
    if not before or any(t.offer_id is None or t.offer_id != telling.offer_id for t in before):
        return False
    steps = [PROGRESS.index(t.name) for t in before if t.name in PROGRESS]
    only_steps = len(steps) == len(before)
    if telling.name in PROGRESS:
        acted = any(t.name not in (*CONTACT_STATES, RETRACTED) for t in before)
        return acted or (only_steps and PROGRESS.index(telling.name) > max(steps))
    return only_steps and telling.name not in (*CONTACT_STATES, RETRACTED)


def _entries(brain: Brain, telling: Telling, wrong: Sequence[Telling], key: str, *, adds: bool) -> list[Entry]:
    """Return what to append: the account's entries, the person's, and last the record that says what was told."""
    accounts = {t.account: None for t in (telling, *wrong) if t.account is not None}
    entries: list[Entry] = []
    for stream in (*(s for s in accounts if not brain.ledger.read(s, rules=NO_PAST)[0].erased), telling.person):
        for one in wrong:
            if one.concerns(stream):
                entries += _taken_back(one, stream, telling.at_us)
        if telling.concerns(stream):
            entries += _new_entries(telling, stream)
    own = {**entries[-1].folded, **({"adds": True} if adds else {})}
    return [*entries[:-1], replace(entries[-1], key=key, body=own)]


def _given_away(
    brain: Brain, telling: Telling, wrong: Sequence[Telling], *, within_budget: bool
) -> tuple[list[Entry], dict[str, int]]:
    """Return what a telling changes in what is given away to the customer, and the versions that were read for it."""
    if telling.offer is None:
        return [], {}
    answer = Answered(telling.name, frozenset(one.name for one in wrong), telling.at_us, within_budget)
    return answer_entries(brain.ledger, brain.snapshot.release, telling.offer, answer)


def _taken_back(wrong: Telling, stream: str, at_us: int) -> Iterator[Entry]:
    """Yield the entries that take back what an earlier telling changed on a stream."""
    for kind, name, fields in (("contact", "state", wrong.mark), ("outcome", "outcome", wrong.outcome)):
        if fields is not None:
            corrected = {**fields, "occurred_us": wrong.at_us}
            yield Entry(stream, kind, {**fields, name: RETRACTED, "corrects": corrected}, at_us)


def _new_entries(telling: Telling, stream: str) -> Iterator[Entry]:
    """Yield the entries of what is told, its own record last.

    An account's stream outlives the person, and may not hold an id of theirs: it gets no more than what counts.
    """
    own = telling.outcome if telling.is_outcome else telling.mark
    if telling.is_outcome and telling.mark is not None:
        yield Entry(stream, "contact", telling.mark, telling.at_us)
    if stream == telling.person:
        own = dict(telling.body)
    if own is not None:
        yield Entry(stream, "outcome" if telling.is_outcome else "contact", own, telling.at_us)


def _telling(brain: Brain, outcome: OutcomeIn, by: Maker | None) -> Telling:
    """Return what is told, checked against the catalogue."""
    clock_us, told_us = now_us(), told_time(outcome.occurred_at, "occurred_at")
    at_us = clock_us if told_us is None else min(told_us, clock_us)  # the same on the person's and the account's stream
    more = {**({} if told_us is None or told_us == at_us else {"told_us": told_us}), **marked(by)}
    body = {
        "outcome_id": outcome.outcome_id,
        "offer_id": outcome.offer_id,
        "value_eur": outcome.value_eur,
        **more,
    }
    if outcome.offer_id is not None:
        offer = _offer_of(brain, outcome.offer_id)
        action = offer.action
        is_outcome = outcome.outcome not in CONTACT_STATES or _declares(action, outcome.outcome)
        if is_outcome:
            body |= {"action": _declared(action, outcome, CONTACT_STATES).id, "outcome": outcome.outcome}
        elif outcome.value_eur is not None:
            raise RequestError("value_eur", "only an outcome has a value, and this says how far the contact got")
        else:
            body = {
                "outcome_id": outcome.outcome_id,
                "offer_id": outcome.offer_id,
                "state": outcome.outcome,
                **more,
            }
        return Telling(offer.person, offer.account, at_us, outcome.outcome, body, is_outcome, offer)
    actions = brain.snapshot.release.actions
    action = _declared(actions.get(outcome.action or ""), outcome, (), actions)
    person = brain.subject_stream(outcome.customer_id)
    account = _account(brain, outcome, action, person)
    body |= {"action": action.id, "outcome": outcome.outcome, **({"account": account} if account else {})}
    if account is None and outcome.account_id is not None:
        body["named_account"] = brain.ledger.stream_of("account", outcome.account_id)
    return Telling(person, account, at_us, outcome.outcome, body, is_outcome=True)


def _telling_of(brain: Brain, record: Record) -> Telling:
    """Return what a record says was told."""
    body = record.body or {}
    name = str(body["state"] if record.kind == "contact" else body["outcome"])
    account = body.get("account")
    if body.get("offer_id") is not None:
        account = _offer_of(brain, body["offer_id"]).account
    if record.occurred_us > record.at_us:
        body = {**body, "told_us": record.occurred_us}
    return Telling(record.stream, account, record.counted_us, name, body, record.kind == "outcome")


def _offer_of(brain: Brain, offer_id: str) -> DecidedOffer:
    record = decision_of_offer(brain.ledger, offer_id)
    if record is not None and record.raw is None:
        raise Erased("offer_id", ERASED.about)
    decided = None if record is None else record.folded
    contact = next((c for c in decided["contacts"] if c["offer_id"] == offer_id), None) if decided else None
    if record is None or decided is None or contact is None:
        raise NotFound("offer_id", "no such offer was decided here")
    action = brain.release(decided["release"]).actions.get(contact["action"])
    account_id = decided["request"].get("account_id")
    shared = action is not None and action.scope == "account" and account_id is not None
    named = None if account_id is None else brain.ledger.stream_of("account", account_id)
    took = (decided["request"].get("negotiation") or {}).get("take") is not None
    return DecidedOffer(record.stream, action, named if shared else None, named, contact, took)


def _account(brain: Brain, outcome: OutcomeIn, action: Action, person: str) -> str | None:
    """Return the account that an outcome concerns, if its action is an account's: as named, or as decisions named it.

    :raises RequestError: it is not known, or the customer has several
    """
    if action.scope != "account":
        return None
    if outcome.account_id is not None:
        return brain.ledger.stream_of("account", outcome.account_id)
    rows = brain.ledger.select(_LAST_DECISIONS, {"stream": person})
    requests = [(brain.ledger.record_of(row).folded or {}).get("request", {}) for row in rows]
    named = {request["account_id"] for request in requests if request.get("account_id") is not None}
    if len(named) != 1:
        why = "was decided for several" if named else "was never decided for one"
        raise RequestError("account_id", f"the action is an account's: name the account, as this customer {why}")
    return brain.ledger.stream_of("account", named.pop())


def _declares(action: Action | None, name: str) -> bool:
    return action is not None and name in action.outcomes.all


def _declared(action: Action | None, outcome: OutcomeIn, more: Sequence[str], known: Iterable[str] = ()) -> Action:
    """Return the action; raises RequestError if there is none or it does not declare the outcome.

    :param more: outcomes that need no declaration
    :param known: the actions that could have been named
    """
    if action is None:
        raise RequestError("action", f"no such action in this release{did_you_mean(outcome.action or '', known)}")
    if outcome.outcome not in (*action.outcomes.all, RETRACTED):
        known = ", ".join(dict.fromkeys((*more, *action.outcomes.all)))
        raise RequestError("outcome", f"not an outcome of this action; expected one of {known}")
    return action
