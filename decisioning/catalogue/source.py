"""A YAML parser that keeps line numbers and reads every value as it looks.

A subset of YAML 1.2: only `true` and `false` are booleans (`no` is Norway), dates stay text, keys are text. Refused:
duplicate keys, anchors, aliases, merge keys, tags, several documents, NaN, more than 10 MB, deeper than 32.
Source of the number forms: YAML 1.2.2, chapter 10.3 (without octal, hexadecimal and leading zeros).
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from decisioning.errors import ConfigError, Mistake

MAX_CHARACTERS = 10_000_000
MAX_DEPTH = 32
_MAX_DIGITS = 18

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
    ".inf": math.inf,
    "+.inf": math.inf,
    "-.inf": -math.inf,
}
_HINTS = {
    "mapping values are not allowed": "put a text that holds `: ` in quotes",
    "did not find expected key": "check the indentation, and put a text that holds quotes or commas in quotes",
    "did not find expected '-' indicator": "start every item of a list with `- `, all at the same indentation",
    "did not find expected ',' or '}'": "close the `{`, and put a comma between its entries",
    "did not find expected ',' or ']'": "close the `[`, and put a comma between its items",
    "did not find expected node content": "write a value here, or close what is open",
    "could not find expected ':'": "write `key: value`, with a space after the colon",
    "found unexpected end of stream": "close the quote that is opened here",
    "found unknown escape character": "use 'single quotes', or write the backslash twice",
}

_SCALAR: dict[str | int, "YamlNode"] = {}
"""The items of every scalar, shared: hundreds of thousands of empty dicts would cost seconds."""

Path = Sequence[str | int]
"""A position in a tree: keys and list positions from the root down."""


@dataclass(slots=True)
class YamlNode:
    """A value (None, bool, int, float, str, tuple, dict), and the file and line (from 1) of its key or item."""

    value: Any
    file: str
    line: int
    items: dict[str | int, "YamlNode"]

    def at(self, path: Path) -> "YamlNode":
        """Return the node at `path`, or the deepest existing one on the way there."""
        node = self
        for step in self.known_part(path):
            node = node.items[step]
        return node

    def known_part(self, path: Path) -> Path:
        """Return the longest prefix of `path` that leads to a node."""
        node = self
        for i, step in enumerate(path):
            if step not in node.items:
                return path[:i]
            node = node.items[step]
        return path

    def problem(self, message: str, suggestion: str | None = None) -> Mistake:
        """Return a mistake located at this node."""
        return Mistake(self.file, self.line, message, suggestion)


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file. `root` is None if it could not be parsed to its end; `problems` says why."""

    file: str
    root: YamlNode | None
    problems: tuple[Mistake, ...]


