"""Which known name was meant."""

import pytest

from decisioning.nearest import did_you_mean, nearest

KNOWN = ("customer_id", "placements", "request_id", "tv-bundle", "web")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("customerId", "customer_id"),
        ("CustomerID", "customer_id"),
        ("placement", "placements"),
        ("TV_Bundle", "tv-bundle"),
        ("tv-bundel", "tv-bundle"),
        ("WEB", "web"),
        ("", None),
        ("nothing alike", None),
        ("x" * 10_000, None),
    ],
)
def test_the_closest_name_is_meant_whatever_its_spelling(word: str, meant: str | None) -> None:
    assert nearest(word, KNOWN) == meant
    assert did_you_mean(word, KNOWN) == (f"; did you mean {meant}?" if meant else "")
