"""The catalogue's declarations of a mapping's features, with the ranges and values of the data."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from decisioning.errors import Refused
from decisioning.facts.schema import Dtype, Feature, FeatureSchema, Value
from decisioning.times import microseconds
from features.importing.mapping import AssertedFeature, Assertion, FeatureColumn
from features.importing.plan import ImportPlan

Record = dict[str, Any]
MAX_VALUES = 200
"""The largest number of values of an enum that is taken from the data."""


def feature_records(plan: ImportPlan, schema: FeatureSchema | None) -> Iterator[Record]:
    """Yield the records of columns, assertions and scores, ranges and values widened to those of `schema`."""
    mapping = plan.source.mapping
    specs: dict[str, FeatureColumn] = {}
    for spec in (spec for file in mapping.files for spec in file.features):
        specs.setdefault(spec.name, spec)
    for name, spec in specs.items():
        yield _feature(spec, _cells(plan, name), schema[name] if schema and name in schema else None)
    for assertion in mapping.assertions:
        for asserted in assertion.features:
            yield _asserted(assertion, asserted)
    for score in mapping.scores:
        text = score.description or f"how likely {score.outcome} is, by the model"
        yield {"name": score.name, "dtype": "float", "source": "model", "min": 0, "max": 1, "description": text}


def asserted_constants(plan: ImportPlan) -> Iterator[tuple[int, dict[str, Value]]]:
    """Yield per assertion since when its facts hold (int microseconds) and the facts, which are of all customers."""
    for assertion in plan.source.mapping.assertions:
        if assertion.features:
            yield microseconds(assertion.since), {f.name: f.value for f in assertion.features}


def _cells(plan: ImportPlan, name: str) -> list[pa.Array]:
    """Return the cells of a feature from all files."""
    profile = [t[name].combine_chunks() for t in plan.profiles if name in t.schema.names]
    return [*profile, *(c.after[name] for c in plan.contacts if name in c.after)]


def _feature(spec: FeatureColumn, cells: list[pa.Array], old: Feature | None) -> Record:
    record: Record = {"name": spec.name, "dtype": spec.dtype}
    if spec.unit:
        record["unit"] = spec.unit
    if spec.dtype == "enum":
        record["values"] = sorted({*_values(spec, cells), *(old.values if old else ())})
    if spec.dtype in ("int", "float"):
        record |= _range(spec, cells, old)
    if spec.max_age_s:
        record["max_age_s"] = spec.max_age_s
    if spec.tags:
        record["tags"] = list(spec.tags)
    if spec.after_outcome:
        record["after_outcome"] = True
    if spec.because is not None:
        record["because"] = spec.because.model_dump(by_alias=True, exclude_unset=True)
    return record | _described(spec.description)


def _values(spec: FeatureColumn, cells: list[pa.Array]) -> set[str]:
    if spec.values or spec.map:
        return {*spec.values, *(spec.map.values() if not spec.values else ())}
    values = {v for part in cells for v in pc.unique(part).to_pylist() if v is not None}
    if not values:
        raise Refused(f"feature {spec.name} has no value in any row: state its `values`, or leave it out")
    if len(values) > MAX_VALUES:
        raise Refused(
            f"feature {spec.name} has {len(values)} values, an enum has {MAX_VALUES} at most: write `dtype: string`"
        )
    return values


def _range(spec: FeatureColumn, cells: list[pa.Array], old: Feature | None) -> Record:
    """Return `min` and `max` as stated, else as round numbers around the data (0 as minimum if none is negative).

    A limit that is neither stated, nor in the data, nor in `old` is absent.
    """
    extremes = [v for part in cells for v in pc.min_max(part).as_py().values() if v is not None]
    low = min(extremes) if extremes else None
    high = max(extremes) if extremes else None
    if low is not None and high is not None:
        low, high = (-_round_up(-low) if low < 0 else 0.0), (_round_up(high) if high > 0 else 0.0)
    return {
        **_limit("min", spec.min, low, old.min if old else None),
        **_limit("max", spec.max, high, old.max if old else None),
    }


def _limit(key: Literal["min", "max"], stated: float | None, observed: float | None, old: float | None) -> Record:
    """Return the stated limit, else the wider of the observed and the old one; an empty record if there is none."""
    limits = [v for v in (observed, old) if v is not None]
    limit = stated if stated is not None else (min(limits) if key == "min" else max(limits)) if limits else None
    return {} if limit is None else {key: limit}


def _round_up(number: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, 50, … (and their fractions 0.1, 0.2, …) that is at least `number`."""
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
    """Return the dtype of the value as the mapping writes it."""
    if isinstance(asserted.value, bool):
        return "bool"
    if isinstance(asserted.value, str):
        return "enum"
    return "int" if isinstance(asserted.value, int) else "float"
