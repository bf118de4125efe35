"""Asks the product and the model the same questions, and says where they differ."""

from pydantic_core import to_json

from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask
from tests.stateful.case import ACTIONS, Case
from tests.stateful.model import FACTS, tokens
from tests.stateful.searching import tokens_in


def compare(case: Case, subject: str, account: str | None) -> None:
    """Assert that what the product says of a person or visitor is what the model says."""
    if subject in case.retired:
        return
    for channel in ("web", "push"):
        _gates(case, subject, account, channel)
    if subject.startswith("person:"):
        _customer(case, subject)
        _export(case, subject)


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
    content = case.company.client("GET", f"/v1/customers/{case.id_of(person)}")[1]
    own = case.model.of(person)
    assert content["erased"] == (person in case.model.erased)
    states = {w.data["offer"]: case.model.state(w) for w in own if w.kind == "contact"}
    assert {c["offer_id"]: c["state"] for c in content["contacts"]} == states
    links = {link["status"] for link in content["links"]}
    assert ("linked" in links) == bool(case.model.linked(person))


def _export(case: Case, person: str) -> None:
    """Assert that an export has all that belongs to a person, and nothing of anyone else."""
    content = case.company.client("GET", f"/v1/customers/{case.id_of(person)}/export")[1]
    assert content["next"] is None
    theirs = case.model.belonging(person).may
    found = tokens_in(content) - {case.id_of(person)}
    others = {case.id_of(subject) for subject in case.model.holders} | {case.id_of(f"account:{n}") for n in "12"}
    assert tokens(theirs) <= found, (person, tokens(theirs) - found)
    assert found <= tokens(theirs) | others, (person, found - tokens(theirs) - others)
