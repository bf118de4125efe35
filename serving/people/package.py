"""The context package of a handover, from what is known and permitted now; only who helps reads it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import from_json
from sqlalchemy import bindparam, select

from decisioning.catalogue.actions import EMOTION
from decisioning.catalogue.release import Release
from decisioning.deciding.case import Case, undrawn_case
from decisioning.deciding.ethics import refused_of
from decisioning.deciding.record import Computation, Decision
from decisioning.errors import BrainError, OutOfScope, RequestError
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.schema import NEVER_SELLS
from decisioning.facts.signals import MESSAGE_TYPES
from decisioning.facts.standing import Standing
from decisioning.records.audiences import answer_for
from decisioning.review.narrative import whys_not
from decisioning.routing.package import Interaction, Situation, outside_package, package_of
from decisioning.routing.package_words import spoken_in
from decisioning.times import iso
from features.conversations.words import LINK, said_in
from features.ledger import Record, now_us
from features.ledger.records import CORRECTION, without_undone
from features.ledger.tables import RECORDS
from features.messages.hearing.corrections import as_corrected, latest
from features.signals.conversations import KeptSignal, latest_signals
from serving.access.callers import Caller
from serving.access.looks import EXPECTED, PURPOSE_HEADER
from serving.brain.runtime import Brain
from serving.people.handovers import Json, as_json, row_of

LEAD: Final = "lead"
_RECENT: Final = (
    select(RECORDS).where(RECORDS.c.stream == bindparam("stream")).order_by(RECORDS.c.version.desc()).limit(60)
)
_CORRECTIONS: Final = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == CORRECTION, RECORDS.c.body.is_not(None))
    .order_by(RECORDS.c.version.desc())
    .limit(200)
)
_OF_SALES: Final = frozenset(("subject", "consent", "protection", "suitability", "contact", "suppressed", "cap"))
"""Kinds of gates that say that something must not be offered; what merely does not fit is left out."""
_MOST: Final = 3
"""Suggestions of one placement."""
_MOST_SIGNALS: Final = 8
"""Interactions that are signals, so that browsing leaves room for contacts and answers."""


def read(brain: Brain, handover_id: str, caller: Caller | None, *, purpose_stated: bool) -> Json:
    """Return the package of a handover.

    :param purpose_stated: whether the caller said why they look
    :raises NotFound: there is no such handover, or its customer was erased
    :raises OutOfScope: a person asks who does not have it
    :raises RequestError: a lead who does not have it does not say why they look
    """
    row = row_of(brain, handover_id)
    check_reader(caller, row.agent, purpose_stated=purpose_stated)
    return package_of(_situation(brain, row, _previewed(brain, row)))


def read_for_systems(brain: Brain, handover_id: str) -> Json | None:
    """Return what of the package may leave for the company's other systems; None if the customer is restricted.

    :raises NotFound: there is no such handover, or its customer was erased
    """
    row = row_of(brain, handover_id)
    decision = _previewed(brain, row)
    if decision.computed.case.known.person.restricted:
        return None
    return outside_package(_situation(brain, row, decision))


def check_reader(caller: Caller | None, agent: str | None, *, purpose_stated: bool) -> None:
    """Raise as `read` does for who may not read the package of a handover that an agent has."""
    if caller is None or caller.kind == "key" or caller.who == agent:
        return
    if not caller.has_any((LEAD,)):
        raise OutOfScope("handover_id", "only the agent who has this handover reads its package: accept it first")
    if not purpose_stated:
        raise RequestError(PURPOSE_HEADER, f"say why you look at a conversation that another has; {EXPECTED}")


def _previewed(brain: Brain, row: Any) -> Decision:
    release = brain.snapshot.release
    return brain.preview(_ask(release, as_json(row)), release)


def _situation(brain: Brain, row: Any, decision: Decision) -> Situation:
    handover, body = as_json(row), from_json(row.body)
    release, case = decision.computed.release, decision.computed.case
    person = case.known.person
    if person.restricted:
        return Situation(release, case.locale, handover, {}, mood_read=False)
    streams = _streams(person)
    signals = [one for stream in streams for one in _permitted(brain, case, stream)]
    conversation = handover["conversation_id"]
    is_human = case.view.channel.human
    return Situation(
        release,
        case.locale,
        handover,
        case.facts(),
        _mood_read(case),
        messages=[signal.fields for signal in _spoken(brain, streams, signals, conversation)],
        events=[*_events(brain, streams, row.id), *_signalled(signals, conversation)],
        suggested=answer_for("agent", decision.answer) if is_human else None,
        refusals=_refusals(decision) if is_human else {},
        words=_words(brain, streams, conversation),
        words_url=body.get(LINK),
    )


class HeardMessages(NamedTuple):
    """What the customer of a handover said in its conversation, oldest first, and whether their mood may be read."""

    messages: Sequence[KeptSignal]
    mood_read: bool


def heard(brain: Brain, row: Any) -> HeardMessages:
    """Return what was heard in the conversation of a handover, as corrected, as far as it may be read."""
    case = _case(brain, row)
    if case.known.person.restricted:
        return HeardMessages((), mood_read=False)
    streams = _streams(case.known.person)
    signals = [one for stream in streams for one in _permitted(brain, case, stream)]
    return HeardMessages(_spoken(brain, streams, signals, as_json(row)["conversation_id"]), _mood_read(case))


def signals_shown(brain: Brain, row: Any) -> list[KeptSignal]:
    """Return what may be shown of what the customer of a handover did last, the newest first."""
    case = _case(brain, row)
    if case.known.person.restricted:
        return []
    signals = (one for stream in _streams(case.known.person) for one in _permitted(brain, case, stream))
    return sorted(signals, key=lambda signal: -signal.at_us)


def _case(brain: Brain, row: Any) -> Case:
    release, at_us = brain.snapshot.release, now_us()
    ask = _ask(release, as_json(row))
    return undrawn_case(ask, brain.known(ask, brain.snapshot, at_us), release, at_us)


def _streams(person: Standing) -> tuple[str, ...]:
    return person.stream, *(other.stream for other in person.visitors)


def agents_channel(release: Release, own: str) -> str | None:
    """Return the channel on which an agent gets suggestions: the conversation's, or the first with a human."""
    human = [name for name, channel in release.channels.items() if channel.human]
    return own if own in human else next(iter(human), None)


