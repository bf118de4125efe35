"""What customers and channels tell us: consents, outcomes, profile facts; and what a customer may ask of us."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from decisioning.catalogue.actions import Action
from decisioning.errors import Conflict, NotFound, Refused, RequestError
from decisioning.facts.standing import Standing
from decisioning.times import iso, microseconds
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.standing import ANTI, RETRACTED
from serving.brain.runtime import Brain
from serving.contract import ConsentIn, OutcomeIn, ProfilePatch
from serving.customers import erasing

CONTACT_STATES = ("delivered", "seen", "pitched", "not_delivered", "expired")
"""Outcomes that say how far a contact got, whatever the action declares."""
MAX_LISTED = 200
_SAYS = ("action", "outcome", "offer_id", "value_eur")


async def record_consents(brain: Brain, told: Sequence[ConsentIn]) -> dict[str, Any]:
    """Appends them all or none; once this returns, every later decision on every replica is bound by them."""
    purposes, channels = brain.snapshot.release.purposes, brain.snapshot.release.channels
    for n, consent in enumerate(told):
        if consent.purpose not in purposes:
            raise RequestError(_at(told, n, "purpose"), f"no such purpose; known are {', '.join(purposes)}")
        if consent.channel is not None and consent.channel not in channels:
            raise RequestError(_at(told, n, "channel"), f"no such channel; known are {', '.join(channels)}")
    entries = [Entry(_consenting(brain, c), "consent", c.body(), _when(c.occurred_at)) for c in told]
    await asyncio.wrap_future(brain.ledger.submit(entries))
    return {"recorded": len(entries)}


def _consenting(brain: Brain, told: ConsentIn) -> str:
    if told.visitor_id is not None:
        return brain.ledger.stream_of("visitor", told.visitor_id)
    return brain.ledger.stream_of("person", told.customer_id or "")


async def record_outcomes(brain: Brain, told: Sequence[OutcomeIn]) -> dict[str, Any]:
    """Appends each once, whatever is repeated; nothing is written where one of them is wrong.

    Something else under an `outcome_id` that is known corrects what it said before; what was said once under it is
    repeated, whatever corrected it since.
    """
    batches = [_outcome_entries(brain, outcome, _prefix(told, n)) for n, outcome in enumerate(told)]
    done = [await _record(brain, entries, outcome) for entries, outcome in zip(batches, told, strict=True)]
    counted = {what: done.count(what) for what in ("recorded", "repeated", "corrected")}
    return counted if counted["corrected"] else {k: v for k, v in counted.items() if k != "corrected"}


async def _record(brain: Brain, entries: list[Entry], told: OutcomeIn) -> str:
    """Appends the entries under the first key of this outcome that is free, unless one has the same to say."""
    before: Record | None = None
    for revision in count():
        key = f"outcome:{told.outcome_id}" + (f"#{revision}" if revision else "")
        try:
            await asyncio.wrap_future(brain.ledger.submit(_revised(entries, key, before)))
        except Duplicate as duplicate:
            before = duplicate.record
            if _repeats(before, entries[-1], told):
                return "repeated"
        else:
            return "corrected" if before else "recorded"
    raise AssertionError("count() has no end")


def _repeats(before: Record, entry: Entry, told: OutcomeIn) -> bool:
    """Whether a record says the same; also what was erased, and how far a contact got, which is never taken back."""
    if before.body is None or before.kind != "outcome" or entry.kind != "outcome":
        return True
    same = all(before.body.get(name) == entry.body.get(name) for name in _SAYS)
    return same and (told.occurred_at is None or before.occurred_us == entry.occurred_us)


def _revised(entries: list[Entry], key: str, before: Record | None) -> list[Entry]:
    """The entries under their key; those that say what happened correct what was said before."""
    if before is None:
        return [*entries[:-1], replace(entries[-1], key=key)]
    known = before.body or {}
    wrong = {"occurred_us": before.occurred_us, **{k: known.get(k) for k in _SAYS}}
    right = [replace(e, body={**e.body, "corrects": wrong}) if e.kind == "outcome" else e for e in entries]
    return [*right[:-1], replace(right[-1], key=key)]


async def patch_customer(brain: Brain, customer_id: str, patch: ProfilePatch) -> dict[str, Any]:
    """Sets facts of the profile; the next decision sees them."""
    stream = brain.ledger.stream_of("person", customer_id)
    if brain.ledger.read(stream)[0].erased:
        raise NotFound("customer_id", "this customer was erased")
    schema, at_us = brain.snapshot.release.schema, now_us()
    for name in patch.facts:
        if name not in schema or schema[name].source != "profile":
            raise RequestError(f"facts.{name}", "no profile feature of this name")
    try:
        await asyncio.to_thread(brain.snapshot.profiles.write, stream, patch.facts, _when(patch.as_of), now_us=at_us)
    except RequestError as error:
        raise RequestError(f"facts.{error.field}", str(error).partition(": ")[2]) from None
    if patch.restricted is not None:
        await erasing.restrict(brain, "person", customer_id, restricted=patch.restricted)
    return {"customer_id": customer_id, "updated": sorted(patch.facts)}


def customer(brain: Brain, customer_id: str) -> dict[str, Any]:
    """What the brain knows of a customer now."""
    stream = brain.ledger.stream_of("person", customer_id)
    standing = brain.ledger.read(stream)[0]
    stored = brain.snapshot.profiles.read([stream], now_us=now_us())[0]
    return {"customer_id": customer_id, "facts": dict(sorted(stored.facts.items())), **told_of(standing)}


def _outcome_entries(brain: Brain, told: OutcomeIn, prefix: str) -> list[Entry]:
    at_us = _when(told.occurred_at)
    if told.outcome == RETRACTED and brain.ledger.lookup(f"outcome:{told.outcome_id}") is None:
        raise RequestError(f"{prefix}outcome", "nothing was told under this outcome_id, so nothing can be taken back")
    if told.offer_id is None:
        stream = brain.ledger.stream_of("person", told.customer_id or "")
        action = _declared(brain.snapshot.release.actions.get(told.action or ""), told, prefix)
        return [Entry(stream, "outcome", _outcome(action.id, told), at_us)]
    record = brain.ledger.lookup(f"decision:{told.offer_id.rpartition('.')[0]}")
    if record is None or record.body is None:
        raise NotFound(f"{prefix}offer_id", "no such offer was decided here")
    contact = next((c for c in record.body["contacts"] if c["offer_id"] == told.offer_id), None)
    if contact is None:
        raise NotFound(f"{prefix}offer_id", "no such offer was decided here")
    release = brain.release(record.body["release"])
    return _offer_entries(brain, told, prefix, record, release.actions.get(contact["action"]), at_us)


def _offer_entries(
    brain: Brain, told: OutcomeIn, prefix: str, record: Record, action: Action | None, at_us: int
) -> list[Entry]:
    """On the person's stream, and for an action of account scope on the account's, too."""
    body = record.body or {}
    account = body["request"].get("account_id")
    streams = [record.stream]
    if action is not None and action.scope == "account" and account:
        streams.append(brain.ledger.stream_of("account", account))
    if told.outcome in CONTACT_STATES:
        moved = {"offer_id": told.offer_id, "state": told.outcome}
        kinds: list[tuple[str, dict[str, Any]]] = [("contact", moved)]
    else:
        outcome = _outcome(_declared(action, told, prefix).id, told)
        kinds = [("contact", {"offer_id": told.offer_id, "state": "seen"}), ("outcome", outcome)]
    return [Entry(s, kind, _on(b, person=s == record.stream), at_us) for s in reversed(streams) for kind, b in kinds]


def _on(body: dict[str, Any], *, person: bool) -> dict[str, Any]:
    """What is repeated on an account's stream outlives the person, so it names nothing of theirs."""
    return body if person else {name: value for name, value in body.items() if name != "outcome_id"}


