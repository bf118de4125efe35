"""One customer's case: what is asked and known, under which release, and what stays the same throughout a decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release
from decisioning.catalogue.view import View
from decisioning.deciding.consent import Permission, permissions
from decisioning.deciding.ethics import refused_of, withdrawn_by_request, without
from decisioning.errors import RequestError
from decisioning.facts.forms import PRIOR_MODEL, Ask, Known, Shadow
from decisioning.facts.schema import Facts, Value
from decisioning.facts.standing import Standing
from decisioning.lazy import lazy_property
from decisioning.records.formats import NEWEST
from decisioning.rules import History


@dataclass(frozen=True)
class DecisionContext:
    """What stays the same throughout one decision.

    `assigned_model`: "name@version" of the model that scores. `now_us`: the time of the decision. `decision_id` seeds
    every draw. `paused`: ids of actions that may not be offered now. `supersedes`: the decision that this one replaces.
    `gamma` replaces the channel's exploration, and then the customer is in no control group: personas are previewed
    so. `shadow`: a second model whose scores are recorded and change nothing. `trial`: when the trial began in which
    `assigned_model` was drawn; None if it was drawn in none. `record_format`: how the decision is recorded; see
    `decisioning.records.formats`.
    """

    assigned_model: str
    now_us: int
    decision_id: str
    environment: str = "dev"
    paused: frozenset[str] = frozenset()
    supersedes: str | None = None
    gamma: float | None = None
    shadow: Shadow | None = None
    trial: int | None = None
    record_format: int = NEWEST


@dataclass(frozen=True)
class Case:
    """A request, what is known of its subjects, and the release and context that it is decided under."""

    ask: Ask
    known: Known
    release: Release
    context: DecisionContext

    @property
    def now_us(self) -> int:
        return self.context.now_us

    @lazy_property
    def view(self) -> View:
        """The candidates of the channel; raises RequestError for a channel that is not declared."""
        return self.release.view(self.ask.channel)

    @lazy_property
    def locale(self) -> str:
        """The requested locale or its language if content is written in it, else the workspace's first."""
        offered = self.release.catalogue.settings.locales
        wanted = (self.ask.locale, self.ask.locale.split("-")[0]) if self.ask.locale else ()
        return next((locale for locale in wanted if locale in offered), offered[0])

    @lazy_property
    def history(self) -> History:
        """The rule language's `history(action, outcome, window)` over the standings of the case."""
        return history_of(self.release, self.known, self.now_us)

    def facts(self) -> Facts:
        """The facts as served: profile, signals, request context and built-in facts.

        Unknown ones are left out, and those that were collected for a purpose that is not permitted.
        """
        return without(self._known_facts, self.unreadable) if self.unreadable else self._known_facts

    @lazy_property
    def refused(self) -> frozenset[str]:
        """The purposes that something was collected for, and that are not permitted here and now."""
        purposes = self.release.collecting_purposes
        return refused_of(purposes, self.permissions) if purposes else purposes

    @lazy_property
    def unreadable(self) -> frozenset[str]:
        """Names of the features that nothing may read, as the customer did not permit what they were collected for."""
        return self.release.unreadable(self.refused) if self.refused else self.refused

    @lazy_property
    def permissions(self) -> dict[str, Permission]:
        """Purpose -> permission for this request: what is on record, less what the request withdraws."""
        release, view, facts = self.release, self.view, self._known_facts
        return permissions(
            self.known.person,
            release.purposes,
            view.channel.id,
            release.bases(facts, self.history),
            self.now_us,
            withdrawn=withdrawn_by_request(release, self.reported_consents(), facts, self.history),
            rule=view.rule,
        )

    @lazy_property
    def _known_facts(self) -> Facts:
        recorded = {
            name: value
            for name, value in self.known.facts.items()
            if value is not None and not (isinstance(value, float) and not isfinite(value))
        }
        built_in: dict[str, Value] = {
            "channel": self.ask.channel,
            "locale": self.locale,
            "now": self.now_us,
            "has_account": self.known.account is not None,
        }
        return {"gpc": False, **recorded, **built_in}

    def requested(self) -> int:
        """Return the bits of what some placement can show; raises RequestError for an undeclared placement."""
        requested = 0
        for n, placement in enumerate(self.ask.placements):
            if placement.name not in self.view.placements:
                has = ", ".join(self.view.placements)
                channel = self.view.channel.id
                raise RequestError(f"placements.{n}.name", f"no such placement on {channel}; it has {has}")
            requested |= self.view.placements[placement.name].bits
        return requested

    def reported_consents(self) -> Mapping[str, bool]:
        """Purpose -> what a consent platform reports; raises RequestError for an undeclared purpose."""
        for name in self.ask.consent_platform:
            if name not in self.release.purposes:
                has = ", ".join(self.release.purposes)
                raise RequestError(f"consent_platform.{name}", f"there is no such purpose; known are {has}")
        return self.ask.consent_platform


def undrawn_case(ask: Ask, known: Known, release: Release, now_us: int, paused: frozenset[str] = frozenset()) -> Case:
    """Return a case for questions that ask no model and draw nothing: its facts, permissions and screening."""
    return Case(ask, known, release, DecisionContext(PRIOR_MODEL, now_us, decision_id="", paused=paused))


def facts_for(ask: Ask, known: Known, release: Release, now_us: int) -> Facts:
    """Return the facts that decide() would serve."""
    return undrawn_case(ask, known, release, now_us).facts()


def standing_for(action: Action, known: Known) -> Standing:
    """Return the standing whose history counts for an action: the account's for account scope, if one was named."""
    return known.account if action.scope == "account" and known.account is not None else known.person


def history_of(release: Release, known: Known, now_us: int) -> History:
    """Return the rule language's `history(action, outcome, window)` over what is known."""

    if not known.person.outcomes and (known.account is None or not known.account.outcomes):
        return _nothing_happened

    def count(action: str, outcome: str, window_us: int) -> int:
        subject = release.actions.get(action)
        standing = standing_for(subject, known) if subject else known.person
        return standing.history(action, outcome, now_us - window_us)

    return count


def _nothing_happened(_action: str, _outcome: str, _window_us: int) -> int:
    return 0
