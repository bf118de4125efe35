"""Record consents, outcomes and profile facts; show what is known of a customer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any

from decisioning.catalogue.actions import Action
from decisioning.errors import NotFound, RequestError
from decisioning.facts.standing import Consent, Link, Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import iso, microseconds
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.past.changes import ANTI, RETRACTED
from serving.brain.runtime import Brain
from serving.contract import ConsentIn, OutcomeIn, ProfilePatch
from serving.customers import erasing
from serving.problems import field_name

CONTACT_STATES = ("delivered", "seen", "pitched", "not_delivered", "expired")
"""Outcomes that report how far a contact got; every action has them."""
MAX_LISTED = 200
_CORRECTABLE = ("action", "outcome", "offer_id", "value_eur")
"""The fields of an outcome that a correction may change, beside its time."""


async def record_consents(brain: Brain, consents: Sequence[ConsentIn]) -> dict[str, Any]:
    """Append all of them or none; once this returns, they bind every later decision on every replica.

    Raises RequestError for a purpose or channel that the release does not have.
    """
    purposes, channels = brain.snapshot.release.purposes, brain.snapshot.release.channels
    for n, consent in enumerate(consents):
        if consent.purpose not in purposes:
            raise RequestError(_path(consents, n, "purpose"), f"no such purpose; known are {', '.join(purposes)}")
        if consent.channel is not None and consent.channel not in channels:
            raise RequestError(_path(consents, n, "channel"), f"no such channel; known are {', '.join(channels)}")
    entries = [
        Entry(brain.subject_stream(c.customer_id, c.visitor_id), "consent", c.body(), _time_us(c.occurred_at))
        for c in consents
    ]
    await brain.ledger.commit(entries)
    return {"recorded": len(entries)}


async def record_outcomes(brain: Brain, outcomes: Sequence[OutcomeIn]) -> dict[str, Any]:
    """Append each outcome once, however often it is repeated; nothing is written if one of them is wrong.

    A known `outcome_id` with other content corrects the outcome recorded before. Content that was recorded under the
    id at any time counts as repeated, even if it has been corrected since.
    """
    batches = [_outcome_entries(brain, outcome, _prefix(outcomes, n)) for n, outcome in enumerate(outcomes)]
    results = [await _record(brain, entries, outcome) for entries, outcome in zip(batches, outcomes, strict=True)]
    counts = {status: results.count(status) for status in ("recorded", "repeated", "corrected")}
    return counts if counts["corrected"] else {k: v for k, v in counts.items() if k != "corrected"}


async def _record(brain: Brain, entries: list[Entry], outcome: OutcomeIn) -> str:
    """Append the entries under the outcome's first free key, unless an earlier key holds the same.

    Returns `recorded`, `corrected` or `repeated`.
    """
    earlier: Record | None = None
    for revision in count():
        key = f"outcome:{outcome.outcome_id}" + (f"#{revision}" if revision else "")
        try:
            await brain.ledger.commit(_revised(entries, key, earlier))
        except Duplicate as duplicate:
            earlier = duplicate.record
            if _repeats(earlier, entries[-1], outcome):
                return "repeated"
        else:
            return "corrected" if earlier else "recorded"
    raise AssertionError("count() has no end")


def _repeats(earlier: Record, entry: Entry, outcome: OutcomeIn) -> bool:
    """Tell whether an earlier record holds the same.

    An erased record counts as the same, and so does a contact state, which is never corrected.
    """
    if earlier.body is None or earlier.kind != "outcome" or entry.kind != "outcome":
        return True
    same = all(earlier.body.get(name) == entry.folded.get(name) for name in _CORRECTABLE)
    return same and (outcome.occurred_at is None or earlier.occurred_us == entry.occurred_us)


def _revised(entries: list[Entry], key: str, earlier: Record | None) -> list[Entry]:
    """Return the entries with their key; outcomes among them correct the earlier record, if there is one."""
    if earlier is None:
        return [*entries[:-1], replace(entries[-1], key=key)]
    body = earlier.body or {}
    wrong = {"occurred_us": earlier.occurred_us, **{k: body.get(k) for k in _CORRECTABLE}}
    right = [replace(e, body={**e.folded, "corrects": wrong}) if e.kind == "outcome" else e for e in entries]
    return [*right[:-1], replace(right[-1], key=key)]


async def patch_customer(brain: Brain, customer_id: str, patch: ProfilePatch) -> dict[str, Any]:
    """Set facts of the profile, and the restriction if the patch names it; the next decision sees them.

    Raises NotFound if the customer was erased, RequestError for a fact that the profile cannot hold.
    """
    stream = brain.subject_stream(customer_id)
    if brain.ledger.read(stream, rules=NO_PAST)[0].erased:
        raise NotFound("customer_id", "this customer was erased")
    schema, at_us = brain.snapshot.release.schema, now_us()
    for name in patch.facts:
        if name not in schema or schema[name].source != "profile":
            raise RequestError(f"facts.{field_name(name)}", "no profile feature of this name")
    try:
        await asyncio.to_thread(brain.snapshot.profiles.write, stream, patch.facts, _time_us(patch.as_of), now_us=at_us)
    except RequestError as error:
        raise RequestError(f"facts.{error.field}", str(error).partition(": ")[2]) from None
    if patch.restricted is not None:
        await erasing.restrict(brain, "person", customer_id, restricted=patch.restricted)
    return {"customer_id": customer_id, "updated": sorted(patch.facts)}


def customer(brain: Brain, customer_id: str) -> dict[str, Any]:
    """Return what is known of a customer now."""
    stream = brain.subject_stream(customer_id)
    standing = brain.ledger.read(stream)[0]
    stored = brain.snapshot.profiles.read([stream], now_us=now_us())[0]
    return {"customer_id": customer_id, "facts": dict(sorted(stored.facts.items())), **standing_json(standing)}


def _outcome_entries(brain: Brain, outcome: OutcomeIn, prefix: str) -> list[Entry]:
    """Return what to append for an outcome; `prefix` is its place in the request, for the fields of errors.

    Raises NotFound for an unknown offer, RequestError for an outcome that its action does not declare.
    """
    if outcome.outcome == RETRACTED and brain.ledger.lookup(f"outcome:{outcome.outcome_id}") is None:
        raise RequestError(f"{prefix}outcome", "nothing was told under this outcome_id, so nothing can be taken back")
    if outcome.offer_id is not None:
        return _offer_entries(brain, outcome, prefix, _offer_of(brain, outcome.offer_id, prefix))
    action = _declared(brain.snapshot.release.actions.get(outcome.action or ""), outcome, prefix)
    stream = brain.subject_stream(outcome.customer_id)
    return [Entry(stream, "outcome", _outcome_body(action.id, outcome), _time_us(outcome.occurred_at))]


@dataclass(frozen=True, slots=True)
class _Offer:
    """A decided offer: the person's stream, its action (None if the release does not have it), and the account's id."""

    stream: str
    action: Action | None
    account_id: str | None


def _offer_of(brain: Brain, offer_id: str, prefix: str) -> _Offer:
    record = brain.ledger.lookup(f"decision:{offer_id.rpartition('.')[0]}")
    decided = None if record is None else record.folded
    contacts = decided["contacts"] if decided else ()
    contact = next((c for c in contacts if c["offer_id"] == offer_id), None)
    if record is None or decided is None or contact is None:
        raise NotFound(f"{prefix}offer_id", "no such offer was decided here")
    release = brain.release(decided["release"])
    return _Offer(record.stream, release.actions.get(contact["action"]), decided["request"].get("account_id"))


def _offer_entries(brain: Brain, outcome: OutcomeIn, prefix: str, offer: _Offer) -> list[Entry]:
    """Return the entries for the person's stream and, if the action has account scope, for the account's too."""
    at_us, streams = _time_us(outcome.occurred_at), [offer.stream]
    if offer.action is not None and offer.action.scope == "account" and offer.account_id:
        streams.append(brain.ledger.stream_of("account", offer.account_id))
    bodies: list[tuple[str, dict[str, Any]]]
    if outcome.outcome in CONTACT_STATES:
        bodies = [("contact", {"offer_id": outcome.offer_id, "state": outcome.outcome})]
    else:
        action = _declared(offer.action, outcome, prefix)
        seen = {"offer_id": outcome.offer_id, "state": "seen"}
        bodies = [("contact", seen), ("outcome", _outcome_body(action.id, outcome))]
    return [
        Entry(stream, kind, body if stream == offer.stream else _without_id(body), at_us)
        for stream in reversed(streams)
        for kind, body in bodies
    ]


def _without_id(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body for an account's stream, which outlives the person and may not hold the person's outcome id."""
    return {name: value for name, value in body.items() if name != "outcome_id"}


