"""Signals over HTTP: each event is checked by itself, and the valid ones are recorded.

The request is acknowledged once the next decision sees them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from decisioning.errors import Erased, RequestError, ToldOfAnother
from decisioning.facts.schema import Value
from decisioning.facts.signals import MESSAGE_TYPES, SignalField, SignalType, misfit
from decisioning.strict_json import read_json
from features.conversations.words import Utterance, keep
from features.ledger import now_us
from features.messages.event import message_fields
from features.moments import Watch, keep_privacy_controls, watch
from features.signals.conversations import earlier_sentiments
from features.signals.event import Event
from features.signals.intake import Subject
from features.signals.log import EventResult
from features.signals.store import MAX_EVENTS
from serving.brain.runtime import Brain
from serving.brain.snapshot import Snapshot
from serving.events import objections, words
from serving.events.message_consents import KEEP_TEXT, VOICE, MessageConsents, consents_for
from serving.events.objections import Objection
from serving.problems import ERASED, SIGNALS, TOLD_OF_ANOTHER, ProblemType, type_of
from training.model.background import in_slices

MAX_SIGNALS = 1_000
_MAX_CONTAINERS: Final = 50_000
"""Objects and arrays of a body. Nothing else runs while they are made, and a million would take a second."""


@dataclass(frozen=True, slots=True)
class ValidSignal:
    """A signal that may be recorded; `index` is its place in the request's array.

    `objection`: what its message objects to. `id`: the one that its sender gave it. `words`: those of its message, if
    they are held for who helps.
    """

    index: int
    event: Event
    subject: Subject
    objection: Objection | None = None
    id: str = ""
    words: Utterance | None = None


def parse_events(body: bytes) -> list[Any]:
    """Return the CloudEvents of a body, one or an array of up to MAX_SIGNALS; raises RequestError."""
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS:
        raise RequestError("body", f"has more than {_MAX_CONTAINERS} objects and arrays; send it in parts")
    try:
        content = read_json(body)
    except ValueError:
        raise RequestError("body", "is not JSON") from None
    events = content if isinstance(content, list) else [content]
    if not 1 <= len(events) <= MAX_SIGNALS:
        raise RequestError("body", f"expected 1 to {MAX_SIGNALS} events")
    return events


async def record_body(brain: Brain, body: bytes, gpc: bool) -> tuple[ProblemType | None, dict[str, Any]]:
    """Return what `record_signals` does of the events of a body; raises as `parse_events` does."""
    return await record_signals(brain, parse_events(body), gpc=gpc)


async def record_signals(
    brain: Brain, raw: Sequence[Any], *, gpc: bool = False
) -> tuple[ProblemType | None, dict[str, Any]]:
    """Record the valid events; return the problem if all were refused, and each event's result by index.

    An event's source and id mean one event: the same content is a duplicate, other content of the same subject corrects
    the event and all features that it fed, and another subject's is refused.

    An objection to sales that is heard in a message is recorded before this returns, and its event's result says so.

    Raises Unavailable if they could not be made durable; sending them again is safe.

    :param gpc: whether the request came with Global Privacy Control. An event for which another server asks says so in
        its extension attribute `gpc`. A moment that such an event causes is decided without profiling.
    """
    snapshot, at_us = brain.snapshot, now_us()
    valid, refused = _validated(brain, snapshot, raw, at_us)
    parts = [valid[at : at + MAX_EVENTS] for at in range(0, len(valid), MAX_EVENTS)]
    controlled = frozenset(n for n, one in enumerate(raw) if gpc or _asks_no_profiling(one))
    hooks = [_watching(snapshot, part, at_us, controlled) for part in parts]
    futures = [snapshot.signals.submit([v.event for v in p], hook) for p, hook in zip(parts, hooks, strict=True)]
    recorded = [result for future in futures for result in await asyncio.wrap_future(future)]
    if any(hooks):
        brain.signalled.ring()
    accepted = [_result(v.index, result) for v, result in zip(valid, recorded, strict=True)]
    for one, result in zip(valid, accepted, strict=True):
        if one.objection is not None and result["status"] != "refused" and one.subject.field != "account_id":
            confirmed = await objections.record(brain, snapshot, one.objection, one.event, one.subject, one.id)
            result.update({} if confirmed is None else {"objection": confirmed})
    results = sorted([*accepted, *refused], key=lambda result: result["index"])
    counts = {status: sum(r["status"] == status for r in results) for status in ("accepted", "duplicate", "refused")}
    if corrected := sum(result["status"] == "corrected" for result in results):
        counts["corrected"] = corrected
    return _problem(results) if counts["refused"] == len(raw) else None, {**counts, "results": results}


def _problem(results: Sequence[Mapping[str, Any]]) -> ProblemType:
    """Return the kind of problem that all results have in common, else that none was recorded."""
    kinds = {result["type"] for result in results}
    return next((kind for kind in (ERASED, TOLD_OF_ANOTHER) if kinds == {kind.uri}), SIGNALS)


def _validated(
    brain: Brain, snapshot: Snapshot, raw: Sequence[Any], at_us: int
) -> tuple[list[ValidSignal], list[dict[str, Any]]]:
    """Return the valid events, and the results of those that were refused."""
    valid: list[ValidSignal] = []
    refused: list[dict[str, Any]] = []
    for index, one in in_slices(enumerate(raw)):
        try:
            valid.append(_valid(brain, snapshot, index, one, at_us))
        except RequestError as error:
            refused.append(_refused(index, error))
    return valid, refused


def _valid(brain: Brain, snapshot: Snapshot, index: int, raw: Any, at_us: int) -> ValidSignal:
    """Return the event, scored if it is a message; raises RequestError if it is not valid."""
    if isinstance(raw, Mapping) and raw.get("type") in MESSAGE_TYPES:
        declared = snapshot.release.signals.get(str(raw["type"]))
        if declared is not None and declared.is_message:
            consents = _consents(brain, snapshot, raw, at_us)
            fields = _scored(brain, snapshot, declared, raw, at_us, consents)
            scored = {**raw, "data": _declared(declared, fields)}
            event = snapshot.intake.event(scored, at_us)._replace(content=_content(brain, raw.get("data")))
            subject = snapshot.intake.subject(raw.get("subject"))
            before_h = snapshot.release.catalogue.settings.handover.text_before_h
            said = words.held(brain.ledger, event, raw["data"], consents, before_h)
            return ValidSignal(index, event, subject, _objection(fields), str(raw.get("id")), said)
    event = snapshot.intake.event(raw, at_us)
    return ValidSignal(index, event, snapshot.intake.subject(raw.get("subject")))


def _content(brain: Brain, data: Any) -> bytes:
    """Return a name of what was sent as a message, of which a score is kept that depends on more than the message."""
    ordered = sorted(data.items()) if isinstance(data, Mapping) else data
    return bytes.fromhex(brain.ledger.key_of(f"content:{to_json(ordered).decode()}"))[:8]


def _consents(brain: Brain, snapshot: Snapshot, raw: Mapping[str, Any], at_us: int) -> MessageConsents:
    subject, data = snapshot.intake.subject(raw.get("subject")), raw.get("data")
    channel = data.get("channel_kind") if isinstance(data, Mapping) else None
    return consents_for(brain.ledger, snapshot.release, subject, channel, at_us)


def _scored(
    brain: Brain,
    snapshot: Snapshot,
    declared: SignalType,
    raw: Mapping[str, Any],
    at_us: int,
    consents: MessageConsents,
) -> dict[str, Value]:
    """Return the fields of a scored message.

    Of restricted people nothing is made of it that can be left out, but what they ask for.
    """
    data = raw.get("data")
    unneeded = frozenset(f.name for f in declared.fields if consents.restricted and _is_spare_mood(f))
    conversation = data.get("conversation_id") if isinstance(data, Mapping) else None
    before_us = snapshot.intake.occurred_us(raw, at_us)
    earlier: list[float] = []
    if isinstance(conversation, str) and not consents.restricted:
        earlier = earlier_sentiments(brain.ledger, consents.stream, declared.id, conversation, before_us)
    fields = message_fields(
        data,
        keep_text="text" in declared.field_names - unneeded and KEEP_TEXT in consents.granted,
        voice_allowed=VOICE in consents.granted,
        earlier=earlier,
        models=snapshot.message_models(declared.field_names),
    )
    return {name: value for name, value in fields.items() if name not in unneeded}


def _declared(declared: SignalType, fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return the fields that the type declares; a language that it has no value for is left out."""
    language = next((field for field in declared.fields if field.name == "language"), None)
    unknown = language is not None and "language" in fields and misfit(language, fields["language"])
    left_out = {"language"} if unknown else set()
    return {name: value for name, value in fields.items() if name in declared.field_names - left_out}


