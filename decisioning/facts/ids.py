"""Ids of subjects, requests and outcomes: one form for every route, body, signal, import and command."""

import re
from typing import Annotated, Final, get_args

from pydantic import AfterValidator, Field, ValidationInfo

from decisioning.errors import RequestError
from decisioning.facts.standing import LinkKind

MAX_ID: Final = 128
FORM: Final = r"[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?"
"""The regular expression of an id: 1 to 128 printable ASCII characters, without spaces at its ends."""
ABSENT: Final = frozenset(
    text.lower()
    for text in (
        *("NA", "N/A", "#NA", "#N/A", "<NA>", "NaN", "-NaN", "NaT"),
        *("null", "<null>", "(null)", r"\N", "None", "(none)", "nil", "undefined"),
        *("#VALUE!", "#REF!", "#NAME?", "#NULL!", "#NUM!", "#DIV/0!"),
    )
)
"""Texts, in lower case, that programs write where there is no value. As ids, they would make one of many strangers."""
UNADDRESSABLE: Final = frozenset((".", ".."))
"""Texts that no path of an address can name: a browser or a proxy takes them for folders, percent-encoded or not."""
ROUNDED: Final = r"[+-]?[0-9]([.,][0-9]+)?[eE]\+[0-9]{2,3}"
"""The regular expression of a number that a spreadsheet or a float column rounded: many ids become one."""
PREFIX: Final = rf"(?:{'|'.join(get_args(LinkKind))}):"
"""The regular expression of the kind before an identifier, in lower case."""
FORMULA: Final = r'=".*"'
"""The regular expression of a text that a spreadsheet is kept from reading as a number: `="00777"`."""
RECORDED: Final = {"recorded": True}
"""The validation context of requests that were recorded: they were valid by the rules of their day."""
BAD_FORM: Final = "is not an id of 1 to 128 printable ASCII characters"
IS_ABSENT: Final = "is what programs write where there is no id: leave it out, or send the id"
IS_UNADDRESSABLE: Final = "is no id, as no address could name it"
IS_ROUNDED: Final = "is a number that a program rounded: many ids look like it, so export ids as text"
IS_FORMULA: Final = "is a formula of a spreadsheet: export ids as text"

_FORM, _ROUNDED, _FORMULA, _PREFIX = map(re.compile, (FORM, ROUNDED, FORMULA, PREFIX))


def problem_of(raw: str) -> str | None:
    """Return what keeps a text from being an id, without the text; None if it is one."""
    return BAD_FORM if _FORM.fullmatch(raw) is None else _unusable(raw)


def _unusable(raw: str) -> str | None:
    """Return why a text of the form of an id is none; an identifier carries its kind: `cookie:null`."""
    lower = raw.lower()
    if lower in ABSENT or (":" in raw and _PREFIX.sub("", lower, count=1) in ABSENT):
        return IS_ABSENT
    if raw in UNADDRESSABLE:
        return IS_UNADDRESSABLE
    if "+" in raw and _ROUNDED.fullmatch(raw):
        return IS_ROUNDED
    return IS_FORMULA if raw.startswith("=") and _FORMULA.fullmatch(raw) else None


def _checked(raw: str, info: ValidationInfo) -> str:
    problem = _unusable(raw)
    if problem is not None and info.context is not RECORDED:
        raise ValueError(problem)
    return raw


SubjectId = Annotated[str, Field(min_length=1, max_length=MAX_ID, pattern=f"^{FORM}$"), AfterValidator(_checked)]
"""An id of a subject, a request or an outcome; see `problem_of`."""


def check_id(field: str, raw: str) -> str:
    """Return the id. Raises RequestError, which names the field and never the text."""
    if problem := problem_of(raw):
        raise RequestError(field, problem)
    return raw
