"""What was collected for a purpose that is not permitted is read by nothing: no rule, model, reason or moment."""

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.ethics import protected_facts
from decisioning.deciding.record import Decision
from decisioning.deciding.screening import moment_happens, screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.schema import Facts
from decisioning.facts.standing import Consent, ConsentStatus, Contact
from decisioning.review.narrative import narrative, whys_not
from decisioning.review.rechecking import recheck
from decisioning.review.replaying import replay
from features.matrix import FeatureMatrix
from features.views import views_of, write_views
from tests import strategies as world
from tests.examples import examples

OWN = (Path(__file__).parents[1] / "catalogues" / "comfort.yaml").read_text()
PLACES = {"actions.yaml": ("context_weights: [{", 'context_weights: [{when: "looks > 3", factor: 1.4}, {')}
FILES = {name: text.replace(*PLACES.get(name, ("", ""))) for name, text in world.SMALL_FILES.items()}
RELEASE = Release.from_bytes(pack({**FILES, "purposes.yaml": OWN}))
MATRIX = FeatureMatrix(RELEASE.schema)
OF_COMFORT = {"looks", "last_shelf", "near_store", "in_grief"}
values = st.fixed_dictionaries(
    {},
    optional={
        "looks": st.integers(0, 12),
        "last_shelf": st.sampled_from(["tv", "data"]),
        "near_store": st.booleans(),
        "in_grief": st.booleans(),
    },
)
two_customers = st.lists(values, min_size=2, max_size=2)


def with_comfort(of: Known, status: ConsentStatus) -> Known:
    given = Consent("comfort", "*", status, "test", "2026-01", world.NOW_US - 1_000_000, expires_us=None, record=99)
    return replace(of, person=replace(of.person, consents=(*of.person.consents, given)))


def with_facts(of: Known, facts: dict[str, Any]) -> Known:
    return replace(of, facts={**of.facts, **facts})


def of_everything(candidate: int, facts: Facts) -> float:
    """A propensity that depends on all that a model may read."""
    return (zlib.crc32(MATRIX.row(facts).tobytes(), candidate) % 97 + 1) / 200


def decided(ask: Ask, of: Known, **more: Any) -> Decision:
    return world.run(ask, of, RELEASE, score=world.CountingScorer(of=of_everything), **more)


def told(decision: Decision) -> str:
    """Return what is sent, recorded and explained of a decision, to everybody."""
    computed, answer = decision.computed, decision.answer
    stories = [narrative(computed, answer, None, audience) for audience in ("company", "agent", "customer")]
    withheld = [(w.treatment, w.gate, w.why, dict(w.facts)) for w in computed.screened.withheld]
    said = [answer, world.read_back(decision), stories, whys_not(computed, answer["placements"]), withheld]
    return decision.to_bytes().hex() + json.dumps(said, sort_keys=True, default=str)


WEB = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero", limit=3),))
GRANTED = with_comfort(world.permissive(), "granted")
REFUSED = with_comfort(world.permissive(), "withdrawn")


@pytest.mark.promise("purposes.not-read")
@settings(max_examples=examples(150), deadline=None)
@given(world.asks(), world.known(), two_customers, st.sampled_from(["refused", "withdrawn", "objected"]))
def test_a_value_that_may_not_be_read_changes_no_byte(
    ask: Ask, of: Known, both: list[dict[str, Any]], status: ConsentStatus
) -> None:
    customer = with_comfort(of, status)
    decisions = [decided(ask, with_facts(customer, facts)) for facts in both]
    assert len(set(map(told, decisions))) == 1
    record = world.read_back(decisions[0])
    assert OF_COMFORT.isdisjoint(record["facts"])
    assert replay(record, with_facts(customer, record["facts"]), RELEASE).to_bytes() == decisions[0].to_bytes()
    for moment in ("lingers", "anything"):
        asked = WEB.model_copy(update={"moment": moment})
        assert not any(moment_happens(RELEASE, asked, with_facts(customer, facts), world.NOW_US) for facts in both)


@pytest.mark.promise("purposes.not-read")
def test_what_may_be_read_is_read() -> None:
    few, many = (with_facts(GRANTED, {"looks": n, "near_store": n < 5, "in_grief": False}) for n in (1, 9))
    assert told(decided(WEB, few)) != told(decided(WEB, many))
    assert world.read_back(decided(WEB, few))["facts"]["looks"] == 1
    asked = WEB.model_copy(update={"moment": "lingers"})
    assert [moment_happens(RELEASE, asked, of, world.NOW_US) for of in (few, many)] == [False, True]


