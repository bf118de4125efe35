"""Ninety days of a campaign that chose at random among what was allowed: the log from which learning starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action
from decisioning.rules import Columns
from decisioning.times import DAY_US
from training.simulator.telecom_customers import Column, Floats, Rng
from training.simulator.telecom_permits import Permits
from training.simulator.telecom_showcase import SHOWCASE
from training.simulator.telecom_truth import CHANNELS, MAX_LOGIT, MIN_LOGIT

Ints = NDArray[np.int64]
CAMPAIGN_DAYS = 90
_CHANNEL_SHARE = {"agent": 0.12, "app": 0.24, "email": 0.2, "sms": 0.08, "store": 0.06, "web": 0.3}
_OVERSAMPLED = 1.75  # many draws find nothing allowed: no consent, or nothing that fits
_DECLINED, _COMPLAINED = 0.1, 0.002
_PAGES = (None, "home", "internet", "mobile", "paid-tv", "travel", "bill", "pay", "cancel", "help", "privacy", "shop")
_REASONS = (None, "bill", "fault", "upgrade", "cancel", "travel", "payment", "other")


@dataclass(frozen=True)
class CampaignLog:
    """m contacts in order of time, each column of shape (m,).

    `customer`, `action`, `channel`: int64 codes (row, action in order of id, CHANNELS). `treatment`: its id within the
    action. `page`, `contact_reason`: the context, None where there was none. `probability`: of this action among those
    allowed. `outcome`: "" where nothing came before the world's date; `outcome_us` then 0. `value_eur`: of a positive.
    """

    customer: Ints
    at_us: Ints
    action: Ints
    channel: Ints
    treatment: NDArray[np.object_]
    page: NDArray[np.object_]
    contact_reason: NDArray[np.object_]
    probability: Floats
    positive: NDArray[np.bool_]
    outcome: NDArray[np.object_]
    outcome_us: Ints
    value_eur: Floats

    def __len__(self) -> int:
        return len(self.customer)


def run_campaign(
    rng: Rng,
    permits: Permits,
    customers: Columns,
    marketing: NDArray[np.bool_],
    of_action: Floats,
    of_channel: Floats,
    as_of_us: int,
    contacts: int,
    values_eur: Floats,
) -> CampaignLog:
    """About `contacts` contacts with all but the showcase; `of_action`, `of_channel` are the truth's logits."""
    m = int(contacts * _OVERSAMPLED)
    who = rng.integers(len(SHOWCASE), len(marketing), m)
    at_us = as_of_us - CAMPAIGN_DAYS * DAY_US + np.sort(rng.integers(0, CAMPAIGN_DAYS * DAY_US, m))
    channel = rng.choice(len(CHANNELS), m, p=[_CHANNEL_SHARE[c] for c in CHANNELS])
    page, reason = _context(rng, channel)
    moment = {name: customers[name][who] for name in permits.read_at & customers.keys()}
    moment |= {"now": at_us.astype(np.float64), "page": page, "contact_reason": reason}
    lasting = permits.lasting(customers, len(marketing))
    allowed = permits.at(lasting[who], moment, marketing[who, channel], channel)
    choices = allowed.sum(axis=1)
    kept = np.flatnonzero(choices)[:contacts]
    action = _pick(rng, allowed[kept], choices[kept])
    who, at_us, channel = who[kept], at_us[kept], channel[kept]
    truth = 1.0 / (1.0 + np.exp(-np.clip(of_action[who, action] + of_channel[who, channel], MIN_LOGIT, MAX_LOGIT)))
    outcome, positive, outcome_us = draw_outcomes(permits.actions, action, channel, truth, at_us, rng)
    late = outcome_us > as_of_us
    outcome[late], positive[late], outcome_us[late] = "", False, 0
    return CampaignLog(
        customer=who,
        at_us=at_us,
        action=action,
        channel=channel,
        treatment=_treatments(permits.actions)[action, channel],
        page=page[kept],
        contact_reason=reason[kept],
        probability=1.0 / choices[kept],
        positive=positive,
        outcome=outcome,
        outcome_us=outcome_us,
        value_eur=np.where(positive, np.nan_to_num(values_eur[who, action]), 0.0),
    )


def draw_outcomes(
    actions: Sequence[Action], action: Ints, channel: Ints, truth: Floats, at_us: Ints, rng: Rng
) -> tuple[NDArray[np.object_], NDArray[np.bool_], Ints]:
    """Outcome ("" for none), whether it is positive, and its time in us (0 for none), each (m,), for contacts (m,).

    With `truth` (m,) the positive outcome; of the rest some decline, and a few complain where the action allows for it.
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


def _context(rng: Rng, channel: Ints) -> tuple[Column, Column]:
    """The page of visits to the web and the app, and the reason of calls and of visits to a store."""
    page = np.asarray(_PAGES, dtype=object)[rng.integers(0, len(_PAGES), len(channel))]
    reason = np.asarray(_REASONS, dtype=object)[rng.integers(0, len(_REASONS), len(channel))]
    page[~np.isin(channel, [CHANNELS.index("web"), CHANNELS.index("app")])] = None
    reason[~np.isin(channel, [CHANNELS.index("agent"), CHANNELS.index("store")])] = None
    return page, reason


def _pick(rng: Rng, allowed: NDArray[np.bool_], choices: Ints) -> Ints:
    """One of the allowed actions of every row (m, n_actions), each equally likely."""
    nth = (rng.random(len(choices)) * choices).astype(np.int64)
    return np.asarray((allowed.cumsum(axis=1) > nth[:, None]).argmax(axis=1), dtype=np.int64)


def _treatments(actions: Sequence[Action]) -> NDArray[np.object_]:
    """Object (n_actions, n_channels): the id of an action's first treatment on a channel, "" where it has none."""
    first = [[next((t.id for t in a.treatments if t.channel == c), "") for c in CHANNELS] for a in actions]
    return np.asarray(first, dtype=object)
