"""The fold of a stream: `apply` adds one record to the standing.

The fold is commutative in everything but `version` and `Consent.record`: each part of the standing is a function of
the set of records, never of their order. Of consents and links the newest of each kind is kept, and a refusal holds
against what was granted less than five seconds later. States of contacts are maxima, contacts and outcomes are sets,
and what is dropped for its age depends only on the newest time of any record. Outcomes are kept for good.

Bodies, by kind (JSON objects; `occurred_us` is a column of the record, not part of the body):

- `consent`: purpose, channel (`*` = all), status, source, notice_version; optional expires_us, asserted_by
- `decision`, `account_decision`: contacts, each the fields of `decisioning.facts.standing.Contact` (state is not read)
- `contact`: offer_id, state (`retracted` = none); optional `corrects`: a state recorded earlier that does not hold
- `outcome`: action, outcome (`retracted` = there was none); optional offer_id, value_eur, and `corrects`: the earlier
  outcome that does not hold, with its action, outcome, occurred_us, offer_id, value_eur
- `observation`: action (`none` = nothing was done), channel; optional observation_id, treatment, group, issue,
  outcomes (each outcome; optional value_eur, occurred_us)
- `flag`: restricted
- `link`, `unlink` (a person's): visitor (its stream), kind, source
- `linked_to` (a visitor's): person (their stream), linked
- `tombstone`: empty
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, cast, get_args

from pydantic_core import to_json

from decisioning.facts.standing import (
    Consent,
    ConsentStatus,
    Contact,
    ContactState,
    Holder,
    Link,
    LinkKind,
    RecordedOutcome,
    Standing,
)
from decisioning.times import DAY_US

Body = Mapping[str, Any]
Changes = dict[str, Any]
"""Fields of the fold and their new values: one `replace` per record, on which an import spends most of its time."""
Mark = tuple[ContactState, int]
"""A contact state that was recorded before its decision: (state, occurred_us)."""

HORIZON_US = 800 * DAY_US
"""Contacts this much older than the newest record are dropped: no cap looks so far."""
WINS_FOR_US = 5_000_000
"""What is granted less than this after a refusal does not lift it."""
NEVER_US = -(2**62)
_FOREVER_US = 2**62
_STATE_RANK: dict[str, int] = {state: rank for rank, state in enumerate(get_args(ContactState))}
_STRICTNESS: dict[str, int] = {"granted": 0, "refused": 1, "withdrawn": 2, "objected": 3}
RETRACTED = "retracted"
"""The outcome of a correction that takes an outcome back."""
ANTI = "-"
"""Prefix of the name of a corrected outcome; it and the outcome cancel, whichever was recorded first."""
_LINK_KINDS: frozenset[str] = frozenset(get_args(LinkKind))
assert set(_STRICTNESS) == set(get_args(ConsentStatus))


@dataclass(frozen=True, slots=True)
class Fold(Standing):
    """A standing with what only the fold needs: newest time, time of the flag, marks that wait, and all marks."""

    latest_us: int = NEVER_US
    restricted_us: int = NEVER_US
    stated: dict[tuple[str, str, bool], Consent] = field(default_factory=dict)
    said: dict[tuple[str, bool], Link] = field(default_factory=dict)
    pending: dict[str, tuple[Mark, ...]] = field(default_factory=dict)
    told: dict[str, tuple[Mark, ...]] = field(default_factory=dict)


def apply(fold: Fold, kind: str, body: Body, version: int, occurred_us: int) -> Fold:
    """Return the standing after one more record; an erased stream stays empty, whatever follows.

    :raises KeyError, TypeError, ValueError: the kind is unknown or the body lacks what it needs
    """
    changes_of = None if kind == "tombstone" else _FOLDS[kind]
    if changes_of is None or fold.erased:
        return Fold(fold.stream, version, erased=True)
    changes = changes_of(fold, body, version, occurred_us)
    return _drop_old(replace(fold, version=version, latest_us=max(fold.latest_us, occurred_us), **changes))


def _consent(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    consent = Consent(
        purpose=body["purpose"],
        channel=body["channel"],
        status=body["status"],
        source=body["source"],
        notice_version=body["notice_version"],
        occurred_us=occurred_us,
        expires_us=body.get("expires_us"),
        record=version,
        asserted_by=body.get("asserted_by"),
    )
    stated = {**fold.stated, (consent.purpose, consent.channel, consent.status == "granted"): consent}
    for key, earlier in fold.stated.items():
        stated[key] = max(earlier, stated[key], key=_consent_order)
    held = (
        _held(stated.get((*about, False)), stated.get((*about, True)))
        for about in sorted({(purpose, channel) for purpose, channel, _ in stated})
    )
    return {"stated": stated, "consents": tuple(held)}


def _held(refusing: Any, granting: Any) -> Any:
    """Return which of the newest refusal and the newest grant holds; either may be None."""
    if refusing is None or granting is None:
        return refusing or granting
    return granting if granting.occurred_us - refusing.occurred_us >= WINS_FOR_US else refusing


def _consent_order(consent: Consent) -> tuple[int, int, int, str, str, str]:
    """Rank consents: the latest wins; of two for the same time the stricter, then the one that expires sooner."""
    expires_us = _FOREVER_US if consent.expires_us is None else consent.expires_us
    strictness = _STRICTNESS[consent.status]
    words = (consent.source, consent.notice_version, consent.asserted_by or "")
    return consent.occurred_us, strictness, -expires_us, *words


def _decision(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_contacts(fold, (Contact(**{**fields, "state": "reserved"}) for fields in body["contacts"]))


def _add_contacts(fold: Fold, new: Iterable[Contact]) -> Changes:
    contacts = {c.offer_id: c for c in fold.contacts}
    pending = dict(fold.pending)
    for contact in new:
        marks = pending.pop(contact.offer_id, ())
        states = [state for state, at_us in marks if at_us >= contact.at_us - HORIZON_US]
        current = contacts.get(contact.offer_id, contact)
        contacts[contact.offer_id] = replace(current, state=_furthest(current.state, contact.state, *states))
    return {"contacts": tuple(sorted(contacts.values(), key=lambda c: (c.at_us, c.offer_id))), "pending": pending}


def _furthest(*states: ContactState) -> ContactState:
    return max(states, key=_STATE_RANK.__getitem__)


def _contact(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    """Take back what is corrected, by telling everything else anew, and then tell what is new."""
    if wrong := body.get("corrects"):
        fold = _without(fold, wrong["offer_id"], (wrong["state"], wrong["occurred_us"]))
    if body["state"] == RETRACTED:
        return _marks(fold)
    told = (*fold.told.get(body["offer_id"], ()), (body["state"], occurred_us))
    fold = replace(fold, told={**fold.told, body["offer_id"]: told})
    return {**_marks(fold), **_add_mark(fold, body, occurred_us)}


def _marks(fold: Fold) -> Changes:
    return {"contacts": fold.contacts, "pending": fold.pending, "told": fold.told}


def _without(fold: Fold, offer_id: str, wrong: Mark) -> Fold:
    left = list(fold.told.get(offer_id, ()))
    if wrong in left:
        left.remove(wrong)
    contacts = tuple(replace(c, state="reserved") if c.offer_id == offer_id else c for c in fold.contacts)
    pending = {offer: marks for offer, marks in fold.pending.items() if offer != offer_id}
    fold = replace(fold, contacts=contacts, pending=pending, told={**fold.told, offer_id: tuple(left)})
    for state, at_us in left:
        fold = replace(fold, **_add_mark(fold, {"offer_id": offer_id, "state": state}, at_us))
    return fold


def _add_mark(fold: Fold, body: Body, occurred_us: int) -> Changes:
    offer_id, state = body["offer_id"], cast(ContactState, body["state"])
    at = next((i for i, c in enumerate(fold.contacts) if c.offer_id == offer_id), None)
    if at is None:
        _ = _STATE_RANK[state]
        marks = _frontier(*fold.pending.get(offer_id, ()), (state, occurred_us))
        return {"pending": {**fold.pending, offer_id: marks}}
    contact = fold.contacts[at]
    if occurred_us < contact.at_us - HORIZON_US:
        return {}
    updated = replace(contact, state=_furthest(contact.state, state))
    return {"contacts": (*fold.contacts[:at], updated, *fold.contacts[at + 1 :])}


def _frontier(*marks: Mark) -> tuple[Mark, ...]:
    """Return the marks that no other exceeds in both state and time. Dropping by age later is the same in any order."""

    def dominated(mark: Mark) -> bool:
        state, at_us = mark
        return any(m != mark and _STATE_RANK[m[0]] >= _STATE_RANK[state] and m[1] >= at_us for m in marks)

    return tuple(sorted({m for m in marks if not dominated(m)}))


def _outcome(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    outcomes = [_outcome_of(body, body["outcome"], occurred_us)] if body["outcome"] != RETRACTED else []
    if corrected := body.get("corrects"):
        outcomes.append(_outcome_of(corrected, ANTI + corrected["outcome"], corrected["occurred_us"]))
    return _add_outcomes(fold, outcomes)


def _outcome_of(body: Body, outcome: str, occurred_us: int) -> RecordedOutcome:
    return RecordedOutcome(body["action"], outcome, occurred_us, body.get("offer_id"), body.get("value_eur"))


def _add_outcomes(fold: Fold, new: Iterable[RecordedOutcome]) -> Changes:
    outcomes = dict(fold.outcomes)
    for happened in new:
        of_action = _add_or_cancel(outcomes.get(happened.action, ()), happened)
        outcomes[happened.action] = tuple(sorted(of_action, key=_outcome_order))
    return {"outcomes": {action: outcomes[action] for action in sorted(outcomes) if outcomes[action]}}


def _add_or_cancel(known: tuple[RecordedOutcome, ...], new: RecordedOutcome) -> tuple[RecordedOutcome, ...]:
    """Add an outcome; if its opposite (its correction, or what it corrects) is known, drop that one instead."""
    name = new.outcome
    opposite = replace(new, outcome=name.removeprefix(ANTI) if name.startswith(ANTI) else ANTI + name)
    if opposite not in known:
        return (*known, new)
    at = known.index(opposite)
    return known[:at] + known[at + 1 :]


def _outcome_order(happened: RecordedOutcome) -> tuple[int, str, str, float]:
    return happened.at_us, happened.outcome, happened.offer_id or "", happened.value_eur or 0.0


def _observation(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    offer_id = body.get("observation_id") or "observed-" + sha256(to_json([body, occurred_us])).hexdigest()[:24]
    action = body["action"]
    outcomes = [
        RecordedOutcome(action, o["outcome"], o.get("occurred_us") or occurred_us, offer_id, o.get("value_eur"))
        for o in body.get("outcomes", ())
    ]
    contacts = () if action == "none" else (_observed_contact(body, offer_id, occurred_us),)
    return {**_add_contacts(fold, contacts), **_add_outcomes(fold, outcomes)}


def _observed_contact(body: Body, offer_id: str, occurred_us: int) -> Contact:
    """Return what another system showed as a contact that was seen, so that caps and history count it."""
    return Contact(
        offer_id=offer_id,
        action=body["action"],
        treatment=body.get("treatment") or "",
        group=body.get("group") or "",
        issue=body.get("issue") or "",
        channel=body["channel"],
        at_us=occurred_us,
        reserved_until_us=occurred_us,
        counts_on="seen",
        state="seen",
    )


def _flag(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    new, current = (occurred_us, bool(body["restricted"])), (fold.restricted_us, fold.restricted)
    restricted_us, restricted = max(new, current)
    return {"restricted": restricted, "restricted_us": restricted_us}


def _link(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=True)


def _unlink(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=False)


def _add_link(fold: Fold, body: Body, occurred_us: int, *, linked: bool) -> Changes:
    if body["kind"] not in _LINK_KINDS:
        raise ValueError("no such kind of identifier")
    number = body.get("stretch", 0)
    new = Link(body["visitor"], body["kind"], body["source"], occurred_us, linked, () if number is None else (number,))
    said = {**fold.said, (new.visitor, linked): new}
    for key, earlier in fold.said.items():
        both = sorted({*earlier.stretches, *said[key].stretches})
        latest = max(earlier, said[key], key=lambda link: (link.occurred_us, link.kind, link.source))
        said[key] = replace(latest, stretches=tuple(both))
    visitors = sorted({visitor for visitor, _ in said})
    return {"said": said, "links": tuple(_held_link(said.get((v, False)), said.get((v, True))) for v in visitors)}


def _held_link(unlink: Link | None, link: Link | None) -> Link:
    """Return the statement that holds; stretches that any statement named stay the person's, the newest eight."""
    stretches = {n for said in (unlink, link) if said is not None for n in said.stretches}
    held: Link = _held(unlink, link)
    return replace(held, stretches=tuple(sorted(stretches)[-8:]))


