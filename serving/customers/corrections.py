"""Record what people did about suggestions (overrides), and what they say of messages that were scored wrong.

Both are records of the customer's stream that change nothing by themselves. An id means one thing said: the same
content under it is a repeat, other content is refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from decisioning.errors import Erased, NotFound, RequestError, RequestReused
from decisioning.facts.signals import UNKNOWN_INTENT
from decisioning.nearest import did_you_mean
from features.ledger import Duplicate, Entry, Record, now_us
from features.ledger.records import CORRECTION, OVERRIDE
from features.signals.conversations import message_of
from features.signals.intake import event_key
from serving.access.looks import Doer
from serving.brain.runtime import Brain
from serving.contract import CorrectionIn, OverrideIn
from serving.customers.items import ItemResult
from serving.problems import ERASED

_DOER: Final = Doer._fields


async def record_override(brain: Brain, override: OverrideIn, *, by: Doer) -> ItemResult:
    """Append what a person did about a suggestion, unless it is a repeat.

    :raises NotFound: there is no such decision
    :raises RequestError: the decision did not suggest it, or the catalogue has no such action or reason
    :raises Erased: the customer was erased
    :raises RequestReused: the id was sent with other content
    """
    decision = _decision(brain, override.decision_id)
    release = brain.snapshot.release
    if override.reason is not None:
        _known("reason", override.reason, release.catalogue.settings.override_reasons)
    if override.instead is not None:
        _known("instead", override.instead, release.actions)
    contacts = (decision.folded or {})["contacts"]
    offer = _suggested(override, contacts)
    if override.instead == offer["action"]:
        raise RequestError("instead", "this is what was suggested; name another action, or none")
    also_suggested = [c["offer_id"] for c in contacts if c["action"] == override.instead]
    body = {
        "override_id": override.override_id,
        "decision_id": override.decision_id,
        "offer_id": offer["offer_id"],
        "action": offer["action"],
        "verdict": override.kind,
        **_given(instead=override.instead, reason=override.reason, note=override.note),
        **_given(instead_offer=next(iter(also_suggested), None)),
    }
    return await _record(brain, "override_id", override.override_id, Entry(decision.stream, OVERRIDE, body, None), by)


async def undo_override(brain: Brain, override_id: str, *, by: Doer, within_us: int) -> bool | None:
    """Take back what a person did about a suggestion; again, it changes nothing.

    :return: whether there was time left; None: nothing is recorded under this id
    """
    record = brain.ledger.lookup(_key(OVERRIDE, override_id))
    if record is None or record.body is None:
        return None
    if now_us() - record.at_us > within_us:
        return False
    judged = {name: value for name, value in record.body.items() if name not in (*_DOER, "note")}
    name = f"undo-{override_id}"
    body = {**judged, "override_id": name, "undoes": override_id, "undone_us": record.counted_us}
    await _record(brain, "override_id", name, Entry(record.stream, OVERRIDE, body, None), by)
    return True


async def record_correction(brain: Brain, correction: CorrectionIn, *, by: Doer) -> ItemResult:
    """Append what a person says of a message, unless it is a repeat.

    :raises NotFound: no such message of a customer is kept
    :raises RequestError: the catalogue lists intents, and not this one
    :raises Erased: the customer was erased
    :raises RequestReused: the id was sent with other content
    """
    intents = [intent.id for intent in brain.snapshot.release.catalogue.intents]
    if correction.field == "intent" and correction.is_ is not None and intents:
        _known("is", correction.is_, (*intents, UNKNOWN_INTENT))
    key = event_key(brain.ledger, correction.event_source, correction.event_id)
    body = {
        **correction.model_dump(by_alias=True, exclude={"note"}),
        **_given(note=correction.note),
        "event": key,
    }
    if (earlier := brain.ledger.lookup(_key(CORRECTION, correction.correction_id))) is not None:
        return _repeated("correction_id", earlier, body)  # whose message need not be kept any more
    message = message_of(brain.ledger, key, "event_id")
    entry = Entry(message.stream, CORRECTION, body, None)
    return await _record(brain, "correction_id", correction.correction_id, entry, by)


def _decision(brain: Brain, decision_id: str) -> Record:
    record = brain.ledger.lookup(f"decision:{decision_id}")
    if record is None:
        raise NotFound("decision_id", "no such decision was made here")
    if record.raw is None:
        raise Erased("decision_id", ERASED.about)
    return record


def _suggested(override: OverrideIn, contacts: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the offer of the decision that is meant."""
    name, value = ("offer_id", override.offer_id) if override.action is None else ("action", override.action)
    offer = next((contact for contact in contacts if contact[name] == value), None)
    if offer is None:
        raise RequestError(name, "the decision did not suggest this")
    return offer


def _known(field: str, name: str, known: Any) -> None:
    if name not in known:
        listed = "" if len(known) > 20 else f"; known are {', '.join(known)}"
        raise RequestError(field, f"the catalogue has no such {_ABOUT[field]}{listed or did_you_mean(name, known)}")


_ABOUT: Final = {"reason": "reason in `settings: override_reasons`", "instead": "action", "is": "intent"}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


async def _record(brain: Brain, field: str, id_: str, entry: Entry, by: Doer) -> ItemResult:
    said = {**entry.folded, **by.fields}
    key = _key(entry.kind, id_)
    try:
        await brain.ledger.commit([Entry(entry.stream, entry.kind, said, None, key=key)])
    except Duplicate as duplicate:
        return _repeated(field, duplicate.record, entry.folded)
    except Erased:
        raise Erased(field, ERASED.about) from None
    return ItemResult("recorded")


def _key(kind: str, id_: str) -> str:
    return f"{kind}:{id_}"


def _repeated(field: str, earlier: Record, said: Mapping[str, Any]) -> ItemResult:
    if earlier.body is None:
        raise Erased(field, ERASED.about)
    if {name: value for name, value in earlier.body.items() if name not in _DOER} != said:
        raise RequestReused(field, "it was sent before with other content; use a new id for each thing said")
    return ItemResult("repeated")
