"""Customers made by hand for demonstrations: the first rows of every generated telecom world."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from decisioning.times import DAY_US
from training.simulator.telecom_consents import ATTITUDES, Attitude
from training.simulator.telecom_customers import Population


@dataclass(frozen=True)
class Showcase:
    """A customer of the demonstration: a story in one line, and the body of a `POST /v1/decisions` that shows it.

    `facts` replace the generated ones (a timestamp is given as days from the world's date); they belong to no real
    person. `happenings` are signals after each of which the same request is made again: a description, the type of the
    signal and its data.
    """

    customer_id: str
    account_id: str
    story: str
    attitude: Attitude
    facts: Mapping[str, Any]
    request: Mapping[str, Any]
    happenings: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()


_NO_TROUBLE: Mapping[str, Any] = {
    "language": "en",
    "time_zone": "Europe/Amsterdam",
    "hardship": 0.0,
    "vulnerable": 0.0,
    "bereaved": 0.0,
    "open_complaint": 0.0,
    "outage_in_area": 0.0,
    "arrears_eur": 0.0,
    "late_payments_12m": 0.0,
    "faults_90d": 0.0,
    "service_contacts_90d": 0.0,
    "roaming_days_90d": 0.0,
    "saving_possible_eur": 0.0,
    "two_step_login": 1.0,
    "payment_method": "direct_debit",
    "paperless": 1.0,
    "app_user": 1.0,
    "app_logins_30d": 6.0,
    "email_opens_90d": 3.0,
    "loyalty_points": 300.0,
    "churn_risk": 0.04,
    "has_mobile": 1.0,
    "has_broadband": 1.0,
    "data_bundle_gb": 20.0,
    "data_used_gb": 9.0,
    "device_age_months": 10.0,
    "router_age_months": 20.0,
    "contract_ends_at": 240.0,
    "fibre_available": 1.0,
}


def _ask(
    n: int, customer: str, account: str, channel: str, locale: str, slots: Mapping[str, int], **context: str
) -> Any:
    return {
        "request_id": f"showcase-{n}",
        "customer_id": customer,
        "account_id": account,
        "channel": channel,
        "locale": locale,
        "placements": [{"name": name, "limit": limit} for name, limit in slots.items()],
        "context": context,
    }


SHOWCASE: tuple[Showcase, ...] = (
    Showcase(
        "c-1042",
        "a-7",
        "A family with fibre and no television looks at the paid-TV page: an offer that fits.",
        "open",
        {
            **_NO_TROUBLE,
            "age": 41.0,
            "segment": "family",
            "household_size": 4.0,
            "mobile_lines": 4.0,
            "has_tv": 0.0,
            "tv_hours_week": 21.0,
            "connection": "fibre",
            "download_mbps": 1000.0,
            "wifi_score": 88.0,
            "tenure_months": 52.0,
            "monthly_fee_eur": 61.5,
            "data_bundle_gb": 1000.0,
            "data_used_gb": 24.0,
        },
        _ask(1, "c-1042", "a-7", "web", "en", {"hero": 1, "sidebar": 2}, page="paid-tv"),
    ),
    Showcase(
        "c-1043",
        "a-8",
        "She looks for faster internet, but her wifi is what is slow: the free wifi check comes before any sale.",
        "open",
        {
            **_NO_TROUBLE,
            "language": "nl",
            "age": 36.0,
            "segment": "family",
            "household_size": 5.0,
            "mobile_lines": 5.0,
            "has_tv": 1.0,
            "tv_hours_week": 9.0,
            "connection": "cable",
            "fibre_available": 0.0,
            "download_mbps": 400.0,
            "wifi_score": 34.0,
            "router_age_months": 61.0,
            "tenure_months": 30.0,
            "monthly_fee_eur": 92.0,
        },
        _ask(2, "c-1043", "a-8", "web", "nl", {"hero": 1, "sidebar": 1}, page="internet"),
    ),
    Showcase(
        "c-1044",
        "a-9",
        "He said no to marketing and nothing is wrong with his service: he is left alone.",
        "closed",
        {
            **_NO_TROUBLE,
            "age": 58.0,
            "segment": "couple",
            "household_size": 2.0,
            "mobile_lines": 1.0,
            "has_tv": 0.0,
            "tv_hours_week": 15.0,
            "connection": "cable",
            "download_mbps": 100.0,
            "wifi_score": 81.0,
            "tenure_months": 110.0,
            "monthly_fee_eur": 48.0,
        },
        _ask(3, "c-1044", "a-9", "web", "en", {"hero": 1, "sidebar": 2}, page="home"),
    ),
    Showcase(
        "c-1045",
        "a-10",
        "She calls about an upgrade: the agent gets suggestions in order, safety first, and chooses.",
        "open",
        {
            **_NO_TROUBLE,
            "age": 29.0,
            "segment": "couple",
            "household_size": 2.0,
            "mobile_lines": 1.0,
            "has_tv": 1.0,
            "tv_hours_week": 19.0,
            "connection": "cable",
            "download_mbps": 200.0,
            "wifi_score": 79.0,
            "tenure_months": 66.0,
            "monthly_fee_eur": 71.0,
            "data_used_gb": 19.5,
            "device_age_months": 44.0,
            "contract_ends_at": 60.0,
            "service_contacts_90d": 1.0,
            "two_step_login": 0.0,
        },
        _ask(4, "c-1045", "a-10", "agent", "en", {"suggestion": 4}, contact_reason="upgrade"),
    ),
    Showcase(
        "c-1046",
        "a-11",
        "He opens a chat. What he does just before, and what he says in it, changes what the agent sees first.",
        "open",
        {
            **_NO_TROUBLE,
            "age": 34.0,
            "segment": "couple",
            "household_size": 2.0,
            "mobile_lines": 1.0,
            "has_tv": 0.0,
            "tv_hours_week": 11.0,
            "connection": "fibre",
            "download_mbps": 400.0,
            "wifi_score": 79.0,
            "tenure_months": 66.0,
            "monthly_fee_eur": 71.0,
            "data_used_gb": 19.5,
            "device_age_months": 44.0,
        },
        _ask(5, "c-1046", "a-11", "agent", "en", {"suggestion": 4}, contact_reason="upgrade"),
        (
            ("a look at the paid-TV page", "page-view", {"page": "paid-tv", "seconds": 12.0}),
            (
                "a message",
                "message",
                {
                    "author": "customer",
                    "text": "This is the THIRD time I ask!! Useless. I want to speak to a real person.",
                },
            ),
        ),
    ),
)


def place_showcase(people: Population, attitudes: Any, as_of_us: int) -> None:
    """Write the showcase into the first rows of a population (in place), each in an account of their own."""
    n = len(SHOWCASE)
    people.households[n:] += n
    people.households[:n] = np.arange(n)
    names = tuple(ATTITUDES)
    for row, customer in enumerate(SHOWCASE):
        attitudes[row] = names.index(customer.attitude)
        for name, fact in customer.facts.items():
            value = as_of_us + fact * DAY_US if name == "contract_ends_at" else fact
            people.columns[name][row] = people.complete[name][row] = value
