"""The mapping, as written in YAML: how a company's own files become facts, contacts, outcomes and consents."""

from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from decisioning.catalogue.actions import (
    COMMERCIAL_ISSUES,
    Amount,
    Basis,
    Channel,
    Days,
    Factor,
    LegalBasis,
    PointInTime,
    Purpose,
    Settings,
    Suppression,
    Text,
)
from decisioning.catalogue.policies import Cap, ChannelOrAll, Policy, Protection, ProtectionKind
from decisioning.facts.because import Because
from decisioning.facts.forms import Issue
from decisioning.facts.schema import Dtype, FeatureName, Id, Strict, Tag, Value
from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus
from decisioning.spec import one_as_tuple
from features.importing.opening.stated import OPTIONS, Compression, DateOrder, Decimal, Separator, Stated

NONE = "none"
"""The action of a row in which nothing was done."""


def _word(raw: Any) -> Any:
    """Return a YAML scalar as the text of a cell, so that 1 is "1" and true is "true"."""
    if isinstance(raw, bool):
        return str(raw).lower()
    return str(raw) if isinstance(raw, int | float) else raw


def _words(raw: Any) -> Any:
    return tuple(map(_word, raw)) if isinstance(raw, tuple) else (_word(raw),)


def _chance(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return float(Fraction(raw))
    except (ValueError, ZeroDivisionError):
        raise ValueError("expected a probability such as 0.5 or 1/3, or {column: …}") from None


def _bare(key: str) -> BeforeValidator:
    """Return a validator that reads a value written without a mapping as `{key: value}`."""
    return BeforeValidator(lambda raw: raw if isinstance(raw, dict) else {key: raw})


def _one_of(*values: object) -> bool:
    return sum(v is not None for v in values) == 1


Word = Annotated[str, BeforeValidator(_word)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
NameOrNone = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)]


class RowSubject(Strict):
    """The customer of a row: the `column` with the customer's id, or `row`, a prefix before the number of the row."""

    column: ColumnName | None = None
    row: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not _one_of(self.column, self.row):
            raise ValueError("expected {column: customer_id}, or {row: shop-} for files without ids")
        return self


class When(Strict):
    """A time: the same for all rows, or a column. `format` is a format of Python's strptime, by default ISO 8601."""

    time: PointInTime | None = None
    column: ColumnName | None = None
    format: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not _one_of(self.time, self.column):
            raise ValueError("expected a time such as 2026-11-01, or {column: sent_at}")
        return self


