"""`python -m tests.promises.document`: writes PROMISES.md from promises.yaml and the markers of the tests.

`@pytest.mark.promise("an.id")` above a test, or in a module's `pytestmark`, says that the test holds that promise.
Tests are parsed and not imported, so an id must be a plain string. `--check` writes nothing: it prints a line for each
mistake, and one if PROMISES.md is not what would be written; the exit code is then 1.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = "PROMISES.md"
SENTENCES = "tests/promises/promises.yaml"
PREFIX = "pytest.mark."
LONG = "long"
UNREAD = "a promise is marked above a test of the module or in its `pytestmark`, with ids as plain strings"
HEAD = f"""# Promises

What is guaranteed, and the tests that hold it: a test fails when its promise is broken. `make promises` writes this \
page from `{SENTENCES}` and the markers of the tests; edit those, not this page.

*long*: runs in `make test-long` only. *more when long*: has further, longer cases there. *server*: runs against the \
served product over HTTP. All others run in `make test`; those that need the reference data skip where it is absent.
"""


class Inconsistent(Exception):
    """The sentences and the markers do not fit together; the message has a line for each mistake."""


class MarkedTest(NamedTuple):
    """A test that holds promises: its id, its notes on the page, and the ids of the promises."""

    test: str
    notes: tuple[str, ...]
    promises: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """Promises about one subject: id -> sentence."""

    title: str
    intro: str
    promises: dict[str, str]


def main(root: Path, *, check: bool) -> int:
    """Write the page, or only check it, and return the exit code: 1 if there is a mistake."""
    try:
        page = page_of(root)
    except Inconsistent as error:
        sys.stderr.write(f"{error}\n")
        return 1
    document = root / DOCUMENT
    if not check:
        document.write_text(page)
    elif not document.exists() or document.read_text() != page:
        sys.stderr.write(f"{DOCUMENT} is older than the promises and tests that it names. Run: make promises\n")
        return 1
    return 0


def page_of(root: Path) -> str:
    """Return the text of the page. Raises Inconsistent if sentences and markers do not fit together."""
    sections, tests, mistakes = sections_of(root / SENTENCES), *marked_tests(root)
    ids = {id_ for section in sections for id_ in section.promises}
    mistakes += [
        f"{t.test}: no promise has the id {id_}; see {SENTENCES}" for t in tests for id_ in t.promises if id_ not in ids
    ]
    held = {i for t in tests for i in t.promises}
    held_in_test = {i for t in tests if LONG not in t.notes for i in t.promises}
    mistakes += [f"{SENTENCES}: no test holds {id_}" for id_ in sorted(ids - held)]
    mistakes += [f"{SENTENCES}: no test of `make test` holds {id_}" for id_ in sorted(ids & held - held_in_test)]
    if mistakes:
        raise Inconsistent("\n".join(mistakes))
    contents = " · ".join(f"[{s.title}](#{_anchor(s.title)})" for s in sections)
    return "\n".join([HEAD, contents, *(line for s in sections for line in _lines(s, tests))]) + "\n"


def sections_of(file: Path) -> list[Section]:
    """Return the sections in the page's order. Raises Inconsistent for an id that is there twice."""
    sections, ids = [], set[str]()
    for raw in yaml.safe_load(file.read_text()):
        promises = {id_: text for one in raw["promises"] for id_, text in one.items()}
        twice = ids & promises.keys()
        if twice or len(promises) < len(raw["promises"]):
            raise Inconsistent(
                f"{SENTENCES}: an id is there twice in {raw['title']!r}, or also before it: {sorted(twice)}"
            )
        ids |= promises.keys()
        sections.append(Section(raw["title"], raw.get("intro", ""), promises))
    return sections


def marked_tests(root: Path) -> tuple[list[MarkedTest], list[str]]:
    """Return all marked tests, and a mistake for each marker that cannot be read."""
    tests, mistakes = list[MarkedTest](), list[str]()
    for file in sorted((root / "tests").rglob("test_*.py")):
        text, name = file.read_text(), file.relative_to(root).as_posix()
        if "mark.promise" in text:
            module = ast.parse(text)
            tests += _tests(module, name)
            mistakes += [f"{name}:{line}: {UNREAD}" for line in _unread(module)]
    return tests, mistakes


def _tests(module: ast.Module, file: str) -> Iterator[MarkedTest]:
    of_module = _of_module(module)
    for function in _functions(module):
        marks = [*of_module, *function.decorator_list]
        promises = dict.fromkeys(id_ for mark in marks for id_ in _ids(mark))
        if promises:
            yield MarkedTest(f"{file}::{function.name}", tuple(_notes(marks)), tuple(promises))


def _functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    defined = (n for n in module.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function for function in defined if function.name.startswith("test_")]


def _of_module(module: ast.Module) -> list[ast.expr]:
    """Return the marks in `pytestmark`, which may be one or a list."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            return node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    return []


def _ids(mark: ast.expr) -> list[str]:
    """Return the ids that a mark names; none for another mark, or if one of them is not a plain string."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != f"{PREFIX}promise" or mark.keywords:
        return []
    ids = [a.value for a in mark.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return ids if len(ids) == len(mark.args) else []


def _notes(marks: list[ast.expr]) -> Iterator[str]:
    texts = [ast.unparse(mark) for mark in marks]
    if f"{PREFIX}long" in texts:
        yield LONG
    elif any(re.search(rf"{re.escape(PREFIX)}long\b", text) for text in texts):
        yield "more when long"
    if f"{PREFIX}server" in texts:
        yield "server"


def _unread(module: ast.Module) -> list[int]:
    """Return the lines of promise markers that `_tests` does not read."""
    marks = [*_of_module(module), *(d for f in _functions(module) for d in f.decorator_list)]
    read = {mark.func for mark in marks if isinstance(mark, ast.Call) and _ids(mark)}
    markers = (n for n in ast.walk(module) if isinstance(n, ast.Attribute) and n.attr == "promise")
    return [n.lineno for n in markers if n not in read and ast.unparse(n.value).endswith("mark")]


def _lines(section: Section, tests: list[MarkedTest]) -> Iterator[str]:
    yield from ("", f"## {section.title}", "")
    if section.intro:
        yield from (section.intro, "")
    for id_, sentence in section.promises.items():
        yield f"- {sentence}"
        for test in tests:
            if id_ in test.promises:
                yield f"  - `{test.test}`" + "".join(f" *{note}*" for note in test.notes)


def _anchor(title: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python -m tests.promises.document [--check]")
    sys.exit(main(ROOT, check=bool(sys.argv[1:])))
