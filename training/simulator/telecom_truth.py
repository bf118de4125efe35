"""How the generated customers respond in truth: a probability in closed form, which no learner ever sees.

logit p(customer, action, channel) = logit(base) + sum of weight x product of drivers + channel offset + affinity.
Drivers are functions of the complete columns, some of them thresholds; a product of two is an interaction. Two more
drivers, `saver` and `curious`, are not observable, so that even a perfect learner stays uncertain.
"""

import math
from dataclasses import dataclass

import numpy as np

from training.model.frame import Bools, Floats, Ints
from training.simulator.telecom_customers import UNLIMITED_GB, Population

CHANNELS = ("agent", "app", "email", "sms", "store", "web")
MIN_LOGIT, MAX_LOGIT = -7.0, 0.0


@dataclass(frozen=True)
class Response:
    """How an action is responded to.

    `base`: the probability for the average customer on the web; `terms`: (weight, drivers joined by `*`).
    """

    base: float
    terms: tuple[tuple[float, str], ...]


OFFSET = {"agent": 0.5, "app": 0.1, "email": -0.5, "sms": -0.4, "store": 0.4, "web": 0.0}
AFFINITY = {
    "agent": ((-0.3, "digital"), (0.2, "loyal")),
    "app": ((0.5, "digital"),),
    "email": ((0.4, "reader"),),
    "sms": ((0.2, "curious"),),
    "store": ((-0.4, "digital"),),
    "web": ((0.15, "curious"),),
}

TRUTH: dict[str, Response] = {
    "fibre-upgrade": Response(
        0.02, ((0.7, "slow"), (0.5, "busy*slow"), (0.5, "faulty"), (0.3, "curious"), (-0.3, "saver"))
    ),
    "faster-internet": Response(0.013, ((0.6, "busy"), (0.7, "slow*screen"), (0.3, "curious"), (-0.4, "saver"))),
    "wifi-plus": Response(0.024, ((0.9, "weak_wifi"), (0.5, "weak_wifi*busy"), (0.4, "old_router"), (-0.2, "saver"))),
    "sim-only": Response(0.018, ((0.5, "loyal"), (0.8, "couple*loyal"), (-0.5, "costly"), (0.4, "saver"))),
    "unlimited-data": Response(0.02, ((1.3, "bundle_full"), (0.4, "data"), (0.3, "curious"), (-0.4, "saver"))),
    "extra-line": Response(0.014, ((0.9, "family"), (0.6, "family*loyal"), (-0.3, "costly"))),
    "new-device": Response(0.012, ((1.1, "worn_phone"), (0.5, "data"), (0.4, "curious"), (-0.3, "saver"))),
    "roaming-pack": Response(0.03, ((0.9, "traveller"), (0.4, "traveller*data"), (0.3, "curious"))),
    "tv-bundle": Response(0.02, ((0.9, "screen"), (0.8, "family*screen"), (-0.5, "slow"), (-0.3, "saver"))),
    "sports-pack": Response(0.017, ((1.0, "screen"), (0.5, "shared"), (-0.6, "costly"), (-0.2, "saver"))),
    "renew-contract": Response(0.035, ((0.5, "loyal"), (0.4, "saver"), (-0.6, "faulty"), (-0.5, "costly*saver"))),
    "loyalty-discount": Response(0.04, ((0.6, "saver"), (0.5, "costly"), (-0.5, "faulty"), (0.3, "loyal"))),
    "right-size": Response(0.045, ((0.6, "saver"), (0.7, "overpaying"), (0.4, "overpaying*saver"))),
    "stay-conversation": Response(0.05, ((0.6, "loyal"), (-0.6, "faulty"), (0.3, "costly"))),
    "app-onboarding": Response(0.028, ((0.6, "curious"), (0.5, "reader"), (0.4, "new"))),
    "paperless-bill": Response(0.022, ((0.8, "digital"), (0.4, "curious"), (-0.3, "loyal"))),
    "direct-debit": Response(0.016, ((-0.7, "saver"), (0.5, "new"), (-0.9, "late"))),
    "points-gift": Response(0.045, ((0.6, "points"), (0.3, "reader"), (0.4, "points*saver"))),
    "safe-online": Response(0.02, ((0.8, "busy"), (0.5, "screen*busy"), (0.3, "curious"))),
    "outage-update": Response(0.07, ((0.3, "digital"), (0.4, "screen"))),
    "wifi-check": Response(0.05, ((0.7, "weak_wifi"), (0.5, "faulty"), (0.3, "curious"))),
    "technician-visit": Response(0.035, ((0.6, "faulty"), (-0.3, "digital"), (0.3, "calling"))),
    "complaint-follow-up": Response(0.07, ((0.4, "calling"), (0.2, "loyal"))),
    "bill-explained": Response(0.05, ((0.4, "costly"), (0.5, "new"), (0.3, "saver"))),
    "contract-end-notice": Response(0.05, ((0.4, "saver"), (0.3, "reader"))),
    "data-limit-notice": Response(0.05, ((0.5, "bundle_full"), (0.3, "digital"))),
    "roaming-cost-notice": Response(0.04, ((0.5, "traveller"), (0.2, "saver"))),
    "security-check": Response(0.03, ((0.5, "curious"), (0.4, "digital"))),
    "payment-plan": Response(0.06, ((0.5, "late"), (0.3, "costly"))),
    "spending-limit": Response(0.04, ((0.6, "late"), (0.5, "family"))),
    "budget-plan": Response(0.06, ((0.5, "costly"), (0.4, "overpaying"))),
    "debt-help": Response(0.04, ((0.7, "late"), (-0.2, "digital"))),
    "bereavement-care": Response(0.06, ((0.2, "loyal"),)),
    "call-back": Response(0.3, ((0.3, "calling"), (-0.2, "digital"))),
    "extra-care": Response(0.05, ((-0.4, "digital"), (0.4, "calling"))),
}


