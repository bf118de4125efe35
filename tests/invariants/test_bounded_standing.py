"""A standing of bounded size decides as the whole past does: the same bytes, over random histories and releases."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from decisioning.catalogue.release import Release
from decisioning.facts.forms import Known
from decisioning.facts.standing import Contact, Standing
from decisioning.review.replaying import replay
from features.ledger.past.changes import PastChanges
from features.ledger.past.memory import Past
from features.ledger.past.selection import CLOCK_SLACK_US, Floor, Selection, Selector
from features.ledger.snapshot import as_read
from features.ledger.standing import Fold, with_selection
from tests.oracle import adapter, worlds

CONTACTS, OUTCOMES = 60, 40
"""How much more of a past the subjects get than the oracle's worlds give them."""


def with_long_past(ask: Any, world: Any, random: Random) -> Any:
    """Give everyone in the request a long past."""
    others = [*ask["person"]["visitors"], *ask["person"]["elsewhere"]]
    people = [ask["person"], *others, *([ask["account"]] if ask["account"] else [])]
    for n, subject in enumerate(people):
        for m in range(random.randrange(CONTACTS)):
            contact = worlds._contact(random, world, ask["now"], 1000 * (n + 1) + m)
            subject["contacts"] = [*subject["contacts"], contact]
        for _ in range(random.randrange(OUTCOMES)):
            subject["outcomes"] = [*subject["outcomes"], worlds._outcome(random, world, ask["now"])]
    return ask


def selected(standing: Standing, release: Release, now_us: int, random: Random) -> Standing:
    """Return the standing with what is selected from its past, which became known one record at a time."""
    selector, past, selection = Selector(release.standing_rules), Past(), Selection()
    changes = [
        *(PastChanges(contacts=(replace(contact, state="reserved"),)) for contact in standing.contacts),
        *(PastChanges(marks=((c.offer_id, c.state, c.at_us),)) for c in standing.contacts if c.state != "reserved"),
        *(PastChanges(outcomes=((outcome, 1),)) for of in standing.outcomes.values() for outcome in of),
    ]
    random.shuffle(changes)
    recorded = sorted(now_us - random.randrange(40 * worlds.DAY) for _ in changes)
    for change, recorded_us in zip(changes, recorded, strict=True):
        floor = Floor(recorded_us - CLOCK_SLACK_US, -(2**62), -(2**62))
        selection = selector.renew(selection, past.add(change), past, floor)
    if changes:
        assert selection == selector.make(past, floor)
    fold = Fold(standing.stream, standing.version, standing.consents, erased=standing.erased)
    fold = replace(fold, restricted=standing.restricted, links=standing.links, holder=standing.holder)
    fold = replace(fold, handovers=standing.handovers, concessions=standing.concessions)
    return as_read(with_selection(fold, selection))


def read(ask: Any, release: Release, random: Random) -> Known:
    """Return what a decision reads of the subjects, each past selected by itself."""

    def own(subject: Any) -> Standing:
        return selected(adapter.standing(subject), release, ask["now"], random)

    account = own(ask["account"]) if ask["account"] else None
    return Known(ask["facts"], adapter.merged(ask["person"], own), account)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_selected_decides_as_everything_does(seed: int) -> None:
    random, world = Random(-seed), worlds.world(seed)
    release = adapter.release(world)
    for _ in range(12):
        ask = with_long_past(worlds.ask(world, random), world, random)
        whole = adapter.decision(release, ask)
        assert replay(whole.record, read(ask, release, random), release).to_bytes() == whole.to_bytes()


def test_a_selection_does_not_grow_with_the_past() -> None:
    """However many contacts are reserved within an hour."""
    world = worlds.world(3)
    release, random, now_us = adapter.release(world), Random(3), worlds.NOW
    selector, past = Selector(release.standing_rules), Past()
    sizes = []
    for n in range(3000):
        contact = adapter._contact(worlds._contact(random, world, now_us, n))
        reserved: Contact = replace(contact, state="reserved", at_us=now_us - random.randrange(3_600_000_000))
        past.add(PastChanges(contacts=(replace(reserved, reserved_until_us=reserved.at_us + 7_200_000_000),)))
        if n in (299, 2999):
            sizes.append(len(selector.make(past, Floor(now_us, -(2**62), -(2**62))).contacts))
    assert sizes[1] <= 1.5 * sizes[0]
    assert sizes[1] < 200
