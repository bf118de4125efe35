"""Ninety days of a campaign that chose at random among permitted actions: the log from which learning starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.rules import Columns
from decisioning.times import DAY_US
from training.model.frame import Bools, Floats, Ints
from training.simulator.telecom_customers import Column, Rng
from training.simulator.telecom_permits import Permits
from training.simulator.telecom_showcase import SHOWCASE
from training.simulator.telecom_truth import CHANNELS, Truth

CAMPAIGN_DAYS = 90
_CHANNEL_SHARE = {"agent": 0.12, "app": 0.24, "email": 0.2, "sms": 0.08, "store": 0.06, "web": 0.3}
_OVERSAMPLED = 1.75  # for many draws nothing is permitted: no consent, or no action that fits
_DECLINED, _COMPLAINED = 0.1, 0.002
_PAGES = (None, "home", "internet", "mobile", "paid-tv", "travel", "bill", "pay", "cancel", "help", "privacy", "shop")
_REASONS = (None, "bill", "fault", "upgrade", "cancel", "travel", "payment", "other")


@dataclass(frozen=True)
class CampaignLog:
    """m contacts in order of time, each column of shape (m,).

    `customer`, `action`, `channel`: int64 codes (row, action in order of id, CHANNELS). `treatment`: its id within the
    action. `page`, `contact_reason`: the context, or None. `probability`: that of choosing this action among those
    permitted. `outcome`: "" if there was none before the world's date; `outcome_us` is then 0. `value_eur`: the value
    of a positive outcome.
    """

    customer: Ints
    at_us: Ints
    action: Ints
    channel: Ints
    treatment: NDArray[np.object_]
    page: NDArray[np.object_]
    contact_reason: NDArray[np.object_]
    probability: Floats
    positive: Bools
    outcome: NDArray[np.object_]
    outcome_us: Ints
    value_eur: Floats

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class Audience:
    """The n customers whom a campaign may contact, and how they respond.

    `columns`: what the operator knows, (n,) each. `marketing`: bool (n, 6), who may be sold something on which of
    CHANNELS. `values_eur`: the value of a positive outcome, (n, n_actions).
    """

    columns: Columns
    marketing: Bools
    truth: Truth
    values_eur: Floats

    def __len__(self) -> int:
        return len(self.marketing)


def run_campaign(rng: Rng, permits: Permits, audience: Audience, as_of_us: int, contacts: int) -> CampaignLog:
    """Draw about `contacts` contacts with all customers but the showcase, and their outcomes."""
    m = int(contacts * _OVERSAMPLED)
    customer = rng.integers(len(SHOWCASE), len(audience), m)
    at_us = as_of_us - CAMPAIGN_DAYS * DAY_US + np.sort(rng.integers(0, CAMPAIGN_DAYS * DAY_US, m))
    channel = rng.choice(len(CHANNELS), m, p=[_CHANNEL_SHARE[c] for c in CHANNELS])
    known = permits.momentary_columns & audience.columns.keys()
    moment = {name: audience.columns[name][customer] for name in known} | _context(rng, channel, at_us)
    lasting = permits.lasting(audience.columns, len(audience))
    allowed = permits.at(lasting[customer], moment, audience.marketing[customer, channel], channel)
    choices = allowed.sum(axis=1)
    possible = np.flatnonzero(choices)[:contacts]
    action = _pick(rng, allowed[possible], choices[possible])
    customer, at_us, channel = customer[possible], at_us[possible], channel[possible]
    truth = audience.truth.probabilities(customer, action, channel)
    outcome, positive, outcome_us = draw_outcomes(permits.actions, action, channel, truth, at_us, rng)
    late = outcome_us > as_of_us
    outcome[late], positive[late], outcome_us[late] = "", False, 0
    values_eur = np.nan_to_num(audience.values_eur[customer, action])
    return CampaignLog(
        customer=customer,
        at_us=at_us,
        action=action,
        channel=channel,
        treatment=_treatments(permits.actions)[action, channel],
        page=moment["page"][possible],
        contact_reason=moment["contact_reason"][possible],
        probability=1.0 / choices[possible],
        positive=positive,
        outcome=outcome,
        outcome_us=outcome_us,
        value_eur=np.where(positive, values_eur, 0.0),
    )


def draw_outcomes(
    actions: Sequence[Action], action: Ints, channel: Ints, truth: Floats, at_us: Ints, rng: Rng
) -> tuple[NDArray[np.object_], Bools, Ints]:
    """Draw the outcomes of contacts (m,).

    Return the outcome ("" for none), whether it is positive, and its time in microseconds UTC (0 for none), each (m,).
    The positive outcome comes with probability `truth` (m,). Of the other customers some decline, and a few complain if
    the action declares that outcome.
    """
    m = len(action)
    u, wait = rng.random(m), rng.exponential(2.0, m)
    window_days = np.asarray([a.outcomes.window_days for a in actions])[action]
    yes = np.asarray([a.outcomes.positive[0] for a in actions], dtype=object)[action]
    complains = np.asarray(["complained" in a.outcomes.negative for a in actions])[action]
    positive = u < truth
    declined = ~positive & (u < truth + _DECLINED)
    complained = declined & (u < truth + _COMPLAINED) & complains
    outcome = np.where(positive, yes, np.where(complained, "complained", np.where(declined, "declined", "")))
    in_person = np.isin(channel, [CHANNELS.index("agent"), CHANNELS.index("store")])
    days = np.where(in_person, wait / 400.0, np.minimum(wait, window_days * 0.99))
    outcome_us = np.where(positive | declined, at_us + (days * DAY_US).astype(np.int64) + 1, 0)
    return outcome.astype(object), positive, outcome_us


def _context(rng: Rng, channel: Ints, at_us: Ints) -> dict[str, Column]:
    """Draw the context of contacts: the page on the web and in the app, the reason of calls and visits to a store."""
    page = np.asarray(_PAGES, dtype=object)[rng.integers(0, len(_PAGES), len(channel))]
    reason = np.asarray(_REASONS, dtype=object)[rng.integers(0, len(_REASONS), len(channel))]
    page[~np.isin(channel, [CHANNELS.index("web"), CHANNELS.index("app")])] = None
    reason[~np.isin(channel, [CHANNELS.index("agent"), CHANNELS.index("store")])] = None
    return {"now": at_us.astype(np.float64), "page": page, "contact_reason": reason}


def _pick(rng: Rng, allowed: Bools, choices: Ints) -> Ints:
    """Pick one of the allowed actions of every row (m, n_actions), each with the same probability."""
    nth = (rng.random(len(choices)) * choices).astype(np.int64)
    return np.asarray((allowed.cumsum(axis=1) > nth[:, None]).argmax(axis=1), dtype=np.int64)


def _treatments(actions: Sequence[Action]) -> NDArray[np.object_]:
    """Return the id of an action's first treatment per channel, object (n_actions, n_channels); "" for none."""
    first = [[next((t.id for t in a.treatments if t.channel == c), "") for c in CHANNELS] for a in actions]
    return np.asarray(first, dtype=object)
