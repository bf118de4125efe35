"""Decisions about customers of the generated world, without a ledger: their consents as a standing."""

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
    said = [c for c in world().consents if c.customer == row]
    latest = {(c.purpose, c.channel): c for c in sorted(said, key=lambda c: c.occurred_us)}
    consents = tuple(
        Consent(c.purpose, c.channel, c.status, c.source, c.notice_version, c.occurred_us, None, n)
        for n, c in enumerate(latest.values())
    )
    return Known(world().facts(row), Standing(f"p{row}", 1, consents), Standing(f"a{row}", 1))


def everything(row: int, channel: str) -> Ask:
    """All placements of a channel, as wide as they go."""
    names = release().channels[channel].placements
    return Ask(
        request_id="r-1",
        customer_id=world().customer_ids[row],
        account_id=world().account_ids[row],
        channel=channel,
        placements=tuple(PlacementAsk(name=name, limit=5) for name in names),
    )


def truth(row: int, channel: str):
    """A scorer that knows the true probabilities."""

    def score(_facts, candidates):
        ids = [release().candidates[i][0].id for i in candidates]
        codes = np.asarray([world().actions.index(a) for a in ids], dtype=np.int64)
        at = CHANNELS.index(channel)
        found = world().probabilities(np.full(len(codes), row), codes, np.full(len(codes), at))
        return Scores(found, np.full(len(codes), 1e4), tuple(() for _ in codes))

    return score