def _declared(action: Action | None, told: OutcomeIn, prefix: str) -> Action:
    if action is None:
        raise RequestError(f"{prefix}action", "no such action in this release")
    if told.outcome not in (*action.outcomes.all, RETRACTED):
        known = ", ".join((*CONTACT_STATES, *action.outcomes.all))
        raise RequestError(f"{prefix}outcome", f"not an outcome of this action; expected one of {known}")
    return action


def _outcome(action: str, told: OutcomeIn) -> dict[str, Any]:
    return {
        "outcome_id": told.outcome_id,
        "action": action,
        "outcome": told.outcome,
        "offer_id": told.offer_id,
        "value_eur": told.value_eur,
    }


def told_of(standing: Standing) -> dict[str, Any]:
    """A standing, as JSON types."""
    return {
        "erased": standing.erased,
        "restricted": standing.restricted,
        "consents": [
            {
                "purpose": c.purpose,
                "channel": c.channel,
                "status": c.status,
                "source": c.source,
                "notice_version": c.notice_version,
                "occurred_at": iso(c.occurred_us),
                "expires_at": iso(c.expires_us) if c.expires_us is not None else None,
            }
            for c in standing.consents
        ],
        "links": [
            {
                "visitor": link.visitor,
                "kind": link.kind,
                "status": "linked" if link.linked else "unlinked",
                "source": link.source,
                "occurred_at": iso(link.occurred_us),
            }
            for link in standing.links
        ],
        "contacts": [
            {"offer_id": c.offer_id, "action": c.action, "channel": c.channel, "at": iso(c.at_us), "state": c.state}
            for c in standing.contacts[-MAX_LISTED:]
        ],
        "outcomes": [
            {"action": h.action, "outcome": h.outcome, "at": iso(h.at_us)}
            for history in standing.outcomes.values()
            for h in history[-MAX_LISTED:]
            if not h.outcome.startswith(ANTI)
        ],
    }


def _when(moment: Any) -> int:
    return microseconds(moment) if moment is not None else now_us()


def _prefix(told: Sequence[Any], n: int) -> str:
    return f"{n}." if len(told) > 1 else ""


def _at(told: Sequence[Any], n: int, field: str) -> str:
    return _prefix(told, n) + field


__all__ = ["Conflict", "Refused", "customer", "patch_customer", "record_consents", "record_outcomes", "told_of"]
