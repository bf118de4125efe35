"""Checks of intents, of their examples, of what names intents, and of the skills that they name."""

import re
from collections.abc import Iterator

from decisioning.catalogue.actions import Action
from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.intents import (
    CEILINGS,
    FEWEST_EXAMPLES,
    MOST_EXAMPLES,
    SPOKEN,
    Intent,
    is_above,
)
from decisioning.catalogue.people.routing import HELPING, Routing, Skill
from decisioning.catalogue.source import Path
from decisioning.errors import Mistake
from decisioning.facts.schema import Feature
from decisioning.facts.signals import MESSAGE_TYPES, UNKNOWN_INTENT, SignalType

_WORD = re.compile(r"\w+")
_READS = "signal: {of: message, compute: last, field: intent}"


def intent_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in intents, in how actions name them, and in the fields of signals that hold them."""
    for item in draft.intents:
        yield from _intent(item, draft)
    yield from _examples(draft)
    for action in draft.actions:
        if action.spec.intent:
            yield from _answered(action, draft)
    if draft.known_ids["intents"]:
        for feature in draft.features:
            yield from _never_ends(feature)
        for signal in draft.signals:
            yield from _field_values(signal, draft)


def _intent(item: Item[Intent], draft: Draft) -> Iterator[Mistake]:
    intent = item.spec
    if intent.id == UNKNOWN_INTENT:
        message = f"`{UNKNOWN_INTENT}` is what a message is called that has none of the intents"
        yield item.problem(("id",), message, "choose another name")
    if intent.automation and is_above(intent.automation, CEILINGS[intent.risk]):
        message = f"`{intent.automation}` is more than the risk `{intent.risk}` allows: `{CEILINGS[intent.risk]}`"
        yield item.problem(("automation",), message, "remove `automation`, or lower it; nothing raises it")
    if "locales" not in draft.refused_ids["settings"]:
        yield from _languages(item, draft.settings.spec.locales)


def _languages(item: Item[Intent], locales: tuple[str, ...]) -> Iterator[Mistake]:
    """Yield locales without a title, and languages with too few examples."""
    for locale in locales:
        if locale not in item.spec.title:
            yield item.problem(("title",), f"the title is missing in `{locale}`", f'add `{locale}: "…"`')
    languages = {locale.partition("-")[0] for locale in locales}
    for language in SPOKEN:
        count = len(item.spec.examples.get(language, ()))
        if count < FEWEST_EXAMPLES and (language in languages or count):
            message = f"it has {count} of at least {FEWEST_EXAMPLES} examples in `{language}`"
            yield item.problem(("examples", language), message, "write how customers say it, each in other words")


def _examples(draft: Draft) -> Iterator[Mistake]:
    """Yield examples without a word, examples that came before, and the first one too many."""
    first: dict[str, str] = {}
    count = 0
    for item in draft.intents:
        for language, examples in sorted(item.spec.examples.items()):
            for i, text in enumerate(examples):
                count, path, words = count + 1, ("examples", language, i), " ".join(_WORD.findall(text.lower()))
                if not words:
                    yield item.problem(path, "this example has no word", "remove it, or write a sentence")
                elif first.setdefault(words, item.spec.id) != item.spec.id:
                    message = f"this is an example of intent `{first[words]}`, too"
                    yield item.problem(path, message, "keep it in one of the two, or write more of what is wanted")
                if count == MOST_EXAMPLES + 1:
                    message = f"all intents together have more than {MOST_EXAMPLES} examples"
                    yield item.problem(path, message, "keep those that differ most from each other")
        yield from _repeated(item)


def _repeated(item: Item[Intent]) -> Iterator[Mistake]:
    for language, examples in sorted(item.spec.examples.items()):
        words = [" ".join(_WORD.findall(text.lower())) for text in examples]
        for i, said in enumerate(words):
            if said and said in words[:i]:
                yield item.problem(("examples", language, i), "this example is there twice", "remove one of them")


def _answered(item: Item[Action], draft: Draft) -> Iterator[Mistake]:
    """Yield intents of an action that do not exist, are repeated, or allow less than the action's automation."""
    action, path = item.spec, ("intent",)
    yield from unknown_names(item, path, "intent", action.intent, draft.known_ids["intents"])
    yield from repeated_names(item, path, action.intent)
    intents = {intent.spec.id: intent.spec for intent in draft.intents}
    for intent in (intents[name] for name in action.intent if name in intents):
        if is_above(action.effective_automation, intent.ceiling):
            message = f"it answers `{intent.id}`, which allows `{intent.ceiling}` at most, and is more: "
            suggestion = f"write `automation: {intent.ceiling}` and keep it to channels with `human: true`"
            yield _automation(item, path, message + f"`{action.effective_automation}`", suggestion)
    if not action.commercial and not any(_holds_the_last_intent(f.spec) for f in draft.features):
        message = "nothing says which intent a conversation is about, so the limits of others cannot hold it back"
        yield item.problem(path, message, f"add a feature with `{_READS}`, tagged `request`")


