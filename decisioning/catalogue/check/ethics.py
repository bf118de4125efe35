"""Checks of the promises to customers: purposes, ages, country rules, significant actions, and wording."""

from collections.abc import Iterator, Mapping
from itertools import chain
from re import findall
from typing import Any

from decisioning.catalogue.actions import (
    EMOTION,
    MARKETING,
    PROFILING,
    SERVICE,
    Action,
    Basis,
    Channel,
    Settings,
    Treatment,
)
from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.content import PLACEHOLDER
from decisioning.catalogue.countries import SHIPPED
from decisioning.catalogue.policies import Protection
from decisioning.catalogue.source import Path
from decisioning.catalogue.wording import claims, pretended_feeling
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature, collected_for
from decisioning.facts.signals import SignalType

_PROOF_DTYPES = {"scarcity": ("int", "float"), "deadline": ("timestamp",)}
_BASES_FOR_AUTOMATION = ("contract", "legal-obligation")
_NO_SOFT_OPT_IN = (PROFILING, EMOTION)


def ethics_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every promise to customers that the catalogue breaks, except for those about the facts that rules read."""
    yield from _settings(draft)
    yield from _soft_opt_ins(draft)
    yield from _channels(draft)
    yield from _emotion_purpose(draft)
    yield from _collecting(draft)
    features = {item.spec.name: item.spec for item in draft.features}
    for item in draft.actions:
        yield from _purpose_missing(item)
        yield from _significant(item, draft)
        for i, treatment in enumerate(item.spec.treatments):
            yield from _wording(item, ("treatments", i), treatment, draft, features)


def _settings(draft: Draft) -> Iterator[Mistake]:
    item, settings = draft.settings, draft.settings.spec
    if "gpc" in item.node.items:
        yield from unknown_names(item, ("gpc",), "purpose", settings.gpc, draft.known_ids["purposes"])
        yield from repeated_names(item, ("gpc",), settings.gpc)
    if (
        PROFILING in draft.known_ids["purposes"]
        and PROFILING not in settings.gpc
        and "gpc" not in draft.refused_ids["settings"]
    ):
        yield item.problem(
            ("gpc",), "a Global Privacy Control does not withdraw profiling", "add `profiling` to the list"
        )
    if settings.country_rules:
        known = draft.known_ids["country_rules"] | frozenset(SHIPPED)
        yield from unknown_names(item, ("country_rules",), "country rules", (settings.country_rules,), known)
    yield from _age(draft, settings)


def _age(draft: Draft, settings: Settings) -> Iterator[Mistake]:
    """Marketing profiles only customers whose age is known, so a catalogue that sells names the feature of the age."""
    item, name = draft.settings, settings.age_feature
    sells = next((action for action in draft.actions if action.spec.commercial), None)
    if name is None:
        if sells and PROFILING in draft.known_ids["purposes"] and "age_feature" not in draft.refused_ids["settings"]:
            message = "it sells with profiling, and nothing says which feature is the age"
            yield sells.problem(("issue",), message, "add `age_feature: age` to `settings`: years, or a bool: is adult")
        return
    yield from unknown_names(item, ("age_feature",), "feature", (name,), draft.known_ids["features"])
    feature = next((f.spec for f in draft.features if f.spec.name == name), None)
    if feature and feature.dtype not in ("int", "float", "bool"):
        message = f"an age is a number of years, or a bool that says adult; `{name}` is `{feature.dtype}`"
        yield item.problem(("age_feature",), message, f"make `{name}` an int")


def _soft_opt_ins(draft: Draft) -> Iterator[Mistake]:
    covered: set[tuple[str, str]] = set()
    for item in draft.bases:
        basis = item.spec
        if basis.soft_opt_in is None:
            continue
        yield from unknown_names(item, ("soft_opt_in", "groups"), "group", basis.soft_opt_in.groups, draft.groups)
        if basis.purpose in _NO_SOFT_OPT_IN:
            message = f"a soft opt-in is about messages, never about {basis.purpose}"
            yield item.problem(("purpose",), message, "write `purpose: marketing`")
        yield from _overlapping(item, basis, covered)


def _overlapping(item: Item[Basis], basis: Basis, covered: set[tuple[str, str]]) -> Iterator[Mistake]:
    """Two soft opt-ins for the same purpose and channel would leave open which one is cited."""
    for i, channel in enumerate(basis.channels):
        if (basis.purpose, channel) in covered:
            message = f"another soft opt-in covers {basis.purpose} on `{channel}`"
            yield item.problem(("channels", i), message, "put all groups into one of them")
        covered.add((basis.purpose, channel))


def _channels(draft: Draft) -> Iterator[Mistake]:
    sales_channels = {
        t.channel for a in draft.actions if MARKETING in a.spec.required_purposes for t in a.spec.treatments
    }
    for item in draft.channels:
        channel = item.spec
        if channel.machine and channel.human:
            yield item.problem(("machine",), "a machine speaks there, and a person too", "remove `machine` or `human`")
        if channel.direction == "outbound" and channel.id in sales_channels:
            yield from _outbound_sales(item, channel, draft)


def _outbound_sales(item: Item[Channel], channel: Channel, draft: Draft) -> Iterator[Mistake]:
    """Outbound selling needs a country, and the medium that the country's rules are about."""
    if draft.settings.spec.country_rules is None and "country_rules" not in draft.refused_ids["settings"]:
        message = "it sells on an outbound channel, and no country's rules are chosen"
        yield item.problem(("direction",), message, "add `country_rules: nl` to `settings`; `eu` holds all over the EU")
    if channel.medium is None:
        message = "it sells on an outbound channel, and states no medium"
        yield item.problem(("direction",), message, "add `medium: email`, phone, sms, push or post")


