"""The personas of a catalogue, decided under two releases."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from decisioning.catalogue.policies import Persona
from decisioning.catalogue.release import Release
from decisioning.deciding.case import Case, DecisionContext
from decisioning.deciding.engine import decide_block
from decisioning.deciding.record import Decision
from decisioning.review.personas import ask_of, known_of
from serving.brain.runtime import Brain


class DecidedTwice(NamedTuple):
    """A customer, by stream or by the id of a persona, with the decisions of two releases; None: it cannot be asked."""

    customer: str
    before: Decision | None
    after: Decision | None


def personas_decided(brain: Brain, releases: tuple[Release, Release], at_us: int) -> Iterator[DecidedTwice]:
    """Yield the personas of the second release, decided without exploration, as `brain check` decides them."""
    for persona in releases[1].catalogue.personas:
        yield DecidedTwice(persona.id, *(_decided(brain, release, persona, at_us) for release in releases))


def _decided(brain: Brain, release: Release, persona: Persona, at_us: int) -> Decision | None:
    if not _can_ask(release, persona):
        return None
    moment_us = at_us if persona.as_of_us is None else persona.as_of_us
    model = brain.snapshot_under(release).models.champion
    context = DecisionContext(model.name, moment_us, persona.id, gamma=math.inf)
    return decide_block([Case(ask_of(persona), known_of(persona, release, moment_us), release, context)], model.scores)[
        0
    ]


def _can_ask(release: Release, persona: Persona) -> bool:
    """Tell whether a release has the channel, places and purposes of a persona."""
    channel = release.channels.get(persona.channel)
    purposes = {consent.purpose for consent in persona.consents}
    return (
        channel is not None and set(persona.placements) <= set(channel.placements) and purposes <= set(release.purposes)
    )
