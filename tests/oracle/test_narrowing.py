"""Pairs of requests of which one says less, or forbids more: it never lets in what the other kept out."""

from random import Random

import pytest

from decisioning.facts.forms import canonical
from tests.oracle import adapter, worlds
from tests.oracle.oracle import Oracle
from tests.oracle.rules import Rules

PAIRS = 100
"""Of each world."""


def denies(seed):
    """A world, and the same with one policy, protection or cap more."""
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
    """With a fact, and without it; `default` and `known` are left out, as with them an author may say otherwise."""
    world, random = worlds.world(seed, plain=True), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        gone = random.choice(sorted(ask["facts"].keys() - {"gpc"}))  # absent, it is no header: that is no unknown
        less = {**ask, "facts": {n: v for n, v in ask["facts"].items() if n != gone}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


def forgotten_consents(seed):
    """With a consent that is in force, and without it."""
    world, random = worlds.world(seed), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        consents, of = ask["person"]["consents"], Oracle(world, ask)
        held = [c for c in consents if of.valid(c, world["purposes"][c["purpose"]])]
        gone = random.choice(held) if held else None
        less = {**ask, "person": {**ask["person"], "consents": [c for c in consents if c is not gone]}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


def withdrawals(seed):
    """As it was, and after a word of no about a purpose."""
    world, random = worlds.world(seed), Random(seed)
    release = adapter.release(world)
    for _ in range(PAIRS):
        ask = worlds.ask(world, random)
        purpose, channel = random.choice(worlds.PURPOSES), random.choice(("*", ask["channel"]))
        kept = [c for c in ask["person"]["consents"] if (c["purpose"], c["channel"]) != (purpose, channel)]
        no = {"purpose": purpose, "channel": channel, "status": "withdrawn", "notice": "v2", "at": ask["now"]}
        less = {**ask, "person": {**ask["person"], "consents": [*kept, {**no, "expires": None, "record": 99}]}}
        yield adapter.permitted(release, ask), adapter.permitted(release, less)


LESS = [denies, forgotten_facts, forgotten_consents, withdrawals]


def narrowed(pairs, worlds_of):
    """No pair in which less let in more; returns in how many it kept something out."""
    kept_out = 0
    for seed in range(1, worlds_of + 1):
        for before, after in pairs(seed):
            assert after <= before, (pairs.__name__, seed, after - before)
            kept_out += after < before
    return kept_out


@pytest.mark.promise("filters.less-never-lets-in-more")
@pytest.mark.parametrize("pairs", LESS)
def test_in_two_thousand_pairs_less_never_lets_in_more(pairs):
    assert narrowed(pairs, 20) > 30


@pytest.mark.promise("filters.less-never-lets-in-more")
@pytest.mark.long
@pytest.mark.parametrize("pairs", LESS)
def test_in_a_hundred_thousand_pairs_less_never_lets_in_more(pairs):
    assert narrowed(pairs, 1000) > 1500


def mixed(value, random):
    """The same mapping, its keys in another order."""
    return dict(random.sample(list(value.items()), len(value)))


def same_bytes(worlds_of):
    """Decides many requests in one order and, of a world and of facts in another order, in another: the same bytes."""
    for seed in range(1, worlds_of + 1):
        world, random = worlds.world(seed), Random(seed)
        asks = [worlds.ask(world, random) for _ in range(PAIRS)]
        sections = ("policies", "protections", "caps", "emotion", "bases")
        other = {**world, **{s: random.sample(world[s], len(world[s])) for s in sections}}
        other |= {s: mixed(world[s], random) for s in ("actions", "channels", "purposes", "features")}
        bytes_of = decided_all(adapter.release(world), asks)
        turned = [{**a, "facts": mixed(a["facts"], random), "person": reordered(a["person"], random)} for a in asks]
        assert bytes_of == decided_all(adapter.release(other), turned[::-1])[::-1], seed


def reordered(subject, random):
    return {**subject, **{s: random.sample(subject[s], len(subject[s])) for s in ("consents", "contacts", "visitors")}}


def decided_all(release, asks):
    records = [adapter.decision(release, ask, seed=f"d{ask['now']}").record for ask in asks]
    for record in records:
        record["release"] = record["answer"]["release"] = ""
    return [canonical(record) for record in records]


@pytest.mark.promise("filters.order-changes-no-bit")
def test_in_two_thousand_pairs_no_order_changes_a_bit():
    same_bytes(20)


@pytest.mark.promise("filters.order-changes-no-bit")
@pytest.mark.long
def test_in_a_hundred_thousand_pairs_no_order_changes_a_bit():
    same_bytes(1000)
