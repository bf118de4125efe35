"""A call for a person holds in every combination of consents, and sells nothing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Consent
from decisioning.times import DAY_US
from tests import strategies as world
from tests.invariants.test_emotion import RELEASE

GRANT = {"status": "granted", "notice_version": "2026-01", "expires_us": None}
RECORDS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "granted": GRANT,
    "expired": {**GRANT, "expires_us": world.NOW_US - 1},
    "for another notice": {**GRANT, "notice_version": "2020-01"},
    **{status: {**GRANT, "status": status} for status in ("refused", "withdrawn", "objected")},
}
"""Every status that a purpose can have, as the record that gives it."""
PURPOSES = {"emotion": RECORDS, "service": RECORDS}
OTHERS = dict.fromkeys(("marketing", "profiling"), ("none", "granted", "withdrawn"))
WIDE = (PlacementAsk(name="hero", limit=3), PlacementAsk(name="sidebar", limit=2))


def statuses() -> Iterator[dict[str, str]]:
    """Yield every combination of a status per purpose."""
    of_purpose = {**PURPOSES, **OTHERS}
    for combination in product(*of_purpose.values()):
        yield dict(zip(of_purpose, combination, strict=True))


def customer(statuses: dict[str, str], *, restricted: bool, asks: bool) -> Known:
    """Return a customer with these consents; of a restricted one only what they ask for is known."""
    consents = tuple(
        Consent(purpose, "*", source="test", occurred_us=world.NOW_US - DAY_US, record=n, **record)
        for n, (purpose, status) in enumerate(statuses.items(), 1)
        if (record := RECORDS[status]) is not None
    )
    of = world.permissive()
    facts = {"wants_person": True} if asks else {}
    known = facts if restricted else {**of.facts, **facts}
    return replace(of, facts=known, person=replace(of.person, consents=consents, restricted=restricted), account=None)


@pytest.mark.promise("requests.always-heard")
@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("subject", [{"customer_id": "c"}, {"visitor_id": "cookie:v"}])
def test_a_wish_for_a_person_is_honoured_in_every_combination_of_consents(
    subject: dict[str, str], restricted: bool
) -> None:
    ask = Ask(request_id="r", channel="web", placements=WIDE, **subject)
    sells = {a.id for a in RELEASE.actions.values() if a.sells_or_lends}
    for n, combination in enumerate(statuses()):
        asking = world.run(ask, customer(combination, restricted=restricted, asks=True), RELEASE).answer
        assert asking["handover"] == {"reason": "asks for a person"}, combination
        assert not sells & {o["action"] for p in asking["placements"] for o in p["offers"]}, combination
        if n % 20 == 0:
            quiet = world.run(ask, customer(combination, restricted=restricted, asks=False), RELEASE).answer
            assert quiet["handover"] is None, combination


@pytest.mark.promise("requests.always-heard")
def test_help_comes_with_the_wish_wherever_service_is_permitted() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=WIDE)
    for combination in statuses():
        answer = world.run(ask, customer(combination, restricted=False, asks=True), RELEASE).answer
        helped = "call-back" in {o["action"] for p in answer["placements"] for o in p["offers"]}
        refused = combination["service"] in ("refused", "withdrawn", "objected")
        assert helped is not refused, combination
