"""What may be done with a message: whether its text is kept, a voice or a face scored, and its mood kept.

The united standing is asked: a no of the customer, of a linked visitor, of the customer that a visitor is linked to, or
under a joined id holds, and so does a restriction of any of them.
"""

from dataclasses import dataclass
from functools import partial

from decisioning.catalogue.release import Release
from decisioning.deciding.consent import latest, permission
from decisioning.facts.standing import ALL_CHANNELS, Standing
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Ledger
from features.ledger.links import visitors_now, with_identities
from features.signals.intake import Subject

KEEP_TEXT, VOICE = "message-text", "voice-emotion"
"""Purposes. Without a grant a message's text is dropped once scored, and scores of a voice or face are refused."""
SERVICE = "service"
"""The purpose under which the words of a conversation are held while a person helps with it."""


@dataclass(frozen=True, slots=True)
class MessageConsents:
    """Whom a message is from, and what may be done with it.

    `stream`: the one that takes it. `granted`: of the two purposes. `restricted`: data of theirs may only be kept, so
    nothing is made of the message but what it asks for. `streams`: all of the person. `serves`: nobody refused service,
    so that the words may be held for the agent who helps.
    """

    stream: str
    granted: frozenset[str]
    restricted: bool
    streams: tuple[str, ...] = ()
    serves: bool = False


def consents_for(ledger: Ledger, release: Release, subject: Subject, channel: object, at_us: int) -> MessageConsents:
    """Return what the people behind a message allow now; a legal basis of the catalogue is not enough.

    :param channel: what the message says of its channel; if that is none of the release's, a no on any channel holds
    """
    read = partial(ledger.read, rules=NO_PAST)
    is_visitor = subject.field == "visitor_id"
    own = visitors_now([subject.stream], read)[0].stretch if is_visitor else read(subject.stream)[0]
    (standing,) = with_identities([own], read)
    everyone = (standing, *standing.visitors, *standing.elsewhere)
    if any(one.restricted for one in everyone):
        return MessageConsents(own.stream, frozenset(), restricted=True)
    named = channel if isinstance(channel, str) and channel in release.channels else None
    purposes = [p for name in (KEEP_TEXT, VOICE) if (p := release.purposes.get(name)) is not None]
    allowed = [p.id for p in purposes if permission(standing, p, named or ALL_CHANNELS, (), at_us).allowed]
    asked = [named] if named is not None else [ALL_CHANNELS, *release.channels]
    granted = frozenset(p for p in allowed if not any(_refuses(one, p, c) for one in everyone for c in asked))
    serves = not any(_refuses(one, SERVICE, c) for one in everyone for c in asked)
    return MessageConsents(own.stream, granted, False, tuple(one.stream for one in everyone), serves)


def _refuses(standing: Standing, purpose: str, channel: str) -> bool:
    record = latest(standing, purpose, channel)
    return record is not None and record.refuses
