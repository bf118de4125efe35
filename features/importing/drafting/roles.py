"""Which column of a file is what: the customer, the time, what was offered, what came of it; each a guess."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from decisioning.errors import Refused
from features.importing.drafting import names
from features.importing.drafting.columns import MAX_VALUES, Column
from features.importing.drafting.leaks import telling

Story = Literal["contacts", "events", "facts"]
"""What a file tells: contacts and what came of them, what customers did by themselves, or facts alone."""
_VARIES: Final = "rows of one customer and time differ in it, so it is no fact of the customer"
_TELLS_ALONE: Final = 0.8
"""The AUC from which on a column alone says so much of the outcome that it may be known only after it."""


@dataclass(frozen=True)
class Roles:
    """The roles of a file's columns; None and empty for what no column has.

    `outcomes` of contacts, or of customers by themselves where the story is `events`. `later`: columns that may be
    known only after the outcome, each with the AUC that it reaches alone. `left_out`: columns and why.
    """

    story: Story
    subject: Column | None
    account: Column | None
    contact: Column | None
    time: Column | None
    action: Column | None
    channel: Column | None
    chance: Column | None
    outcomes: tuple[Column, ...]
    age: Column | None
    later: dict[str, float]
    left_out: dict[str, str]
    features: tuple[Column, ...]


def roles_of(columns: Sequence[Column], outcome: str | None = None, event: str | None = None) -> Roles:
    """Return the roles of a file's columns.

    :param outcome: the column with what came of a contact, where a person says so
    :param event: the column with what customers did by themselves, where a person says so
    """
    pick = _Picker(columns)
    follows, happens = pick.named(outcome), pick.named(event)
    action = pick(lambda c: names.is_action(c.name) and _is_choice(c))
    outcomes, story = _outcomes(columns, follows or happens, follows is None, action is not None)
    pick.used.update(c.name for c in outcomes)
    subject = pick(lambda c: names.is_subject(c.name) and c.holds_ids and c.kind not in ("float", "time"))
    account = pick(lambda c: names.is_account(c.name) and c.holds_ids)
    contact = pick(lambda c: names.is_contact_id(c.name) and c.is_unique) if story == "contacts" else None
    time = pick(lambda c: c.kind == "time" and names.is_time(c.name)) or pick(
        lambda c: c.kind == "time" and not names.is_personal(c.name)
    )
    chance = pick(lambda c: names.is_chance(c.name) and _is_chance(c)) if story == "contacts" else None
    channel = pick(lambda c: names.is_channel(c.name) and c.kind == "enum") if story == "contacts" else None
    left_out = {c.name: why for c in pick.rest() if (why := _why_left_out(c))}
    left_out |= {c.name: _VARIES for c in pick.rest() if _varies(c, subject, time) and c.name not in left_out}
    features = tuple(c for c in pick.rest() if c.name not in left_out)
    later = dict(_later(features, outcomes))
    age = next((c for c in features if names.is_age(c.name) and c.numbers is not None), None)
    return Roles(
        story=story,
        subject=subject,
        account=account,
        contact=contact,
        time=time,
        action=action,
        channel=channel,
        chance=chance,
        outcomes=outcomes,
        age=age,
        later=later,
        left_out=left_out,
        features=features,
    )


def _varies(column: Column, subject: Column | None, time: Column | None) -> bool:
    """Tell whether rows of one customer and time differ in a column: then it is no fact of the customer."""
    if subject is None or time is None or subject.codes is None or time.codes is None or column.codes is None:
        return False
    key = subject.codes * (int(time.codes.max()) + 1) + time.codes
    rows = np.unique(np.column_stack([key, column.codes]), axis=0)
    return len(rows) > len(np.unique(key))


class _Picker:
    """Gives each column one role: the first column that fits, of those that have none yet."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.used: set[str] = set()

    def __call__(self, fits: Callable[[Column], bool]) -> Column | None:
        column = next((c for c in self.rest() if fits(c)), None)
        if column is not None:
            self.used.add(column.name)
        return column

    def named(self, name: str | None) -> Column | None:
        """Return the column of a name that a person gave, if there is one. Raises Refused if it says nothing."""
        column = next((c for c in self._columns if c.name == name), None)
        if column is None:
            return None
        if not column.values or column.distinct > MAX_VALUES:
            kinds = f"it holds {column.distinct:,} different texts, and at most {MAX_VALUES} can say so"
            raise Refused(f"column `{name}` says of no row whether something happened: {kinds}")
        return column

    def rest(self) -> list[Column]:
        """Return the columns without a role."""
        return [c for c in self._columns if c.name not in self.used]


def _is_choice(column: Column) -> bool:
    """Tell whether a column may hold names of what was offered: few texts, or numbers that are called ids."""
    named_id = bool({"id", "nr", "code"}.intersection(names.tokens(column.name)))
    return bool(column.values) and column.filled == column.rows and (column.kind == "enum" or named_id)


def _is_chance(column: Column) -> bool:
    """Tell whether a column holds numbers from 0 to 1; they may be the same in every row."""
    if column.kind == "constant":
        return re.fullmatch(r"0[.,][0-9]+|1([.,]0+)?", next(iter(column.values))) is not None
    limits = column.limits
    return limits is not None and 0.0 <= limits[0] <= limits[1] <= 1.0


def _outcomes(
    columns: Sequence[Column], stated: Column | None, is_event: bool, has_action: bool
) -> tuple[tuple[Column, ...], Story]:
    if stated is not None:
        return (stated,), "events" if is_event else "contacts"
    two = [c for c in columns if c.is_two_valued and c.filled == c.rows]
    after_contacts = tuple(c for c in two if names.is_outcome(c.name))
    by_themselves = tuple(c for c in two if names.is_label(c.name))
    if after_contacts or has_action:
        return after_contacts, "contacts"
    return (by_themselves[:1], "events") if by_themselves else ((), "facts")


def _why_left_out(column: Column) -> str | None:
    """Return why a column is no feature; None if it may be one."""
    if names.is_consent(column.name):
        return "it may be a consent, and only you know what people were asked: see `consents` of a mapping"
    if names.is_personal(column.name) and column.kind not in ("bool", "enum"):
        return "its name says that it tells who or where a person is, and nothing is learned from that"
    if column.kind in ("empty", "constant"):
        return "it is the same in every row"
    if column.kind == "text":
        return f"it holds {column.distinct:,} different texts, of which a model learns nothing"
    if column.kind == "time":
        return "a model reads no times: make it a number, such as days since then"
    return "every row has another number, as ids have" if _looks_like_id(column) else None


def _looks_like_id(column: Column) -> bool:
    numbered = column.kind == "int" and column.is_unique and column.rows > 50
    return numbered and bool({"id", "nr", "nummer", "number", "index", "no"}.intersection(names.tokens(column.name)))


def _later(features: Sequence[Column], outcomes: Sequence[Column]) -> Iterator[tuple[str, float]]:
    areas: dict[str, float] = {}
    for outcome in outcomes:
        for name, area in telling(features, outcome):
            areas[name] = max(area, areas.get(name, 0.0))
    for name, area in areas.items():
        if area >= _TELLS_ALONE or names.comes_later(name):
            yield name, area
