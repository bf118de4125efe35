"""Logs of other systems: help beside offers, several actions of one decision, odd probabilities, and drafted blanks."""

from pathlib import Path

import pytest

from decisioning.errors import ConfigError, Refused
from features.importing import catalogue_files, checked_catalogue, read_mapping
from features.importing.reading import BLANK
from tests.features.importing_help import CUSTOMERS, FILES, MAILINGS, SHOP, planned

ACTIONS = SHOP[SHOP.index("  - {id: shoes, issue") : SHOP.index("policies:")]
HELP = """
  - {id: shoes, issue: service, purposes: [service], group: help, title: Your shoes are late, value: 1}
  - {id: coats, issue: grow, group: fashion, title: Coats, value: 20}
"""


def with_help(mapping: str) -> str:
    purposes = '  - {id: service, notice_version: "2026-01"}\nchannels:'
    return mapping.replace(ACTIONS, HELP).replace("channels:", purposes, 1)


@pytest.mark.promise("imports.foreign-logs")
def test_a_log_may_hold_actions_that_help(tmp_path: Path) -> None:
    plan = planned(tmp_path, with_help(SHOP))
    actions = {a.id: a for a in checked_catalogue(plan, catalogue_files(plan)).actions}
    assert actions["shoes"].required_purposes == ("service",)
    assert actions["coats"].required_purposes == ("marketing",)


@pytest.mark.promise("imports.foreign-logs")
def test_a_probability_of_zero_is_counted_and_taken_as_unknown(tmp_path: Path) -> None:
    plan = planned(tmp_path, files={**FILES, "mailings": MAILINGS.replace("0,25;nee", "0;nee", 1)})
    assert plan.contacts[0].probability.to_pylist() == [0.5, None, 0.25, 0.25]
    assert [counts.impossible for counts in plan.counts] == [0, 1]


@pytest.mark.promise("imports.foreign-logs")
def test_rows_of_one_decision_may_state_the_same_facts(tmp_path: Path) -> None:
    """A row per action that was shown repeats what was known of the customer; other facts are refused by column."""
    again = CUSTOMERS + CUSTOMERS.splitlines()[1] + "\n"
    assert len(planned(tmp_path, files={**FILES, "customers": again}).profiles[0]) == 3
    with pytest.raises(Refused, match="row 5, column spent: the same subject stands in row 2, with another value"):
        planned(tmp_path, files={**FILES, "customers": CUSTOMERS + "c1,30,9,basic,yes,2026-01-10\n"})


def test_what_all_actions_share_stands_once(tmp_path: Path) -> None:
    shared = "every_action: {issue: grow, value: 20, window_days: 7}\nactions:\n"
    short = (
        "  - {id: shoes, group: fashion, title: New shoes, value: 10}\n  - {id: coats, group: fashion, title: Coats}\n"
    )
    plan = planned(tmp_path, SHOP.replace(ACTIONS, short).replace("actions:\n", shared, 1))
    actions = {a.id: a for a in checked_catalogue(plan, catalogue_files(plan)).actions}
    assert [actions[a].value.eur for a in ("shoes", "coats")] == [10.0, 20.0]
    assert {a.issue for a in actions.values()} == {"grow"}


def test_a_contact_is_at_the_time_of_its_file_and_an_assertion_too() -> None:
    mapping = SHOP.replace("    since: 2026-01-01\n", "").replace("{column: known_on}", "2026-01-09")
    assert str(read_mapping("shop.yaml", mapping.encode()).mapping.assertions[0].since) == "2026-01-09 00:00:00+00:00"
    without = SHOP.replace('      at: {column: sent, format: "%d-%m-%Y %H:%M"}\n', "")
    with pytest.raises(ConfigError, match="its contacts need a time"):
        read_mapping("shop.yaml", without.encode())


def test_every_blank_is_told_at_its_line_with_its_reason() -> None:
    mapping = SHOP.replace("author: A. Jansen", f"author: {BLANK} # who answers for it").replace(
        "value: 10", f"value: {BLANK}"
    )
    with pytest.raises(ConfigError) as caught:
        read_mapping("shop.yaml", mapping.replace("dtype: bool", "dtype: boolean").encode())
    messages = [str(problem) for problem in caught.value.problems]
    assert len(messages) == 3
    assert any("`author` is blank (who answers for it)" in message for message in messages)
    assert any("`value` is blank (write what is true)" in message for message in messages)
    assert any("cannot be `boolean`" in message for message in messages)
