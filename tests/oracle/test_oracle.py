"""An independent statement of every gate and of the slate agrees with the engine on every decision."""

from collections import Counter
from random import Random

import pytest

from tests.examples import examples
from tests.oracle import adapter, slate, worlds

KINDS = {
    *("subject:erased", "subject:restricted", "action:dates", "action:paused", "action:automation", "action:account"),
    *("request:issues", "request:negotiation", "handover:open", "contest:excluded"),
    *("contact:quiet-hours", "claim:scarcity", "claim:deadline", "arm:holdout"),
    *("consent", "protection", "eligibility", "applicability", "suitability", "contact", "suppressed", "cap"),
    *("budget", "placeholder"),
}


def differences(seed, asks, seen, **size):
    """Decide `asks` requests to one world both ways; yield where they differ, and count the kinds in `seen`."""
    world = worlds.world(seed, **size)
    release, random = adapter.release(world), Random(-seed)
    for n in range(asks):
        ask = worlds.ask(world, random)
        should, does = slate.decide(world, ask), adapter.decided(release, ask)
        chances = should.pop("chances"), does.pop("chances")
        if should != does:
            yield seed, n, {k: (should[k], does[k]) for k in should if should[k] != does[k]}
        elif chances[0] != pytest.approx(chances[1], rel=1e-12):
            yield seed, n, {"chances": chances}
        seen.update((*kinds(should), *("chance" for p in chances[0] if p < 1.0)))


def kinds(should):
    """Yield what a decision was about, so that a test can check that all kinds occurred."""
    for gate in should["withheld"].values():
        yield gate if gate in KINDS else gate.partition(":")[0]
    yield from (f"arm={should['arm']}", f"handover={should['handover'] is not None}")
    yield "offers" if any(should["placements"].values()) else "silence"
    yield from ("soft opt-in" for cites in should["permitted"].values() if "basis:soft" in cites.values())
    yield from ("cites " + c.partition(":")[0] for cites in should["permitted"].values() for c in cites.values())


def compare(first, count, asks, **size):
    """Check that `count` worlds of `asks` requests each show no difference; return how often each kind occurred."""
    seen = Counter()
    for seed in range(first, first + count):
        mismatches = list(differences(seed, asks, seen, **size))
        assert not mismatches, f"{len(mismatches)} differences, the first (oracle, engine): {mismatches[0]}"
    return seen


@pytest.mark.promise("filters.independent-oracle", "exploration.gamma-per-issue")
def test_small_decisions_are_what_the_oracle_says():
    count = examples(60)
    seen = compare(1, count, 200)
    assert seen.keys() >= KINDS | {
        "offers",
        "silence",
        "cites basis",
        "cites consent",
        "handover=True",
        "arm=no-levers",
    }
    assert seen["offers"] > 30 * count
    assert seen["chance"] > 5 * count


@pytest.mark.promise("filters.independent-oracle")
def test_decisions_of_full_size_are_what_the_oracle_says():
    count = examples(5)
    assert compare(1, count, 200, actions=100, policies=32)["offers"] > 20 * count


@pytest.mark.promise("filters.independent-oracle")
@pytest.mark.long
def test_a_million_decisions_are_what_the_oracle_says():
    compare(10_000, 4_950, 200)
    compare(50_000, 50, 200, actions=100, policies=32)