def _ask(release: Release, handover: Json) -> Ask:
    """Return the preview by which the package is made: on the agent's channel, with the draws of this handover."""
    name = agents_channel(release, handover["channel"])
    channel = next(iter(release.channels.values())) if name is None else release.channels[name]
    return Ask(
        request_id="package",
        customer_id=handover.get("customer_id"),
        visitor_id=handover.get("visitor_id"),
        account_id=handover.get("account_id"),
        channel=channel.id,
        locale=handover.get("language"),
        mode="preview",
        placements=tuple(PlacementAsk(name=name, limit=_MOST) for name in channel.placements[:10]),
        conversation_id=handover["conversation_id"],
        seed=f"package:{handover['handover_id']}",
    )


def _mood_read(case: Case) -> bool:
    """Tell whether moods may be read: the purpose is permitted, if the catalogue has one."""
    permission = case.permissions.get(EMOTION)
    return permission is None or permission.allowed


def _permitted(brain: Brain, case: Case, stream: str) -> Iterator[KeptSignal]:
    """Yield the latest signals of a stream whose purpose is permitted."""
    types = case.release.signals
    purposes = frozenset(t.purpose for t in types.values() if t.purpose is not None)
    refused = refused_of(purposes, case.permissions)
    for signal in latest_signals(brain.ledger, stream):
        declared = types.get(signal.type)
        if declared is not None and declared.purpose not in refused:
            is_plain = signal.type in MESSAGE_TYPES or not {*NEVER_SELLS}.intersection(declared.tags)
            yield from (signal,) if is_plain else ()


