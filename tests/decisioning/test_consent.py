"""Purposes, channels and legal bases: which consent record counts, until when, and what is cited."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.actions import Basis, Purpose
from decisioning.deciding.consent import permission
from decisioning.facts.standing import Consent, Standing
from decisioning.times import DAY_US
from tests.examples import examples

NOW_US = 1_795_435_200_000_000
MARKETING = Purpose(id="marketing", notice_version="2", max_age_days=100.0)
CONTRACT = Basis(id="contract", purpose="service", basis="contract", channels=("web",), text="Art. 6(1)(b)")
LAW = Basis(id="law", purpose="service", basis="legal-obligation", channels=("web",), text="Art. 6(1)(c)")
SERVICE = Purpose(id="service", notice_version="1")


def consent(
    status: str = "granted", *, channel: str = "*", days_ago: float = 1, purpose: str = "marketing", **more: object
) -> Consent:
    about = {"source": "test", "notice_version": "2", "expires_us": None, "record": 7, **more}
    return Consent(purpose, channel, status, occurred_us=NOW_US - round(days_ago * DAY_US), **about)  # type: ignore[arg-type]


def allowed(*consents: Consent, channel: str = "web") -> bool:
    return permission(Standing("s", 1, consents), MARKETING, channel, (), NOW_US).allowed


@pytest.mark.parametrize(
    ("consents", "expected"),
    [
        ((), False),
        ((consent(),), True),
        ((consent("refused"),), False),
        ((consent("objected"),), False),
        ((consent(channel="web"),), True),
        ((consent(channel="email"),), False),
        ((consent(notice_version="1"),), False),
        ((consent(days_ago=101),), False),
        ((consent(days_ago=99),), True),
        ((consent(days_ago=-1),), False),
        ((consent(expires_us=NOW_US),), False),
        ((consent(expires_us=NOW_US + 1),), True),
        ((consent(days_ago=5), consent("withdrawn", channel="web", days_ago=1)), False),
        ((consent(days_ago=1), consent("withdrawn", channel="web", days_ago=5)), False),
        ((consent("withdrawn", days_ago=5), consent(channel="web", days_ago=1)), True),
        ((consent("withdrawn", days_ago=1), consent(channel="web", days_ago=5)), False),
        ((consent("withdrawn", days_ago=1), consent(channel="web", days_ago=1)), False),
    ],
)
def test_whose_word_counts(consents: Sequence[Consent], expected: bool) -> None:
    assert allowed(*consents) is expected
    assert allowed(*reversed(consents)) is expected


def test_a_permission_cites_the_record_that_gives_it() -> None:
    standing = Standing("s", 9, (consent(channel="web", record=4),))
    assert permission(standing, MARKETING, "web", (), NOW_US).cites == "consent:marketing/web@4"
    assert permission(Standing("s"), SERVICE, "web", (CONTRACT,), NOW_US).cites == "basis:contract"


@pytest.mark.parametrize(("basis", "expected"), [(CONTRACT, False), (LAW, True)])
@pytest.mark.parametrize("status", ["refused", "withdrawn", "objected"])
def test_a_refusal_is_stronger_than_any_basis_but_the_law(basis: Basis, expected: bool, status: str) -> None:
    standing = Standing("s", 1, (consent(status, purpose="service"),))
    assert permission(standing, SERVICE, "web", (basis,), NOW_US).allowed is expected
    assert permission(Standing("s"), SERVICE, "web", (basis,), NOW_US).allowed
    assert not permission(Standing("s"), SERVICE, "email", (basis,), NOW_US).allowed


statuses = st.sampled_from(["granted", "refused", "withdrawn", "objected"])


@settings(max_examples=examples(300))
@given(
    st.lists(
        st.tuples(st.sampled_from(["*", "web"]), statuses, st.integers(0, 50)), max_size=2, unique_by=lambda t: t[0]
    )
)
def test_the_newest_word_of_all_is_never_a_refusal_that_permits(consents_drawn: list[tuple[str, str, int]]) -> None:
    consents = tuple(consent(status, channel=channel, days_ago=days) for channel, status, days in consents_drawn)
    if allowed(*consents):
        newest = min(consents_drawn, key=lambda t: t[2])[2]
        assert all(status == "granted" for _, status, days in consents_drawn if days == newest)
