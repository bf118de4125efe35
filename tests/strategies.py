"""Random customers, requests and histories over the small catalogue, and a scorer that records what it scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scores
from decisioning.facts.schema import Facts, Feature
from decisioning.facts.standing import Consent, Contact, RecordedOutcome, Standing
from decisioning.records.formats import unpack
from decisioning.times import DAY_US, HOUR_US

NOW_US = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z, a Monday."""
SMALL_FILES = {p.name: p.read_text() for p in sorted((Path(__file__).parent / "catalogues" / "small").glob("*.yaml"))}
SMALL = Release.from_bytes(pack(SMALL_FILES))
ACTIONS = tuple(SMALL.actions)
CHANNELS = tuple(SMALL.channels)


def propensity_of(candidate: int, facts: Facts) -> float:
    """Return a propensity that depends only on the candidate and the customer."""
    fee = facts.get("monthly_fee_eur")
    share = float(fee) % 7 if isinstance(fee, int | float) else 3.0
    return ((candidate * 37 + share * 11) % 97 + 1) / 200


class CountingScorer:
    """Scores each candidate independently and records which candidates it scored."""

    def __init__(self, of: Callable[[int, Facts], float] = propensity_of) -> None:
        self.scored: list[int] = []
        self._of = of

    def __call__(self, facts: Facts, candidates: NDArray[np.int64]) -> Scores:
        self.scored.extend(candidates.tolist())
        propensity = np.asarray([self._of(c, facts) for c in candidates.tolist()], dtype=np.float64)
        names = (("monthly_fee_eur",),) * len(candidates)
        return Scores(propensity, np.full(len(candidates), 500.0), names, upper=np.minimum(1.5 * propensity, 1.0))


def value_of(feature: Feature) -> st.SearchStrategy[Any]:
    """A value of the feature's type; sometimes a wrong or missing one."""
    good = {
        "bool": st.booleans(),
        "int": st.integers(0, 130),
        "float": st.floats(feature.min if feature.min is not None else -1, min(feature.max or 200, 200)),
        "enum": st.sampled_from(feature.values or ("",)),
        "string": st.sampled_from(["Europe/Amsterdam", "America/New_York", "Nowhere/At_all"]),
        "timestamp": st.integers(0, NOW_US),
    }[feature.dtype]
    return st.one_of(good, good, good, good, st.none(), st.just(float("nan")), st.just("wrong"))


def facts() -> st.SearchStrategy[dict[str, Any]]:
    """Facts of a customer, some of them absent."""
    features = SMALL.schema.of_source("profile", "signal", "model", "context")
    return st.fixed_dictionaries({}, optional={f.name: value_of(f) for f in features})


def consents() -> st.SearchStrategy[tuple[Consent, ...]]:
    """At most one record per purpose and channel, as the ledger's fold leaves them."""
    one = st.builds(
        Consent,
        purpose=st.sampled_from(sorted(SMALL.purposes)),
        channel=st.sampled_from(["*", *CHANNELS]),
        status=st.sampled_from(["granted", "granted", "granted", "refused", "withdrawn", "objected"]),
        source=st.just("test"),
        notice_version=st.sampled_from(["2026-01", "2026-01", "2026-01", "2020-01"]),
        occurred_us=st.integers(NOW_US - 900 * DAY_US, NOW_US + DAY_US),
        expires_us=st.one_of(st.none(), st.integers(NOW_US - DAY_US, NOW_US + DAY_US)),
        record=st.integers(1, 9),
    )
    return st.lists(one, max_size=8, unique_by=lambda c: (c.purpose, c.channel)).map(tuple)


def contact_of(action: str, offer_id: str, channel: str, at_us: int, **progress: Any) -> Contact:
    """Return a contact about an action of the small catalogue; `progress`: the remaining fields of `Contact`."""
    definition = SMALL.actions[action]
    return Contact(
        offer_id=offer_id,
        action=action,
        treatment=f"{action}.t",
        group=definition.group,
        issue=definition.issue,
        channel=channel,
        at_us=at_us,
        **progress,
    )


