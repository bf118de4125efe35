"""What a catalogue states about routing becomes the rules by which agents are ranked."""

import pytest

from decisioning.catalogue.files import load
from decisioning.errors import ConfigError
from decisioning.routing.rules import Ring, RoutingRules, rules_of

STATED = """
routing:
  mode: own
  known_agent_s: 60
  known_agent_help_s: 40
  last_new_s: 120
  most_upset_in_a_row: 2
  skills: [{id: bill, issue: service, rings: [{after_s: 0, min_proficiency: 0.5}, {after_s: 30, min_proficiency: 0.1}]}]
"""


def test_a_catalogue_states_how_agents_are_ranked() -> None:
    routing = load({"routing.yaml": STATED}).routing
    rules = RoutingRules(
        rings={"bill": (Ring(0, 0.5), Ring(30, 0.1))},
        known_agent_s=60,
        known_agent_help_s=40,
        last_new_s=120,
        most_upset_in_a_row=2,
    )
    assert rules_of(routing) == rules
    assert [skill.helps for skill in routing.skills] == [True]
    assert load({}).routing.mode == "advise"


def test_routing_is_stated_in_one_file() -> None:
    with pytest.raises(ConfigError, match="`routing` is stated twice"):
        load({"a.yaml": STATED, "b.yaml": STATED})
