"""Files become one whole catalogue or are refused, and the order of files and items changes nothing."""

import copy
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.actions import COMMERCIAL_ISSUES
from decisioning.catalogue.check import actions
from decisioning.catalogue.files import Catalogue, load, pack, unpack
from decisioning.catalogue.source import parse
from decisioning.errors import ConfigError, Mistake
from decisioning.facts.schema import BUILT_IN
from tests.examples import examples


def test_the_small_catalogue_covers_every_issue(small: Catalogue) -> None:
    assert {action.issue for action in small.actions} == {"service", "hardship", *COMMERCIAL_ISSUES}
    assert {channel.id for channel in small.channels} == {"agent", "email", "store", "web"}
    assert [action.id for action in small.actions] == sorted(action.id for action in small.actions)
    assert small.schema_of_features["age"].dtype == "int"


def test_priors_fall_back_from_action_to_group_to_issue(small: Catalogue) -> None:
    priors = {action.id: small.prior(action) for action in small.actions}
    assert priors["sports-channel"] == 0.05
    assert priors["tv-bundle"] == 0.03
    assert priors["loyalty-discount"] == 0.1
    assert priors["family-data"] == 0.02


def test_an_empty_catalogue_is_one() -> None:
    assert load({}) == load({"a.yaml": "", "b.yaml": "actions:\nsettings:\n"}) == Catalogue()
    assert set(load({}).schema_of_features.features) == {feature.name for feature in BUILT_IN}


def test_facts_of_personas_have_the_type_of_their_feature() -> None:
    text = """
features: [{name: since, dtype: timestamp}, {name: fee_eur, dtype: float}, {name: plan, dtype: string}]
channels: [{id: web, direction: inbound, placements: [hero]}]
personas:
  - {id: new, channel: web, placements: [hero], expect: {none: true},
     facts: {since: 2026-01-01T01:00:00+01:00, fee_eur: 3, plan: no, gpc: true}}
  - {id: newer, channel: web, placements: [hero], expect: {none: true}, facts: {since: null}}
"""
    first, second = load({"a.yaml": text}).personas
    assert first.facts == {"since": 1_767_225_600_000_000, "fee_eur": 3.0, "plan": "no", "gpc": True}
    assert isinstance(first.facts["fee_eur"], float)
    assert second.facts == {"since": None}


@given(seed=st.randoms(use_true_random=False))
@settings(max_examples=examples(20), deadline=None)
def test_neither_files_nor_order_change_the_catalogue(
    small: Catalogue, small_files: dict[str, str], seed: random.Random
) -> None:
    pieces = [(section, item) for text in small_files.values() for section, item in _pieces(text)]
    seed.shuffle(pieces)
    files = {f"{i:03}.yaml": yaml.safe_dump({section: item}) for i, (section, item) in enumerate(pieces)}
    assert load(files) == small


def _pieces(text: str) -> list[tuple[str, Any]]:
    """Return every item of every list, and every setting, as a section of its own."""
    return [
        (section, {key: value} if section == "settings" else [value])
        for section, items in tree_of(text).items()
        for key, value in (items.items() if section == "settings" else enumerate(items))
    ]


def tree_of(text: str) -> dict[str, Any]:
    """Return the text as a tree that `yaml.safe_dump` can write."""
    root = parse("any.yaml", text).root
    assert root is not None
    return _lists(root.value)


def _lists(tree: Any) -> Any:
    if isinstance(tree, tuple):
        return [_lists(item) for item in tree]
    return {key: _lists(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def expect_whole_or_refused(files: dict[str, str]) -> None:
    """Check that the files load, or that every problem names an existing line and is short enough to read."""
    lines = {file: text.count("\n") + 1 for file, text in files.items()}
    for problem in problems(files):
        assert 1 <= problem.line <= lines[problem.file], problem
        assert len(str(problem)) < 1000


def problems(files: dict[str, str]) -> tuple[Mistake, ...]:
    try:
        load(files)
    except ConfigError as error:
        return error.problems
    return ()


STRANGE = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 10**17, 10**400, "", "no", "all", "*", "2026-01-01", "{x}", "a" * 3000),
        *("age >= 18", "has_tv &&", "history(action, 'x', '1d') > 0", "sentiment < 0.0", "tv-bundle", "grow", "web"),
        *([], {}, [[]], {"id": "x"}, [{"id": "x"}], ["hero", "hero"], {"nl": {"title": "{"}}),
    ]
)


