"""The fold: any order of a backfill gives the same standing, and a snapshot restores the fold."""

from dataclasses import replace
from itertools import permutations
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.facts.standing import ContactState, Standing
from decisioning.times import TOLERANCE_US
from features.ledger import HORIZON_US, Entry, Fold
from features.ledger.snapshot import decode, encode
from tests.examples import examples
from tests.features.ledger.builders import NOW_US, consent, contact, decision, kinds_of, offered, outcome
from tests.features.ledger.folding import Whole, apply, fold

S = "0" * 40
TIMES = st.integers(NOW_US - 3 * HORIZON_US, NOW_US) | st.sampled_from(
    [NOW_US, NOW_US - 1, NOW_US - HORIZON_US, NOW_US - HORIZON_US - 1, NOW_US - 2 * HORIZON_US]
)
OFFERS = ("o1", "o2", "o3")


def consents() -> st.SearchStrategy[Entry]:
    return st.builds(
        lambda status, at, channel, expires, source: consent(
            S, status, at, channel=channel, expires_us=expires, source=source
        ),
        st.sampled_from(["granted", "refused", "withdrawn", "objected"]),
        st.sampled_from([NOW_US, NOW_US - 1, NOW_US - 2]),
        st.sampled_from(["*", "email"]),
        st.none() | st.integers(NOW_US, NOW_US + 2),
        st.sampled_from(["web", "import"]),
    )


def observations() -> st.SearchStrategy[Entry]:
    def build(action: str, at: int, outcomes: list[tuple[str, float | None]]) -> Entry:
        listed = [{"outcome": name, "value_eur": value} for name, value in outcomes]
        return Entry(S, "observation", {"action": action, "channel": "email", "outcomes": listed}, at)

    values = st.none() | st.floats(0, 10)
    outcome_lists = st.lists(st.tuples(st.sampled_from(["visit", "buy"]), values), max_size=2)
    return st.builds(build, st.sampled_from(["mens", "none"]), TIMES, outcome_lists)


def corrections() -> st.SearchStrategy[Entry]:
    def build(name: str, wrong: str, at: int, wrong_at: int) -> Entry:
        before = {"action": "tv", "outcome": wrong, "occurred_us": wrong_at, "offer_id": None, "value_eur": None}
        return Entry(S, "outcome", {"action": "tv", "outcome": name, "corrects": before}, at)

    names = st.sampled_from(["accepted", "declined"])
    return st.builds(build, names | st.just("retracted"), names, TIMES, TIMES)


def others() -> st.SearchStrategy[Entry]:
    return st.one_of(
        consents(),
        observations(),
        st.builds(contact, st.just(S), st.sampled_from(OFFERS), st.sampled_from(get_args(ContactState)), TIMES),
        st.builds(outcome, st.just(S), st.sampled_from(["accepted", "declined"]), TIMES),
        corrections(),
        st.builds(lambda r, at: Entry(S, "flag", {"restricted": r}, at), st.booleans(), TIMES),
    )


@st.composite
def backfills(draw: st.DrawFn) -> list[Entry]:
    """Records of every kind; each offer is decided at most once, as every offer has a new id."""
    decided = [decision(S, offer, occurred_us=draw(TIMES)) for offer in draw(st.sets(st.sampled_from(OFFERS)))]
    return draw(st.permutations(decided + draw(st.lists(others(), max_size=8))))


def public(standing: Standing) -> tuple[Any, ...]:
    """Return everything that decide() reads, without the versions."""
    consents = tuple(replace(c, record=0) for c in standing.consents)
    return consents, standing.contacts, standing.outcomes, standing.erased, standing.restricted


@pytest.mark.promise("ledger.backfill-order")
@settings(max_examples=examples(150), deadline=None)
@given(backfills(), st.data())
def test_the_order_of_a_backfill_does_not_matter(entries: list[Entry], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(entries))
    assert public(fold(entries)) == public(fold(shuffled))


@settings(max_examples=examples(60), deadline=None)
@given(backfills(), st.data())
def test_erased_stays_erased_wherever_the_tombstone_is(entries: list[Entry], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries)))
    standing = fold([*entries[:at], Entry(S, "tombstone", {}, NOW_US), *entries[at:]])
    assert standing == Fold(S, len(entries) + 1, erased=True)


