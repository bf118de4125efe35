"""Asks the product and the model the same questions, and says where they differ."""

from pydantic_core import to_json

from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask
from serving.customers import exporting, recording
from tests.stateful.case import ACTIONS, Case
from tests.stateful.model import FACTS, tokens
from tests.stateful.searching import tokens_in


def compare(case: Case, subject: str, account: str | None, *, whole: bool = True) -> None:
    """Assert that what the product says of a person or visitor is what the model says.

    :param whole: ask all there is to ask, else what is known and what the web may show; what is held of a person is
        still held some steps later, so a difference in it is found then
    """
    if subject in case.retired:
        return
    _gates(case, subject, account, "web")
    if whole:
        _gates(case, subject, account, "push")
    if whole and subject.startswith("person:"):
        _customer(case, subject)
        _export(case, subject)
    if whole and account is not None:
        _account(case, account)


def _gates(case: Case, subject: str, account: str | None, channel: str) -> None:
    """Assert that what is permitted, and what is known, is what the model says."""
    brain, now_us = case.company.brain, case.company.clock.now_us
    body = {"request_id": "gates", **case.asked(subject, account, channel)}
    ask = Ask.model_validate_json(to_json(body))
    known = brain.known(ask, brain.snapshot, now_us)
    found = screened_for(ask, known, brain.snapshot.release, now_us=now_us)
    rows = found.view.rows_by_action
    for action in ACTIONS if channel == "web" else ("tv",):
        here = sum(1 << row for row in rows[action])
        gate = next((stop.gate for stop in found.stops if stop.candidates & here), "")
        stops = case.model.stops(subject, account, action, channel, now_us)
        assert stops.allow(gate), (subject, account, action, channel, gate, stops)
    expected = case.model.facts(subject, now_us, whole=case.company.released == 1)
    wrong = {n: (known.facts.get(n), expected[n]) for n in FACTS if known.facts.get(n) not in expected[n]}
    assert wrong == {}, (subject, wrong)


def _customer(case: Case, person: str) -> None:
    """Assert that a customer is shown with their contacts as far as they got, and with their links."""
    content = recording.customer(case.company.brain, case.id_of(person))
    own = case.model.of(person)
    assert content["erased"] == (person in case.model.erased)
    states = {w.data["offer"]: case.model.state(w) for w in own if w.kind == "contact"}
    assert {c["offer_id"]: c["state"] for c in content["contacts"]} == states
    links = {link["visitor"] for link in content["links"] if link["status"] == "linked" and link["kind"] != "customer"}
    assert len(links) == sum(case.model.holder(visitor) == person for visitor in case.model.holders)


def _export(case: Case, person: str) -> None:
    """Assert that an export has all that belongs to a person, and nothing of anyone else.

    Their decisions keep what they read, also of a visitor that was erased since.
    """
    content = exporting.export(case.company.brain, "person", case.id_of(person))
    assert content["next"] is None
    theirs = case.model.belonging(person).may
    found = tokens_in(content)
    others = {case.id_of(subject) for subject in (*case.model.ids(person), *case.model.holders, "account:1")}
    read = (case.read.get(one, set()) for one in case.model.ids(person) if one not in case.model.erased)
    may = tokens(theirs) | others.union(*read)
    assert tokens(theirs) <= found, (person, tokens(theirs) - found)
    assert found <= may, (person, found - may)


def _account(case: Case, account: str) -> None:
    """Assert that an export of an account has nothing of the people who used it but what was told of the account."""
    content = exporting.export(case.company.brain, "account", case.id_of(account))
    found = tokens_in(content) - {case.id_of(account)}
    assert found <= tokens(case.model.of(account)), (account, found - tokens(case.model.of(account)))
