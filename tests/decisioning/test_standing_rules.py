"""What decisions by a catalogue read of the past: found for every cap, suppression and `history()`, wherever it is."""

import pytest

from decisioning.catalogue.actions import Amount
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.policies import Attach, Cap, Policy
from decisioning.catalogue.standing_rules import standing_rules
from decisioning.facts.standing_rules import CapRule, HistoryRule, StandingRules, united
from decisioning.times import DAY_US


def with_rule(catalogue: Catalogue, rule: str) -> Catalogue:
    """Return the catalogue without caps and suppressions, and with one policy."""
    actions = tuple(a.model_copy(update={"suppress": ()}) for a in catalogue.actions)
    policy = Policy(id="p", level="contact", attach=Attach(all=True), deny=rule)
    nothing = {"caps": (), "emotion": (), "moments": (), "protections": (), "bases": ()}
    return catalogue.model_copy(update={"actions": actions, "policies": (policy,), **nothing})


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        ('history(action, "declined", "90d") >= 3', 4),
        ('history(action, "declined", "90d") > 2', 3),
        ('history(action, "declined", "90d") == 2.5', 3),
        ('2 < history(action, "declined", "90d")', 3),
        ('history(action, "declined", "90d") != 0', 1),
        ('history(action, "declined", "90d") * 2 > 3', None),
        ('history(action, "declined", "90d") > age', None),
        ('max(history(action, "declined", "90d"), 1) > 3', None),
        ('!(age < 18 || history(action, "declined", "90d") >= 1)', 2),
    ],
)
def test_a_comparison_with_a_number_reads_one_outcome_more_than_it(small: Catalogue, rule: str, most: int) -> None:
    rules = standing_rules(with_rule(small, rule))
    assert rules == StandingRules((), (HistoryRule(None, "declined", 90 * DAY_US, most),))


def test_an_expression_of_an_amount_reads_all_that_it_counts(small: Catalogue) -> None:
    counted = Amount(expression='10 * history("sim-only", "accepted", "30d")', typical=10.0)
    catalogue = with_rule(small, "age < 18")
    actions = (catalogue.actions[0].model_copy(update={"value": counted}), *catalogue.actions[1:])
    rules = standing_rules(catalogue.model_copy(update={"actions": actions}))
    assert rules.histories == (HistoryRule("sim-only", "accepted", 30 * DAY_US, None),)


def test_every_cap_and_suppression_of_a_catalogue_is_found(small: Catalogue) -> None:
    rules = standing_rules(small)
    assert {(c.count, c.limit, c.window_us) for c in rules.caps} == {
        (c.count, c.limit, c.window_us) for c in small.caps
    }
    suppressions = {(a.id, s.after) for a in small.actions for s in a.suppress}
    assert suppressions == {(h.action, h.outcome) for h in rules.histories if h.most == 1}
    assert StandingRules.from_json(rules.as_json()) == rules


def test_a_cap_counts_neither_exempt_actions_nor_other_channels(small: Catalogue) -> None:
    cap = Cap(id="c", count="group", limit=1, window_days=7, channels=("web",), attach=Attach(issue=("grow",)))
    (rule,) = standing_rules(small.model_copy(update={"caps": (cap,)})).caps
    exempt = next(a for a in small.actions if a.tier != "commercial")
    assert rule.key_of("sold-long-ago", "tv", "grow", "web") == "tv"
    assert rule.key_of("sold-long-ago", "tv", "grow", "call") is None
    assert rule.key_of("sold-long-ago", "tv", "retain", "web") is None
    assert rule.key_of(exempt.id, "tv", "grow", "web") is None


def test_rules_cover_what_asks_for_no_more() -> None:
    cap, asked = CapRule("action", 2, DAY_US), HistoryRule(None, "declined", DAY_US, 2)
    rules = StandingRules((cap,), (asked,))
    less = StandingRules((CapRule("action", 1, DAY_US),), (HistoryRule("tv", "declined", 1, 1),))
    assert rules.covers(less)
    assert rules.covers(StandingRules())
    for more in (
        StandingRules((CapRule("action", 3, DAY_US),)),
        StandingRules((CapRule("action", 2, 2 * DAY_US),)),
        StandingRules((CapRule("group", 2, DAY_US),)),
        StandingRules((), (HistoryRule(None, "declined", None, 1),)),
        StandingRules((), (HistoryRule(None, "declined", DAY_US, None),)),
        StandingRules((), (HistoryRule(None, "accepted", DAY_US, 1),)),
    ):
        assert not rules.covers(more)
        assert united((rules, more)).covers(more)
        assert united((rules, more, rules)).covers(rules)