def _linked_to(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    new = Holder(body["person"], occurred_us, bool(body["linked"]))
    return {"holder": max(new, fold.holder or new, key=lambda h: h.occurred_us)}


def _drop_old(fold: Fold) -> Fold:
    """Drop what is older than the horizon. Marks live twice as long, as their decision may be that much younger."""
    since_us = fold.latest_us - HORIZON_US
    changes: Changes = {}
    if fold.contacts and fold.contacts[0].at_us < since_us:
        changes["contacts"] = fold.contacts[bisect_left(fold.contacts, since_us, key=lambda c: c.at_us) :]
    if any(at_us < since_us - HORIZON_US for marks in fold.pending.values() for _, at_us in marks):
        live = {o: tuple(m for m in marks if m[1] >= since_us - HORIZON_US) for o, marks in fold.pending.items()}
        changes["pending"] = {offer: marks for offer, marks in live.items() if marks}
    return replace(fold, **changes) if changes else fold


_FOLDS: dict[str, Callable[[Fold, Body, int, int], Changes]] = {
    "consent": _consent,
    "decision": _decision,
    "account_decision": _decision,
    "contact": _contact,
    "outcome": _outcome,
    "observation": _observation,
    "flag": _flag,
    "link": _link,
    "unlink": _unlink,
    "linked_to": _linked_to,
}
KINDS = frozenset(_FOLDS)
"""Every kind of record that can be appended. Only an erasure writes a tombstone."""
