"""The customers for whom two releases are compared, a sample that every run finds again, and where they are asked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from decisioning.catalogue.release import Release
from decisioning.errors import Unavailable
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Standing
from features.ledger.driver import in_chunks
from serving.brain.reading import Subjects
from serving.brain.runtime import Brain
from serving.brain.snapshot import Snapshot

SAMPLE = 1000


class ChannelPlace(NamedTuple):
    """A placement of a channel."""

    channel: str
    placement: str


def places_of(release: Release) -> list[ChannelPlace]:
    """Return the places of a release in the order of its channels."""
    return [ChannelPlace(name, placement) for name, c in release.channels.items() for placement in c.placements]


def ask_for(channel: str, *names: str) -> Ask:
    """Return a preview of these placements of a channel."""
    placements = tuple(PlacementAsk(name=name) for name in names)
    return Ask(request_id="policies", customer_id="policies", channel=channel, mode="preview", placements=placements)


def known_of_streams(brain: Brain, snapshot: Snapshot, streams: Sequence[str], at_us: int) -> list[Known]:
    """Return what a decision would know of customers, with a new account; raises Unavailable without a profile."""
    every = brain.customers.read([Subjects((stream,)) for stream in streams], snapshot, at_us, whole=True)
    if any(known.degraded for known in every):
        raise Unavailable("the profiles of customers cannot be read now; try again")
    return [replace(known, account=Standing("account")) for known in every]


def name_of(stream: str) -> str:
    """Return a name for a customer that tells nothing of their id."""
    return hashlib.sha256(stream.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class SampledPeople:
    """The streams of a sample, each of another person; `consenting`: whether all of them gave some consent."""

    streams: tuple[str, ...]
    consenting: bool


def sample_people(brain: Brain, most: int, at_us: int) -> SampledPeople:
    """Return up to `most` customers with a profile and a consent; if nobody has a consent, others with a profile.

    Who is erased or restricted is never among them, and joined customers are one person. Streams are keyed hashes, so
    the first ones in their order are a sample by chance that each run finds again.
    """
    people = partial(_people, brain, brain.snapshot.profiles.archive.subjects(), at_us)
    consenting = _first(people(consenting=True), most)
    return (
        SampledPeople(consenting, True) if consenting else SampledPeople(_first(people(consenting=False), most), False)
    )


def _first(streams: Iterator[str], most: int) -> tuple[str, ...]:
    return tuple(stream for stream, _ in zip(streams, range(most), strict=False))


def _people(brain: Brain, streams: Sequence[str], at_us: int, *, consenting: bool) -> Iterator[str]:
    seen: set[str] = set()
    for some in in_chunks(streams):
        for known in known_of_streams(brain, brain.snapshot, some, at_us):
            person = known.person
            whole = person.person_stream or person.stream
            if person.erased or person.restricted or whole in seen or (consenting and not _consents(person)):
                continue
            seen.add(whole)
            yield person.stream


def _consents(person: Standing) -> bool:
    return any(consent.status == "granted" for consent in person.consents)
