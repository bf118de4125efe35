"""All checks of how the records of a catalogue fit each other.

Each check yields problems and never raises. A name is known if a record of any file declares it.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from decisioning.catalogue.actions import MARKETING, PROFILING
from decisioning.catalogue.check.actions import action_problems
from decisioning.catalogue.check.ethics import ethics_problems
from decisioning.catalogue.check.flags import flag_problems
from decisioning.catalogue.check.intents import intent_problems, routing_problems
from decisioning.catalogue.check.models import model_problems
from decisioning.catalogue.check.people.budgets import budget_problems
from decisioning.catalogue.check.people.calendars import calendar_problems
from decisioning.catalogue.check.people.measures import measure_problems
from decisioning.catalogue.check.people.package import package_problems
from decisioning.catalogue.check.policies import policy_problems
from decisioning.catalogue.check.reasons import reason_problems
from decisioning.catalogue.check.rules import rule_problems
from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.check.signals import signal_problems
from decisioning.catalogue.check.values import change_problems, value_problems
from decisioning.catalogue.check.words import hint
from decisioning.errors import Mistake
from decisioning.facts.schema import BUILT_IN, Feature

Environment = Literal["dev", "test", "prod"]

_RULE_WORDS = frozenset(
    {"true", "false", "null", "in", "action", "history", "known", "default", "duration", "timestamp", "min", "max"}
)


def check(draft: Draft, environment: Environment = "dev") -> Iterator[Mistake]:
    """Yield every mistake in how the records fit each other; in `prod` also records stated without proof."""
    yield from chain.from_iterable(_feature(item) for item in draft.features)
    yield from signal_problems(draft)
    yield from _settings(draft)
    yield from _bases(draft)
    yield from _channels(draft)
    yield from action_problems(draft)
    yield from intent_problems(draft)
    yield from calendar_problems(draft)
    yield from routing_problems(draft)
    yield from measure_problems(draft)
    yield from package_problems(draft)
    yield from model_problems(draft)
    yield from policy_problems(draft)
    yield from budget_problems(draft)
    yield from rule_problems(draft)
    yield from ethics_problems(draft)
    yield from reason_problems(draft)
    yield from flag_problems(draft)
    yield from _arms(draft)
    if environment == "prod":
        yield from _unproven((*draft.features, *draft.bases))


def _feature(item: Item[Feature]) -> Iterator[Mistake]:
    feature = item.spec
    if feature.name in _RULE_WORDS:
        yield item.problem(("name",), f"`{feature.name}` is a word of the rule language", "choose another name")
    if any(feature.name == built_in.name for built_in in BUILT_IN):
        yield item.problem(("name",), "every decision has this fact already", "remove it, or choose another name")
    yield from value_problems(item, (), feature)
    yield from change_problems(item)


def _settings(draft: Draft) -> Iterator[Mistake]:
    item, settings = draft.settings, draft.settings.spec
    if not _is_time_zone(settings.time_zone):
        suggestion = hint(settings.time_zone, available_timezones()) or "for example `time_zone: Europe/Amsterdam`"
        yield item.problem(("time_zone",), f"there is no time zone `{settings.time_zone}`", suggestion)
    if settings.time_zone_feature:
        yield from _time_zone_feature(draft, settings.time_zone_feature)
    yield from repeated_names(item, ("locales",), settings.locales)
    for group in settings.priors.group:
        if group not in draft.groups:
            path = ("priors", "group", group)
            yield item.problem(path, f"no action is in group `{group}`", hint(group, draft.groups) or "remove it")


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a path, a folder, or an unknown name
        return False
    return True


def _time_zone_feature(draft: Draft, name: str) -> Iterator[Mistake]:
    path, item = ("time_zone_feature",), draft.settings
    yield from unknown_names(item, path, "feature", (name,), draft.known_ids["features"])
    feature = next((f.spec for f in draft.features if f.spec.name == name), None)
    if feature and feature.dtype not in ("string", "enum"):
        yield item.problem(path, f"a time zone is a text, `{name}` is `{feature.dtype}`", f"make `{name}` a string")


def _bases(draft: Draft) -> Iterator[Mistake]:
    for item in draft.bases:
        basis = item.spec
        yield from unknown_names(item, ("purpose",), "purpose", (basis.purpose,), draft.known_ids["purposes"])
        yield from unknown_names(item, ("channels",), "channel", basis.channels, draft.known_ids["channels"])
        if basis.purpose in (MARKETING, PROFILING) and basis.basis not in ("legitimate-interests", "soft-opt-in"):
            message = f"`{basis.basis}` is no ground for {basis.purpose}"
            yield item.problem(
                ("basis",), message, "only consent or `legitimate-interests` is; or name another purpose"
            )


def _channels(draft: Draft) -> Iterator[Mistake]:
    for item in draft.channels:
        channel = item.spec
        yield from unknown_names(item, ("purposes",), "purpose", channel.purposes, draft.known_ids["purposes"])
        yield from repeated_names(item, ("placements",), channel.placements)
        quiet = channel.quiet_hours
        if quiet and channel.direction == "inbound":
            message = "quiet hours are for outbound channels only"
            yield item.problem(("quiet_hours",), message, "remove `quiet_hours`, or write `direction: outbound`")
        if quiet and quiet.from_ == quiet.to:
            yield item.problem(("quiet_hours",), "they begin and end at the same time", "write when they end in `to`")


def _arms(draft: Draft) -> Iterator[Mistake]:
    """Arms draw by one unit: a customer in one arm as a person and in another by account would be in neither."""
    for item in draft.arms[1:]:
        if item.spec.unit != (first := draft.arms[0]).spec.unit:
            message = f"it draws by {item.spec.unit}, and {first.label} by {first.spec.unit}"
            yield item.problem(("unit",), message, f"write `unit: {first.spec.unit}`: all arms draw by the same")


def _unproven(items: Iterable[Item[Any]]) -> Iterator[Mistake]:
    for item in items:
        if item.spec.asserted_by:
            message = "it was stated by a person, not measured, which prod does not accept"
            yield item.problem(("asserted_by",), message, "replace it by what can be shown, or use another environment")