@settings(max_examples=examples(60), deadline=None)
@given(backfills())
def test_a_snapshot_gives_back_the_fold_and_folds_on_alike(entries: list[Entry]) -> None:
    halfway = fold(entries[: len(entries) // 2])
    kinds = kinds_of(halfway.light.contacts)
    restored, number = decode(S, halfway.version, NOW_US, encode(halfway.light, 7, kinds), kinds)
    assert (restored, number) == (halfway.light, 7)
    whole = Whole(restored, halfway.changes)
    for version, entry in enumerate(entries[len(entries) // 2 :], halfway.version + 1):
        whole = apply(whole, entry.kind, entry.body, version, entry.occurred_us)
    assert whole == fold(entries)


@pytest.mark.promise("consent.withdrawal-binds")
@given(st.permutations([consent(S, "withdrawn", NOW_US), consent(S, "granted", NOW_US - 1)]))
def test_an_older_grant_never_undoes_a_newer_withdrawal(entries: list[Entry]) -> None:
    (current,) = fold(entries).consents
    assert (current.status, current.record) == ("withdrawn", entries.index(consent(S, "withdrawn", NOW_US)) + 1)


@pytest.mark.parametrize(("weaker", "stricter"), [("granted", "refused"), ("refused", "withdrawn")])
def test_of_two_consents_told_for_one_time_the_stricter_holds(weaker: str, stricter: str) -> None:
    for order in ([weaker, stricter], [stricter, weaker]):
        assert fold([consent(S, status) for status in order]).consents[0].status == stricter


def test_a_later_grant_holds_again() -> None:
    entries = [consent(S, "objected", NOW_US), consent(S, "granted", NOW_US + TOLERANCE_US)]
    assert fold(entries).consents[0].status == "granted"


@pytest.mark.promise("consent.withdrawal-binds")
@given(st.integers(1 - TOLERANCE_US, TOLERANCE_US - 1), st.sampled_from(["refused", "withdrawn", "objected"]))
def test_of_two_words_less_than_the_tolerance_apart_the_refusing_one_holds(apart_us: int, status: str) -> None:
    entries = [consent(S, status, NOW_US), consent(S, "granted", NOW_US + apart_us)]
    for order in (entries, entries[::-1]):
        assert fold(order).consents[0].status == status


@pytest.mark.promise("caps.freed")
@pytest.mark.parametrize("freed", ["expired", "not_delivered"])
def test_a_contact_that_came_to_nothing_frees_its_cap(freed: str) -> None:
    (held,) = fold([decision(S, "o1")]).contacts
    (free,) = fold([decision(S, "o1"), contact(S, "o1", freed)]).contacts
    assert held.counts_at(NOW_US)
    assert not free.counts_at(NOW_US)


def test_a_contact_told_before_its_decision_waits_for_it() -> None:
    early = fold([contact(S, "o1", "delivered")])
    assert early.contacts == ()
    assert apply(early, "decision", decision(S, "o1").body, 2, NOW_US).contacts[0].state == "delivered"


def test_a_mark_waits_until_any_decision_it_may_belong_to_is_forgotten() -> None:
    """A backfill may come from clocks that are far apart; see `_drop_old`."""
    mark = contact(S, "o1", "delivered", NOW_US - 3 * HORIZON_US // 2)
    decided = decision(S, "o1", occurred_us=NOW_US - HORIZON_US)
    for order in permutations([mark, decided, outcome(S, occurred_us=NOW_US)]):
        assert fold(list(order)).contacts[0].state == "delivered"


def test_a_mark_is_forgotten_just_after_twice_the_horizon() -> None:
    mark = contact(S, "o1", "seen", NOW_US - 2 * HORIZON_US)
    assert fold([mark, outcome(S)]).pending == {"o1": (("seen", NOW_US - 2 * HORIZON_US),)}
    assert fold([mark, contact(S, "o2", "seen"), outcome(S, occurred_us=NOW_US + 1)]).pending.keys() == {"o2"}
    both = [mark, contact(S, "o1", "delivered", NOW_US - 2 * HORIZON_US - 1), outcome(S)]
    assert fold(both).pending == {"o1": (("seen", NOW_US - 2 * HORIZON_US),)}


def test_of_marks_that_wait_only_those_that_may_still_matter_are_kept() -> None:
    marks = [("seen", -5), ("seen", 0), ("delivered", -1), ("pitched", -9)]
    for order in permutations(marks):
        waiting = fold([contact(S, "o1", state, NOW_US + at) for state, at in order]).pending["o1"]
        assert set(waiting) == {("seen", NOW_US), ("pitched", NOW_US - 9)}


def test_a_mark_from_long_before_its_decision_is_of_another() -> None:
    for ago_us, state in ((HORIZON_US, "seen"), (HORIZON_US + 1, "reserved")):
        entries = [decision(S, "o1"), contact(S, "o1", "seen", NOW_US - ago_us)]
        assert [fold(order).contacts[0].state for order in (entries, entries[::-1])] == [state, state]


def test_a_contact_never_goes_back() -> None:
    seen = fold([decision(S, "o1"), contact(S, "o1", "seen"), contact(S, "o1", "delivered")])
    assert seen.contacts[0].state == "seen"


def test_an_observation_counts_as_seen() -> None:
    shown = {"treatment": "mens.mail", "group": "clothes", "issue": "grow"}
    body = {"action": "mens", "channel": "email", "outcomes": [{"outcome": "visit"}], **shown}
    observation = Entry(S, "observation", body, NOW_US)
    (once,) = fold([observation]).contacts
    assert (once.action, once.state, once.counts_at(NOW_US)) == ("mens", "seen", True)
    assert {name: getattr(once, name) for name in shown} == shown
    assert fold([observation, observation]).contacts == (once,)
    assert fold([observation]).history("mens", "visit", NOW_US) == 1


def test_what_was_observed_of_doing_nothing_is_no_contact() -> None:
    nothing = fold([Entry(S, "observation", {"action": "none", "channel": "email", "outcomes": []}, NOW_US)])
    assert nothing.contacts == ()


@pytest.mark.promise("ledger.outcomes-corrected")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_a_correction_holds_whichever_was_told_first(order: tuple[int, ...]) -> None:
    first = outcome(S, "declined", NOW_US)
    wrong = {**first.body, "occurred_us": first.occurred_us}
    second = outcome(S, "accepted", NOW_US + 5)
    right = Entry(S, "outcome", {**second.body, "corrects": wrong}, second.occurred_us)
    again = {**second.body, "occurred_us": second.occurred_us}
    none = Entry(S, "outcome", {**first.body, "outcome": "retracted", "corrects": again}, NOW_US + 9)
    entries = [first, right, none]
    names = [h.outcome for known in fold([first, right]).outcomes.values() for h in known]
    assert names == ["accepted"]
    assert fold([entries[n] for n in order]).outcomes == {}


def test_a_state_that_is_taken_back_leaves_what_else_was_told() -> None:
    told = [decision(S, "o1"), contact(S, "o1", "delivered"), contact(S, "o1", "seen"), contact(S, "o1", "seen")]
    wrong = {"offer_id": "o1", "state": "seen", "occurred_us": NOW_US}
    back = Entry(S, "contact", {"offer_id": "o1", "state": "retracted", "corrects": wrong}, NOW_US + 1)
    lower = Entry(S, "contact", {"offer_id": "o1", "state": "not_delivered", "corrects": wrong}, NOW_US + 1)
    found = [fold(told + corrections).contacts[0].state for corrections in ([back], [back, back], [back, back, back])]
    assert found == ["seen", "delivered", "delivered"]
    assert fold([decision(S, "o1"), contact(S, "o1", "seen"), lower]).contacts[0].state == "not_delivered"
    assert fold([contact(S, "o1", "seen"), back, decision(S, "o1")]).contacts[0].state == "reserved"


@pytest.mark.parametrize(("restricted", "at_us"), [(False, NOW_US - 1), (True, NOW_US)])
def test_the_latest_flag_holds_and_of_two_at_once_the_stricter(restricted: bool, at_us: int) -> None:
    entries = [Entry(S, "flag", {"restricted": True}, NOW_US), Entry(S, "flag", {"restricted": restricted}, at_us)]
    assert fold(entries).restricted
    assert fold(entries[::-1]).restricted


def test_contacts_older_than_the_horizon_are_forgotten_and_outcomes_are_not() -> None:
    old = NOW_US - HORIZON_US - 1
    entries = [decision(S, "o1", occurred_us=old), outcome(S, occurred_us=old), outcome(S, occurred_us=NOW_US)]
    standing = fold(entries)
    assert standing.contacts == ()
    assert standing.history("tv", "accepted", 0) == 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [("consent", {"purpose": "marketing"}), ("contact", {"offer_id": "o", "state": "?"}), ("gossip", {})],
)
def test_a_body_that_cannot_be_folded_is_refused(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        apply(Whole(Fold(S)), kind, body, 1, NOW_US)


def test_state_in_a_decision_is_not_believed() -> None:
    body = {"contacts": [offered("o1", state="seen")]}
    assert apply(Whole(Fold(S)), "decision", body, 1, NOW_US).contacts[0].state == "reserved"
