"""Checks of signal types, and of the features computed from them, against each other."""

from collections.abc import Iterable, Iterator, Mapping

from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.check.values import value_problems
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.source import Path, shorten
from decisioning.errors import Mistake
from decisioning.facts.schema import Dtype, Feature
from decisioning.facts.signals import (
    MOOD_FIELDS,
    REQUEST_FIELDS,
    Compute,
    FieldDtype,
    SignalFeature,
    SignalField,
    SignalType,
    misfit,
)
from decisioning.spec import Tag, Value

Types = Mapping[str, SignalType]

_DTYPES: Mapping[Compute, Dtype] = {
    "count": "int",
    "sum": "float",
    "distinct": "int",
    "intensity": "float",
    "seconds_since": "float",
    "session_events": "int",
    "session_seconds": "float",
    "repeated": "int",
}
_FIELD_DTYPES: Mapping[Compute, tuple[FieldDtype, ...]] = {
    "sum": ("int", "float"),
    "distinct": ("string", "enum", "int", "bool"),
    "repeated": ("string", "enum", "int", "bool"),
}
_EXAMPLE = "signal: {of: page-view, compute: count, window: 5min}"


def signal_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in signal types, and in how features are computed from them."""
    for item in draft.signals:
        yield from _fields(item)
        yield from _message_tags(item)
        yield from _retention(item, draft)
    types = {item.spec.id: item.spec for item in draft.signals}
    for feature in draft.features:
        yield from _definition_present(feature)
        yield from _measure_present(feature)
        if feature.spec.signal is not None and feature.spec.source == "signal":
            yield from _definition(feature, feature.spec.signal, types, draft)


def emotions_that_ask(signals: Iterable[SignalType], features: Iterable[Feature]) -> list[str]:
    """Return advice on what is tagged `emotion` and holds a request, so that it is unheard where no mood may be read.

    Such a catalogue works as before; it should tag them `request`.
    """
    fields = {f"field `{f.name}` of signal `{s.id}`": f for s in signals for f in s.fields if f.name in REQUEST_FIELDS}
    named = {name: field.tags for name, field in fields.items()}
    read = {f"feature `{f.name}`": f.tags for f in features if f.signal and _reads_a_request(f.signal)}
    return [
        f"{name} is tagged `emotion`, so a customer who does not let their mood be read asks in vain: "
        "write `tags: [request]`"
        for name, tags in {**named, **read}.items()
        if "emotion" in tags
    ]


def _reads_a_request(signal: SignalFeature) -> bool:
    return not {*signal.where, signal.field}.isdisjoint(REQUEST_FIELDS)


def _fields(item: Item[SignalType]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for i, field in enumerate(item.spec.fields):
        if field.name in seen:
            message = f"field `{field.name}` is declared twice"
            yield item.problem(("fields", i, "name"), message, "remove one of them, or give it another name")
        seen.add(field.name)
        yield from value_problems(item, ("fields", i), field)


def _message_tags(item: Item[SignalType]) -> Iterator[Mistake]:
    """Yield fields of scored messages without the tag that keeps what is computed from them from models and sales."""
    for i, field in enumerate(item.spec.fields if item.spec.is_message else ()):
        tags = {*item.spec.tags, *field.tags}
        if field.name in REQUEST_FIELDS and tags.isdisjoint(("request", "emotion")):
            message = f"`{field.name}` says what the customer asks for, and is not tagged `request`"
            yield item.problem(("fields", i, "name"), message, "write `tags: [request]`")
        elif field.name in MOOD_FIELDS and "emotion" not in tags:
            message = f"`{field.name}` says how the customer feels, and is not tagged `emotion`"
            yield item.problem(("fields", i, "name"), message, "write `tags: [emotion]`")


def _retention(item: Item[SignalType], draft: Draft) -> Iterator[Mistake]:
    hours = draft.settings.spec.signals.max_lateness_h
    if "signals" not in draft.refused_ids["settings"] and item.spec.retention_days * 24 < hours:
        message = f"it is kept for {item.spec.retention_days * 24:g} hours, and may come {hours:g} hours late"
        suggestion = f"write `retention_days: {-(-hours // 24):g}` or more, or lower `settings.signals.max_lateness_h`"
        yield item.problem(("retention_days",), message, suggestion)


def _definition_present(item: Item[Feature]) -> Iterator[Mistake]:
    """A feature of source `signal` has a definition, and no other feature has one."""
    feature = item.spec
    if feature.source == "signal" and feature.signal is None:
        yield item.problem(("source",), "nothing says how it is computed from signals", f"add `{_EXAMPLE}`")
    if feature.source != "signal" and feature.signal is not None:
        message = f"it is of source `{feature.source}`, and not computed from signals"
        yield item.problem(("signal",), message, "write `source: signal`, or remove `signal`")


def _measure_present(item: Item[Feature]) -> Iterator[Mistake]:
    """A feature of source `routing` says what it measures and how old that may be, and no other feature does."""
    feature = item.spec
    if feature.source != "routing":
        if feature.routing is not None:
            message = f"it is of source `{feature.source}`, and not measured of the queue"
            yield item.problem(("routing",), message, "write `source: routing`, or remove `routing`")
        return
    if feature.routing is None:
        yield item.problem(("source",), "nothing says what it measures", "add `routing: {measure: wait_s}`")
    if feature.max_age_s is None:
        yield item.problem((), "nothing says how old it may be", "add `max_age_s: 60`")
    if feature.dtype not in ("int", "float"):
        yield item.problem(("dtype",), "what is measured is a number", "write `dtype: int` or `dtype: float`")


def _definition(item: Item[Feature], spec: SignalFeature, types: Types, draft: Draft) -> Iterator[Mistake]:
    yield from unknown_names(item, ("signal", "of"), "signal", spec.of, draft.known_ids["signals"])
    yield from repeated_names(item, ("signal", "of"), spec.of)
    yield from unknown_names(item, ("signal", "since"), "signal", spec.since, draft.known_ids["signals"])
    yield from _counted_and_ending(item, spec)
    yield from _age(item, spec)
    if any(name not in types for name in spec.of):
        return  # the signal type is unknown, or was itself refused
    yield from _where_values(item, spec, types)
    yield from _field(item, spec, types)
    yield from _tags(item, spec, types)
    if spec.compute != "last":
        yield from _dtype(item, _DTYPES[spec.compute], f"compute `{spec.compute}`")


def _counted_and_ending(item: Item[Feature], spec: SignalFeature) -> Iterator[Mistake]:
    for i, name in enumerate(spec.since):
        if name in spec.of:
            message = f"`{name}` is counted, and begins the count anew"
            yield item.problem(("signal", "since", i), message, "name it under `of` or under `since`")


def _age(item: Item[Feature], spec: SignalFeature) -> Iterator[Mistake]:
    if item.spec.max_age_s is not None and spec.compute != "last":
        message = f"compute `{spec.compute}` is computed at the time of the decision, and has no age"
        yield item.problem(("max_age_s",), message, "remove `max_age_s`")


def _dtype(item: Item[Feature], dtype: str, what: str) -> Iterator[Mistake]:
    if item.spec.dtype != dtype:
        message = f"{what} is of type `{dtype}`, not `{item.spec.dtype}`"
        yield item.problem(("dtype",), message, f"write `dtype: {dtype}`")


def _field_named(types: Types, type_: str, name: str) -> SignalField | None:
    return next((field for field in types[type_].fields if field.name == name), None)


def _where_values(item: Item[Feature], spec: SignalFeature, types: Types) -> Iterator[Mistake]:
    for name, values in spec.where.items():
        path = ("signal", "where", name)
        for type_ in spec.of:
            field = _field_named(types, type_, name)
            if field is None:
                yield _no_field(item, path, types[type_], name)
            else:
                yield from _impossible_values(item, path, field, values)


def _impossible_values(
    item: Item[Feature], path: Path, field: SignalField, values: tuple[Value, ...]
) -> Iterator[Mistake]:
    """Values that the field can never have."""
    for i, value in enumerate(values):
        if why := misfit(field, value):
            message = f"`{field.name}` cannot be `{shorten(str(value))}`: it {why}"
            suggestion = hint(str(value), field.values) if field.dtype == "enum" else None
            yield item.problem((*path, i), message, suggestion or "compare with how the field is declared")


def _no_field(item: Item[Feature], path: Path, type_: SignalType, name: str) -> Mistake:
    known = [field.name for field in type_.fields]
    suggestion = hint(name, known) or f"declare it among the `fields` of `{type_.id}`"
    return item.problem(path, f"signal `{type_.id}` has no field `{name}`", suggestion)


def _field(item: Item[Feature], spec: SignalFeature, types: Types) -> Iterator[Mistake]:
    if spec.field is None:
        return
    path, fields = ("signal", "field"), {type_: _field_named(types, type_, spec.field) for type_ in spec.of}
    for type_, field in fields.items():
        if field is None:
            yield _no_field(item, path, types[type_], spec.field)
        elif field.dtype not in _FIELD_DTYPES.get(spec.compute, (field.dtype,)):
            message = f"`{spec.field}` of signal `{type_}` is `{field.dtype}`, which has no {spec.compute}"
            yield item.problem(path, message, f"only {' and '.join(_FIELD_DTYPES[spec.compute])} have")
    declared = [field for field in fields.values() if field]
    yield from _same_dtype(item, spec, declared)
    if spec.compute == "last" and declared:
        yield from _last_value(item, declared)


def _same_dtype(item: Item[Feature], spec: SignalFeature, fields: list[SignalField]) -> Iterator[Mistake]:
    dtypes = sorted({field.dtype for field in fields})
    if len(dtypes) > 1 and spec.compute in ("last", "distinct", "repeated"):
        message = f"`{spec.field}` is {' and '.join(f'`{dtype}`' for dtype in dtypes)}, depending on the signal"
        yield item.problem(("signal", "field"), message, "declare it with the same `dtype` in all of them")


def _last_value(item: Item[Feature], fields: list[SignalField]) -> Iterator[Mistake]:
    """The last value of the field must be a value of the feature."""
    yield from _dtype(item, fields[0].dtype, f"the field `{fields[0].name}`")
    if item.spec.dtype == "enum" and item.spec.values:
        for value in dict.fromkeys(value for field in fields for value in field.values):
            if value not in item.spec.values:
                message = f"`{shorten(value)}` is a value of the field, and not of the feature"
                yield item.problem(("values",), message, f"add `{shorten(value)}` to `values`")


def _tags(item: Item[Feature], spec: SignalFeature, types: Types) -> Iterator[Mistake]:
    """A feature computed from something tagged needs the same tags, so that emotion keeps its tag."""
    fields_read = {*spec.where, spec.field}
    tagged: dict[Tag, str] = {}
    for type_ in spec.of:
        for tag in types[type_].tags:
            tagged.setdefault(tag, f"signal `{type_}`")
        for field in types[type_].fields:
            for tag in field.tags if field.name in fields_read else ():
                tagged.setdefault(tag, f"`{field.name}` of signal `{type_}`")
    missing = [tag for tag in tagged if tag not in item.spec.tags]
    if missing:
        every = ", ".join(dict.fromkeys((*item.spec.tags, *tagged)))
        message = f"{tagged[missing[0]]} is tagged `{missing[0]}`, and so is what is computed from it"
        yield item.problem(("tags",), message, f"write `tags: [{every}]`")
