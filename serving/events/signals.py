"""Signals over HTTP: each event judged by itself, the good ones kept, acknowledged once the next decision sees them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection

from decisioning.deciding.consent import permission
from decisioning.errors import RequestError
from decisioning.facts.signals import SignalType
from decisioning.facts.standing import ALL_CHANNELS
from features.ledger import now_us
from features.messages.event import message_fields
from features.moments import Watch, watch
from features.signals.conversations import earlier_sentiments
from features.signals.event import Event
from features.signals.intake import Subject
from features.signals.log import EventResult
from features.signals.store import MAX_EVENTS
from serving.brain.runtime import Brain, Snapshot

MAX_SIGNALS = 1_000
MESSAGES = ("message", "call")
"""Types whose data is scored when it comes in, where they declare a field for the sentiment."""
KEEP_TEXT, VOICE = "message-text", "voice-emotion"
"""Purposes. Without a grant a message's text is gone once it is scored, and scores of a voice or face are refused."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A signal that may be recorded: where it stood in the array, and who it is about."""

    index: int
    event: Event
    about: Subject


def parsed(body: bytes) -> list[Any]:
    """One CloudEvent or an array of up to MAX_SIGNALS; raises RequestError."""
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise RequestError("body", "is not JSON") from None
    events = found if isinstance(found, list) else [found]
    if not 1 <= len(events) <= MAX_SIGNALS:
        raise RequestError("body", f"expected 1 to {MAX_SIGNALS} events")
    return events


async def record_signals(brain: Brain, raw: Sequence[Any]) -> tuple[int, dict[str, Any]]:
    """The status, and of each event what became of it, by its index; 422 if none was taken.

    Raises Unavailable where they could not be made durable; sending the same again is safe.
    """
    snapshot, at_us = brain.snapshot, now_us()
    taken, refused = _judged(brain, snapshot, raw, at_us)
    parts = [taken[at : at + MAX_EVENTS] for at in range(0, len(taken), MAX_EVENTS)]
    futures = [snapshot.signals.submit([t.event for t in part], _beside(snapshot, part, at_us)) for part in parts]
    recorded = [r for done in futures for r in await asyncio.wrap_future(done)]
    told = [_told(t.index, outcome) for t, outcome in zip(taken, recorded, strict=True)]
    results = sorted([*told, *refused], key=lambda result: result["index"])
    counts = {status: sum(r["status"] == status for r in results) for status in ("accepted", "duplicate", "refused")}
    return (422 if counts["refused"] == len(raw) else 200), {**counts, "results": results}


def _judged(
    brain: Brain, snapshot: Snapshot, raw: Sequence[Any], at_us: int
) -> tuple[list[Taken], list[dict[str, Any]]]:
    taken: list[Taken] = []
    refused: list[dict[str, Any]] = []
    for index, one in enumerate(raw):
        try:
            taken.append(_take(brain, snapshot, index, one, at_us))
        except RequestError as error:
            detail = str(error).partition(": ")[2] or str(error)
            refused.append({"index": index, "status": "refused", "field": error.field, "detail": detail})
    return taken, refused


def _take(brain: Brain, snapshot: Snapshot, index: int, raw: Any, at_us: int) -> Taken:
    if isinstance(raw, Mapping) and raw.get("type") in MESSAGES:
        declared = snapshot.release.signals.get(str(raw["type"]))
        if declared is not None and any(field.name == "sentiment" for field in declared.fields):
            raw = {**raw, "data": _scored(brain, snapshot, declared, raw, at_us)}
    event = snapshot.intake.event(raw, at_us)
    return Taken(index, event, snapshot.intake.subject(raw.get("subject")))


def _scored(
    brain: Brain, snapshot: Snapshot, declared: SignalType, raw: Mapping[str, Any], at_us: int
) -> dict[str, Any]:
    """The fields a message is kept as: what the type declares of what its text says."""
    stream = snapshot.intake.subject(raw.get("subject")).stream
    data = raw.get("data")
    kept = frozenset(field.name for field in declared.fields)
    granted = _granted(brain, snapshot, stream, at_us, needed=_needs_consent(data, kept))
    conversation = data.get("conversation_id") if isinstance(data, Mapping) else None
    before_us = snapshot.intake.occurred_us(raw, at_us)
    earlier: list[float] = []
    if isinstance(conversation, str):
        earlier = earlier_sentiments(brain.ledger, stream, declared.id, conversation, before_us)
    fields = message_fields(
        data,
        keep_text="text" in kept and KEEP_TEXT in granted,
        voice_allowed=VOICE in granted,
        earlier=earlier,
        trained=snapshot.scorers.trained,
        models=snapshot.scorers.names,
    )
    return {name: value for name, value in fields.items() if name in kept}


def _needs_consent(data: Any, kept: frozenset[str]) -> bool:
    return "text" in kept or (isinstance(data, Mapping) and data.get("score") is not None)


def _granted(brain: Brain, snapshot: Snapshot, stream: str, at_us: int, *, needed: bool) -> frozenset[str]:
    """Which of the two purposes the customer allows, by their own consent: no basis of the catalogue will do."""
    purposes = [p for name in (KEEP_TEXT, VOICE) if needed and (p := snapshot.release.purposes.get(name))]
    if not purposes:
        return frozenset()
    standing = brain.ledger.read(stream)[0]
    return frozenset(p.id for p in purposes if permission(standing, p, ALL_CHANNELS, (), at_us).allowed)


def _beside(snapshot: Snapshot, part: Sequence[Taken], at_us: int) -> "partial[None] | None":
    """What to look for after these signals, set in the transaction that keeps them."""
    on = snapshot.release.moments_on
    if not any(t.event.type in on for t in part):
        return None
    return partial(_watch, snapshot, part, at_us)


def _watch(
    snapshot: Snapshot, part: Sequence[Taken], at_us: int, connection: Connection, recorded: Sequence[EventResult]
) -> None:
    """Only persons and visitors are decided for, so what is about an account waits for one of them to come by."""
    watch(
        connection,
        (
            Watch(
                t.event.stream,
                moment.id,
                max(at_us, t.event.time_us + moment.wait_s * 1_000_000),
                {t.about.field: t.about.id},
                t.event.key,
            )
            for t, outcome in zip(part, recorded, strict=True)
            if outcome.status == "accepted" and t.about.field != "account_id"
            for moment in snapshot.release.moments_on.get(t.event.type, ())
        ),
    )


def _told(index: int, outcome: EventResult) -> dict[str, Any]:
    if outcome.status == "erased":
        return {"index": index, "status": "refused", "field": "subject", "detail": "this subject was erased"}
    return {"index": index, "status": outcome.status}
