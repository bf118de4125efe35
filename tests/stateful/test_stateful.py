"""Persons, visitors on shared devices and accounts in any order, against a model of what must hold of each."""

from multiprocessing.connection import Connection

import pytest

from tests.features.processes import child
from tests.stateful.case import Case
from tests.stateful.catalogue import WITHIN_S
from tests.stateful.company import HERE, By, Company
from tests.stateful.long_run import take
from tests.stateful.persons import run
from tests.stateful.questions import compare

WITNESS = 200
"""How many steps `make test` takes."""


def test_an_export_after_an_erasure_has_nothing_of_what_the_history_files_still_hold(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "nickname", None)
    company.brain.compact()
    case.erase("person:1")
    compare(case, "person:1", None)
    company.wait(WITHIN_S)


def test_an_erasure_by_a_process_whose_clock_is_ahead_is_finished_in_time_by_another(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "nickname", None)
    case.know("person:1", "fee", None)
    company.brain.compact()
    case.by = By(3600.0)
    case.erase("person:1")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_a_fact_told_of_now_holds_against_one_that_a_clock_ahead_recorded(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.know("person:1", "nickname", None)
    case.by = HERE
    case.know("person:1", "nickname", 0.0)
    compare(case, "person:1", None)


def test_a_fact_told_seconds_ahead_counts_as_of_the_clock_and_not_as_of_a_clock_ahead(company: Company) -> None:
    case = Case(company)
    case.by = By(2.0)
    case.know("person:1", "fee", None)
    case.by = HERE
    case.know("person:1", "fee", -3.0)
    compare(case, "person:1", None)
    company.wait(6)
    case.know("person:1", "fee", 0.0)
    compare(case, "person:1", None)


def test_who_logs_in_after_a_clock_ahead_recorded_that_somebody_left_is_linked(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.link("person:2", "visitor:1", linked=True)
    company.wait(10)
    case.link("person:2", "visitor:1", linked=False)
    case.by = HERE
    company.wait(700)
    case.link("person:1", "visitor:1", linked=True)
    compare(case, "person:1", None)
    compare(case, "visitor:1", None)


def test_consents_that_a_clock_ahead_recorded_keep_nobody_from_a_device(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.consent("visitor:1", "marketing", "web", "granted", None)
    case.by = HERE
    company.wait(10)
    case.link("person:2", "visitor:1", linked=True)
    case.link("person:2", "visitor:1", linked=False)
    company.wait(10)
    case.link("person:1", "visitor:1", linked=True)
    compare(case, "person:1", None)


@pytest.mark.promise("identity.joined")
def test_two_ids_are_one_person_from_both_or_from_neither_whatever_a_clock_ahead_kept_of_one(company: Company) -> None:
    case = Case(company)
    case.by = By(3600.0)
    case.consent("person:1", "marketing", "*", "granted", None)
    case.by = HERE
    case.search("person:1", None)
    case.join("person:1", "person:2", joined=False)
    company.wait(10)
    case.join("person:1", "person:2", joined=True)
    compare(case, "person:1", None)
    compare(case, "person:2", None)
    case.erase("person:2")
    compare(case, "person:1", None)
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_a_decision_that_read_an_account_which_was_erased_since_is_erased_with_it_and_not_different(
    company: Company,
) -> None:
    case = Case(company)
    for person in ("person:1", "person:2", "person:2", "person:1"):
        case.consent(person, "marketing", "*", "granted", None)
        case.decide(person, "account:1", "web")
    case.erase_account("account:1")
    case.decide("person:1", "account:1", "web")
    company.verify()
    *before, after = (company.client("GET", f"/v1/decisions/{r.decision_id}")[0] for r in case.requests)
    assert ({*before}, after) == ({404}, 200)
    company.wait(WITHIN_S)


def test_what_an_unlinked_visitor_refused_binds_on_without_the_words_of_whoever_is_erased(company: Company) -> None:
    case = Case(company)
    case.consent("visitor:1", "marketing", "*", "withdrawn", None)
    company.wait(10)
    case.link("person:1", "visitor:1", linked=True)
    case.link("person:1", "visitor:1", linked=False)
    case.erase("person:1")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_a_whole_number_that_a_release_makes_a_float_is_the_same_in_history_and_store(company: Company) -> None:
    case = Case(company)
    case.know("person:1", "size", None)
    company.release(2)
    company.verify()
    compare(case, "person:1", None)
    company.release(1)
    company.verify()


def test_a_second_process_is_forked_after_its_nursery_was_killed_which_is_told(company: Company) -> None:
    case = Case(company)
    case.by = By(0.0)
    case.know("person:1", "nickname", None)
    company.there.close()
    company.nursery.kill()
    with pytest.warns(UserWarning, match="begun again: exit code -9"):
        case.know("person:1", "fee", None)
    compare(case, "person:1", None)


def test_what_a_forked_process_ends_of_is_told() -> None:
    with pytest.raises(AssertionError, match=r"(?s)exit code 1 .*ZeroDivisionError"), child(divide) as one:
        one.pipe.recv()


def divide(_: Connection) -> None:
    """Fail, as the program of a child process."""
    raise ZeroDivisionError


def test_a_request_that_was_decided_again_for_nobody_stays_when_whoever_asked_first_is_erased(company: Company) -> None:
    case = Case(company)
    case.decide("visitor:2", None, "push")
    case.link("person:3", "visitor:2", linked=True)
    case.link("person:3", "visitor:2", linked=False)
    case.ask_again(0)
    case.erase("person:3")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_what_a_persons_decisions_read_of_an_erased_visitor_goes_with_the_person(company: Company) -> None:
    case = Case(company)
    case.search("visitor:2", None)
    case.link("person:3", "visitor:2", linked=True)
    case.decide("person:3", None, "web")
    case.erase_visitor("visitor:2")
    company.wait(WITHIN_S)
    compare(case, "person:3", None)
    case.erase("person:3")
    company.wait(WITHIN_S)
    assert company.overdue == []


def test_what_holds_of_each_person_holds_after_every_step(company: Company) -> None:
    run(company, WITNESS, 0)


@pytest.mark.long
def test_what_holds_of_each_person_holds_in_a_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Take the 100,000 steps of `python -m tests.stateful`."""
    with capsys.disabled():
        take(100_000, 20, print)