def _automation(item: Item[Action], path: Path, message: str, suggestion: str) -> Mistake:
    return item.problem(("automation",) if "automation" in item.node.items else path, message, suggestion)


def _never_ends(item: Item[Feature]) -> Iterator[Mistake]:
    """Yield a feature of the last intent that never ages, which would be that of a conversation for ever."""
    if _holds_the_last_intent(item.spec) and item.spec.max_age_s is None:
        message = "it is the intent of a conversation, and never ages"
        yield item.problem(("name",), message, "add `max_age_s: 86400`: a day after the last message it is unknown")


def _holds_the_last_intent(feature: Feature) -> bool:
    return feature.signal is not None and feature.signal.holds_the_intent


def _field_values(item: Item[SignalType], draft: Draft) -> Iterator[Mistake]:
    """Yield a field of a message for its intent that cannot hold every intent."""
    for i, field in enumerate(item.spec.fields if item.spec.id in MESSAGE_TYPES else ()):
        if field.name != "intent":
            continue
        if field.dtype not in ("string", "enum"):
            message = f"an intent is a text, and `intent` is `{field.dtype}`"
            yield item.problem(("fields", i, "dtype"), message, "write `dtype: string`")
        for name in sorted({*draft.known_ids["intents"], UNKNOWN_INTENT} - {*field.values} if field.values else ()):
            message = f"`{name}` is an intent, and no value of `intent`"
            yield item.problem(("fields", i, "values"), message, f"add `{name}`, or write `dtype: string`")


def routing_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in the section `routing`, and in how intents name its skills."""
    item = draft.routing
    if item is None:
        return
    seen: set[str] = set()
    for n, skill in enumerate(item.spec.skills):
        if skill.id in seen:
            yield item.problem(("skills", n, "id"), f"skill `{skill.id}` is declared twice", "remove one of them")
        seen.add(skill.id)
        yield from _rings(item, n, skill)
        yield from _promise(item, n, skill)
    if seen:
        for intent in draft.intents:
            yield from unknown_names(intent, ("skill",), "skill", (intent.spec.needs_skill,), seen)
            yield from _issue(intent, item.spec)


def _rings(item: Item[Routing], n: int, skill: Skill) -> Iterator[Mistake]:
    """Yield rings that do not begin at 0, or do not ask for less later."""
    for i, ring in enumerate(skill.rings):
        path = ("skills", n, "rings", i)
        before = skill.rings[i - 1] if i else None
        if before is None:
            if ring.after_s:
                yield item.problem(path, "the first ring begins when the customer does", "write `after_s: 0`")
        elif ring.after_s <= before.after_s:
            yield item.problem(
                path,
                f"this ring begins no later than the one before, at {before.after_s:g} s",
                "list rings in the order of `after_s`",
            )
        elif ring.min_proficiency >= before.min_proficiency:
            message = f"this ring asks for no less than the one before, {before.min_proficiency:g}"
            yield item.problem(path, message, "lower `min_proficiency`, or remove the ring")


def _promise(item: Item[Routing], n: int, skill: Skill) -> Iterator[Mistake]:
    if skill.promise_s is not None and skill.rings and skill.rings[-1].after_s > skill.promise_s:
        message = f"somebody is promised within {skill.promise_s:g} s, and the last ring begins after that"
        yield item.problem(("skills", n, "promise_s"), message, "let the last ring begin before the promised time")


def _issue(intent: Item[Intent], routing: Routing) -> Iterator[Mistake]:
    """Yield a sale that names a skill of help: it would go before other sales."""
    skill, issue = routing.skill(intent.spec.needs_skill), intent.spec.issue
    if skill is not None and skill.helps and issue not in HELPING:
        message = f"`{skill.id}` is a skill of issue `{skill.issue}`, and the intent is of `{issue}`"
        yield intent.problem(("skill",), message, "name a skill of a commercial issue; help goes before sales")
