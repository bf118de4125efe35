"""A catalogue that fits an import: features with the ranges of the data, and a first version of everything else."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.actions import microseconds
from decisioning.errors import Refused
from decisioning.schema import Dtype, FeatureSchema
from features.importing.mapping import NONE, ActionSpec, AssertedFeature, Assertion, FeatureColumn
from features.importing.plan import Plan
from features.importing.yaml_text import section

Record = dict[str, Any]
MAX_VALUES = 200
_PRIOR_DIGITS = 4
_COPIED = ("purposes", "bases", "channels", "policies", "protections", "caps")


def catalogue_files(
    plan: Plan, before: Mapping[str, str] | None = None, schema: FeatureSchema | None = None
) -> dict[str, str]:
    """The workspace's catalogue files (relative path -> text) after this import.

    `<mapping>/features.yaml` is written anew each time, with ranges and values widened to those of `schema`, which is
    what was declared until now. Everything else of the mapping is a start: written where it is not there yet, and a
    person's from then on. Files of other origin stay as they are.
    """
    mapping = plan.source.mapping
    files = dict(before or {})
    features = [*_features(plan, schema), *_scores(plan)]
    head = (
        f"# Made by an import with mapping `{mapping.id}`, and anew by the next: change the mapping, not this file.\n"
    )
    files[f"{mapping.id}/features.yaml"] = head + section("features", features)
    first = f"# A start, made by an import with mapping `{mapping.id}`. It is yours: no import touches it again.\n"
    for name, text in _starts(plan):
        files.setdefault(f"{mapping.id}/{name}", first + text)
    return files


def _starts(plan: Plan) -> Iterator[tuple[str, str]]:
    """File name -> text of what is written once."""
    raw = plan.source.node.value
    protections = [*raw.get("protections", ()), *_protections(plan)]
    copied = {name: [*raw.get(name, ())] for name in _COPIED} | {"protections": protections}
    texts = [section(name, copied[name]) for name in ("purposes", "bases", "channels") if copied[name]]
    if raw.get("settings"):
        texts.insert(0, "settings:\n" + section("", [raw["settings"]]).split("\n", 1)[1].replace("  - ", "    ", 1))
    if texts:
        yield "channels.yaml", "\n".join(texts)
    if plan.source.mapping.actions:
        yield (
            "actions.yaml",
            section(
                "actions", [_action(plan, a, raw["actions"][i]) for i, a in enumerate(plan.source.mapping.actions)]
            ),
        )
    texts = [section(name, copied[name]) for name in ("policies", "protections", "caps") if copied[name]]
    if texts:
        yield "policies.yaml", "\n".join(texts)


def _features(plan: Plan, schema: FeatureSchema | None) -> Iterator[Record]:
    seen: set[str] = set()
    for file in plan.source.mapping.files:
        for spec in file.features:
            if spec.name not in seen:
                seen.add(spec.name)
                yield _feature(spec, _cells(plan, spec.name), schema)
    for assertion in plan.source.mapping.assertions:
        for asserted in assertion.features:
            yield _asserted(assertion, asserted)


def _cells(plan: Plan, name: str) -> list[pa.Array]:
    """All cells of a feature, in whatever file."""
    profile = [t[name].combine_chunks() for t in plan.profiles if name in t.schema.names]
    return [*profile, *(c.after[name] for c in plan.contacts if name in c.after)]


def _feature(spec: FeatureColumn, cells: list[pa.Array], schema: FeatureSchema | None) -> Record:
    old = schema[spec.name] if schema and spec.name in schema else None
    record: Record = {"name": spec.name, "dtype": spec.dtype}
    if spec.unit:
        record["unit"] = spec.unit
    if spec.dtype == "enum":
        record["values"] = sorted({*_values(spec, cells), *(old.values if old else ())})
    if spec.dtype in ("int", "float"):
        low, high = _range(spec, cells)
        if old and old.min is not None and old.max is not None:
            low, high = min(low, old.min), max(high, old.max)
        record |= {"min": low, "max": high}
    if spec.max_age_s:
        record["max_age_s"] = spec.max_age_s
    if spec.tags:
        record["tags"] = list(spec.tags)
    if spec.after_outcome:
        record["after_outcome"] = True
    return record | _described(spec.description)


def _values(spec: FeatureColumn, cells: list[pa.Array]) -> set[str]:
    if spec.values or spec.map:
        return {*spec.values, *(spec.map.values() if not spec.values else ())}
    found = {v for part in cells for v in pc.unique(part).to_pylist() if v is not None}
    if not found:
        raise Refused(f"feature {spec.name} has no value in any row: state its `values`, or leave it out")
    if len(found) > MAX_VALUES:
        raise Refused(
            f"feature {spec.name} has {len(found)} values, an enum has {MAX_VALUES} at most: write `dtype: string`"
        )
    return found


def _range(spec: FeatureColumn, cells: list[pa.Array]) -> tuple[float, float]:
    """As stated; else round numbers about the data, from 0 where nothing is negative."""
    known = [v for part in cells for v in pc.min_max(part).as_py().values() if v is not None] or [0.0]
    low = spec.min if spec.min is not None else _round_up(-min(known)) * -1.0 if min(known) < 0 else 0.0
    high = spec.max if spec.max is not None else _round_up(max(known)) if max(known) > 0 else 0.0
    return low, max(high, low)


def _round_up(number: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … that is not below."""
    power = 10.0 ** math.floor(math.log10(number))
    return next(float(f"{step * power:g}") for step in (1, 2, 5, 10) if float(f"{step * power:g}") >= number)


