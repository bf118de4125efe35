"""Records the objections that are heard in messages, and confirms them to the customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from decisioning.catalogue.actions import MARKETING, Medium
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.release import Release
from decisioning.errors import Erased
from decisioning.facts.standing import ALL_CHANNELS
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Duplicate, Entry
from features.signals.event import Event
from features.signals.intake import Subject
from features.signals.visitor_records import append_for_visitor
from serving.brain.runtime import Brain
from serving.brain.snapshot import Snapshot

SOURCE: Final = "message:"
"""What the source of an objection begins with that was heard in a message; the id of its event follows."""

_MEDIA: Final[dict[str, Medium]] = {"phone": "phone", "email": "email", "sms": "sms", "post": "post", "app": "push"}
_CONFIRMED: Final = {
    "je": "Wij hebben vastgelegd dat je {channel} geen aanbiedingen meer wilt. Klopt dat niet? Laat het ons weten.",
    "u": "Wij hebben vastgelegd dat u {channel} geen aanbiedingen meer wilt. Klopt dat niet? Laat het ons weten.",
    "en": "We have recorded that you want no more offers {channel}. Is that not right? Please tell us.",
}
_PLACES: Final = {
    "nl": {"all": "van ons", "phone": "per telefoon", "email": "per e-mail", "sms": "per sms", "post": "per post",
           "app": "in de app"},
    "en": {"all": "from us", "phone": "by phone", "email": "by e-mail", "sms": "by text message", "post": "by post",
           "app": "in the app"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Objection:
    """An objection to sales: the `channel` that it is about, or `all`, and the customer's `language`, if known."""

    channel: str
    language: str | None


async def record(
    brain: Brain, snapshot: Snapshot, objection: Objection, event: Event, subject: Subject, event_id: str
) -> dict[str, Any] | None:
    """Record an objection once per event, and return the channels it holds for and the text that confirms it.

    It counts from when the message was sent, so what the customer said since holds. None: the customer is erased.
    """
    channels = _channels(snapshot.release, objection.channel)
    try:
        for channel in channels:
            await _append(brain, event, subject, event_id, channel)
    except Erased:
        return None
    return {
        "status": "objected",
        "channels": [None if channel == ALL_CHANNELS else channel for channel in channels],
        "text": confirmation(snapshot.release.catalogue, objection),
    }


def confirmation(catalogue: Catalogue, objection: Objection) -> str:
    """Return the text that confirms an objection to the customer, in their language or else the release's first."""
    settings = catalogue.settings
    locale = objection.language if objection.language in settings.locales else settings.locales[0]
    language = "nl" if locale.startswith("nl") else "en"
    text = settings.objection_text.get(locale) or _CONFIRMED["en" if language == "en" else settings.address]
    return text.replace("{channel}", _PLACES[language][objection.channel])


def _channels(release: Release, heard: str) -> Sequence[str]:
    """Return the release's channels that a heard channel means; its own name if there is none of them yet."""
    if heard == "all":
        return (ALL_CHANNELS,)
    named = [c.id for c in release.channels.values() if c.id == heard or c.medium == _MEDIA[heard]]
    return named or (heard,)


async def _append(brain: Brain, event: Event, subject: Subject, event_id: str, channel: str) -> None:
    key = f"objection:{event.key}:{channel}"
    if brain.ledger.lookup(key) is not None:
        return
    body = {
        "purpose": MARKETING,
        "channel": channel,
        "status": "objected",
        "source": f"{SOURCE}{event_id}",
        "notice_version": "",
        "expires_us": None,
        "asserted_by": None,
    }
    try:
        if subject.field == "visitor_id":
            await append_for_visitor(brain.ledger, subject.stream, "consent", body, event.time_us, key=key)
        elif not brain.ledger.read(subject.stream, rules=NO_PAST)[0].erased:
            await brain.ledger.commit([Entry(subject.stream, "consent", body, event.time_us, key=key)])
    except Duplicate:
        return