def drivers(people: Population) -> dict[str, Floats]:
    """Return the drivers by name, each (n,); 0 for the average customer and for one whom it does not concern."""
    c = people.complete

    def flag(condition: Bools) -> Floats:
        return np.asarray(condition, dtype=np.float64)

    used = np.nan_to_num(c["data_used_gb"] / c["data_bundle_gb"])
    wifi = np.nan_to_num(c["wifi_score"], nan=70.0)
    return {
        "saver": people.saver * 0.6,
        "curious": people.curious * 0.6,
        "family": flag(c["segment"] == "family"),
        "couple": flag(c["segment"] == "couple"),
        "shared": flag(c["segment"] == "shared"),
        "busy": flag(c["household_size"] >= 3),
        "slow": flag((c["download_mbps"] < 100) & (c["has_broadband"] == 1)),
        "screen": np.tanh((c["tv_hours_week"] - 10.0) / 7.0),
        "weak_wifi": np.clip((62.0 - wifi) / 20.0, 0.0, 1.5),
        "old_router": flag(np.nan_to_num(c["router_age_months"]) >= 48),
        "faulty": np.minimum(c["faults_90d"], 4.0) / 2.0 - 0.2,
        "calling": flag(c["service_contacts_90d"] >= 2),
        "bundle_full": flag((used >= 0.85) & (c["data_bundle_gb"] < UNLIMITED_GB)),
        "data": np.tanh(np.nan_to_num(c["data_used_gb"], nan=12.0) / 25.0 - 0.5),
        "worn_phone": flag(np.nan_to_num(c["device_age_months"]) >= 36),
        "traveller": flag(c["roaming_days_90d"] >= 5),
        "loyal": np.tanh((c["tenure_months"] - 48.0) / 40.0),
        "new": flag(c["tenure_months"] < 12),
        "costly": np.tanh((c["monthly_fee_eur"] - 58.0) / 25.0),
        "overpaying": flag(c["saving_possible_eur"] >= 6),
        "points": np.tanh((c["loyalty_points"] - 700.0) / 600.0),
        "late": flag(c["late_payments_12m"] >= 1),
        "digital": np.tanh((c["app_logins_30d"] - 3.0) / 3.0),
        "reader": np.tanh((c["email_opens_90d"] - 2.0) / 2.0),
    }


@dataclass(frozen=True)
class Truth:
    """The logits of the true probability: what each action adds, (n, n_actions), and each of CHANNELS, (n, 6)."""

    of_action: Floats
    of_channel: Floats

    def probabilities(self, customers: Ints, actions: Ints, channels: Ints) -> Floats:
        """Return the true probabilities for rows, action codes and channel codes, broadcast against each other."""
        logit = self.of_action[customers, actions] + self.of_channel[customers, channels]
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, MIN_LOGIT, MAX_LOGIT))))


def true_logits(people: Population, actions: tuple[str, ...]) -> Truth:
    """Return the truth about a population, for these actions in order."""
    columns = drivers(people)
    n = len(people.saver)
    of_action = np.empty((n, len(actions)))
    for j, action in enumerate(actions):
        response = TRUTH[action]
        of_action[:, j] = math.log(response.base / (1.0 - response.base)) + _total(response.terms, columns, n)
    of_channel = np.empty((n, len(CHANNELS)))
    for j, channel in enumerate(CHANNELS):
        of_channel[:, j] = OFFSET[channel] + _total(AFFINITY[channel], columns, n)
    return Truth(of_action, of_channel)


def _total(terms: tuple[tuple[float, str], ...], columns: dict[str, Floats], n: int) -> Floats:
    total = np.zeros(n)
    for weight, product in terms:
        term = np.full(n, weight)
        for name in product.split("*"):
            term *= columns[name]
        total += term
    return total