class _UnreadableError(Exception):
    """The text cannot be parsed any further."""

    def __init__(self, line: int, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.line, self.message, self.suggestion = line, message, suggestion


def decode(file: str, data: bytes) -> str:
    """Return the bytes of a file as text. Raises ConfigError, with the line, for bytes that are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Mistake(file, line, "this is not UTF-8 text", "save the file with the encoding UTF-8")
        raise ConfigError([problem]) from None


def parse(file: str, text: str) -> Document:
    """Return the document in the text of one file; an empty file is an empty mapping. Never raises."""
    builder = _Builder(file)
    try:
        root = builder.build(text)
    except _UnreadableError as stop:
        problem = Mistake(file, stop.line, stop.message, stop.suggestion)
        return Document(file, None, (*builder.problems, problem))
    return Document(file, root, tuple(builder.problems))


class _OpenCollection:
    """A mapping or a list that is not closed yet; `key` waits for its value."""

    __slots__ = ("key", "key_line", "node")

    def __init__(self, node: YamlNode) -> None:
        self.node = node
        self.key: str | None = None
        self.key_line = 0


class _Builder:
    """Builds nodes from the parser's events with an explicit stack, so that no input can exhaust Python's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Mistake] = []
        self.stack: list[_OpenCollection] = []
        self.root: YamlNode | None = None

    def build(self, text: str) -> YamlNode:
        """Return the root node. Raises _UnreadableError."""
        for event in _events(_checked_text(text)):
            mark = event.start_mark
            self._handle(event, mark.line + 1 if mark else 1)
        root = self.root or YamlNode({}, self.file, 1, {})
        if root.value is None:
            root = YamlNode({}, self.file, 1, {})
        if not isinstance(root.value, dict):
            raise _UnreadableError(root.line, "a file holds sections", "begin with a section, such as `actions:`")
        return root

    def _handle(self, event: yaml.Event, line: int) -> None:
        if isinstance(event, yaml.ScalarEvent):
            _refuse_references(event, line)
            self._scalar(event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            _refuse_references(event, line)
            self._start({} if isinstance(event, yaml.MappingStartEvent) else [], line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            raise _UnreadableError(line, f"`*{event.anchor}` refers to another place", "write the value out here")
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _UnreadableError(line, "a second document begins here", "remove `---`, or use a second file")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self.stack[-1] if self.stack else None
        plain = event.implicit[0]
        if event.style == '"' and _UNPRINTABLE.search(event.value):
            raise _UnreadableError(line, "an escape for an unprintable character", "remove it")
        if top and isinstance(top.node.value, dict) and top.key is None:
            self._key(top, event.value, line, plain=plain)
        else:
            self._place(YamlNode(self._resolve(event.value, line) if plain else event.value, self.file, line, _SCALAR))

    def _key(self, top: _OpenCollection, key: str, line: int, *, plain: bool) -> None:
        if plain and key == "<<":
            raise _UnreadableError(line, "`<<` would merge another mapping", "write the keys out here")
        if key in top.node.items:
            first = top.node.items[key].line
            self._note(line, f"`{shorten(key)}` is given twice", f"the first is in line {first}; remove one of them")
        top.key, top.key_line = key, line

    def _start(self, value: dict[str, Any] | list[Any], line: int) -> None:
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.node.value, dict) and top.key is None:
            raise _UnreadableError(line, "a key must be a text", 'put a text that begins with { or [ in "quotes"')
        if len(self.stack) >= MAX_DEPTH:
            raise _UnreadableError(line, f"more than {MAX_DEPTH} levels of nesting", "flatten this part")
        line = top.key_line if top and top.key is not None else line
        self.stack.append(_OpenCollection(YamlNode(value, self.file, line, {})))

    def _end(self) -> None:
        node = self.stack.pop().node
        if isinstance(node.value, list):
            node.value = tuple(node.value)
        self._place(node)

    def _place(self, node: YamlNode) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        parent = top.node
        if isinstance(parent.value, list):
            parent.items[len(parent.value)] = node
            parent.value.append(node.value)
        elif top.key is not None:
            node.line = top.key_line
            if top.key not in parent.items:  # the first of duplicate keys stays; the others have been noted
                parent.items[top.key] = node
                parent.value[top.key] = node.value
            top.key = None

    def _resolve(self, text: str, line: int) -> Any:
        """Return a plain scalar as YAML reads it; a number that cannot be stays text, and a problem is noted."""
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) and len(text.lstrip("+-")) <= _MAX_DIGITS:
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number) and not _INT.fullmatch(text):
                return number
            self._note(
                line, f"the number `{shorten(text)}` is too large", "quotes for an identifier, .inf for infinity"
            )
        elif text.lower() in (".nan", "+.nan", "-.nan"):
            self._note(line, "`.nan` is not a number", "leave the key out if the value is not known")
        return text

    def _note(self, line: int, message: str, suggestion: str) -> None:
        self.problems.append(Mistake(self.file, line, message, suggestion))


def _checked_text(text: str) -> str:
    """Return the text without its byte order mark. Raises _UnreadableError if it is too long or not printable."""
    if len(text) > MAX_CHARACTERS:
        raise _UnreadableError(1, "the file is larger than 10 MB", "split it: sections of several files are merged")
    text = text.removeprefix("\ufeff")
    if bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise _UnreadableError(line, f"an unprintable character (code {ord(bad.group()):#x})", "remove it")
    return text


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield the events of PyYAML, with its syntax errors turned into _UnreadableError."""
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text) from None
    except yaml.YAMLError:
        raise _UnreadableError(1, "this is not YAML", "look for characters that do not belong here") from None


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> _UnreadableError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "this is not YAML"
    lines = text.splitlines()
    if mark and error.context_mark and not "".join(lines[mark.line :])[mark.column :].strip():
        mark = error.context_mark  # the problem is at the end of the text: report where it began
    if mark is None:
        return _UnreadableError(1, f"this is not YAML: {problem}")
    number = min(mark.line, max(0, len(text.rstrip().splitlines()) - 1))
    line = lines[number] if lines else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return _UnreadableError(number + 1, "a tab where YAML wants spaces", "indent with spaces")
    hint = next((hint for start, hint in _HINTS.items() if problem.startswith(start)), None)
    return _UnreadableError(number + 1, f"this is not YAML: {problem}", hint)


def _refuse_references(event: yaml.ScalarEvent | yaml.CollectionStartEvent, line: int) -> None:
    if event.anchor is not None:
        raise _UnreadableError(line, f"`&{event.anchor}` marks a place to refer to", "remove it, and write values out")
    if event.tag is not None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        raise _UnreadableError(line, f"the tag `{shorten(tag)}` is not allowed", "remove it; quotes make a text")


def shorten(text: str) -> str:
    """Return the text shortened to at most 60 characters, for messages."""
    return text if len(text) <= 60 else text[:57] + "…"