def _objection(fields: Mapping[str, Value]) -> Objection | None:
    channel, language = fields.get("objection"), fields.get("language")
    return Objection(str(channel), None if language is None else str(language)) if channel is not None else None


def _is_spare_mood(field: SignalField) -> bool:
    return "emotion" in field.tags and not field.required


def _asks_no_profiling(raw: Any) -> bool:
    return isinstance(raw, Mapping) and raw.get("gpc") is True


def _watching(
    snapshot: Snapshot, part: Sequence[ValidSignal], at_us: int, controlled: frozenset[int]
) -> "partial[None] | None":
    """Return what moments and people who help need of signals, to be written with them; None if that is nothing."""
    on = snapshot.release.moments_on
    if not any(v.event.type in on or v.index in controlled or v.words is not None for v in part):
        return None
    return partial(_watch, snapshot, part, at_us, controlled)


def _watch(
    snapshot: Snapshot,
    part: Sequence[ValidSignal],
    at_us: int,
    controlled: frozenset[int],
    connection: Connection,
    recorded: Sequence[EventResult],
) -> None:
    """Set the watches of signals that were recorded or corrected, and keep which came with Global Privacy Control.

    An account's signals set none: only persons and visitors are decided for. Words are kept for who helps.

    :param controlled: the indices of those that came with it
    """
    results = zip(part, recorded, strict=True)
    keep(connection, [(v.words, r.stream) for v, r in results if v.words is not None and r.status in _STORED_NOW])
    retention_us = snapshot.signals.rules.retention_us
    kept = [
        (v, result.stream)
        for v, result in zip(part, recorded, strict=True)
        if result.status not in ("erased", "elsewhere") and v.index in controlled
    ]
    keep_privacy_controls(
        connection, {(stream, v.event.type): at_us + retention_us[v.event.type] for v, stream in kept}
    )
    watch(
        connection,
        (
            Watch(
                result.stream,
                moment.id,
                max(at_us, v.event.time_us + moment.wait_s * 1_000_000),
                {v.subject.field: v.subject.id},
                v.event.key,
                v.event.time_us,
            )
            for v, result in zip(part, recorded, strict=True)
            if result.status in _STORED_NOW and v.subject.field != "account_id"
            for moment in snapshot.release.moments_on.get(v.event.type, ())
        ),
        at_us,
    )


_STORED_NOW: Final = ("accepted", "corrected")
_REFUSALS: Final[Mapping[str, RequestError]] = {
    "erased": Erased("subject", ERASED.about),
    "elsewhere": ToldOfAnother("id", "it was sent for another subject; use a new id for each event"),
}


def _result(index: int, recorded: EventResult) -> dict[str, Any]:
    if recorded.status in _REFUSALS:
        return _refused(index, _REFUSALS[recorded.status])
    return {"index": index, "status": recorded.status}


def _refused(index: int, error: RequestError) -> dict[str, Any]:
    detail = str(error).partition(": ")[2] or str(error)
    return {"index": index, "status": "refused", "type": type_of(error).uri, "field": error.field, "detail": detail}
