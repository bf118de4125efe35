"""`python -m tests.promises.document`: writes PROMISES.md from promises.yaml and the markers of the tests.

`@pytest.mark.promise("an.id")` above a test, or in a module's `pytestmark`, says that it holds that promise. Tests are
read and not imported, so an id must be a plain string. With `--check` nothing is written: whatever is wrong is told, a
line each, and PROMISES.md too where it is not what would be written; the exit code is then 1.
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
UNREAD = "a promise is marked above a test of the module or in its `pytestmark`, with ids as plain strings"
HEAD = f"""# Promises

What is guaranteed, and the tests that hold it: a test fails when its promise is broken. `make promises` writes this \
page from `{SENTENCES}` and the markers of the tests; edit those, not this page.

*long*: runs in `make test-long` only. *more when long*: has further, longer cases there. *server*: runs against the \
served product over HTTP. All others run in `make test`; those that need the reference data skip where it is absent.
"""


class Wrong(Exception):
    """What has to be put right before the page can be written; one line for each."""


class Held(NamedTuple):
    """A test that holds promises, as the page names it."""

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
    """Writes the page, or only checks it; 1 where something is wrong."""
    try:
        page = written(root)
    except Wrong as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    document = root / DOCUMENT
    if not check:
        document.write_text(page)
    elif not document.exists() or document.read_text() != page:
        sys.stderr.write(f"{DOCUMENT} is older than the promises and tests that it names. Run: make promises\n")
        return 1
    return 0


def written(root: Path) -> str:
    """The page; `Wrong` where sentences and markers do not fit together."""
    sections, tests, wrong = sections_of(root / SENTENCES), *held(root)
    known = {id_ for section in sections for id_ in section.promises}
    wrong += [
        f"{t.test}: no promise has the id {id_}; see {SENTENCES}"
        for t in tests
        for id_ in t.promises
        if id_ not in known
    ]
    wrong += [f"{SENTENCES}: no test holds {id_}" for id_ in sorted(known - {i for t in tests for i in t.promises})]
    if wrong:
        raise Wrong("\n".join(wrong))
    contents = " · ".join(f"[{s.title}](#{_anchor(s.title)})" for s in sections)
    return "\n".join([HEAD, contents, *(line for s in sections for line in _lines(s, tests))]) + "\n"


def sections_of(file: Path) -> list[Section]:
    """The sentences, in the page's order; an id that is there twice is `Wrong`."""
    sections, seen = [], set[str]()
    for said in yaml.safe_load(file.read_text()):
        promises = {id_: text for one in said["promises"] for id_, text in one.items()}
        twice = seen & promises.keys()
        if twice or len(promises) < len(said["promises"]):
            raise Wrong(f"{SENTENCES}: an id is there twice in {said['title']!r}, or also before it: {sorted(twice)}")
        seen |= promises.keys()
        sections.append(Section(said["title"], said.get("intro", ""), promises))
    return sections


def held(root: Path) -> tuple[list[Held], list[str]]:
    """All tests that are marked, and the markers that cannot be read."""
    tests, wrong = list[Held](), list[str]()
    for file in sorted((root / "tests").rglob("test_*.py")):
        text, name = file.read_text(), file.relative_to(root).as_posix()
        if "mark.promise" in text:
            module = ast.parse(text)
            tests += _tests(module, name)
            wrong += [f"{name}:{line}: {UNREAD}" for line in _unread(module)]
    return tests, wrong


def _tests(module: ast.Module, file: str) -> Iterator[Held]:
    of_module = _of_module(module)
    for function in _functions(module):
        marks = [*of_module, *function.decorator_list]
        promises = dict.fromkeys(id_ for mark in marks for id_ in _ids(mark))
        if promises:
            yield Held(f"{file}::{function.name}", tuple(_notes(marks)), tuple(promises))


def _functions(module: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    defined = (n for n in module.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function for function in defined if function.name.startswith("test_")]


def _of_module(module: ast.Module) -> list[ast.expr]:
    """The marks in `pytestmark`, which may be one or a list."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            return node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    return []


def _ids(mark: ast.expr) -> list[str]:
    """The promises that a mark names: none for another mark, or where one of them is not a plain string."""
    if not isinstance(mark, ast.Call) or ast.unparse(mark.func) != f"{PREFIX}promise" or mark.keywords:
        return []
    ids = [a.value for a in mark.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return ids if len(ids) == len(mark.args) else []


def _notes(marks: list[ast.expr]) -> Iterator[str]:
    spelt = [ast.unparse(mark) for mark in marks]
    if f"{PREFIX}long" in spelt:
        yield "long"
    elif any(re.search(rf"{re.escape(PREFIX)}long\b", mark) for mark in spelt):
        yield "more when long"
    if f"{PREFIX}server" in spelt:
        yield "server"


def _unread(module: ast.Module) -> list[int]:
    """The lines of promise markers that `_tests` does not see."""
    marks = [*_of_module(module), *(d for f in _functions(module) for d in f.decorator_list)]
    read = {mark.func for mark in marks if isinstance(mark, ast.Call) and _ids(mark)}
    named = (n for n in ast.walk(module) if isinstance(n, ast.Attribute) and n.attr == "promise")
    return [n.lineno for n in named if n not in read and ast.unparse(n.value).endswith("mark")]


def _lines(section: Section, tests: list[Held]) -> Iterator[str]:
    yield from ("", f"## {section.title}", "")
    if section.intro:
        yield from (section.intro, "")
    for id_, sentence in section.promises.items():
        yield f"- {sentence}"
        for test in tests:
            if id_ in test.promises:
                yield f"  - `{test.test}`" + "".join(f" *{note}*" for note in test.notes)


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python -m tests.promises.document [--check]")
    sys.exit(main(ROOT, check=bool(sys.argv[1:])))