def _emotion_purpose(draft: Draft) -> Iterator[Mistake]:
    """The use of emotion needs a purpose of its own: no other purpose implies it. Requests are read under `service`."""
    requests = {f.spec.name for f in draft.features if "request" in f.spec.tags}
    names = {f.spec.name for f in draft.features}
    read = [(item, names.intersection(findall(r"\w+", item.spec.when))) for item in draft.emotion]
    if EMOTION not in draft.known_ids["purposes"]:
        uses_emotion = next((item for item, of_rule in read if not of_rule or of_rule - requests), None)
        if uses_emotion is not None:
            message = "it uses emotion, and no purpose `emotion` is declared"
            suggestion = 'add `{id: emotion, notice_version: "1"}` to `purposes`; a basis or consent permits it'
            yield uses_emotion.problem(("when",), message, suggestion)
    if SERVICE not in draft.known_ids["purposes"]:
        of_emotion = ((item, of_rule, "when") for item, of_rule in read)
        policies = ((item, item.spec) for item in draft.policies)
        of_policies = ((item, {*findall(r"\w+", p.rule)}, "permit" if p.permit else "deny") for item, p in policies)
        asking = chain[tuple[Item[Any], set[str], str]](of_emotion, of_policies)
        asked = next(((item, key) for item, of_rule, key in asking if of_rule & requests), None)
        if asked is not None:
            message = "it reads a request, and no purpose `service` is declared"
            yield asked[0].problem((asked[1],), message, 'add `{id: service, notice_version: "1"}` to `purposes`')


def _collecting(draft: Draft) -> Iterator[Mistake]:
    """What was collected for a purpose is read where that is permitted: neither to permit it, nor to hear a request."""
    collected: tuple[Item[SignalType] | Item[Feature], ...] = (*draft.signals, *draft.features)
    for stated in collected:
        if stated.spec.purpose is not None:
            known = draft.known_ids["purposes"]
            yield from unknown_names(stated, ("purpose",), "purpose", (stated.spec.purpose,), known)
    types = {item.spec.id: item.spec for item in draft.signals}
    purposes = {item.spec.name: collected_for(item.spec, types) for item in draft.features}
    for item in draft.features:
        if "request" in item.spec.tags and purposes[item.spec.name]:
            message = f"it holds a request, and is collected for {_listed(purposes[item.spec.name])}"
            yield item.problem(("tags",), message, "collect it for no purpose: a request holds whatever is permitted")
    yield from _what_permits(draft, purposes)
    for protection in draft.protections:
        yield from _one_purpose(protection, purposes)


def _what_permits(draft: Draft, purposes: Mapping[str, frozenset[str]]) -> Iterator[Mistake]:
    """Yield what permits purposes and is itself read for one."""
    suggestion = "read a feature that states no purpose"
    for key in ("age_feature", "time_zone_feature"):
        if collected := purposes.get(getattr(draft.settings.spec, key) or ""):
            message = f"it says what may be done with a customer, and is collected for {_listed(collected)}"
            yield draft.settings.problem((key,), message, suggestion)
    for item in draft.bases:
        for key in ("customer", "opt_out_offered") if item.spec.soft_opt_in else ():
            for name in sorted(_named(getattr(item.spec.soft_opt_in, key), purposes)):
                message = f"it permits a purpose, and `{name}` is collected for {_listed(purposes[name])}"
                yield item.problem(("soft_opt_in", key), message, suggestion)


