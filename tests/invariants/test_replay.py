"""The same inputs in any order give the same bytes, and a record replays to the same bytes."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack, unpack
from decisioning.catalogue.release import Release
from decisioning.facts.forms import Ask, Known, canonical
from decisioning.review.replaying import replay
from tests import strategies as world
from tests.examples import examples

EXAMPLES = examples(100)


@pytest.mark.promise("replay.same-bytes")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_a_record_replays_byte_for_byte(ask: Ask, customer: Known, seed: str) -> None:
    decision = world.run(ask, customer, seed=seed)
    record = world.read_back(decision)
    assert canonical(record) == canonical(decision.record)
    then = Known(record["facts"], customer.person, customer.account, tuple(record["degraded"]))
    assert replay(record, then, world.SMALL).to_bytes() == decision.to_bytes()


_ON = {True: "on"}
"""PyYAML reads YAML 1.1, in which the key `on` of a moment is true."""


def shuffled(seed: int) -> Release:
    """Return the small catalogue with its actions, policies and features in another order."""
    import yaml

    mixed = {}
    for name, text in world.SMALL_FILES.items():
        sections = yaml.safe_load(text)
        for key, items in sections.items():
            if isinstance(items, list):
                random.Random(seed).shuffle(items)
                sections[key] = [{_ON.get(name, name): v for name, v in item.items()} for item in items]
        mixed[f"z-{seed}-{name}"] = yaml.safe_dump(sections, sort_keys=False)
    return Release.from_bytes(pack(mixed))


SHUFFLED = tuple(shuffled(seed) for seed in range(3))


@pytest.mark.promise("replay.same-bytes")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.sampled_from(SHUFFLED))
def test_the_order_of_a_catalogue_changes_no_bit(ask: Ask, customer: Known, other: Release) -> None:
    one, two = world.run(ask, customer).record, world.run(ask, customer, other).record
    assert one["release"] != two["release"]
    for record in (one, two):
        record["release"] = record["answer"]["release"] = ""
    assert canonical(one) == canonical(two)


@pytest.mark.promise("decisions.candidates-are-independent")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.sampled_from(sorted(world.ACTIONS)))
def test_screening_one_action_out_changes_no_other_priority(ask: Ask, customer: Known, paused: str) -> None:
    def priorities(decision: object) -> dict[str, float]:
        answer = decision.answer  # type: ignore[attr-defined]
        return {o["treatment"]: o["priority"] for p in answer["placements"] for o in p["offers"]}

    whole, less = priorities(world.run(ask, customer)), priorities(world.run(ask, customer, paused=frozenset({paused})))
    assert all(less[t] == whole[t] for t in whole.keys() & less.keys())


@pytest.mark.promise("replay.same-bytes")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), st.integers(0, 2**32))
def test_the_order_of_what_is_known_changes_no_bit(ask: Ask, customer: Known, seed: int) -> None:
    mixed = list(customer.facts.items())
    random.Random(seed).shuffle(mixed)
    person = replace(
        customer.person,
        consents=tuple(reversed(customer.person.consents)),
        contacts=tuple(reversed(customer.person.contacts)),
    )
    other = replace(customer, facts=dict(mixed), person=person)
    assert world.run(ask, customer).to_bytes() == world.run(ask, other).to_bytes()


def test_release_bytes_are_canonical() -> None:
    packed = pack(world.SMALL_FILES)
    assert pack(unpack(packed)) == packed
    assert Release.from_bytes(packed).hash == world.SMALL.hash