def contacts() -> st.SearchStrategy[tuple[Contact, ...]]:
    """At most six contacts of the last ninety days."""

    def contact(n: int, action: str, channel: str, ago_us: int, state: Any, counts_on: Any) -> Contact:
        at_us = NOW_US - ago_us
        return contact_of(
            action, f"d.{n}", channel, at_us, reserved_until_us=at_us + HOUR_US, counts_on=counts_on, state=state
        )

    one = st.builds(
        contact,
        n=st.integers(0, 10**6),
        action=st.sampled_from(ACTIONS),
        channel=st.sampled_from(CHANNELS),
        ago_us=st.integers(0, 90 * DAY_US),
        state=st.sampled_from(["reserved", "expired", "not_delivered", "delivered", "seen", "pitched"]),
        counts_on=st.sampled_from(["decided", "delivered", "seen"]),
    )
    return st.lists(one, max_size=6).map(tuple)


def outcomes() -> st.SearchStrategy[dict[str, tuple[RecordedOutcome, ...]]]:
    """Outcomes by action."""

    def by_action(drawn: list[tuple[str, str, int]]) -> dict[str, tuple[RecordedOutcome, ...]]:
        outcomes: dict[str, tuple[RecordedOutcome, ...]] = {}
        for action, outcome, ago_us in drawn:
            outcomes[action] = (*outcomes.get(action, ()), RecordedOutcome(action, outcome, NOW_US - ago_us))
        return outcomes

    one = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(["accepted", "declined"]), st.integers(0, 400 * DAY_US))
    return st.lists(one, max_size=4).map(by_action)


@st.composite
def standings(draw: st.DrawFn, stream: str = "person") -> Standing:
    """A subject's standing at some version."""
    return Standing(stream, draw(st.integers(0, 9)), draw(consents()), draw(contacts()), draw(outcomes()))


@st.composite
def known(draw: st.DrawFn) -> Known:
    """What is known of a customer, with or without an account."""
    account = draw(st.one_of(st.none(), standings("account")))
    return Known(draw(facts()), draw(standings()), account)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """A request on some channel for some of its placements."""
    channel = draw(st.sampled_from(CHANNELS))
    names = draw(st.lists(st.sampled_from(SMALL.channels[channel].placements), min_size=1, unique=True))
    placements = tuple(PlacementAsk(name=n, limit=draw(st.integers(1, 3))) for n in names)
    locale = draw(st.sampled_from([None, "nl", "en", "nl-BE", "fr"]))
    return Ask(request_id="r", customer_id="c", account_id="a", channel=channel, locale=locale, placements=placements)


def permissive() -> Known:
    """Return a customer about whom everything is known and who allows everything."""
    granted = tuple(
        Consent(p.id, "*", "granted", "test", p.notice_version, NOW_US - DAY_US, expires_us=None, record=n)
        for n, p in enumerate(SMALL.purposes.values(), 1)
    )
    served = {
        "age": 40,
        "monthly_fee_eur": 40.0,
        "tenure_months": 30.0,
        "contract": "monthly",
        "has_tv": False,
        "arrears_eur": 0.0,
        "hardship": False,
        "vulnerable": False,
        "open_complaint": False,
        "home_time_zone": "Europe/Amsterdam",
        "churn_risk": 0.5,
        "paid_tv_views_30s": 0,
        "page": "paid-tv",
    }
    return Known(served, Standing("person", 4, granted), Standing("account", 1, granted))


def run(ask: Ask, of: Known, release: Release = SMALL, seed: str = "d-1", **more: Any) -> Decision:
    """Return the decision at NOW_US, scored by a counting scorer."""
    score = more.pop("score", None) or CountingScorer()
    return decide(
        ask, of, release, score, DecisionContext(assigned_model="m@1", now_us=NOW_US, decision_id=seed, **more)
    )


def read_back(decision: Decision) -> dict[str, Any]:
    """Return a decision's record as it is read from its bytes."""
    return unpack(decision.to_bytes(), decision.computed.release)


def permitted(ask: Ask, of: Known, release: Release = SMALL) -> frozenset[str]:
    """Return the treatments that pass every filter."""
    from decisioning.deciding.screening import screened_for

    screened = screened_for(ask, of, release, now_us=NOW_US)
    return frozenset(np.asarray(screened.view.ids)[screened.permitted].tolist())


def without_consents(of: Known) -> Known:
    """Return the same customer without any consent."""
    return replace(of, person=replace(of.person, consents=()))
