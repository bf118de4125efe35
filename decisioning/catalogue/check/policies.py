"""Checks of policies, protections, caps, the emotion layer, moments and personas against the rest of the catalogue."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from decisioning.catalogue.actions import Channel
from decisioning.catalogue.check.actions import NEUTRAL
from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.policies import REQUIRED_PROTECTIONS, Attach, Cap, EmotionRule, MomentRule, Persona
from decisioning.catalogue.source import Path, shorten
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.times import parse_moment

_PERSONA_KEYS = {"channel": "`channel:`", "locale": "`locale:`", "now": "`as_of:`", "has_account": "`account:`"}


def policy_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in what these records are attached to and refer to.

    The texts of rules are checked in `decisioning.catalogue.check.rules`.
    """
    for policy in draft.policies:
        yield from attachment_problems(policy, policy.spec.attach, draft)
    yield from _protections(draft)
    for cap in draft.caps:
        yield from _cap(cap, draft)
    for rule in draft.emotion:
        yield from _tone(rule, draft)
        yield from _let_through(rule, draft)
        yield from _approved_text(rule, draft)
        yield from repeated_names(rule, ("needs",), rule.spec.needs)
    channels = {item.spec.id: item.spec for item in draft.channels}
    for moment in draft.moments:
        yield from _moment(moment, draft, channels)
    features = FeatureSchema(tuple(item.spec for item in draft.features)).features
    for persona in draft.personas:
        yield from _persona(persona, draft, channels)
        yield from _persona_facts(persona, draft, features)


def attachment_problems(item: Item[Any], attach: Attach, draft: Draft) -> Iterator[Mistake]:
    """Unknown names, and an issue that no action has, unless an action was refused that may have it."""
    yield from _attached_names(item, "group", attach.group, draft.groups)
    yield from _attached_names(item, "action", attach.action, draft.known_ids["actions"])
    issues = {action.spec.issue for action in draft.actions}
    if attach.issue and not issues.intersection(attach.issue) and not draft.refused_ids["actions"]:
        message = f"no action has issue {' or '.join(f'`{issue}`' for issue in attach.issue)}"
        yield item.problem(("attach", "issue"), message, _issues_listed(issues) or "remove it until there is one")


def _attached_names(item: Item[Any], key: str, names: tuple[str, ...], known: frozenset[str]) -> Iterator[Mistake]:
    for i, name in enumerate(names):
        if name not in known:
            message = f"it is attached to {key} `{name}`, which no action {'has' if key == 'group' else 'is'}"
            yield item.problem(("attach", key, i), message, hint(name, known) or "remove it until there is one")
    yield from repeated_names(item, ("attach", key), names)


def _issues_listed(names: Iterable[str]) -> str | None:
    quoted = ", ".join(f"`{shorten(name)}`" for name in sorted(names))
    return f"actions have {quoted}" if quoted else None


def _protections(draft: Draft) -> Iterator[Mistake]:
    """A catalogue that sells needs every kind of protection; reported once, at the first action that sells."""
    sells = next((item for item in draft.actions if item.spec.commercial), None)
    if sells is None or draft.refused_ids["protections"]:
        return
    kinds = {kind for item in draft.protections for kind in item.spec.kind}
    if missing := [kind for kind in REQUIRED_PROTECTIONS if kind not in kinds]:
        quoted = ", ".join(f"`{kind}`" for kind in missing)
        message = f"it sells, but there is no protection of kind {quoted}"
        suggestion = f'add `{{id: {missing[0]}, kind: {missing[0]}, when: "…"}}` to `protections`'
        yield sells.problem(("issue",), message, suggestion)


def _cap(item: Item[Cap], draft: Draft) -> Iterator[Mistake]:
    cap = item.spec
    yield from attachment_problems(item, cap.attach, draft)
    yield from unknown_names(item, ("channels",), "channel", cap.channels, draft.known_ids["channels"])
    yield from repeated_names(item, ("channels",), cap.channels)
    concerned = [action.spec for action in draft.actions if cap.attach.covers(action.spec)]
    if concerned and not draft.refused_ids["actions"] and not any(action.tier in cap.tiers for action in concerned):
        if cap.attach.all:
            return  # a catalogue that sells nothing yet may have caps on sales
        tiers = _issues_listed({action.tier for action in concerned} - {"mandatory"})
        message = "none of the actions it is attached to is of a tier that it counts"
        yield item.problem(
            ("attach",), message, f"{tiers}: name them in `tiers`" if tiers else "`mandatory` has no caps"
        )


def _tone(item: Item[EmotionRule], draft: Draft) -> Iterator[Mistake]:
    tone = item.spec.tone
    tones = {tone for action in draft.actions for treatment in action.spec.treatments for tone in treatment.tone}
    if tone and tone != NEUTRAL and tone not in tones and not draft.refused_ids["actions"]:
        suggestion = hint(tone, tones) or f'write a variant, such as `tone: {{{tone}: {{en: {{title: "…"}}}}}}`'
        yield item.problem(("tone",), f"no treatment is written in the tone `{tone}`", suggestion)


