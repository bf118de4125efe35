"""What agents are called on the lead's page, by who looks."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.people import add_person, read_people
from serving.access.callers import Caller, caller_of_person
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.pages.lead.names import names_for
from tests.serving.workspaces import small_workspace


@pytest.mark.promise("lead.names")
def test_names_are_for_leads_who_signed_in_and_tell_two_of_one_name_apart(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "shop")
    for name, scopes in (("ann", ["agent"]), ("bea", ["lead"])):
        people.add(workspace, name, scopes, "correct horse battery", "root")
    brain = Brain(workspace)
    ann, bea = (caller_of_person(person) for person in read_people(brain.ledger))
    assert names_for(bea, brain) == {ann.who: "ann", bea.who: "bea"}
    key = Caller("key", "k", "tool", "root", frozenset({"lead"}), "company")
    assert [names_for(caller, brain) for caller in (ann, key, None)] == [{}, {}, {}]
    twin = next(person for person in read_people(brain.ledger) if person.name == "ann")
    assert add_person(brain.ledger, replace(twin, id="p2", subject="ann2"))
    assert names_for(bea, brain) == {ann.who: f"ann ({ann.who})", "person:p2": "ann (person:p2)", bea.who: "bea"}
    brain.close()
