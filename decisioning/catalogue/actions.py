"""The catalogue's records about actions and channels, as written in YAML.

Lengths and patterns are checked here; how records fit each other is checked in `decisioning.catalogue.check`. Money is
in euros. Times are aware datetimes; their `_us` properties are int microseconds since 1970 UTC.
"""

import re
from collections.abc import Mapping
from datetime import datetime, time
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from decisioning.catalogue.exploration import ExplorationSettings
from decisioning.catalogue.people.selling import MustSay
from decisioning.catalogue.people.waiting import HandoverSettings
from decisioning.facts.forms import Issue
from decisioning.facts.schema import Description, FeatureName, Id, Locale, Strict
from decisioning.facts.signals import SignalSettings
from decisioning.facts.standing import CountsOn
from decisioning.periods import local_time
from decisioning.spec import one_as_tuple
from decisioning.times import days_us, microseconds, parse_moment

Tier = Literal["mandatory", "service", "commercial"]
Scope = Literal["person", "account"]
Automation = Literal["automatic", "suggest", "human_only"]
ChannelDirection = Literal["inbound", "outbound"]
LegalBasis = Literal[
    "contract", "legal-obligation", "vital-interests", "public-task", "legitimate-interests", "soft-opt-in"
]
Medium = Literal["phone", "email", "sms", "push", "post"]
HandoverKind = Literal[
    "wish",
    "objection",
    "access",
    "erasure",
    "complaint",
    "unsolved",
    "judgement",
    "care",
    "danger",
    "violence",
    "bereavement",
    "money",
]
"""What a handover is about. `unsolved`: nothing else helped. `judgement`: a person decides. `care`: any of the four
after it; nothing says which."""
CARE_KINDS: frozenset[HandoverKind] = frozenset(("care", "danger", "violence", "bereavement", "money"))

HANDOVER_DAYS: Mapping[HandoverKind, int] = MappingProxyType({"access": 28, "erasure": 28, "objection": 28})
"""Within how many days a handover must be answered, where the settings say nothing: requests under articles 15 to 21 of
the GDPR within one month (article 12(3)), which has 28 days at least."""

COMMERCIAL_ISSUES: frozenset[Issue] = frozenset({"grow", "retain", "nurture"})
MARKETING = "marketing"
PROFILING = "profiling"
SERVICE = "service"
SHARING = "sharing"
EMOTION = "emotion"
MAX_WINDOW_DAYS = 800
"""The longest time that caps and rules may look back, and that an outcome may be waited for."""

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _parse_clock(text: object) -> time:
    if not isinstance(text, str) or not _CLOCK.fullmatch(text):
        raise ValueError('expected a time of day from "00:00" to "23:59", such as "21:00"')
    return time.fromisoformat(text)


def _as_levers(raw: Any) -> Any:
    return ({"factor": raw},) if isinstance(raw, int | float) else raw


