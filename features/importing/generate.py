"""Generates a catalogue for an import: features with the ranges of the data, and a first version of the rest."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from decisioning.catalogue.check.shape import build_draft
from decisioning.catalogue.source import parse
from decisioning.facts.schema import FeatureSchema
from features.importing.inferred import Record, feature_records
from features.importing.mapping import ActionSpec
from features.importing.plan import ImportPlan
from features.importing.yaml_text import block, section

_PRIOR_DIGITS = 4
_HEAD = "# Made by an import with mapping `{}`, and anew by the next: change the mapping, not this file.\n"
_START = "# A start, made by an import with mapping `{}`. It is yours: no import touches it again.\n"
_STARTS = {
    "channels.yaml": ("purposes", "bases", "channels"),
    "actions.yaml": ("actions",),
    "policies.yaml": ("policies", "protections", "caps"),
}
"""File -> the sections that its first version has."""


def catalogue_files(
    plan: ImportPlan, before: Mapping[str, str] | None = None, schema: FeatureSchema | None = None
) -> dict[str, str]:
    """Return the workspace's catalogue files (relative path -> text) after this import; `before` are those before it.

    `<mapping>/features.yaml` is generated at each import, with ranges and values widened to those of `schema`, the
    features declared so far. The other files of the mapping are a first version: they are generated only where they do
    not exist, without what other files declare, and belong to the user from then on.
    """
    name, files = plan.source.mapping.id, dict(before or {})
    own = {f"{name}/{file}" for file in ("features.yaml", *_STARTS)}
    declared = _declared({file: text for file, text in files.items() if file not in own})
    files[f"{name}/features.yaml"] = _HEAD.format(name) + section("features", list(feature_records(plan, schema)))
    records = _records(plan)
    for file, sections in _STARTS.items():
        texts = [section(s, new) for s in sections if (new := [r for r in records[s] if r["id"] not in declared[s]])]
        if file == "channels.yaml" and (settings := _settings(plan, declared["settings"])):
            texts.insert(0, block("settings", settings))
        if texts:
            files.setdefault(f"{name}/{file}", _START.format(name) + "\n".join(texts))
    return files


def _declared(files: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Return section -> the ids that the files declare, and `settings` -> the keys that they set."""
    roots = [root for file, text in files.items() if (root := parse(file, text).root)]
    settings = frozenset(key for root in roots for key in (root.value.get("settings") or ()))
    return {**build_draft(roots)[0].known_ids, "settings": settings}


def _settings(plan: ImportPlan, declared: frozenset[str]) -> Record:
    raw: Record = plan.source.node.value.get("settings", {})
    return {key: value for key, value in raw.items() if key not in declared}


def _records(plan: ImportPlan) -> dict[str, list[Record]]:
    """Return section -> its records: those the mapping writes, and those made of its assertions and actions."""
    raw = plan.source.node.value
    generated = {"protections": _protections(plan), "bases": _bases(plan), "actions": _actions(plan)}
    copied = {s: [] if s == "actions" else [*raw.get(s, ())] for sections in _STARTS.values() for s in sections}
    return {s: [*records, *generated.get(s, ())] for s, records in copied.items()}


def _actions(plan: ImportPlan) -> Iterator[Record]:
    for spec, raw in zip(plan.source.mapping.actions, plan.source.node.value.get("actions", ()), strict=True):
        yield _action(plan, spec, raw)


def _protections(plan: ImportPlan) -> Iterator[Record]:
    for assertion in plan.source.mapping.assertions:
        for f in assertion.features:
            if f.protects:
                when = f.name if isinstance(f.value, bool) else f'{f.name} != "{f.value}"'
                yield {"id": f.name.replace("_", "-"), "kind": list(f.protects), "when": when}


def _bases(plan: ImportPlan) -> Iterator[Record]:
    for assertion in plan.source.mapping.assertions:
        for basis in assertion.bases:
            yield {**basis.model_dump(mode="json"), "asserted_by": assertion.author, "text": assertion.text}


def _action(plan: ImportPlan, spec: ActionSpec, raw: Mapping[str, Any]) -> Record:
    mapping = plan.source.mapping
    record: Record = {"id": spec.id, "issue": spec.issue, "group": spec.group, "tier": spec.tier, "value": raw["value"]}
    record |= {key: raw[key] for key in ("cost", "price_eur") if key in raw}
    if (prior := observed_rate(plan, spec)) is not None:
        record["prior"] = prior
    positive, negative = (_outcomes(plan, spec, side) for side in ("positive", "negative"))
    if positive:
        record["outcomes"] = {"positive": positive, "negative": negative, "window_days": spec.window_days}
    record |= {key: raw[key] for key in ("purposes", "suppress") if key in raw}
    content = {locale: {"title": spec.title} for locale in mapping.settings.locales}
    channels = [c for c in mapping.channels if c.id in _channels_of(plan, spec.id)] or list(mapping.channels)
    record["treatments"] = [
        {"id": c.id, "channel": c.id, "placements": list(c.placements), "content": content} for c in channels
    ]
    return record | ({"description": spec.description} if spec.description else {})


def _channels_of(plan: ImportPlan, action: str) -> set[str]:
    """Return the channels on which the logged contacts used an action."""
    channels: set[str] = set()
    for contacts in plan.contacts:
        channels.update(pc.unique(contacts.channel.filter(pc.equal(contacts.action, action))).to_pylist())
    return channels


def _outcomes(plan: ImportPlan, spec: ActionSpec, side: str) -> list[str]:
    names = (o.name for actions, o in plan.source.mapping.outcomes if spec.id in actions and o.counts == side)
    return list(dict.fromkeys(names))


def observed_rate(plan: ImportPlan, spec: ActionSpec) -> float | None:
    """Return the share of the action's logged contacts with a positive outcome in the same row; None without any."""
    names, contacted, successes = _outcomes(plan, spec, "positive"), 0, 0
    for contacts in plan.contacts:
        used = pc.equal(contacts.action, spec.id).to_numpy(zero_copy_only=False)
        positive = np.zeros(len(used), dtype=np.bool_)
        for outcome in contacts.outcomes:
            if outcome.name in names:
                positive[outcome.row.to_numpy()] = True
        contacted, successes = contacted + int(used.sum()), successes + int((used & positive).sum())
    if not contacted:
        return None
    smallest = 0.1**_PRIOR_DIGITS
    return round(min(max(successes / contacted, smallest), 1.0 - smallest), _PRIOR_DIGITS)