@given(data=st.data())
@settings(max_examples=examples(120), deadline=None)
def test_any_change_of_the_tree_is_whole_or_refused(small_files: dict[str, str], data: st.DataObject) -> None:
    tree: dict[str, Any] = {}
    for text in small_files.values():
        tree |= tree_of(text)
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(tree, data)
    expect_whole_or_refused({"all.yaml": json.dumps(tree, indent=1)})


def _mutate(tree: Any, data: st.DataObject) -> None:
    """Change one random place: replace, remove, rename or double it, or exchange it for another place's value."""
    places = list(_places(tree))
    parent, key = data.draw(st.sampled_from(places))
    change = data.draw(st.sampled_from(["replace", "remove", "rename", "double", "exchange"]))
    if change == "replace":
        parent[key] = copy.deepcopy(data.draw(STRANGE))  # a copy, so that later changes leave STRANGE as it is
    elif change == "remove":
        del parent[key]
    elif change == "exchange":
        source, at = data.draw(st.sampled_from(places))
        parent[key] = copy.deepcopy(source[at])
    elif isinstance(parent, list):
        parent.insert(0, copy.deepcopy(parent[key]))
    else:
        parent[data.draw(st.sampled_from(["id", "isue", "when", "<<", "NL", "0", ""]))] = parent.pop(key)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


@given(data=st.data())
@settings(max_examples=examples(120), deadline=None)
def test_any_change_of_the_text_is_whole_or_refused(small_files: dict[str, str], data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(small_files)))
    text = small_files[file]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.sampled_from([start, start + 1, start + 3, start + 40]))
    new = data.draw(
        st.sampled_from(
            ["", " ", "\n", "\t", ":", "- ", "{", "}", "]", '"', "'", "&a", "*a", "#", "!", "|", "x", "\0", "é"]
        )
    )
    expect_whole_or_refused(small_files | {file: text[:start] + new + text[end:]})


@pytest.mark.long  # ten thousand serve in tests/serving/test_sizes.py
def test_ten_thousand_actions_are_checked_in_under_ten_seconds(small_files: dict[str, str]) -> None:
    actions = small_files["actions.yaml"].removeprefix("actions:\n").split("\n\n")
    many = [actions[i % 8].replace("- id: ", f"- id: n{i}-", 1) for i in range(10_000 - 8)]
    text = "\n\n".join(["actions:", *actions, *many])
    began = time.process_time()
    assert len(load(small_files | {"actions.yaml": text}).actions) == 10_000
    assert time.process_time() - began < 10


def test_more_than_is_allowed(monkeypatch: pytest.MonkeyPatch, small_files: dict[str, str]) -> None:
    monkeypatch.setattr(actions, "MAX_ACTIONS", 7)
    monkeypatch.setattr(actions, "MAX_TREATMENTS", 3)
    messages = [problem.message for problem in problems(small_files)]
    assert messages == [f"action `welcome-tour`: more than {most}" for most in ("7 actions", "3 treatments in all")]


def test_no_more_problems_are_listed_than_anybody_reads() -> None:
    mistakes = problems({"a.yaml": "caps:\n" + "- {}\n" * 5000})
    assert len(mistakes) == 1000
    assert "more mistakes" in mistakes[-1].message


@given(st.dictionaries(st.text(), st.text()))
def test_release_bytes_hold_the_files_and_nothing_else(files: dict[str, str]) -> None:
    packed = pack(files)
    assert unpack(packed) == files
    assert pack(dict(reversed(files.items()))) == packed


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"{}",
        b"[]",
        b'{"files":[]}',
        b'{"files":{"a":1}}',
        b'{"files": {}}',
        b'{"files":{},"x":1}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_other_bytes_are_no_release(packed: bytes) -> None:
    with pytest.raises(ConfigError):
        unpack(packed)
