"""Pairs of requests: the one that states less, or forbids more, never lets in what the other kept out."""

from random import Random

import pytest

from decisioning.facts.forms import canonical
from tests.examples import examples
from tests.oracle import adapter, worlds
from tests.oracle.oracle import Oracle
from tests.oracle.rules import Rules

PAIRS = 100
"""The number of pairs per world."""
FEW_WORLDS = examples(50)


def denies(seed):
    """Yield pairs: a world, and the same world with one more policy, protection or cap."""
    world, random = worlds.world(seed), Random(seed)
    rules = Rules(random, list(world["actions"]))
    attach = worlds.attach(random, list(world["actions"]))
    policy = {
        "id": "more",
        "level": "eligibility",
        "attach": attach,
        "kind": random.choice(("deny", "permit")),
        "own": False,
    }
    more = {
        "policies": {**policy, "rule": rules.truth()},
        "protections": {"id": "more", "when": rules.truth()},
        "caps": worlds.cap(random, "more", list(world["actions"])),
    }
    section = random.choice(sorted(more))
    base, stricter = adapter.release(world), adapter.release({**world, section: [*world[section], more[section]]})
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        yield adapter.permitted(base, ask), adapter.permitted(stricter, ask)


def forgotten_facts(seed):
    """Yield pairs: with a fact and without it, for rules without `default` and `known`, which may let in more."""
    world, random = worlds.world(seed, plain=True), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        # a request without `gpc` came without the header, which is a known fact
        forgotten = random.choice(sorted(ask["facts"].keys() - {"gpc"}))
        less = {**ask, "facts": {n: v for n, v in ask["facts"].items() if n != forgotten}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


def forgotten_consents(seed):
    """Yield pairs: with a consent that is in force, and without it.

    A consent that lapsed is never left out: it supersedes older grants, which could then count again.
    """
    world, random = worlds.world(seed), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        consents, of = ask["person"]["consents"], Oracle(world, ask)
        in_force = [c for c in consents if of.valid(c, world["purposes"][c["purpose"]])]
        forgotten = random.choice(in_force) if in_force else None
        less = {**ask, "person": {**ask["person"], "consents": [c for c in consents if c is not forgotten]}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


def withdrawals(seed):
    """Yield pairs: as it was, and after a purpose was withdrawn."""
    world, random = worlds.world(seed), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        purpose, channel = random.choice(worlds.PURPOSES), random.choice(("*", ask["channel"]))
        others = [c for c in ask["person"]["consents"] if (c["purpose"], c["channel"]) != (purpose, channel)]
        no = {"purpose": purpose, "channel": channel, "status": "withdrawn", "notice": "v2", "at": ask["now"]}
        less = {**ask, "person": {**ask["person"], "consents": [*others, {**no, "expires": None, "record": 99}]}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


LESS = [denies, forgotten_facts, forgotten_consents, withdrawals]


def narrowed(pairs, worlds_of):
    """Check that no stricter request lets in more; return in how many pairs it keeps something out."""
    kept_out = 0
    for seed in range(1, worlds_of + 1):
        for before, after in pairs(seed):
            assert after <= before, (pairs.__name__, seed, after - before)
            kept_out += after < before
    return kept_out


@pytest.mark.promise("filters.less-never-lets-in-more")
@pytest.mark.parametrize("pairs", LESS)
def test_less_never_lets_in_more(pairs):
    assert narrowed(pairs, FEW_WORLDS) > 1.5 * FEW_WORLDS


@pytest.mark.promise("filters.less-never-lets-in-more")
@pytest.mark.long
@pytest.mark.parametrize("pairs", LESS)
def test_in_a_hundred_thousand_pairs_less_never_lets_in_more(pairs):
    assert narrowed(pairs, 1000) > 1500


def shuffled(value, random):
    """Return the same mapping with its keys in another order."""
    return dict(random.sample(list(value.items()), len(value)))


def same_bytes(worlds_of):
    """Check that the order of requests, of the world's records and of facts changes no byte of a decision."""
    for seed in range(1, worlds_of + 1):
        world, random = worlds.world(seed), Random(seed)
        asks = [worlds.ask(world, random) for _ in range(PAIRS)]
        sections = ("policies", "protections", "caps", "emotion", "bases")
        shuffled_world = {**world, **{s: random.sample(world[s], len(world[s])) for s in sections}}
        shuffled_world |= {s: shuffled(world[s], random) for s in ("actions", "channels", "purposes", "features")}
        bytes_of = decided_all(adapter.release(world), asks)
        shuffled_asks = [
            {**a, "facts": shuffled(a["facts"], random), "person": reordered(a["person"], random)} for a in asks
        ]
        assert bytes_of == decided_all(adapter.release(shuffled_world), shuffled_asks[::-1])[::-1], seed


def reordered(subject, random):
    return {
        **subject,
        **{s: random.sample(subject[s], len(subject[s])) for s in ("consents", "contacts", "visitors", "elsewhere")},
    }


def decided_all(release, asks):
    records = [adapter.decision(release, ask, seed=f"d{ask['now']}").record for ask in asks]
    for record in records:
        record["release"] = record["answer"]["release"] = ""
    return [canonical(record) for record in records]


@pytest.mark.promise("filters.order-changes-no-bit")
def test_no_order_changes_a_bit():
    same_bytes(FEW_WORLDS)


@pytest.mark.promise("filters.order-changes-no-bit")
@pytest.mark.long
def test_in_a_hundred_thousand_pairs_no_order_changes_a_bit():
    same_bytes(1000)