PointInTime = Annotated[datetime, BeforeValidator(parse_moment)]
Clock = Annotated[time, BeforeValidator(_parse_clock)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Days = Annotated[float, Field(gt=0, le=36_500)]
WindowDays = Annotated[float, Field(gt=0, le=MAX_WINDOW_DAYS)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Content = dict[Locale, dict[FeatureName, Text]]
"""Locale -> field (`title`) -> text with `{feature}` placeholders; `{{` and `}}` are literal braces."""


Monotone = dict[FeatureName, Literal["up", "down"]]
"""Feature -> what more of it never does to the positive outcome: make it less likely (up), or more likely (down)."""


class Priors(Strict):
    """Propensities of actions that state none: that of their group, else of their issue, else `default`."""

    group: dict[Id, Probability] = Field(default_factory=dict)
    issue: dict[Issue, Probability] = Field(default_factory=dict)
    default: Probability = 0.01


class Settings(Strict):
    """Settings of the whole workspace. Treatments are written in all `locales`; the first is the default.

    `arm_salt`: changing it assigns everyone to control groups anew. `country_rules`: whose rules hold for outbound
    contact (`nl`, `eu`, or one declared under `country_rules`). `gpc`: the purposes that a Global Privacy Control
    withdraws. `age_feature`: a number of years, or a bool that is true of adults. A customer who is not known to be
    `adult_age` is not profiled. `transparency`: per issue, the least transparency that a model must have, from 1
    (opaque) to 5 (transparent). `ai_disclosure`: locale -> the text that discloses a machine to the customer, in place
    of ours. `ranking`: whether actions of the commercial tier are ranked by their propensity, or by their uplift, which
    is how much showing them raises it. By uplift, an action that becomes less likely when it is shown is worth less
    than nothing. Where the model does not know the uplift, the propensity stands in, which is the larger number.
    `address`: how the Dutch clauses of reasons speak to the customer. `wording`: how reasons are told; a release states
    the newest when it is made, and earlier ones stated none. `override_reasons`: why people may say that they did
    something else than was suggested. `handover_days`: by what a handover is about, within how many days it must be
    answered, in place of `HANDOVER_DAYS`. `objection_text`: locale -> what confirms to a customer that an objection was
    recorded, in place of ours; `{channel}` stands for where they get no more offers. `handover`: what happens to
    handovers that no agent takes in time.
    """

    eur_per_point: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    time_zone: str = "UTC"
    time_zone_feature: FeatureName | None = None
    locales: tuple[Locale, ...] = Field(default=("en",), min_length=1)
    max_per_group: int = Field(default=1, ge=1)
    priors: Priors = Priors()
    signals: SignalSettings = SignalSettings()
    arm_salt: str = ""
    country_rules: Id | None = None
    gpc: tuple[Id, ...] = (PROFILING, SHARING)
    age_feature: FeatureName | None = None
    adult_age: int = Field(default=18, ge=13, le=130)
    transparency: dict[Issue, Annotated[int, Field(ge=1, le=5)]] = Field(default_factory=dict)
    monotone: dict[Issue, Monotone] = Field(default_factory=dict)
    ai_disclosure: dict[Locale, Text] = Field(default_factory=dict)
    ranking: Literal["propensity", "uplift"] = "propensity"
    address: Literal["je", "u"] = "je"
    wording: Literal[1, 2] = 1
    override_reasons: tuple[Id, ...] = Field(
        default=("price", "not_suitable", "customer_asked", "wrong_moment", "other"), min_length=1
    )
    handover_days: dict[HandoverKind, Annotated[int, Field(ge=1, le=365)]] = Field(default_factory=dict)
    objection_text: dict[Locale, Text] = Field(default_factory=dict)
    handover: HandoverSettings = HandoverSettings()

    def days_to_answer(self, kind: HandoverKind | None) -> int | None:
        """Return within how many days a handover of this kind must be answered; None if nothing says so."""
        return None if kind is None else self.handover_days.get(kind, HANDOVER_DAYS.get(kind))


class Purpose(Strict):
    """A purpose that a consent is given for. A consent older than `max_age_days` is unknown."""

    id: Id
    notice_version: Text
    max_age_days: Days | None = None
    description: Description = ""


class SoftOptIn(Strict):
    """The conditions under which messages need no consent: rules that must be TRUE, and groups of similar own products.

    `customer`: they bought from us. `opt_out_offered`: they could object then, and can in every message. Whether they
    did is recorded: any refusal is stronger.
    """

    customer: Text
    opt_out_offered: Text
    groups: tuple[Id, ...] = Field(min_length=1)


class Basis(Strict):
    """A legal basis other than consent, for one purpose on `channels`. `asserted_by`: it was stated, not proven."""

    id: Id
    purpose: Id
    basis: LegalBasis
    channels: tuple[Id, ...] = Field(min_length=1)
    text: Text
    asserted_by: str | None = None
    soft_opt_in: SoftOptIn | None = None

    @model_validator(mode="after")
    def _conditions_with_their_basis(self) -> Self:
        if (self.basis == "soft-opt-in") != (self.soft_opt_in is not None):
            raise ValueError(
                "`basis: soft-opt-in` and its conditions belong together",
                "add `soft_opt_in: {customer: …, opt_out_offered: …, groups: [tv]}`, or remove it",
            )
        return self


class QuietHours(Strict):
    """From `from_` (included) until `to` (excluded), in the customer's local time; the interval may pass midnight."""

    from_: Clock = Field(alias="from")
    to: Clock

    def hold_at(self, zone: str | None, at_us: int) -> bool | None:
        """Tell whether it is quiet time in a zone; None if there is no such zone."""
        local = local_time(zone, at_us)
        if local is None:
            return None
        at = local.time()
        return self.from_ <= at < self.to if self.from_ <= self.to else at >= self.from_ or at < self.to


class Channel(ExplorationSettings):
    """Where a treatment can go.

    `medium`: how an outbound channel reaches people. `machine`: a machine speaks there, and discloses it. `human`: a
    person speaks there, and chooses what to pitch; so models learn from all that was suggested there, pitched or not.
    """

    id: Id
    direction: ChannelDirection
    placements: tuple[Id, ...] = Field(min_length=1)
    purposes: tuple[Id, ...] = ()
    counts_on: CountsOn = "decided"
    reservation_s: int = Field(default=3600, gt=0, le=MAX_WINDOW_DAYS * 86_400)
    human: bool = False
    machine: bool = False
    medium: Medium | None = None
    quiet_hours: QuietHours | None = None


class Amount(Strict):
    """A number of euros, `{points: 500}` or `{expression: …, typical: 120}`: exactly one form is not None."""

    eur: Finite | None = None
    points: Finite | None = None
    expression: Text | None = None
    typical: Finite | None = None

    @model_validator(mode="before")
    @classmethod
    def _number_is_euros(cls, raw: Any) -> Any:
        return {"eur": raw} if isinstance(raw, int | float) else raw

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if sum(form is not None for form in (self.eur, self.points, self.expression)) != 1:
            raise ValueError('expected a number of euros, {points: 500} or {expression: "…", typical: 120}')
        if (self.expression is None) != (self.typical is None):
            raise ValueError("an expression needs the euros of a typical customer", "add `typical: 120`")
        return self

    def constant_eur(self, eur_per_point: float) -> float | None:
        """Return the amount in euros, or None if it is an expression over the customer."""
        return self.points * eur_per_point if self.points is not None else self.eur

    def typical_eur(self, eur_per_point: float) -> float:
        """Return the amount for a typical customer, in euros: the amount itself unless it is an expression."""
        constant = self.constant_eur(eur_per_point)
        return constant if constant is not None else float(self.typical or 0.0)


class Lever(Strict):
    """A factor of priority within [from_, until); None is an open end."""

    factor: Factor
    from_: PointInTime | None = Field(default=None, alias="from")
    until: PointInTime | None = None

    @property
    def from_us(self) -> int | None:
        """The start, included; None: no start."""
        return microseconds(self.from_) if self.from_ else None

    @property
    def until_us(self) -> int | None:
        """The end, excluded; None: no end."""
        return microseconds(self.until) if self.until else None


class ContextWeight(Strict):
    """A factor of priority while `when` is TRUE; the factor is 1 when it is FALSE or UNKNOWN."""

    when: Text
    factor: Factor


class Stage(Strict):
    """How far a customer got after a contact, and the weight of that. Accepting weighs 1 unless a stage says otherwise.

    It counts if it happened from `after_days` until `within_days` after the contact.
    """

    id: Id
    weight: Finite
    after_days: float = Field(default=0.0, ge=0, le=MAX_WINDOW_DAYS)
    within_days: WindowDays


class Outcomes(Strict):
    """What can happen after an action; the label closes `window_days` after the contact.

    `stages`, the furthest last, give weights to outcomes; `seen` and the like are those of the contact.
    """

    positive: tuple[Id, ...] = Field(default=("accepted",), min_length=1)
    negative: tuple[Id, ...] = ("declined",)
    window_days: WindowDays = 30.0
    stages: tuple[Stage, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """All ids: positive ones, negative ones, then those that are only stages."""
        labelled = self.positive + self.negative
        return labelled + tuple(s.id for s in self.stages if s.id not in labelled)

    @property
    def weighted_stages(self) -> tuple[Stage, ...]:
        """Every outcome as a stage with a weight, the furthest last: negative, positive, then `stages` as declared."""
        staged = {s.id for s in self.stages}
        plain = [(name, 0.0) for name in self.negative] + [(name, 1.0) for name in self.positive]
        implied = [Stage(id=name, weight=w, within_days=self.window_days) for name, w in plain if name not in staged]
        return (*implied, *self.stages)

    @property
    def window_us(self) -> int:
        """`window_days` in microseconds."""
        return days_us(self.window_days)

    @property
    def settled_us(self) -> int:
        """The time after the contact at which no further outcome can count, in microseconds."""
        return max(self.window_us, *(days_us(s.within_days) for s in self.weighted_stages))


class Suppression(Strict):
    """After this outcome the action is suppressed for `days`; None: for good."""

    after: Id
    days: Days | None = None


class Claims(Strict):
    """The facts that prove a pressing text: how many are left (`scarcity`), when an offer ends (`deadline`)."""

    scarcity: FeatureName | None = None
    deadline: FeatureName | None = None


class Treatment(Strict):
    """The form of an action on one channel.

    `tone`: variants for the emotion layer; `content` is the neutral one. `claims`: the facts that prove a text which
    says that few are left or little time; without proof the treatment is withheld.
    """

    id: Id
    channel: Id
    placements: tuple[Id, ...] = Field(min_length=1)
    content_ref: Text | None = None
    content: Content = Field(default_factory=dict)
    tone: dict[Id, Content] = Field(default_factory=dict)
    claims: Claims = Claims()


class Action(Strict):
    """What could be done for a customer. In force within [starts_at, ends_at).

    `credit`: it lends money. `significant`: it decides something of weight for the customer (GDPR, Art. 22). Without a
    `basis` of the catalogue and the routes for `review` and `contest`, only a person may do it. `supersedes`: the
    action, perhaps no longer in the catalogue, whose evidence this action's model starts from. `frozen`: the reason why
    its model stays that of the champion. `monotone`: the direction in which its propensity may move with a feature.
    `intent`: the intents that it answers, whose lowest limit its automation must keep. `gives_eur`: what accepting it
    gives away, which counts against the budgets that cover it. `must_say`: what must be said before the customer agrees
    by voice, beside or in place of what the country asks for.
    """

    id: Id
    issue: Issue
    group: Id
    tier: Tier
    scope: Scope = "person"
    value: Amount
    cost: Amount = Amount(eur=0.0)
    price_eur: Factor | None = None
    gives_eur: Factor = 0.0
    prior: Probability | None = None
    lever: Annotated[tuple[Lever, ...], BeforeValidator(_as_levers)] = ()
    context_weights: tuple[ContextWeight, ...] = ()
    automation: Automation = "automatic"
    intent: Annotated[tuple[Id, ...], BeforeValidator(one_as_tuple)] = ()
    credit: bool = False
    significant: bool = False
    basis: Id | None = None
    review: Text | None = None
    contest: Text | None = None
    purposes: tuple[Id, ...] = ()
    starts_at: PointInTime | None = None
    ends_at: PointInTime | None = None
    outcomes: Outcomes = Outcomes()
    must_say: tuple[MustSay, ...] = ()
    suppress: tuple[Suppression, ...] = ()
    supersedes: Id | None = None
    frozen: Text | None = None
    monotone: Monotone = Field(default_factory=dict)
    treatments: tuple[Treatment, ...] = ()
    description: str = ""

    @property
    def commercial(self) -> bool:
        """Whether it sells: its issue is grow, retain or nurture, whatever its tier."""
        return self.issue in COMMERCIAL_ISSUES

    @property
    def sells_or_lends(self) -> bool:
        """Whether a protection withholds it: it sells, or lends money."""
        return self.commercial or self.credit

    @property
    def effective_automation(self) -> Automation:
        """`automation`, or `human_only` if it is significant and its basis or one of its routes is missing."""
        contestable = self.basis and self.review and self.contest
        return "human_only" if self.significant and not contestable else self.automation

    @property
    def required_purposes(self) -> tuple[str, ...]:
        """The purposes that must be permitted, sorted: those stated, and marketing if it sells."""
        return tuple(sorted({*self.purposes, *((MARKETING,) if self.commercial else ())}))

    @property
    def starts_us(self) -> int | None:
        """The start, included; None: no start."""
        return microseconds(self.starts_at) if self.starts_at else None

    @property
    def ends_us(self) -> int | None:
        """The end, excluded; None: no end."""
        return microseconds(self.ends_at) if self.ends_at else None

    def lever_at(self, now_us: int) -> float:
        """Return the lever in force at a time; 1.0 outside every window. Windows never overlap (checked)."""
        for lever in self.lever:
            if (lever.from_us or 0) <= now_us and (lever.until_us is None or now_us < lever.until_us):
                return lever.factor
        return 1.0


def full_id(action: Action, treatment: Treatment) -> str:
    """Return the treatment's id in decisions: `tv-bundle.web-hero`."""
    return f"{action.id}.{treatment.id}"
