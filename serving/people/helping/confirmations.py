"""Consents that customers gave in a conversation, confirmed in writing: sent to the company's systems, which write to
the customer, and shown on the customer's own page."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pydantic_core import from_json, to_json

from decisioning.catalogue.release import Release
from decisioning.errors import Erased, NotFound
from decisioning.facts.standing import Consent
from decisioning.facts.standing_rules import NO_PAST
from decisioning.spec import worded
from decisioning.times import iso
from features.ledger import Record
from features.moments import OF_CONSENT, Delivery, Moments
from serving.brain.runtime import Brain
from serving.people.handovers import as_json, row_of

CONVERSATION: Final = "conversation:"
"""How the source of a consent begins that was given in a conversation; the id of its handover follows."""
_TEXTS: Final[Mapping[str, tuple[str, str, str]]] = {
    "en": (
        "On {day} you said yes in a conversation with us, for {channel}.",
        "This was read to you: “{notice}”",
        "You can stop this at any time. That is as easy as saying yes was.",
    ),
    "nl": (
        "Op {day} zei u ja in een gesprek met ons, voor {channel}.",
        "Dit is u voorgelezen: “{notice}”",
        "U kunt hier altijd mee stoppen. Dat is net zo makkelijk als ja zeggen was.",
    ),
}


def given_in_conversations(consents: Iterable[Consent]) -> Iterator[Consent]:
    """Yield those of a customer's latest consents that they gave in a conversation."""
    yield from (one for one in consents if one.status == "granted" and one.source.startswith(CONVERSATION))


def text_of(release: Release, consent: Consent, language: str, day: str, channel: str) -> str:
    """Return the confirmation that a customer reads; of a text that the release does not have any more only the rest.

    :param day: when they said it, and `channel`: for which channel, as they read it
    """
    said, read, stop = _TEXTS[language]
    purpose = release.purposes.get(consent.purpose)
    is_kept = purpose is not None and purpose.notice_version == consent.notice_version
    notice = worded(purpose.description, language) if purpose is not None and is_kept else ""
    lines = [said.format(day=day, channel=channel), *([read.replace("{notice}", notice)] if notice else []), stop]
    return " ".join(lines)


def deliveries(records: Iterable[Record]) -> Iterator[Delivery]:
    """Yield a delivery for each record of a consent that was given in a conversation."""
    for record in records:
        body = record.body or {}
        if body.get("status") == "granted" and str(body.get("source", "")).startswith(CONVERSATION):
            event = f"{OF_CONSENT}{body['status']}"
            about = {name: body[name] for name in ("purpose", "channel", "notice_version", "source")}
            sent = to_json({"event": event, **about, "occurred_at": iso(record.counted_us)})
            name = f"consent-{record.stream}-{record.version}"
            yield Delivery.new(name, "webhook", record.stream, event, body["channel"], record.at_us, sent)


def body(brain: Brain, moments: Moments, delivery: Delivery) -> bytes | None:
    """Return what leaves now of a confirmation; None if nothing leaves any more, as the consent does not hold."""
    about = from_json(delivery.body)
    (standing,) = brain.ledger.read(delivery.stream, rules=NO_PAST)
    sent, given = (about["purpose"], about["channel"], about["source"]), given_in_conversations(standing.consents)
    holds = next((one for one in given if (one.purpose, one.channel, one.source) == sent), None)
    if holds is None or standing.restricted:
        moments.withhold(delivery, "consent:withdrawn" if holds is None else "subject:restricted")
        return None
    try:
        handover = as_json(row_of(brain, holds.source.removeprefix(CONVERSATION)))
    except (Erased, NotFound):
        moments.withhold(delivery, "subject:erased")
        return None
    release = brain.snapshot.release
    wanted = (handover.get("language", ""), *release.catalogue.settings.locales, "en")
    language = next(name for one in wanted if (name := one.partition("-")[0]) in _TEXTS)
    text = text_of(release, holds, language, iso(holds.occurred_us)[:10], holds.channel)
    whose = {name: handover[name] for name in ("customer_id", "visitor_id") if name in handover}
    told_now = {name: about[name] for name in ("event", "purpose", "channel", "notice_version", "occurred_at")}
    return to_json({**told_now, **whose, "handover_id": handover["handover_id"], "language": language, "text": text})
