"""The fold of a stream: `apply` takes one record into the standing.

Commutative in everything but `version` and `Consent.record`: each part of the standing is a function of the set of
records, never of their order. A consent is a maximum, a contact's state too, contacts and outcomes are sets, and what
is forgotten depends only on the newest time in the world that any record told.

Bodies, by kind (JSON objects; `occurred_us` is a column of the record, not part of the body):

- `consent`: purpose, channel (`*` = all), status, source, notice_version; optional expires_us, asserted_by
- `decision`, `account_decision`: contacts, each the fields of `decisioning.standing.Contact` (state is not read)
- `contact`: offer_id, state
- `outcome`: action, outcome (`retracted` = none after all); optional offer_id, value_eur, and `corrects`: what was told
  before and does not hold, its action, outcome, occurred_us, offer_id, value_eur
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
"""Fields of the fold and what they become: one `replace` for a record, which is what an import spends its time on."""
Mark = tuple[ContactState, int]
"""A contact state told before its decision was: (state, occurred_us)."""

HORIZON_US = 800 * DAY_US
"""Contacts and outcomes this much older than the newest record are forgotten; no cap or suppression looks so far."""
NEVER_US = -(2**62)
_FOREVER_US = 2**62
_STATE_RANK: dict[str, int] = {state: rank for rank, state in enumerate(get_args(ContactState))}
_STRICTNESS: dict[str, int] = {"granted": 0, "refused": 1, "withdrawn": 2, "objected": 3}
RETRACTED = "retracted"
"""What corrects an outcome by taking it back."""
ANTI = "-"
"""Before the name of an outcome that was corrected: it and the outcome cancel, whichever was told first."""
_LINK_KINDS: frozenset[str] = frozenset(get_args(LinkKind))
assert set(_STRICTNESS) == set(get_args(ConsentStatus))


@dataclass(frozen=True, slots=True)
class Fold(Standing):
    """A standing with what only the fold needs: newest time told, time of the flag, marks without their decision."""

    latest_us: int = NEVER_US
    restricted_us: int = NEVER_US
    pending: dict[str, tuple[Mark, ...]] = field(default_factory=dict)


def apply(fold: Fold, kind: str, body: Body, version: int, occurred_us: int) -> Fold:
    """The standing after one more record; a stream that was erased stays empty whatever follows.

    :raises KeyError, TypeError, ValueError: the kind is unknown or the body lacks what it needs
    """
    told = None if kind == "tombstone" else _FOLDS[kind]
    if told is None or fold.erased:
        return Fold(fold.stream, version, erased=True)
    changes = told(fold, body, version, occurred_us)
    return _forget(replace(fold, version=version, latest_us=max(fold.latest_us, occurred_us), **changes))


def _consent(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    told = Consent(
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
    by_key = {(c.purpose, c.channel): c for c in fold.consents}
    key = (told.purpose, told.channel)
    by_key[key] = max(by_key.get(key, told), told, key=_consent_order)
    return {"consents": tuple(by_key[k] for k in sorted(by_key))}


def _consent_order(consent: Consent) -> tuple[int, int, int, str, str, str]:
    """Latest in the world first; of two told for the same time the stricter, then the sooner to expire."""
    expires_us = _FOREVER_US if consent.expires_us is None else consent.expires_us
    strictness = _STRICTNESS[consent.status]
    words = (consent.source, consent.notice_version, consent.asserted_by or "")
    return consent.occurred_us, strictness, -expires_us, *words


def _decision(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_contacts(fold, (Contact(**{**fields, "state": "reserved"}) for fields in body["contacts"]))


def _add_contacts(fold: Fold, told: Iterable[Contact]) -> Changes:
    contacts = {c.offer_id: c for c in fold.contacts}
    pending = dict(fold.pending)
    for contact in told:
        marks = pending.pop(contact.offer_id, ())
        states = [state for state, at_us in marks if at_us >= contact.at_us - HORIZON_US]
        known = contacts.get(contact.offer_id, contact)
        contacts[contact.offer_id] = replace(known, state=_furthest(known.state, contact.state, *states))
    return {"contacts": tuple(sorted(contacts.values(), key=lambda c: (c.at_us, c.offer_id))), "pending": pending}


def _furthest(*states: ContactState) -> ContactState:
    return max(states, key=_STATE_RANK.__getitem__)


def _contact(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    offer_id, state = body["offer_id"], cast(ContactState, body["state"])
    at = next((i for i, c in enumerate(fold.contacts) if c.offer_id == offer_id), None)
    if at is None:
        _ = _STATE_RANK[state]
        marks = _frontier(*fold.pending.get(offer_id, ()), (state, occurred_us))
        return {"pending": {**fold.pending, offer_id: marks}}
    known = fold.contacts[at]
    if occurred_us < known.at_us - HORIZON_US:
        return {}
    moved = replace(known, state=_furthest(known.state, state))
    return {"contacts": (*fold.contacts[:at], moved, *fold.contacts[at + 1 :])}


def _frontier(*marks: Mark) -> tuple[Mark, ...]:
    """The marks that no other beats in both state and time: enough to forget by age later, in any order."""

    def beaten(mark: Mark) -> bool:
        state, at_us = mark
        return any(m != mark and _STATE_RANK[m[0]] >= _STATE_RANK[state] and m[1] >= at_us for m in marks)

    return tuple(sorted({m for m in marks if not beaten(m)}))


def _outcome(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    told = [_happened(body, body["outcome"], occurred_us)] if body["outcome"] != RETRACTED else []
    if wrong := body.get("corrects"):
        told.append(_happened(wrong, ANTI + wrong["outcome"], wrong["occurred_us"]))
    return _add_outcomes(fold, told)


def _happened(body: Body, outcome: str, occurred_us: int) -> RecordedOutcome:
    return RecordedOutcome(body["action"], outcome, occurred_us, body.get("offer_id"), body.get("value_eur"))


def _add_outcomes(fold: Fold, told: Iterable[RecordedOutcome]) -> Changes:
    outcomes = dict(fold.outcomes)
    for happened in told:
        known = _cancelled(outcomes.get(happened.action, ()), happened)
        outcomes[happened.action] = tuple(sorted(known, key=_outcome_order))
    return {"outcomes": {action: outcomes[action] for action in sorted(outcomes) if outcomes[action]}}


def _cancelled(known: tuple[RecordedOutcome, ...], told: RecordedOutcome) -> tuple[RecordedOutcome, ...]:
    """All of them, but for an outcome and its correction, which both go."""
    name = told.outcome
    opposite = replace(told, outcome=name.removeprefix(ANTI) if name.startswith(ANTI) else ANTI + name)
    if opposite not in known:
        return (*known, told)
    at = known.index(opposite)
    return known[:at] + known[at + 1 :]


def _outcome_order(happened: RecordedOutcome) -> tuple[int, str, str, float]:
    return happened.at_us, happened.outcome, happened.offer_id or "", happened.value_eur or 0.0


def _observation(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    offer_id = body.get("observation_id") or "observed-" + sha256(to_json([body, occurred_us])).hexdigest()[:24]
    action = body["action"]
    told = [
        RecordedOutcome(action, o["outcome"], o.get("occurred_us") or occurred_us, offer_id, o.get("value_eur"))
        for o in body.get("outcomes", ())
    ]
    shown = () if action == "none" else (_observed(body, offer_id, occurred_us),)
    return {**_add_contacts(fold, shown), **_add_outcomes(fold, told)}


def _observed(body: Body, offer_id: str, occurred_us: int) -> Contact:
    """What another system showed: seen, so that caps and history count it like our own."""
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
    told, known = (occurred_us, bool(body["restricted"])), (fold.restricted_us, fold.restricted)
    restricted_us, restricted = max(told, known)
    return {"restricted": restricted, "restricted_us": restricted_us}


def _link(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=True)


def _unlink(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=False)


def _add_link(fold: Fold, body: Body, occurred_us: int, *, linked: bool) -> Changes:
    if body["kind"] not in _LINK_KINDS:
        raise ValueError("no such kind of identifier")
    told = Link(body["visitor"], body["kind"], body["source"], occurred_us, linked)
    by_visitor = {link.visitor: link for link in fold.links}
    by_visitor[told.visitor] = max(by_visitor.get(told.visitor, told), told, key=link_order)
    return {"links": tuple(by_visitor[visitor] for visitor in sorted(by_visitor))}


def link_order(link: Link) -> tuple[int, bool, str, str]:
    """Latest in the world last; of two told for the same time the one that unlinks."""
    return link.occurred_us, not link.linked, link.kind, link.source


def _linked_to(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    told = Holder(body["person"], occurred_us, bool(body["linked"]))
    return {"holder": max(fold.holder or told, told, key=lambda h: (h.occurred_us, not h.linked, h.person))}


def _forget(fold: Fold) -> Fold:
    """Without what is older than the horizon; a mark lives twice as long, as its decision may be that much younger."""
    since_us = fold.latest_us - HORIZON_US
    changes: Changes = {}
    if fold.contacts and fold.contacts[0].at_us < since_us:
        changes["contacts"] = fold.contacts[bisect_left(fold.contacts, since_us, key=lambda c: c.at_us) :]
    if any(known[0].at_us < since_us for known in fold.outcomes.values()):
        kept = {a: tuple(h for h in known if h.at_us >= since_us) for a, known in fold.outcomes.items()}
        changes["outcomes"] = {action: known for action, known in kept.items() if known}
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
"""Every kind of record that can be appended; a tombstone is written by an erasure alone."""