def _one_purpose(item: Item[Protection], purposes: Mapping[str, frozenset[str]]) -> Iterator[Mistake]:
    """Yield a protection that would replace what may be read by what may not, where a joined customer needs it."""
    words = {name for name in findall(r"\w+", item.spec.when) if name in purposes}
    if len({purposes[name] for name in words}) > 1:
        message = "it reads features that were collected for different purposes"
        yield item.problem(("when",), message, "make one protection of each: each of them protects")


def _named(text: str, purposes: Mapping[str, frozenset[str]]) -> set[str]:
    return {name for name in findall(r"\w+", text) if purposes.get(name)}


def _listed(purposes: frozenset[str]) -> str:
    return ", ".join(f"`{purpose}`" for purpose in sorted(purposes))


def _purpose_missing(item: Item[Action]) -> Iterator[Mistake]:
    if not item.spec.required_purposes:
        message = "it has no purpose, so no record can permit it"
        yield item.problem(("id",), message, "add `purposes: [service]`, and a basis for it")


def _significant(item: Item[Action], draft: Draft) -> Iterator[Mistake]:
    action = item.spec
    if action.basis:
        yield from unknown_names(item, ("basis",), "basis", (action.basis,), draft.known_ids["bases"])
        basis = next((b.spec for b in draft.bases if b.spec.id == action.basis), None)
        if basis and basis.basis not in _BASES_FOR_AUTOMATION:
            message = f"`{basis.basis}` is no ground for deciding without a person (Art. 22(2) GDPR)"
            yield item.problem(("basis",), message, "name a basis of `contract` or `legal-obligation`")
    missing = [key for key in ("basis", "review", "contest") if getattr(action, key) is None]
    if action.significant and action.automation != "human_only" and missing:
        message = f"it is significant, and does not say `{missing[0]}`"
        suggestion = f"write `automation: human_only`, or add {' and '.join(f'`{key}: …`' for key in missing)}"
        yield item.problem(("significant",), message, suggestion)


def _wording(
    item: Item[Action], path: Path, treatment: Treatment, draft: Draft, features: dict[str, Feature]
) -> Iterator[Mistake]:
    for kind, name in treatment.claims:
        if name is not None:
            yield from _proof_of_claim(item, (*path, "claims", kind), kind, name, draft, features)
    for tone, content in (("content", treatment.content), *(("tone/" + t, c) for t, c in treatment.tone.items())):
        for locale, fields in content.items():
            for field, text in fields.items():
                yield from _text(item, (*path, *tone.split("/"), locale, field), text, treatment)


def _proof_of_claim(
    item: Item[Action], path: Path, kind: str, name: str, draft: Draft, features: dict[str, Feature]
) -> Iterator[Mistake]:
    yield from unknown_names(item, path, "feature", (name,), draft.known_ids["features"])
    feature = features.get(name)
    if feature and feature.dtype not in _PROOF_DTYPES[kind]:
        dtypes = " or ".join(f"`{dtype}`" for dtype in _PROOF_DTYPES[kind])
        message = f"a {kind} is proven by a feature of type {dtypes}, `{name}` is `{feature.dtype}`"
        yield item.problem(path, message, "name another feature")


def _text(item: Item[Action], path: Path, text: str, treatment: Treatment) -> Iterator[Mistake]:
    if words := pretended_feeling(text):
        message = f"it claims to feel what the customer feels: `{words}`"
        yield item.problem(path, message, "say what is done about it, or ask; listen, do not pretend")
    placeholders = {match.group(1) for match in PLACEHOLDER.finditer(text)}
    for kind, words in claims(text):
        fact = getattr(treatment.claims, kind)
        if fact is None:
            example = "stock_left" if kind == "scarcity" else "offer_ends_at"
            message = f"it presses with a {kind} that no fact proves: `{words}`"
            yield item.problem(
                path, message, f"add `claims: {{{kind}: {example}}}` with the fact, or leave the words out"
            )
        elif fact not in placeholders:
            message = f"it presses with a {kind} and does not state it: `{words}`"
            yield item.problem(path, message, f"write {{{fact}}} into the text")
