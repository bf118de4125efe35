"""The YAML parser: texts stay texts, every value has its line, and no input does harm."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.source import MAX_CHARACTERS, MAX_DEPTH, YamlNode, decode, parse
from decisioning.errors import ConfigError


def value(text: str) -> Any:
    document = parse("f.yaml", f"key: {text}")
    assert document.root is not None
    assert document.problems == ()
    return document.root.value["key"]


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "NO",
        "True",
        "FALSE",
        "y",
        "Null",
        "nUll",
        "0x1F",
        "0o17",
        "1_000",
        "021",
        "06-12345678",
        "12:30:45",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "1.2.3",
        ".",
        "-",
        "inf",
        "nan",
        "1e",
        "=",
        "<",
    ],
)
def test_what_looks_like_a_text_is_one(text: str) -> None:
    assert value(text if text != "-" else "'-'") == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("1.50", 1.5), (".5", 0.5), ("5.", 5.0), ("-1e3", -1000.0), ("1E-2", 0.01),
        (".inf", math.inf), ("-.inf", -math.inf), ("'true'", "true"), ('"7"', "7"), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_plain_words(text: str, expected: object) -> None:
    parsed = value(text)
    assert parsed == expected
    assert type(parsed) is type(expected)


def test_keys_are_texts() -> None:
    root = parse("f.yaml", "no: 1\ntrue: 2\n3: 4\nnull: 5").root
    assert root is not None
    assert root.value == {"no": 1, "true": 2, "3": 4, "null": 5}


def test_every_value_knows_its_line() -> None:
    text = "a:\n  b: [1,\n   {c: 2}]\n  # nothing\n  d:\n    - e:\n        f\n    - >\n      long\n      text\n"
    root = parse("f.yaml", text).root
    assert root is not None
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 2, ("a", "b", 1): 3, ("a", "b", 1, "c"): 3, ("a", "d"): 5}
    lines |= {("a", "d", 0): 6, ("a", "d", 0, "e"): 6, ("a", "d", 1): 8}
    assert {path: root.at(path).line for path in lines} == lines
    assert root.at(("a", "b", 7, "x")).line == 2, "what does not exist is where it would be"
    assert root.value == {"a": {"b": (1, {"c": 2}), "d": ({"e": "f"}, "long text\n")}}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1", "a: *x", "<<: {a: 1}", "a: {<<: {b: 1}}", "a: !!int 3", "a: !mine 3",
        "!!python/object/apply:os.system [ls]",
        "a: 1\n---\nb: 2", "[1]", "text", "a: [1", "a: 'b", "\ta: 1", "a:\n\t- b", "a: b: c", "a: @b", "a: `b`",
        "? [1]\n: 2",
        "{a: 1}: 2", "a: \x00", "a: \x07", "a: \ud800", 'a: "\\0"', 'a: "\\ud800"', "%YAML 3.0\n---\na: 1", "a: \ufffe",
        "a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "[" * 100_000, "{a: " * 100_000, "a: " + "x" * MAX_CHARACTERS,
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    document = parse("f.yaml", text)
    assert document.root is None
    [problem] = document.problems
    assert problem.line <= text.count("\n") + 1
    assert len(str(problem)) < 300


def test_billion_laughs_stop_at_the_first_anchor() -> None:
    text = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert [problem.line for problem in parse("f.yaml", text).problems] == [1]


@pytest.mark.parametrize("text", [".nan", ".NaN", "1e999", "-1e999", "9" * 19, "9" * 5000])
def test_numbers_that_cannot_be_are_noted_and_reading_goes_on(text: str) -> None:
    document = parse("f.yaml", f"a: 1\nb: {text}\nc: 2\nc: 3")
    assert [problem.line for problem in document.problems] == [2, 4]
    assert document.root is not None
    assert document.root.value == {"a": 1, "b": text, "c": 2}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "\ufeff", "{}"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    document = parse("f.yaml", text)
    assert document.root is not None
    assert (document.root.value, document.problems) == ({}, ())


def test_depth_is_allowed_up_to_its_limit() -> None:
    text = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse("f.yaml", text).root is not None


def test_bytes_that_are_not_utf_8() -> None:
    assert decode("f.yaml", "é".encode()) == "é"
    with pytest.raises(ConfigError) as caught:
        decode("f.yaml", b"a: 1\nb: \xff\n")
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == ("f.yaml", 2)


PLAIN = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text("abn: -#'\"{}[],&*!|>%@\n\té", max_size=8)
PLAIN |= st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: "e" not in repr(x))
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abn01 :-", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abn", min_size=1), TREES, max_size=4), st.booleans())
def test_what_was_written_is_read(tree: dict[str, Any], flow: bool) -> None:
    """PyYAML quotes more than our parser needs, so our parser reads whatever it writes as the same value."""
    document = parse("f.yaml", yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True))
    assert document.root is not None, document.problems
    assert document.root.value == _tuples(tree)
    assert _rebuilt(document.root) == document.root.value


@given(st.text())
def test_any_text_gives_a_tree_or_a_problem(text: str) -> None:
    document = parse("f.yaml", text)
    assert document.root is not None or document.problems


def _tuples(tree: Any) -> Any:
    if isinstance(tree, list):
        return tuple(map(_tuples, tree))
    return {key: _tuples(inner) for key, inner in tree.items()} if isinstance(tree, dict) else tree


def _rebuilt(node: YamlNode) -> Any:
    if isinstance(node.value, tuple):
        return tuple(_rebuilt(child) for child in node.items.values())
    if isinstance(node.value, dict):
        return {key: _rebuilt(child) for key, child in node.items.items()}
    return node.value
