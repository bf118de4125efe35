"""The gates and caps that one release has and another one lacks, or has otherwise. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from decisioning.catalogue.actions import Action, Channel, Claims, Settings
from decisioning.catalogue.intents import AUTOMATION, limited
from decisioning.catalogue.release import Release
from decisioning.facts.schema import Strict


class _Gate(NamedTuple):
    """A gate for one action or channel (`of`)."""

    name: str
    of: str


def removed_gates(before: Release, after: Release) -> list[str]:
    """Return what stops less in `after`: each gate that is gone or is another one, and how many it concerns.

    A gate counts for each action and channel that both releases have. One that is only changed counts as removed, as
    whether a rule narrows is not known, except for a cap with a lower limit.
    """
    was, now = _gates(before), _gates(after)
    there = {"", *after.actions, *after.channels}
    gone = [gate for gate, content in was.items() if gate.of in there and not _holds(content, now.get(gate))]
    counts = Counter(gate.name for gate in gone)
    return [f"{name} (of {n})" if n > 1 else name for name, n in sorted(counts.items())]


def _holds(content: Any, later: Any) -> bool:
    """Tell whether a gate stops at least as much later on."""
    if content == later:
        return True
    is_cap = isinstance(content, dict) and isinstance(later, dict) and {"limit", "count"} <= content.keys()
    return is_cap and content | {"limit": 0} == later | {"limit": 0} and later["limit"] <= content["limit"]


def _gates(release: Release) -> dict[_Gate, Any]:
    """Return every gate of a release with what it says, as JSON values."""
    gates = {_Gate(name, ""): content for name, content in _of_settings(release)}
    for action in release.actions.values():
        gates |= {_Gate(name, action.id): content for name, content in _of_action(action, release)}
    for channel in release.channels.values():
        gates |= {_Gate(name, channel.id): content for name, content in _of_channel(channel, release)}
    return gates


def _of_settings(release: Release) -> Iterator[tuple[str, Any]]:
    settings, standard = release.catalogue.settings, Settings()
    yield "settings:max_per_group", {"count": "group", "limit": settings.max_per_group}
    for name in ("age_feature", "adult_age", "gpc", "country_rules", "transparency"):
        if getattr(settings, name) != getattr(standard, name):
            yield f"settings:{name}", getattr(settings, name)
    yield from ((f"country_rules:{rules.id}", _said(rules)) for rules in release.catalogue.country_rules)
    yield from ((f"arm:{arm.id}", _said(arm)) for arm in release.catalogue.arms if arm.id == "holdout")
    silencing = (rule for rule in release.catalogue.emotion if rule.silence_sales)
    yield from ((f"emotion:{rule.id}", _with_rule(rule, rule.when, release)) for rule in silencing)


def _of_action(action: Action, release: Release) -> Iterator[tuple[str, Any]]:
    catalogue = release.catalogue
    if action.starts_at or action.ends_at:
        yield "action:dates", (action.starts_us, action.ends_us)
    intents = limited(catalogue.intents) if action.intent and not action.commercial else ()
    if action.effective_automation != "automatic" or intents:
        yield AUTOMATION, (action.effective_automation, intents)
    if action.scope == "account":
        yield "action:account", action.scope
    yield from ((f"consent:{purpose}", _of_purpose(purpose, release)) for purpose in action.required_purposes)
    for protection in catalogue.protections if action.sells_or_lends else ():
        yield f"protection:{protection.id}", _with_rule(protection, protection.when, release)
    for policy in catalogue.policies:
        if policy.attach.covers(action):
            yield f"{policy.level}:{policy.id}", _with_rule(policy, policy.rule, release)
    yield from ((f"suppressed:{s.after}", s.days) for s in action.suppress)
    for cap in catalogue.caps:
        if cap.attach.covers(action) and action.tier in cap.tiers:
            yield f"cap:{cap.id}", _said(cap)
    for budget in catalogue.budgets:
        if budget.attach.covers(action):
            counted = {"count": "budget", "days": budget.days, "gives_eur": action.gives_eur}
            yield f"budget:{budget.id}", {**counted, "limit": budget.limit_cents}
    for kind in Claims.model_fields:
        if claims := [(t.id, fact) for t in action.treatments if (fact := getattr(t.claims, kind))]:
            yield f"claim:{kind}", claims


def _of_channel(channel: Channel, release: Release) -> Iterator[tuple[str, Any]]:
    if channel.quiet_hours is not None:
        yield "contact:quiet-hours", _said(channel.quiet_hours)
    yield from ((f"consent:{purpose}", _of_purpose(purpose, release)) for purpose in channel.purposes)
    if not channel.human:
        yield "channel:human", channel.human
    yield "channel:counts_on", (channel.counts_on, channel.reservation_s)
    if channel.medium is not None:
        yield "channel:medium", channel.medium


def _of_purpose(purpose: str, release: Release) -> Any:
    """Return what is asked for a purpose: its consent, and what permits it without one."""
    bases = [_said(basis) for basis in release.catalogue.bases if basis.purpose == purpose]
    return [_said(release.purposes[purpose]) if purpose in release.purposes else None, bases]


def _with_rule(item: Strict, rule: str, release: Release) -> Any:
    """Return what an item says, with the features that its rule reads."""
    features = release.schema.features
    read: Iterable[str] = sorted(release.rule(rule).reads & features.keys())
    return {**_said(item), "reads": [_said(features[name]) for name in read]}


def _said(item: Strict) -> Mapping[str, Any]:
    """Return an item as JSON values, without what only people read."""
    return item.model_dump(mode="json", exclude={"description", "text", "asserted_by"})