@pytest.mark.promise("purposes.not-read")
@pytest.mark.parametrize("asked", [{"consent_platform": {"comfort": False}}, {}])
def test_a_request_withdraws_a_purpose_and_silence_permits_none(asked: dict[str, Any]) -> None:
    customer = with_facts(GRANTED if asked else world.permissive(), {"looks": 3, "in_grief": False})
    record = world.read_back(decided(WEB.model_copy(update=asked), customer))
    assert OF_COMFORT.isdisjoint(record["facts"])


@pytest.mark.promise("purposes.protected")
@pytest.mark.parametrize("grief", [{}, {"in_grief": False}, {"in_grief": True}])
def test_a_protection_whose_fact_may_not_be_read_protects(grief: dict[str, bool]) -> None:
    """Its rule has a default, which is for who has no such fact, and not for who lets nobody read it."""
    screened = screened_for(WEB, with_facts(REFUSED, grief), RELEASE, now_us=world.NOW_US)
    stopped = {w.treatment.partition(".")[0] for w in screened.withheld if w.gate == "protection:grief"}
    assert "tv-bundle" in stopped
    assert not screened.view.sells_or_lends[screened.rows].any()


def test_a_joined_customer_s_fact_moves_nothing_that_may_be_read() -> None:
    own = {"in_grief": False, "vulnerable": False}
    others = [{"in_grief": True, "vulnerable": True}]
    moved = [
        protected_facts(RELEASE, {**own, "in_grief": grief}, [{**others[0], "in_grief": other}], lambda *_: 0)
        for grief in (False, True)
        for other in (False, True)
    ]
    assert {facts["vulnerable"] for facts in moved} == {True}
    assert [facts["in_grief"] for facts in moved] == [False, True, True, True]


@pytest.mark.promise("purposes.not-read")
def test_the_explanation_says_that_the_customer_asked_so() -> None:
    decision = decided(WEB, with_facts(REFUSED, {"near_store": True}))
    story = narrative(decision.computed, decision.answer, None, "agent")
    assert "Not shown, as the customer asked so: what was collected for a better fit." in story["en"]
    assert "Niet getoond, want de klant vroeg daarom: wat is verzameld voor een betere pasvorm." in story["nl"]
    texts = whys_not(decision.computed, decision.answer["placements"])
    assert "Not shown: the customer asked so." in texts["tv-bundle.web-hero"]["en"]
    assert "Not shown" not in narrative(decided(WEB, GRANTED).computed, {"placements": []}, None)["en"]


class Naming(world.CountingScorer):
    """Names a feature as what moved every score most."""

    def __call__(self, facts: Facts, candidates: Any) -> Scores:
        return replace(super().__call__(facts, candidates), factors=(("looks-0.4",),) * len(candidates))


@pytest.mark.promise("purposes.not-read")
def test_no_reason_names_what_was_missing_because_it_may_not_be_read() -> None:
    facts = {"looks": 1, "near_store": True, "in_grief": False}
    named, silent = (
        json.dumps(world.read_back(world.run(WEB, with_facts(of, facts), RELEASE, score=Naming())))
        for of in (GRANTED, REFUSED)
    )
    assert "looks" in named
    assert "looks" not in silent


@pytest.mark.promise("purposes.not-read")
def test_what_was_chosen_by_it_is_not_given_again_once_it_is_refused() -> None:
    customer = replace(with_facts(GRANTED, {"looks": 1, "in_grief": False}), account=None)
    decision = decided(WEB, customer, gamma=float("inf"))
    reserved = tuple(Contact(**c) for c in decision.contacts)
    again = [
        recheck(
            decision.record,
            replace(of, person=replace(of.person, contacts=reserved), account=None),
            RELEASE,
            world.NOW_US + 1,
        )
        for of in (customer, with_facts(REFUSED, dict(customer.facts)))
    ]
    assert (again[0].may_be_repeated, again[0].stopped) == (True, {})
    assert set(again[1].stopped) == {c["offer_id"] for c in decision.contacts}


def test_a_purpose_changes_nothing_in_what_stores_keep() -> None:
    unnamed = Release.from_bytes(pack({**FILES, "purposes.yaml": OWN.replace(", purpose: comfort", "")}))
    assert unnamed.purposes_of == {}
    assert write_views(unnamed.schema) == write_views(RELEASE.schema)
    assert views_of(unnamed.schema) == views_of(RELEASE.schema)
