"""Checks of how features are told as reasons: in every locale, short, in one form of address, and fit to be said."""

import re
from collections.abc import Iterator
from typing import Final

from decisioning.catalogue.check.shape import Draft, Item
from decisioning.catalogue.source import Path, shorten
from decisioning.catalogue.wording import no_reason
from decisioning.errors import Mistake
from decisioning.facts.because import Band, Because, clause_in
from decisioning.facts.schema import NEVER_LEARNED, Feature
from decisioning.rules import RuleError, compile_rule

MAX_WORDS: Final = 13
"""The longest clause: with "because" before it and its strength behind it, a reason has at most 15 words."""
_NOT_OFFERED: Final = frozenset(NEVER_LEARNED) | {"protected"}
_SLOTS: Final = re.compile(r"\{value\}|\{[^{}|]+\|[^{}|]+\}")
_ONE_FORM: Final = frozenset({"EUR", "GB", "MB", "km", "Mbit/s", "%"})
"""Units whose words have one form for any number."""
_OTHER_ADDRESS: Final = {
    "je": re.compile(r"\b(?:u|uw|uzelf)\b", re.IGNORECASE),
    "u": re.compile(r"\b(?:je|jij|jou|jouw|jezelf)\b", re.IGNORECASE),
}
_CONJUNCTIONS: Final = re.compile(r"(?:because|since|as|omdat|doordat|want)\b", re.IGNORECASE)


def reason_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every clause that would not read as a good agent says it, and every use that offers may not make."""
    protecting = _read_by_protections(draft)
    for item in draft.features:
        if (because := item.spec.because) is not None:
            yield from _use(item, because, protecting)
            yield from _bands(item, because)
            for path, clause in because.clauses:
                for locale in draft.settings.spec.locales:
                    yield from _clause(item, ("because", *path), clause_in(clause, locale), locale, draft)
                if isinstance(clause, str) and len(_languages(draft)) > 1:
                    message = f"it is one text, and there are {', '.join(sorted(_languages(draft)))}"
                    yield item.problem(("because", *path), message, "write `text: {nl: …, en: …}`")


def _languages(draft: Draft) -> set[str]:
    return {locale.partition("-")[0] for locale in draft.settings.spec.locales}


def _read_by_protections(draft: Draft) -> frozenset[str]:
    """Return the features that protections read; rules that cannot be parsed are reported elsewhere."""
    schema, read = {item.spec.name: item.spec for item in draft.features}, set[str]()
    for item in draft.protections:
        try:
            read |= compile_rule(item.spec.when, schema).reads
        except RuleError:
            continue
    return frozenset(read)


def _use(item: Item[Feature], because: Because, protecting: frozenset[str]) -> Iterator[Mistake]:
    if because.use in ("shown", "said") and (why := why_on_request(item.spec, because, protecting)):
        message = f"{why}, which is no reason of an offer"
        yield item.problem(("because", "use"), message, "write `use: on_request`, or leave the value without a text")


def why_on_request(feature: Feature, because: Because, protecting: frozenset[str]) -> str | None:
    """Return why a feature is no reason of an offer; None if it may be one."""
    if tag := next((tag for tag in feature.tags if tag in _NOT_OFFERED), None):
        return f"it is tagged `{tag}`"
    if feature.proxy_for:
        return f"it is a proxy for `{feature.proxy_for[0]}`"
    if feature.source == "model":
        return "it is a score of a model"
    if feature.name in protecting:
        return "a protection reads it"
    texts = (feature.name.replace("_", " "), *_texts(feature.description), *_clauses(because))
    words = next((match for text in texts if (match := no_reason(text))), None)
    return f"it speaks of `{words}`" if words else None


def _clauses(because: Because) -> Iterator[str]:
    for band in because.bands:
        if isinstance(band.is_, str):
            yield band.is_.replace("_", " ")
    for _, clause in because.clauses:
        yield from _texts(clause)


def _texts(description: str | dict[str, str]) -> tuple[str, ...]:
    return (description,) if isinstance(description, str) else tuple(description.values())


def _bands(item: Item[Feature], because: Because) -> Iterator[Mistake]:
    feature = item.spec
    if because.use == "never":
        if because.clauses:
            yield item.problem(
                ("because",), "it has a text, and nobody may be told", "remove the text, or `use: never`"
            )
    elif not because.clauses:
        yield item.problem(("because",), "it has no text", 'write for example `because: {text: "you have mobile"}`')
    if feature.dtype not in ("int", "float", "bool", "enum"):
        yield item.problem(("because",), f"a `{feature.dtype}` is not told as a reason", "remove it")
    if feature.dtype == "enum" and because.text:
        yield item.problem(("because", "text"), "each value of an enum is told in its own words", "write `bands`")
    for n, band in enumerate(because.bands):
        yield from _band(item, ("because", "bands", n), band)


def _band(item: Item[Feature], path: Path, band: Band) -> Iterator[Mistake]:
    feature = item.spec
    if band.is_ is False or (band.is_ is not None and not isinstance(band.is_, str) and band.is_ == 0):
        yield item.problem((*path, "is"), "a reason says what a customer has or did, never what not", "remove the band")
    elif feature.dtype == "enum" and band.is_ not in feature.values:
        value = shorten(str(band.is_))
        yield item.problem(
            (*path, "is"), f"`{value}` is no value of the feature", f"it has {', '.join(feature.values)}"
        )
    elif feature.dtype in ("int", "float") and isinstance(band.is_, bool | str):
        yield item.problem((*path, "is"), "the feature is a number", "write for example `is: 1`")


def _clause(item: Item[Feature], path: Path, text: str, locale: str, draft: Draft) -> Iterator[Mistake]:
    address = draft.settings.spec.address
    if not text:
        yield item.problem(path, f"it has no text in `{locale}`", f"add `{locale}: …`")
        return
    plain = _SLOTS.sub("x", text)
    if len(plain.split()) > MAX_WORDS:
        yield item.problem(path, f"`{shorten(text)}` has more than {MAX_WORDS} words", "say it in fewer")
    if _CONJUNCTIONS.match(text) or re.search(r"[.!?;:]", plain):
        message = f"`{shorten(text)}` is not what follows `because`"
        yield item.problem(path, message, "write it without `because` and without a full stop")
    if re.search(r"[{}_=<>]", plain):
        yield item.problem(path, f"`{shorten(text)}` holds a code", "write words, `{value}` or `{line|lines}`")
    if locale.startswith("nl") and (other := _OTHER_ADDRESS[address].search(plain)):
        message = f"`{shorten(text)}` says `{other.group()}`, and the settings `{address}`"
        yield item.problem(path, message, "write one form of address everywhere, or change `address` in `settings`")
    yield from _value(item, path, text)


def _value(item: Item[Feature], path: Path, text: str) -> Iterator[Mistake]:
    feature = item.spec
    is_number = feature.dtype in ("int", "float")
    if "{value}" in text and not is_number:
        yield item.problem(path, f"a `{feature.dtype}` is told in words", "remove `{value}`")
    elif "|" in text and not is_number:
        yield item.problem(path, "only numbers have two forms of a word", "choose one of them")
    elif "{value}" in text and "|" not in text and feature.unit not in _ONE_FORM:
        message = f"`{shorten(text)}` reads the same for one and for more"
        yield item.problem(path, message, "write for example `{value} mobile {line|lines}`")
