"""Mistakes in the shape of a record, in plain words, with what to write instead."""

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from decisioning.catalogue.source import YamlNode, shorten
from decisioning.errors import Mistake

_EXAMPLES = {
    "action": "action: tv-bundle",
    "after": "after: declined",
    "attach": "attach: {issue: grow}",
    "automation": "automation: automatic",
    "basis": "basis: contract",
    "budget": "budget: 0.05",
    "channel": "channel: web",
    "channels": "channels: [web, agent]",
    "compute": "compute: count",
    "consents": "consents: [{purpose: marketing}]",
    "content": 'content: {en: {title: "More television"}}',
    "context_weights": "context_weights: [{when: 'page == \"paid-tv\"', factor: 1.5}]",
    "cost": "cost: 2.0",
    "count": "count: action",
    "counts_on": "counts_on: decided",
    "days": "days: 90",
    "direction": "direction: inbound",
    "dtype": "dtype: float",
    "eur_per_point": "eur_per_point: 0.01",
    "ends_at": "ends_at: 2027-01-01",
    "expect": "expect: {action: tv-bundle}",
    "expression": 'expression: "monthly_fee_eur * 6"',
    "facts": "facts: {age: 40}",
    "field": "field: page",
    "fields": "fields: [{name: page, dtype: string}]",
    "factor": "factor: 1.5",
    "from": "from: 2026-12-01",
    "frozen": 'frozen: "kept until the audit of June"',
    "gamma": "gamma: 200",
    "gap_min": "gap_min: 30",
    "group": "group: tv",
    "half_life_s": "half_life_s: 3600",
    "id": "id: tv-bundle",
    "immature": "immature: {budget: 0.05, mature_at: 1000}",
    "issue": "issue: grow",
    "issues": "issues: {retain: {gamma: 400}}",
    "kind": "kind: hardship",
    "launch": "launch: {days: 30, give_up: 0.35}",
    "level": "level: eligibility",
    "lever": "lever: [{factor: 1.2, from: 2026-12-01, until: 2027-01-01}]",
    "limit": "limit: 1",
    "locales": "locales: [nl, en]",
    "max": "max: 100",
    "max_age_s": "max_age_s: 3600",
    "max_keys": "max_keys: 100",
    "min": "min: 0",
    "name": "name: monthly_fee_eur",
    "negative": "negative: [declined]",
    "notice_version": 'notice_version: "2026-01"',
    "of": "of: page-view",
    "outcomes": "outcomes: {positive: [accepted], negative: [declined], window_days: 30}",
    "per": "per: day",
    "placements": "placements: [hero]",
    "positive": "positive: [accepted]",
    "price_eur": "price_eur: 15",
    "prior": "prior: 0.03",
    "purpose": "purpose: service",
    "purposes": "purposes: [service]",
    "quiet_hours.from": 'from: "21:00"',
    "quiet_hours": 'quiet_hours: {from: "21:00", to: "08:00"}',
    "reservation_s": "reservation_s: 3600",
    "retention_days": "retention_days: 30",
    "share": "share: 0.02",
    "signal": "signal: {of: page-view, compute: count, window: 5min}",
    "stages": "stages: [{id: kept-90-days, weight: 0.5, within_days: 120}]",
    "starts_at": "starts_at: 2026-01-01",
    "suppress": "suppress: [{after: declined, days: 90}]",
    "tags": "tags: [emotion]",
    "text": 'text: "Art. 6(1)(b) GDPR: performance of the contract"',
    "tier": "tier: commercial",
    "to": 'to: "08:00"',
    "tone": "tone: calm",
    "treatments": "treatments: [{id: web, channel: web, placements: [hero], content_ref: cms/1}]",
    "typical": "typical: 120",
    "until": "until: 2027-01-01",
    "value": "value: 120",
    "values": "values: [monthly, yearly]",
    "when": 'when: "age < 18"',
    "where": "where: {page: paid-tv}",
    "weight": "weight: 0.5",
    "window": "window: 5min",
    "window_days": "window_days: 7",
    "within_days": "within_days: 30",
}
_TYPE_PHRASES = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUND_PHRASES = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
_LIMIT_PHRASES = {
    "finite_number": "must be finite",
    "too_short": "must have at least {min_length} item",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
}
_PATTERN_PHRASES = {  # kind of pattern -> its description, and what replaces the characters that do not fit
    "-": ("an id: lower-case letters, digits, `-` and `_`, beginning with a letter", "-"),
    "_": ("a name: lower-case letters, digits and `_`, beginning with a letter", "_"),
    "locale": ("a locale", ""),
}
_MANY_NAMES = 2000


def shape_problems(label: str, model: type[BaseModel], error: ValidationError, node: YamlNode) -> Iterator[Mistake]:
    """Yield a problem for each mistake that pydantic found in the record at `node`; `label` names the record."""
    for detail in error.errors(include_url=False):
        at = node.at(detail["loc"])
        if detail["type"] == "too_short" and at.value:
            continue  # it has items, but all of them are wrong, which is reported for each
        message, suggestion = _describe(model, detail, node)
        yield at.problem(f"{label}: {message}", suggestion)


