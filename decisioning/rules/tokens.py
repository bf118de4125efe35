"""Tokenizer of rule texts."""

import re
from dataclasses import dataclass
from typing import Literal, cast

from decisioning.rules.errors import RuleError

TokenKind = Literal["number", "text", "word", "op", "end"]

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<text>"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<op>==|!=|<=|>=|&&|\|\||[<>!?:+\-*/%(),.\[\]])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}
_HINTS = {
    "=": "compare with ==",
    "&": "and is &&",
    "|": "or is ||",
    '"': "close the quotes on the same line",
    "'": "close the quotes on the same line",
    ";": "a rule is one expression",
}


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is the source text; for a string literal it is the string's value."""

    kind: TokenKind
    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Return all tokens, with one of kind `end` last; raises RuleError at the first character that begins no token."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        token = _next(text, at)
        if token is None:
            at = cast("re.Match[str]", _TOKEN.match(text, at)).end()
            continue
        _refuse_adjacent(tokens, token)
        tokens.append(token)
        at = token.end
    return [*tokens, Token("end", "", len(text), len(text))]


def _next(text: str, at: int) -> Token | None:
    match = _TOKEN.match(text, at)
    if match is None:
        raise RuleError(f"unexpected {text[at]!r}", at, _HINTS.get(text[at]))
    if match.lastgroup == "space":
        return None
    kind = cast("TokenKind", match.lastgroup)
    value = _unescape(match.group(), at) if kind == "text" else match.group()
    return Token(kind, value, at, match.end())


def _refuse_adjacent(tokens: list[Token], token: Token) -> None:
    """Raise RuleError for `12abc` and `1.2.3`, which would otherwise be two tokens."""
    before = tokens[-1] if tokens else None
    if before and before.kind == "number" and before.end == token.start and token.kind in ("word", "number"):
        raise RuleError(f"{before.text}{token.text} is not a number", before.start)


def _unescape(quoted: str, at: int) -> str:
    def character(match: re.Match[str]) -> str:
        if match.group(1) not in _ESCAPES:
            raise RuleError(f"unknown escape {match.group()!r}", at + 1 + match.start(), "write a backslash as \\\\")
        return _ESCAPES[match.group(1)]

    return _ESCAPE.sub(character, quoted[1:-1])
