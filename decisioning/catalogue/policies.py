"""The catalogue's records about when an action may be taken, as written in YAML."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from decisioning.catalogue.actions import Action, HandoverKind, PointInTime, Text, WindowDays
from decisioning.facts.forms import Issue
from decisioning.facts.schema import Description, FeatureName, Id, Locale, Strict, Value
from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus
from decisioning.facts.standing_rules import CapCount
from decisioning.periods import LONGEST_US, UNKNOWN_ZONE_US, Period, period_start_us
from decisioning.spec import one_as_tuple
from decisioning.times import days_us, microseconds, parse_decision_time

Level = Literal["eligibility", "applicability", "suitability", "contact"]
ProtectionKind = Literal["hardship", "vulnerability", "bereavement", "arrears", "complaint", "service-issue"]
CappedTier = Literal["service", "commercial"]
Route = Literal["webhook", "stream"]
ArmId = Literal["holdout", "no-levers", "propensity-only", "random"]
Unit = Literal["person", "account"]

REQUIRED_PROTECTIONS: tuple[ProtectionKind, ...] = get_args(ProtectionKind)
"""The kinds of protection without which nothing may be sold."""


def _refuse_collections(raw: Any) -> Any:
    if isinstance(raw, tuple | dict):
        raise ValueError("expected a single value", "write one number, one text, true or false")
    return raw


PersonaFact = Annotated[Value | None, BeforeValidator(_refuse_collections)]
ChannelOrAll = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9]*([_-][a-z0-9]+)*)$", max_length=64)]


class Attach(Strict):
    """The actions that a record concerns: `all`, or one of issue, group, action with a name or a list of names."""

    all: Literal[True] | None = None
    issue: Annotated[tuple[Issue, ...], BeforeValidator(one_as_tuple)] = ()
    group: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()
    action: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()

    @model_validator(mode="before")
    @classmethod
    def _all_is_a_word(cls, raw: Any) -> Any:
        return {"all": True} if raw == "all" else raw

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if sum(map(bool, (self.all, self.issue, self.group, self.action))) != 1:
            raise ValueError("expected `all` or exactly one of {issue: grow}, {group: tv}, {action: [tv-bundle]}")
        return self

    def covers(self, action: Action) -> bool:
        """Tell whether it concerns this action."""
        return bool(self.all) or action.issue in self.issue or action.group in self.group or action.id in self.action


EVERYTHING = Attach(all=True)


class Policy(Strict):
    """A gate for the actions it is attached to: `permit` must be TRUE, or `deny` must be FALSE."""

    id: Id
    level: Level
    attach: Attach = EVERYTHING
    permit: Text | None = None
    deny: Text | None = None
    description: Description = ""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.permit is None) == (self.deny is None):
            raise ValueError(
                "it needs one rule", 'add `permit: "age >= 18"` (passes if true), or `deny: …` (passes if false)'
            )
        return self

    @property
    def rule(self) -> str:
        """The text of the rule, whichever of the two it is."""
        return self.permit if self.permit is not None else self.deny or ""


class Protection(Strict):
    """A reason to sell and lend nothing: whatever sells or lends is withheld unless `when` is definitely FALSE."""

    id: Id
    kind: Annotated[tuple[ProtectionKind, ...], BeforeValidator(one_as_tuple), Field(min_length=1)]
    when: Text
    description: Description = ""


class Cap(Strict):
    """At most `limit` contacts in any `window_days` or `per` day, week or month, counted per action, group, issue or
    channel, or over all.

    A day, a week (from Monday) and a month are those of the calendar in the time zone of the person who is asked for,
    also for the contacts of an account. The cap holds for candidates on `channels` (none named: all) and of `tiers`.
    Contacts that cannot be capped are not counted.
    """

    id: Id
    count: CapCount
    limit: int = Field(ge=0)
    window_days: WindowDays | None = None
    per: Period | None = None
    attach: Attach = EVERYTHING
    channels: tuple[Id, ...] = ()
    tiers: tuple[CappedTier, ...] = Field(default=("commercial",), min_length=1)
    description: Description = ""

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if (self.window_days is None) == (self.per is None):
            raise ValueError(
                "it needs one period",
                "add `per: day` (or week, month: by the customer's calendar), or `window_days: 7` (any 7 days)",
            )
        return self

    @property
    def window_us(self) -> int:
        """How far back it counts at most, in microseconds."""
        return LONGEST_US[self.per] if self.per else days_us(self.window_days or 0)

    def counts_after_us(self, zone: str | None, now_us: int) -> int:
        """Return the time after which contacts count, for a person in this time zone (None: unknown)."""
        if self.per is None:
            return now_us - self.window_us
        start_us = period_start_us(self.per, zone, now_us)
        return now_us - UNKNOWN_ZONE_US[self.per] if start_us is None else start_us - 1

    @property
    def in_words(self) -> str:
        """How often contacts are allowed, such as `1 a day` or `2 in any 7 days`."""
        return f"{self.limit} a {self.per}" if self.per else f"{self.limit} in any {self.window_days:g} days"


class Arm(Strict):
    """A control group: a `share` of all units, within [from, until); None is an open end.

    See `decisioning.deciding.arms`.
    """

    id: ArmId
    share: float = Field(gt=0, le=0.25)
    unit: Unit = "person"
    from_: PointInTime = Field(alias="from")
    until: PointInTime | None = None
    description: str = ""

    @model_validator(mode="after")
    def _dates(self) -> Self:
        if self.until is not None and self.until <= self.from_:
            raise ValueError("`until` is not after `from`", "exchange them, or remove `until`")
        return self

    def holds(self, place: float, now_us: int) -> bool:
        """Tell whether a unit at `place` in [0, 1) is in this arm now; each kind of arm has a quarter of that range."""
        kinds = get_args(ArmId)
        within = 0.0 <= place - kinds.index(self.id) / len(kinds) < self.share
        began = microseconds(self.from_) <= now_us
        return within and began and (self.until is None or now_us < microseconds(self.until))


class EmotionRule(Strict):
    """What the emotion layer does while `when` is TRUE.

    `let_through`: helping actions that are held back otherwise and now come before everything else. `handover`: the
    reason given to the person who is called, as it is recorded. Of that handover, `handover_in`: locale -> the same
    reason for people who read another language. `kind`: what it is about. `within_days`: when it must be answered, in
    place of what the settings say of its kind. `needs`: what the person is trained for. `first`: it comes before all
    others. `text`: locale -> what is told to the customer meanwhile, as the company approved it.
    """

    id: Id
    when: Text
    silence_sales: bool = False
    let_through: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()
    tone: Id | None = None
    handover: Text | None = None
    handover_in: dict[Locale, Text] = Field(default_factory=dict)
    kind: HandoverKind | None = None
    within_days: int | None = Field(default=None, ge=1, le=365)
    needs: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()
    first: bool = False
    text: dict[Locale, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.silence_sales or self.let_through or self.tone or self.handover):
            raise ValueError("it does nothing", "add `silence_sales: true`, `tone: calm` or `handover: a reason`")
        return self

    @model_validator(mode="after")
    def _of_a_handover(self) -> Self:
        terms = ("handover_in", "kind", "within_days", "needs", "first", "text")
        if self.handover is None and (stated := [name for name in terms if getattr(self, name)]):
            raise ValueError(f"`{stated[0]}` is about a handover, and it opens none", "add `handover: a reason`")
        return self


def reason_in(rules: Iterable[EmotionRule], reason: str, locale: Locale) -> str:
    """Return the reason of a handover in a language where the rule that gave it has it, else as it was given."""
    return next(
        (rule.handover_in[locale] for rule in rules if rule.handover == reason and locale in rule.handover_in), reason
    )


class MomentRule(Strict):
    """A pattern over signals that opens a decision nobody requested, and where that decision goes.

    `on`: signal types after which the rule is evaluated, `wait_s` seconds later (another such signal starts the wait
    anew: a cart is abandoned once nothing happens to it any more). The moment happens if `when` is TRUE then, at most
    once in `every_h` hours for a subject. `deliver`: over a signed webhook, to screens that listen on the channel, or
    both.
    """

    id: Id
    on: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple), Field(min_length=1)]
    when: Text
    channel: Id
    placements: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple), Field(min_length=1)]
    wait_s: int = Field(default=0, ge=0, le=7 * 86_400)
    every_h: float = Field(default=24.0, ge=0, le=24 * 365)
    deliver: Annotated[tuple[Route, ...], BeforeValidator(one_as_tuple), Field(min_length=1)] = ("webhook", "stream")
    description: str = ""


class PersonaConsent(Strict):
    """A consent of a persona; channel `*` means all."""

    purpose: Id
    channel: ChannelOrAll = ALL_CHANNELS
    status: ConsentStatus = "granted"


class Expect(Strict):
    """The expected result: this action first, or nothing, and these actions withheld by these gates."""

    action: Id | None = None
    none: Literal[True] | None = None
    withheld: dict[Id, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.action and self.none:
            raise ValueError("an action is expected, and none", "remove `action` or `none`")
        if not (self.action or self.none or self.withheld):
            raise ValueError("expected {action: tv-bundle}, {none: true} or {withheld: {tv-bundle: no-debt}}")
        return self


class Persona(Strict):
    """One case of the regression suite: an invented customer, previewed at `as_of`."""

    id: Id
    channel: Id
    placements: tuple[Id, ...] = Field(min_length=1)
    locale: Locale | None = None
    account: bool = False
    as_of: Annotated[datetime, BeforeValidator(parse_decision_time)] | None = None
    facts: dict[FeatureName, PersonaFact] = Field(default_factory=dict)
    consents: tuple[PersonaConsent, ...] = ()
    expect: Expect
    description: str = ""

    @property
    def as_of_us(self) -> int | None:
        """The time of the preview; None: now."""
        return microseconds(self.as_of) if self.as_of else None