def _is_of(signal: KeptSignal, conversation: str) -> bool:
    said_here = signal.type in MESSAGE_TYPES and signal.fields.get("conversation_id") == conversation
    return said_here and signal.fields.get("author", "customer") == "customer"


def _spoken(brain: Brain, streams: Sequence[str], signals: Sequence[KeptSignal], conversation: str) -> list[KeptSignal]:
    """Return the customer's messages of a conversation, oldest first, as people corrected what was heard in them."""
    spoke = sorted((s for s in signals if _is_of(s, conversation)), key=lambda signal: signal.at_us)
    rows = (row for stream in streams for row in reversed(brain.ledger.select(_CORRECTIONS, {"stream": stream})))
    corrected = latest(brain.ledger.record_of(row).body or {} for row in rows) if spoke else {}
    return [one._replace(fields=as_corrected(one.fields, corrected.get(one.key, {}))) for one in spoke]


def _signalled(signals: Sequence[KeptSignal], conversation: str) -> Iterator[Interaction]:
    """Yield what the customer did last; of each other conversation only that and where they wrote last."""
    seen: set[Any] = set()
    for signal in sorted(signals, key=lambda signal: -signal.at_us):
        is_message = signal.type in MESSAGE_TYPES
        of = (signal.type, signal.fields.get("conversation_id")) if is_message else (signal.type, signal.at_us)
        if of[1] != conversation and of not in seen and len(seen) < _MOST_SIGNALS:
            seen.add(of)
            channel = signal.fields.get("channel_kind") if is_message else None
            yield Interaction(signal.at_us, "signal", channel, signal.type)


def _events(brain: Brain, streams: Sequence[str], handover_id: str) -> Iterator[Interaction]:
    for stream in streams:
        records = map(brain.ledger.record_of, brain.ledger.select(_RECENT, {"stream": stream}))
        for record in without_undone(records):
            yield from _of_record(record, handover_id)


def _of_record(record: Record, handover_id: str) -> Iterator[Interaction]:
    """Yield what one record says of earlier contacts, answers, handovers and what agents judged."""
    body, at_us = _folded(record), record.counted_us
    if not body:
        return
    if record.kind == "decision":
        for contact in body["contacts"]:
            yield Interaction(at_us, "shown", contact["channel"], contact["action"])
    elif record.kind == "outcome":
        yield Interaction(at_us, "answer", None, body["action"], body["outcome"])
    elif record.kind == "override":
        yield Interaction(at_us, "judged", None, body["action"], body["verdict"], body.get("note"))
    elif record.kind == "handover" and body["handover_id"] != handover_id:
        yield Interaction(at_us, "handover", body.get("channel"), None, body["state"], body.get("note"))


def _folded(record: Record) -> Mapping[str, Any]:
    """Return what is read of a record; of one whose release is not kept here nothing."""
    try:
        return record.folded or {}
    except BrainError:
        return {}


def _refusals(decision: Decision) -> dict[str, str]:
    """Return action -> why it must not be offered, of commercial actions that no treatment may offer."""
    computed = decision.computed
    view, locale = computed.view, spoken_in(computed.case.locale)
    texts = whys_not(computed, decision.answer["placements"])
    held = {w.treatment: w.gate.partition(":")[0] for w in computed.screened.withheld}
    allowed = {view.actions[i].id for i in computed.screened.rows.tolist()}
    refused: dict[str, str] = {}
    for i, treatment in enumerate(view.ids):
        action = view.actions[i]
        if action.commercial and _must_not(computed, held.get(treatment), action.id in allowed):
            refused.setdefault(action.id, texts.get(treatment, {}).get(locale, ""))
    return {name: why for name, why in sorted(refused.items()) if why}


def _must_not(computed: Computation, gate: str | None, is_allowed: bool) -> bool:
    return computed.mood.silence_sales if is_allowed else gate in _OF_SALES


def _words(brain: Brain, streams: Sequence[str], conversation: str) -> list[Json]:
    said = said_in(brain.ledger, streams, conversation)
    return [{"speaker": one.speaker, "at": iso(one.at_us), "text": one.text} for one in said]
