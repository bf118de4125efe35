"""The odds that follow from a record are those that its slots were drawn by, as records of format 6 kept them."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.records.formats import NEWEST, unpack
from decisioning.review.drawn_odds import figures_in
from tests import strategies as world
from tests.examples import examples
from tests.oracle import adapter, worlds

KEPT_ODDS = 6


def compare(before: Decision, after: Decision, release: Release) -> int:
    """Compare the odds of the same decision in both formats; return the number of slots that had any."""
    as_kept = [pick.get("odds") for pick in unpack(before.to_bytes(), release)["picks"]]
    computed = [pick.get("odds") for pick in figures_in(after.to_bytes(), release)["picks"]]
    rounded = [None if odds is None else np.float32(odds).astype(np.float64).tolist() for odds in computed]
    assert rounded == as_kept
    return sum(odds is not None for odds in as_kept)


@pytest.mark.promise("replay.odds")
@settings(max_examples=examples(100), deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=2, max_size=8))
def test_odds_computed_from_a_record_are_those_of_the_draw(ask: Ask, customer: Known, seed: str) -> None:
    of_format = (world.run(ask, customer, seed=f"d-{seed}", record_format=n) for n in (KEPT_ODDS, NEWEST))
    compare(*of_format, world.SMALL)


@pytest.mark.promise("replay.odds")
def test_a_candidate_that_is_never_drawn_counts_among_those_that_could_be() -> None:
    """An issue with an infinite gamma is drawn only where it is the best, and the others' odds are less for it."""
    exploring = "    gamma: 9\n    issues: {grow: {gamma: .inf}}\n"
    files = {name: text.replace("    gamma: 9\n", exploring) for name, text in world.SMALL_FILES.items()}
    assert files != world.SMALL_FILES
    release = Release.from_bytes(pack(files))
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="sidebar", limit=3),))
    before, after = (world.run(ask, world.permissive(), release, record_format=n) for n in (KEPT_ODDS, NEWEST))
    compare(before, after, release)
    assert any(p.odds is not None and not (p.odds > 0.0).all() for p in before.kept.picks)


@pytest.mark.promise("replay.odds")
def test_odds_of_random_releases_are_those_of_the_draw() -> None:
    slots: Counter[str] = Counter()
    for nth in range(examples(150)):
        made = worlds.world(nth, actions=8, plain=True)
        release, random = adapter.release(made), Random(nth)
        for _ in range(8):
            ask = worlds.ask(made, random)
            before, after = (adapter.decision(release, ask, record_format=n) for n in (KEPT_ODDS, NEWEST))
            slots["drawn"] += compare(before, after, release)
            slots["by counts"] += len(after.kept.counted)
    assert slots["drawn"] > examples(150) / 3
    assert slots["by counts"] > 0
