"""What decisions read of customers of the generated world, without a ledger."""

from functools import cache

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.standing import Consent, Standing
from training.simulator.telecom import CHANNELS, World, generate


@cache
def world() -> World:
    return generate(7, 4_000)


@cache
def release() -> Release:
    return Release(world().catalogue, "sha256:0")


def known(row: int) -> Known:
    consents_given = [c for c in world().consents if c.customer == row]
    latest = {(c.purpose, c.channel): c for c in sorted(consents_given, key=lambda c: c.occurred_us)}
    consents = tuple(
        Consent(c.purpose, c.channel, c.status, c.source, c.notice_version, c.occurred_us, None, n)
        for n, c in enumerate(latest.values())
    )
    return Known(world().facts(row), Standing(f"p{row}", 1, consents), Standing(f"a{row}", 1))


def everything(row: int, channel: str) -> Ask:
    """Return a request for all placements of a channel, with five slots each."""
    names = release().channels[channel].placements
    return Ask(
        request_id="r-1",
        customer_id=world().customer_ids[row],
        account_id=world().account_ids[row],
        channel=channel,
        placements=tuple(PlacementAsk(name=name, limit=5) for name in names),
    )


def truth(row: int, channel: str):
    """Return a scorer that knows the true probabilities."""

    def score(_facts, candidates):
        ids = [release().candidates[i][0].id for i in candidates]
        codes = np.asarray([world().actions.index(a) for a in ids], dtype=np.int64)
        at = CHANNELS.index(channel)
        probabilities = world().probabilities(np.full(len(codes), row), codes, np.full(len(codes), at))
        return Scores(probabilities, np.full(len(codes), 1e4), tuple(() for _ in codes))

    return score
