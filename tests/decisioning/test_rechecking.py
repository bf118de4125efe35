"""What still holds of a decision: cases that random worlds (tests/oracle/test_again.py) seldom reach."""

from dataclasses import replace
from typing import Any

import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Contact
from decisioning.review.rechecking import GONE, NO_ROOM, Recheck, recheck
from tests import strategies as world

ASK = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=5),))


def decided() -> tuple[Known, Decision]:
    """Return a customer with the contacts that a decision of several offers reserved, and the decision."""
    customer = replace(world.permissive(), account=None)
    decision = world.run(ASK, customer, gamma=float("inf"))
    return with_contacts(customer, *(Contact(**c) for c in decision.contacts)), decision


def with_contacts(customer: Known, *contacts: Contact) -> Known:
    person = customer.person
    return replace(customer, person=replace(person, contacts=(*person.contacts, *contacts)))


def looked_at_again(decision: Decision, customer: Known, release: Release = world.SMALL) -> Recheck:
    return recheck(decision.record, customer, release, world.NOW_US + 1)


def capped(decision: Decision) -> list[str]:
    """Return the offers that the cap of five contacts a month counts."""
    offers = decision.answer["placements"][0]["offers"]
    return [o["offer_id"] for o in offers if o["tier"] != "mandatory"]


def later(n: int) -> Contact:
    """Return a contact, of an action that there is no more, that only the cap over all contacts counts."""
    about = {"action": "gone", "treatment": "gone.t", "group": "gone", "issue": "grow", "channel": "web"}
    times = {"at_us": world.NOW_US, "reserved_until_us": world.NOW_US, "counts_on": "decided", "state": "seen"}
    return Contact(offer_id=f"later.{n}", **about, **times)  # type: ignore[arg-type]


def test_nothing_stops_what_was_just_decided() -> None:
    customer, decision = decided()
    assert looked_at_again(decision, customer) == Recheck({})
    assert looked_at_again(decision, customer).may_be_repeated


@pytest.mark.parametrize("taken", [3, 4, 5])
def test_offers_that_share_a_cap_stand_only_as_far_as_it_has_room_for_them_together(taken: int) -> None:
    customer, decision = decided()
    offers = capped(decision)
    assert len(offers) >= 2
    stopped = looked_at_again(decision, with_contacts(customer, *map(later, range(taken)))).stopped
    room = 5 - taken
    gate = NO_ROOM if room else "cap:five-a-month"
    assert stopped == dict.fromkeys(offers[room:], gate)


@pytest.mark.parametrize("gone", ["an action", "a placement", "the channel"])
def test_what_the_release_does_not_have_any_more_does_not_stand(gone: str) -> None:
    customer, decision = decided()
    texts: dict[str, Any] = dict(world.SMALL_FILES)
    if gone == "an action":
        texts = {
            n: t.replace("id: fix-router", "id: mend-router").replace("fix-router", "mend-router")
            for n, t in texts.items()
        }
    elif gone == "a placement":
        texts = {n: t.replace("hero", "top") for n, t in texts.items()}
    else:
        texts = {
            n: t.replace("id: web\n", "id: site\n").replace("channel: web", "channel: site").replace("[web,", "[site,")
            for n, t in texts.items()
        }
    release = Release.from_bytes(pack(texts))
    offers = {o["offer_id"]: o["action"] for o in decision.answer["placements"][0]["offers"]}
    expected = [offer for offer, action in offers.items() if gone != "an action" or action == "fix-router"]
    assert looked_at_again(decision, customer, release).stopped == dict.fromkeys(expected, GONE)