class Choice(Strict):
    """A name: the same for all rows, or a column whose cells `values` translates."""

    name: NameOrNone | None = None
    column: ColumnName | None = None
    values: dict[str, NameOrNone] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not _one_of(self.name, self.column) or (self.column is None) != (not self.values):
            raise ValueError("expected a name, or {column: segment, values: {Text in the file: name}}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a row can have."""
        return (self.name,) if self.name is not None else tuple(dict.fromkeys(self.values.values()))


class Chance(Strict):
    """The logged probability of what was done: a number, a fraction such as 1/3, or a column."""

    value: Annotated[float, BeforeValidator(_chance), Field(gt=0, le=1)] | None = None
    column: ColumnName | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not _one_of(self.value, self.column):
            raise ValueError("expected a probability such as 1/3, or {column: …}")
        return self


Time = Annotated[When, _bare("time")]
Named = Annotated[Choice, _bare("name")]
Logged = Annotated[Chance, _bare("value")]


class FeatureColumn(Strict):
    """A column of facts. `map` translates its cells; `min`, `max` and `values` come from the data if absent.

    `after_outcome`: known only once the outcome is. The feature is declared and kept with the contact; no model may
    read it. `because`: how it is told as a reason, as in the catalogue.
    """

    column: ColumnName
    name: FeatureName
    dtype: Dtype
    unit: str | None = None
    description: str = ""
    tags: tuple[Tag, ...] = ()
    min: float | None = None
    max: float | None = None
    max_age_s: int | None = Field(default=None, gt=0)
    values: tuple[str, ...] = ()
    map: dict[str, Word] = Field(default_factory=dict)
    true: Words = ("true", "yes", "y", "1", "ja", "j", "waar")
    false: Words = ("false", "no", "n", "0", "nee", "onwaar")
    missing: Words | None = None
    format: Text | None = None
    after_outcome: bool = False
    because: Because | None = None


class ValueColumn(Strict):
    """The column with the value of an outcome, in euros."""

    column: ColumnName


class OutcomeColumn(Strict):
    """Something that the customer did, in rows where `column` holds one of `positive` or a number over `above`.

    `negative`: the texts of all other rows. Without it, some row must hold one of `positive`, as a file in which
    nothing happened may be one that says it otherwise. A missing cell is refused. Its time is `at`, by default that of
    the row's contact. `counts`: whether it is a positive or a negative outcome of its action.
    """

    name: Id
    column: ColumnName
    positive: Words | None = None
    negative: Words | None = None
    above: float | None = None
    counts: Literal["positive", "negative"] = "positive"
    value: ValueColumn | None = None
    at: Time | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not _one_of(self.positive, self.above):
            raise ValueError("expected `positive: [yes]` or `above: 0`")
        if self.negative is not None and self.positive is None:
            raise ValueError("`negative` needs `positive`")
        return self


class ContactColumns(Strict):
    """The contact of a row, by default at the file's `as_of`.

    Without `id`, customer, action, channel and time identify a contact.
    """

    id: ColumnName | None = None
    action: Named
    channel: Named
    at: Time | None = None
    probability: Logged | None = None
    outcomes: tuple[OutcomeColumn, ...] = ()


class LateOutcome(OutcomeColumn):
    """An outcome in a file of outcomes: of the contact in column `contact`, or of `action` for the row's customer."""

    contact: ColumnName | None = None
    action: Named
    at: Time


class ConsentColumn(Strict):
    """A consent in a file: granted or refused by the text in `column`. Other texts give no record."""

    purpose: Id
    channel: ChannelOrAll = ALL_CHANNELS
    column: ColumnName
    granted: Words
    refused: Words = ()
    notice_version: Text
    at: Time


class FileSpec(Strict):
    """One file. `path` is relative to the mapping; without it, whoever imports gives the path.

    How it is written is recognised, as far as `format` to `sheet` do not state it.
    """

    id: Id
    path: Text | None = None
    format: Literal["csv", "parquet"] | None = None
    separator: Annotated[Separator, Field(min_length=1, max_length=1)] | None = None
    decimal: Decimal | None = None
    encoding: Text | None = None
    dates: DateOrder | None = None
    compression: Compression | None = None
    sheet: Text | None = None
    missing: Words = ("",)
    subject: RowSubject
    account: ColumnName | None = None
    as_of: Time | None = None
    features: tuple[FeatureColumn, ...] = ()
    contact: ContactColumns | None = None
    outcomes: tuple[LateOutcome, ...] = ()
    consents: tuple[ConsentColumn, ...] = ()

    @property
    def stated(self) -> Stated:
        """What the mapping states of how the file is written."""
        options = {name: getattr(self, name) for name in OPTIONS}
        return Stated(**options, kind=self.format)

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.as_of is None and any(not f.after_outcome for f in self.features):
            raise ValueError("its features need a time", "add `as_of: 2026-11-01`, or `as_of: {column: …}`")
        if self.contact is not None and self.contact.at is None and self.as_of is None:
            raise ValueError("its contacts need a time", "add `at: {column: …}` to `contact`, or `as_of: 2026-11-01`")
        if self.contact is None and any(f.after_outcome for f in self.features):
            raise ValueError("`after_outcome` needs a contact that the outcome follows", "add `contact:`")
        return self


class ActionSpec(Strict):
    """An action of the log, for the catalogue; its outcomes come from the mapping, its prior from the data.

    What all actions share stands once under `every_action`.
    """

    id: Id
    issue: Issue
    group: Id
    title: Text
    value: Amount
    cost: Amount = Amount(eur=0.0)
    price_eur: Factor | None = None
    window_days: Days = 30.0
    purposes: tuple[Id, ...] = ()
    suppress: tuple[Suppression, ...] = ()
    description: str = ""

    @property
    def tier(self) -> Literal["service", "commercial"]:
        """The tier that actions of this issue have by default."""
        return "commercial" if self.issue in COMMERCIAL_ISSUES else "service"


class AssertedFeature(Strict):
    """A fact that somebody asserts of all customers.

    `protects`: the kinds of protection that withhold sales unless the fact is false.
    """

    name: FeatureName
    value: Value
    values: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()
    protects: Annotated[tuple[ProtectionKind, ...], BeforeValidator(one_as_tuple)] = ()
    description: str = ""


class AssertedConsent(Strict):
    """A consent that somebody asserts of all customers of the files."""

    purpose: Id
    channel: ChannelOrAll = ALL_CHANNELS
    status: ConsentStatus = "granted"


class AssertedBasis(Strict):
    """A legal basis that somebody asserts to hold without consent, on `channels`."""

    id: Id
    purpose: Id
    basis: LegalBasis
    channels: tuple[Id, ...] = Field(min_length=1)


class Assertion(Strict):
    """What `author` asserts without proof, in the words of `text`, as true from `since` on; refused in prod.

    `since`: by default the earliest `as_of` that a file states for all its rows.
    """

    author: Text
    text: Text
    since: PointInTime
    consents: tuple[AssertedConsent, ...] = ()
    bases: tuple[AssertedBasis, ...] = ()
    features: tuple[AssertedFeature, ...] = ()


class Score(Strict):
    """A model's probability of `outcome`, written as feature `name`."""

    name: FeatureName
    outcome: Id
    description: str = ""


class ImportMapping(Strict):
    """A whole mapping; purposes, bases, channels, policies, protections and caps are written as in the catalogue."""

    id: Id
    about: Text
    time_zone: str = "UTC"
    settings: Settings = Settings()
    purposes: tuple[Purpose, ...] = ()
    bases: tuple[Basis, ...] = ()
    channels: tuple[Channel, ...] = ()
    actions: tuple[ActionSpec, ...] = ()
    policies: tuple[Policy, ...] = ()
    protections: tuple[Protection, ...] = ()
    caps: tuple[Cap, ...] = ()
    scores: tuple[Score, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    files: tuple[FileSpec, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _since_the_first_file(cls, raw: Any) -> Any:
        """Give assertions without `since` the earliest time that a file states for all its rows, if there is one."""
        times = [f.get("as_of") for f in raw.get("files", ()) if isinstance(f, dict)] if isinstance(raw, dict) else []
        stated = sorted(time for time in times if isinstance(time, str) and time[:1].isdigit())
        if not stated or not isinstance(raw.get("assertions"), tuple):
            return raw
        with_time = ({"since": stated[0], **a} if isinstance(a, dict) else a for a in raw["assertions"])
        return {**raw, "assertions": tuple(with_time)}

    @property
    def outcomes(self) -> tuple[tuple[tuple[str, ...], OutcomeColumn], ...]:
        """Every outcome of every file, as (actions that it may follow, outcome)."""
        direct = ((f.contact.action.names, o) for f in self.files if f.contact for o in f.contact.outcomes)
        late = ((o.action.names, o) for f in self.files for o in f.outcomes)
        return (*direct, *late)
