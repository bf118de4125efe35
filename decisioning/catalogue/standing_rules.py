"""The rules by which a standing of bounded size is enough for every decision by a catalogue.

Whatever counts outcomes is found by its text anywhere in the catalogue, so that a new kind of rule is never left out.
"""

from collections.abc import Iterable, Iterator
from math import floor
from typing import Any, Final

from decisioning.catalogue.actions import Action
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.policies import Cap
from decisioning.facts.standing_rules import CapRule, HistoryRule, StandingRules
from decisioning.rules.errors import RuleError
from decisioning.rules.nodes import Compare, HistoryCount, Literal, Node, walk
from decisioning.rules.parser import parse
from decisioning.times import days_us

_CALL: Final = "history"
_MOST: Final = 1_000_000_000


def standing_rules(catalogue: Catalogue) -> StandingRules:
    """Return what decisions by this catalogue read of the past: for its caps, suppressions and `history()` calls."""
    caps = sorted({_cap_rule(cap, catalogue.actions) for cap in catalogue.caps}, key=repr)
    histories = {*_suppressions(catalogue.actions)}
    for text in sorted({text for text in _texts(catalogue.model_dump()) if _CALL in text}):
        histories.update(_history_rules(text))
    return StandingRules(tuple(caps), tuple(sorted(histories, key=repr)))


def _cap_rule(cap: Cap, actions: Iterable[Action]) -> CapRule:
    return CapRule(
        count=cap.count,
        limit=cap.limit,
        window_us=cap.window_us,
        channels=cap.channels,
        issues=cap.attach.issue,
        groups=cap.attach.group,
        actions=cap.attach.action,
        exempt=tuple(sorted(a.id for a in actions if a.tier not in cap.tiers)),
    )


def _suppressions(actions: Iterable[Action]) -> Iterator[HistoryRule]:
    for action in actions:
        for rule in action.suppress:
            yield HistoryRule(action.id, rule.after, None if rule.days is None else days_us(rule.days), 1)


def _texts(content: Any) -> Iterator[str]:
    """Yield every text within nested lists and mappings."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _texts(value)


def _history_rules(text: str) -> Iterator[HistoryRule]:
    """Yield one rule per `history()` in a rule or expression; none if the text is neither."""
    try:
        nodes = list(walk(parse(text)))
    except RuleError:
        return
    most = dict(pair for node in nodes if isinstance(node, Compare) for pair in _compared(node))
    for node in nodes:
        if isinstance(node, HistoryCount):
            yield HistoryRule(node.action, node.outcome, node.window_us, most.get(id(node)))


def _compared(node: Compare) -> Iterator[tuple[int, int]]:
    """Yield the `history()` that is compared with a number, and how many outcomes decide the comparison."""
    sides: tuple[tuple[Node, Node], ...] = ((node.left, node.right), (node.right, node.left))
    for count, limit in sides:
        if isinstance(count, HistoryCount) and isinstance(limit, Literal) and isinstance(limit.value, (int, float)):
            yield id(count), min(max(floor(limit.value) + 1, 1), _MOST)