def _describe(model: type[BaseModel], error: ErrorDetails, node: YamlNode) -> tuple[str, str | None]:
    """Return the message for one error, and what to write instead."""
    loc = error["loc"]
    if error["type"] == "missing":
        return f"`{loc[-1]}` is missing", f"add `{_example(loc) or f'{loc[-1]}: …'}`"
    if error["type"] == "extra_forbidden":
        return f"unknown key `{shorten(str(loc[-1]))}`", hint(str(loc[-1]), keys_at(model, loc[:-1]))
    path = loc[:-2] if loc[-1:] == ("[key]",) else loc  # a wrong key is reported for its mapping
    known = node.known_part(path)
    name = next((step for step in reversed(known) if isinstance(step, str)), "")
    subject, example = f"`{shorten(name)}` " if name else "", _example(known)
    if error["type"] in _TYPE_PHRASES:
        message = f"{subject}must be {_TYPE_PHRASES[error['type']]}, not {_quoted(error['input'])}"
        if keys := "" if example else ", ".join(f"`{key}`" for key in keys_at(model, loc)):
            return message, f"write `key: value`, with keys among {keys}"
        return message, _type_suggestion(error["type"], error["input"], example)
    return _describe_value(subject, error, error.get("ctx", {}), example)


def _example(loc: Sequence[str | int]) -> str | None:
    """Return what to write for the last key of a path; the same key may mean a time of day or a date."""
    keys = [step for step in loc if isinstance(step, str)]
    return _EXAMPLES.get(".".join(keys[-2:])) or _EXAMPLES.get(keys[-1]) if keys else None


def _describe_value(
    subject: str, error: ErrorDetails, context: dict[str, Any], example: str | None
) -> tuple[str, str | None]:
    """Return the message for an impossible value of the right type, and what to write instead."""
    kind, value = error["type"], error["input"]
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"])) or [str(context["expected"]).lower()]
        return f"{subject}cannot be {_quoted(value)}", hint(str(value), allowed)
    if kind == "string_pattern_mismatch":
        return _describe_pattern(str(value), str(context["pattern"]))
    if kind == "value_error":  # raised by our own models with a message and perhaps a suggestion
        message, *suggestions = context["error"].args
        return f"{subject and subject.strip() + ': '}{message}", next(iter(suggestions), _for_example(example))
    if kind in _BOUND_PHRASES:
        bound = next(iter(context.values()))
        return f"{subject}must be {_BOUND_PHRASES[kind]} {bound:g}, not {_quoted(value)}", _for_example(example)
    return f"{subject}{_LIMIT_PHRASES.get(kind, error['msg']).format(**context)}", _for_example(example)


def _describe_pattern(text: str, pattern: str) -> tuple[str, str | None]:
    shape = "locale" if "A-Z" in pattern else "-" if "-" in pattern.replace("a-z", "").replace("0-9", "") else "_"
    description, joint = _PATTERN_PHRASES[shape]
    if shape == "locale":
        return (
            f"{_quoted(text)} is not {description}",
            "write a language, such as `nl`, or with its country, such as `nl-NL`",
        )
    candidate = re.sub(r"[^a-z0-9]+", joint, text.lower()).strip("-_0123456789")[:64].strip("-_")
    return f"{_quoted(text)} is not {description}", f"write `{candidate}`" if candidate else None


def _type_suggestion(kind: str, value: object, example: str | None) -> str | None:
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("yes", "on", "true", "y"):
        return "write `true`, in lower case and without quotes"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("no", "off", "false", "n"):
        return "write `false`, in lower case and without quotes"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'put it in quotes: "{_quoted(value).strip("`")}"'
    if kind == "tuple_type" and isinstance(value, str) and "[{" not in (example or ""):
        return f"write `[{shorten(value)}]`"
    if kind in ("float_type", "int_type") and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return f"write {value} without quotes"
    return _for_example(example)


def _for_example(example: str | None) -> str | None:
    return f"for example `{example}`" if example else None


def _quoted(value: object) -> str:
    """Return a value as it looks in YAML, shortened; collections by their kind."""
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "nothing"
    return f"`{shorten(str(value).lower() if isinstance(value, bool) else str(value))}`"


def hint(word: str, known: Collection[str]) -> str | None:
    """Return a phrase with the closest of `known`, else with all of them if they are few, else None."""
    if close := _closest(word, frozenset(known)):
        return f"did you mean `{shorten(close)}`?"
    return f"known are {', '.join(f'`{shorten(k)}`' for k in sorted(known))}" if 0 < len(known) <= 15 else None


@lru_cache(maxsize=128)
def _closest(word: str, known: frozenset[str]) -> str | None:
    """Return the closest of `known`, or None; of very many names, only those with the same beginning are compared."""
    candidates = (
        sorted(known) if len(known) <= _MANY_NAMES else sorted(k for k in known if k[:2] == word[:2])[:_MANY_NAMES]
    )
    return next(iter(difflib.get_close_matches(word[:100], candidates, n=1)), None)


def keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys that may stand at a path within a record, as they are written."""
    nested = _model_at(model, path)
    return tuple(field.alias or name for name, field in nested.model_fields.items()) if nested else ()


def _model_at(annotation: Any, path: tuple[str | int, ...]) -> type[BaseModel] | None:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType, Annotated):
        return next(filter(None, (_model_at(argument, path) for argument in arguments)), None)
    if origin in (tuple, dict):
        return _model_at(arguments[origin is dict], path[1:]) if path else None
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    if not path:
        return annotation
    fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
    return _model_at(fields.get(str(path[0])), path[1:])
