"""The channels of a drafted mapping: told from the names of columns, or from the column that names them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from features.importing.drafting import names
from features.importing.drafting.columns import Column
from features.importing.drafting.roles import Roles
from features.importing.drafting.text import item
from features.importing.reading import BLANK

_WORDS: Final[dict[str, frozenset[str]]] = {
    "phone": frozenset({"call", "phone", "telephone", "cellular", "telefoon", "gebeld", "gesprek", "bel", "calls"}),
    "email": frozenset({"email", "mail", "mailing", "opened", "geopend", "newsletter", "mails"}),
    "sms": frozenset({"sms", "text", "tekst"}),
    "push": frozenset({"push"}),
    "post": frozenset({"post", "letter", "brief", "direct"}),
    "app": frozenset({"app", "mobile"}),
    "agent": frozenset({"agent", "branch", "shop", "winkel", "balie", "kantoor", "desk", "adviseur"}),
    "web": frozenset({"click", "clicked", "impression", "page", "banner", "website", "web", "session", "url", "site"}),
}
_FEW: Final = 6
"""Different texts of a column that may say how people were reached."""
_OUTBOUND: Final = ("phone", "email", "sms", "push", "post")


@dataclass(frozen=True)
class ChannelGuess:
    """A channel with the texts that name it in a file. `medium`: how it reaches people, None if they come to it."""

    id: str
    medium: str | None
    texts: tuple[str, ...]
    evidence: str


def channels_of(file: str, columns: Sequence[Column], roles: Roles) -> tuple[ChannelGuess, ...]:
    """Return the channels of a file; none if it tells facts alone."""
    if roles.story == "facts":
        return ()
    if roles.channel is not None:
        return _named(roles.channel)
    if roles.story == "events":
        return (ChannelGuess("agent", None, (), "scores are read by people who talk to customers"),)
    offered = list(roles.action.values) if roles.action is not None else []
    named = [file, *(c.name for c in columns)]
    others = [text for c in columns if c.kind == "enum" and len(c.values) <= _FEW for text in c.values]
    kind, word = next((guess for guess in map(_kind, (offered, named, others)) if guess[0]), (None, ""))
    if kind is None:
        return (
            ChannelGuess(
                "contact", BLANK, (), "phone, email, sms, push or post: no column says how people were reached"
            ),
        )
    return (_of_kind(kind, (), f"guess: the word `{word}` stands in the file"),)


def _named(column: Column) -> tuple[ChannelGuess, ...]:
    """Return a channel for each text of the column that names channels."""
    channels: dict[str, ChannelGuess] = {}
    for text in sorted(column.values):
        kind = _kind([text])[0]
        id_ = kind or names.slug(text, "channel")
        before = channels[id_].texts if id_ in channels else ()
        evidence = f"guess: `{column.name}` holds it"
        channels[id_] = (
            _of_kind(kind, (*before, text), evidence)
            if kind
            else ChannelGuess(
                id_, BLANK, (text,), "phone, email, sms, push or post; `direction: inbound` if people come"
            )
        )
    return tuple(channels.values())


def _kind(texts: Sequence[str]) -> tuple[str | None, str]:
    """Return the kind of channel that the most words are of, and one of them; None if there is none."""
    words = names.channel_words(texts)
    hits = {kind: sorted(words & known) for kind, known in _WORDS.items()}
    best = max(hits, key=lambda kind: len(hits[kind]))
    return (best, hits[best][0]) if hits[best] else (None, "")


def _of_kind(kind: str, texts: tuple[str, ...], evidence: str) -> ChannelGuess:
    return ChannelGuess(kind, kind if kind in _OUTBOUND else None, texts, evidence)


def channel_lines(channels: Sequence[ChannelGuess]) -> Iterator[str]:
    """Yield the section of channels."""
    if channels:
        yield "channels:"
    for channel in channels:
        yield f"  # {channel.evidence}"
        yield from item(2, _record(channel))


def _record(channel: ChannelGuess) -> dict[str, Any]:
    if channel.medium is None:
        people = {"human": True} if channel.id == "agent" else {}
        return {"id": channel.id, "direction": "inbound", "placements": ["main"], **people}
    people = {"human": True} if channel.medium == "phone" else {}
    reach = {"direction": "outbound", "medium": channel.medium, "placements": ["main"]}
    return {"id": channel.id, **reach, "counts_on": "delivered", "reservation_s": 86_400, **people}
