"""An independent statement of what still holds of a decision agrees with the engine, in random worlds that move on."""

from collections import Counter
from random import Random

import pytest

from tests.examples import examples
from tests.oracle import adapter, again, worlds


def told(record):
    """Return a recorded decision in the oracle's form."""
    until = {c["offer_id"]: c["reserved_until_us"] for c in record["contacts"]}
    offers = [
        {"id": o["offer_id"], "name": o["treatment"], "place": p["name"], "until": until[o["offer_id"]]}
        for p in record["answer"]["placements"]
        for o in p["offers"]
    ]
    return {"offers": offers, "purposes": list(record["permissions"]), "handover": record["answer"]["handover"]}


def reserved(decision):
    """Return the contacts that a decision reserves for the person and for the account, in the oracle's form."""
    renamed = {"offer_id": "offer", "at_us": "at", "reserved_until_us": "until"}
    return [
        [{renamed.get(k, k): v for k, v in c.items() if k != "treatment"} for c in contacts]
        for contacts in (decision.contacts, decision.account_contacts)
    ]


def differences(seed, asks, seen, **size):
    """Decide requests to one world, let time pass, look at each decision again both ways; yield where they differ."""
    world = worlds.world(seed, **size)
    release, random = adapter.release(world), Random(-seed)
    for n in range(asks):
        ask = worlds.ask(world, random)
        decision = adapter.decision(release, ask, seed=f"d{n}")
        now_world, now = again.later(random, world, ask, told(decision.record), reserved(decision))
        serving = release if now_world is world else adapter.release(now_world)
        should = again.holds(now_world, ask, now, told(decision.record))
        does = adapter.rechecked(serving, decision.record, now)
        if should != does:
            yield seed, n, should, does
        seen.update(kinds(decision.record, should, now_world is not world))


def kinds(record, should, released):
    """Yield what a decision that was looked at again was about, so that a test can check that all kinds occurred."""
    offers = len(record["contacts"])
    yield "repeated" if should["repeat"] else "anew"
    if offers:
        yield (
            "all stand" if len(should["standing"]) == offers else "some stand" if should["standing"] else "none stands"
        )
    if record["answer"]["handover"] is not None:
        yield "call" if should["call"] else "no call"
        if should["call"] and offers > len(should["standing"]):
            yield "call without offers"
    if released and offers:
        yield "released, repeated" if should["repeat"] else "released, anew"


def compare(first, count, asks, **size):
    seen = Counter()
    for seed in range(first, first + count):
        mismatches = list(differences(seed, asks, seen, **size))
        assert not mismatches, f"{len(mismatches)} differences, the first (oracle, engine): {mismatches[0]}"
    return seen


ALL = {
    *("repeated", "anew", "all stand", "some stand", "none stands", "call", "no call", "call without offers"),
    "released, anew",
}


@pytest.mark.promise("filters.independent-oracle", "decisions.repeated-request", "moments.asked-again")
def test_what_still_holds_of_a_decision_is_what_the_oracle_says():
    count = examples(40)
    seen = compare(1, count, 60)
    assert seen.keys() >= ALL, ALL - seen.keys()
    assert min(seen["repeated"], seen["anew"]) > 5 * count


@pytest.mark.long
@pytest.mark.promise("filters.independent-oracle", "decisions.repeated-request", "moments.asked-again")
def test_what_still_holds_of_many_decisions_is_what_the_oracle_says():
    compare(20_000, 1_500, 60)
    compare(60_000, 20, 60, actions=100, policies=32)