def _described(text: str) -> Record:
    return {"description": text} if text else {}


def _asserted(assertion: Assertion, asserted: AssertedFeature) -> Record:
    dtype = _dtype(asserted)
    record: Record = {"name": asserted.name, "dtype": dtype}
    if dtype == "enum":
        record["values"] = sorted({*asserted.values, str(asserted.value)})
    if asserted.tags:
        record["tags"] = list(asserted.tags)
    return record | {
        "model_input": False,
        "asserted_by": assertion.author,
        "description": asserted.description or assertion.text,
    }


def _dtype(asserted: AssertedFeature) -> Dtype:
    """Of the value as written."""
    if isinstance(asserted.value, bool):
        return "bool"
    if isinstance(asserted.value, str):
        return "enum"
    return "int" if isinstance(asserted.value, int) else "float"


def _scores(plan: Plan) -> Iterator[Record]:
    for score in plan.source.mapping.scores:
        text = score.description or f"how likely {score.outcome} is, by the model"
        yield {"name": score.name, "dtype": "float", "source": "model", "min": 0, "max": 1, "description": text}


def _protections(plan: Plan) -> Iterator[Record]:
    for assertion in plan.source.mapping.assertions:
        for f in assertion.features:
            if f.protects:
                when = f.name if isinstance(f.value, bool) else f'{f.name} != "{f.value}"'
                yield {"id": f.name.replace("_", "-"), "kind": f.protects, "when": when}


def _action(plan: Plan, spec: ActionSpec, raw: Mapping[str, Any]) -> Record:
    mapping = plan.source.mapping
    record: Record = {"id": spec.id, "issue": spec.issue, "group": spec.group, "tier": spec.tier, "value": raw["value"]}
    record |= {key: raw[key] for key in ("cost", "price_eur") if key in raw}
    if (prior := observed_rate(plan, spec)) is not None:
        record["prior"] = prior
    positive, negative = (_outcomes(plan, spec, side) for side in ("positive", "negative"))
    if positive:
        record["outcomes"] = {"positive": positive, "negative": negative, "window_days": spec.window_days}
    if "suppress" in raw:
        record["suppress"] = raw["suppress"]
    content = {locale: {"title": spec.title} for locale in mapping.settings.locales}
    channels = [c for c in mapping.channels if c.id in _channels_of(plan, spec.id)] or list(mapping.channels)
    record["treatments"] = [
        {"id": c.id, "channel": c.id, "placements": list(c.placements), "content": content} for c in channels
    ]
    return record | _described(spec.description)


def _channels_of(plan: Plan, action: str) -> set[str]:
    """The channels on which the log took an action."""
    found: set[str] = set()
    for contacts in plan.contacts:
        found.update(pc.unique(contacts.channel.filter(pc.equal(contacts.action, action))).to_pylist())
    return found


def _outcomes(plan: Plan, spec: ActionSpec, side: str) -> list[str]:
    told = (o.name for actions, o in plan.source.mapping.outcomes if spec.id in actions and o.counts == side)
    return list(dict.fromkeys(told))


def observed_rate(plan: Plan, spec: ActionSpec) -> float | None:
    """Share of the log's contacts with a positive outcome in their own row; None where it took the action never."""
    positive, n, came = _outcomes(plan, spec, "positive"), 0, 0
    for contacts in plan.contacts:
        taken = pc.equal(contacts.action, spec.id).to_numpy(zero_copy_only=False)
        hit = np.zeros(len(taken), dtype=np.bool_)
        for outcome in contacts.outcomes:
            if outcome.name in positive:
                hit[outcome.row.to_numpy()] = True
        n, came = n + int(taken.sum()), came + int((taken & hit).sum())
    if not n or spec.id == NONE:
        return None
    smallest = 0.1**_PRIOR_DIGITS
    return round(min(max(came / n, smallest), 1.0 - smallest), _PRIOR_DIGITS)


def asserted_constants(plan: Plan) -> Iterator[tuple[int, dict[str, Any]]]:
    """Per assertion: since when (int microseconds) and the facts that hold for all customers."""
    for assertion in plan.source.mapping.assertions:
        if assertion.features:
            yield microseconds(assertion.since), {f.name: f.value for f in assertion.features}