def _declared(action: Action | None, outcome: OutcomeIn, prefix: str) -> Action:
    """Return the action; raises RequestError if there is none or it does not declare the outcome."""
    if action is None:
        raise RequestError(f"{prefix}action", "no such action in this release")
    if outcome.outcome not in (*action.outcomes.all, RETRACTED):
        known = ", ".join((*CONTACT_STATES, *action.outcomes.all))
        raise RequestError(f"{prefix}outcome", f"not an outcome of this action; expected one of {known}")
    return action


def _outcome_body(action: str, outcome: OutcomeIn) -> dict[str, Any]:
    return {
        "outcome_id": outcome.outcome_id,
        "action": action,
        "outcome": outcome.outcome,
        "offer_id": outcome.offer_id,
        "value_eur": outcome.value_eur,
    }


def standing_json(standing: Standing) -> dict[str, Any]:
    """Return a standing as JSON types, with the last MAX_LISTED contacts and outcomes per action."""
    return {
        "erased": standing.erased,
        "restricted": standing.restricted,
        "consents": [_consent_json(consent) for consent in standing.consents],
        "links": [_link_json(link) for link in standing.links],
        "contacts": [
            {"offer_id": c.offer_id, "action": c.action, "channel": c.channel, "at": iso(c.at_us), "state": c.state}
            for c in standing.contacts[-MAX_LISTED:]
        ],
        "outcomes": [
            {"action": o.action, "outcome": o.outcome, "at": iso(o.at_us)}
            for history in standing.outcomes.values()
            for o in history[-MAX_LISTED:]
            if not o.outcome.startswith(ANTI)
        ],
    }


def _consent_json(consent: Consent) -> dict[str, Any]:
    return {
        "purpose": consent.purpose,
        "channel": consent.channel,
        "status": consent.status,
        "source": consent.source,
        "notice_version": consent.notice_version,
        "occurred_at": iso(consent.occurred_us),
        "expires_at": iso(consent.expires_us) if consent.expires_us is not None else None,
    }


def _link_json(link: Link) -> dict[str, Any]:
    return {
        "visitor": link.visitor,
        "kind": link.kind,
        "status": "linked" if link.linked else "unlinked",
        "source": link.source,
        "occurred_at": iso(link.occurred_us),
    }


def _time_us(moment: datetime | None) -> int:
    return microseconds(moment) if moment is not None else now_us()


def _prefix(items: Sequence[Any], n: int) -> str:
    """Return the JSON path of item `n` with its dot, or nothing if the request is a single item."""
    return f"{n}." if len(items) > 1 else ""


def _path(items: Sequence[Any], n: int, field: str) -> str:
    return _prefix(items, n) + field