def _let_through(item: Item[EmotionRule], draft: Draft) -> Iterator[Mistake]:
    """Emotion may only let help through, never a sale."""
    path = ("let_through",)
    yield from unknown_names(item, path, "action", item.spec.let_through, draft.known_ids["actions"])
    yield from repeated_names(item, path, item.spec.let_through)
    sells = {action.spec.id for action in draft.actions if action.spec.commercial}
    for i, name in enumerate(item.spec.let_through):
        if name in sells:
            yield item.problem((*path, i), f"`{name}` sells, and emotion may only let help through", "remove it")


def _approved_text(item: Item[EmotionRule], draft: Draft) -> Iterator[Mistake]:
    """The text that is told to a customer meanwhile is written in every locale."""
    text, locales = item.spec.text, draft.settings.spec.locales
    if not text or "locales" in draft.refused_ids["settings"]:
        return
    for locale in text:
        if locale not in locales:
            message = f"locale `{locale}` is not among `settings.locales`"
            yield item.problem(("text", locale), message, hint(locale, locales))
    if missing := [locale for locale in locales if locale not in text]:
        quoted = ", ".join(f"`{locale}`" for locale in missing)
        yield item.problem(("text",), f"it is not written in {quoted}", "write it in every locale of `settings`")


def _moment(item: Item[MomentRule], draft: Draft, channels: Mapping[str, Channel]) -> Iterator[Mistake]:
    moment = item.spec
    yield from unknown_names(item, ("on",), "signal", moment.on, draft.known_ids["signals"])
    yield from unknown_names(item, ("channel",), "channel", (moment.channel,), draft.known_ids["channels"])
    if channel := channels.get(moment.channel):
        kind = f"placement on channel `{channel.id}`:"
        yield from unknown_names(item, ("placements",), kind, moment.placements, channel.placements)
    for key in ("on", "placements", "deliver"):
        yield from repeated_names(item, (key,), getattr(moment, key))


def _persona(item: Item[Persona], draft: Draft, channels: Mapping[str, Channel]) -> Iterator[Mistake]:
    persona = item.spec
    yield from unknown_names(item, ("channel",), "channel", (persona.channel,), draft.known_ids["channels"])
    if channel := channels.get(persona.channel):
        kind = f"placement on channel `{channel.id}`:"
        yield from unknown_names(item, ("placements",), kind, persona.placements, channel.placements)
    yield from repeated_names(item, ("placements",), persona.placements)
    locales = draft.settings.spec.locales
    if persona.locale and persona.locale not in locales and "locales" not in draft.refused_ids["settings"]:
        yield from unknown_names(item, ("locale",), "locale", (persona.locale,), locales)
    for i, consent in enumerate(persona.consents):
        yield from unknown_names(
            item, ("consents", i, "purpose"), "purpose", (consent.purpose,), draft.known_ids["purposes"]
        )
        known = draft.known_ids["channels"] | {"*"}
        yield from unknown_names(item, ("consents", i, "channel"), "channel", (consent.channel,), known)
    for name in persona.expect.withheld:
        yield from unknown_names(item, ("expect", "withheld", name), "action", (name,), draft.known_ids["actions"])
    if persona.expect.action:
        yield from unknown_names(
            item, ("expect", "action"), "action", (persona.expect.action,), draft.known_ids["actions"]
        )


def _persona_facts(item: Item[Persona], draft: Draft, features: Mapping[str, Feature]) -> Iterator[Mistake]:
    for name, value in item.spec.facts.items():
        path = ("facts", name)
        if name in _PERSONA_KEYS:
            yield item.problem(path, f"`{name}` is not a fact of a persona", f"use {_PERSONA_KEYS[name]}")
        elif name not in features:
            yield from unknown_names(item, path, "feature", (name,), draft.known_ids["features"])
        elif value is not None:
            yield from _persona_fact(item, path, features[name], value)


def _persona_fact(item: Item[Persona], path: Path, feature: Feature, value: object) -> Iterator[Mistake]:
    if not _fits(feature, value):
        message = f"`{feature.name}` is of type `{feature.dtype}`, and cannot be `{shorten(str(value))}`"
        yield item.problem(path, message, _example(feature, value))


def _fits(feature: Feature, value: object) -> bool:
    """Tell whether a value, as written in YAML, is one of the feature's."""
    if feature.dtype == "timestamp":
        return _is_moment(value)
    if feature.dtype in ("string", "enum"):
        return isinstance(value, str) and (feature.dtype == "string" or value in feature.values)
    if feature.dtype == "bool" or isinstance(value, bool):
        return feature.dtype == "bool" and isinstance(value, bool)
    kind = int if feature.dtype == "int" else int | float
    low, high = feature.min, feature.max
    return isinstance(value, kind) and (low is None or value >= low) and (high is None or value <= high)


def _is_moment(value: object) -> bool:
    try:
        parse_moment(value)
    except ValueError:
        return False
    return True


def _example(feature: Feature, value: object) -> str:
    if feature.dtype == "enum":
        return hint(str(value), feature.values) or "write one of its `values`"
    if feature.min is not None or feature.max is not None:
        low = "any" if feature.min is None else f"{feature.min:g}"
        return f"write a number from {low} to {'any' if feature.max is None else f'{feature.max:g}'}"
    example = {"bool": "true", "string": '"a text"', "timestamp": "2026-11-01", "int": "3", "float": "2.5"}
    return f"for example `{feature.name}: {example[feature.dtype]}`"
