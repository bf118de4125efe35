"""Validation of a signal's data: for any input, either valid fields or an error that names the invalid one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import RequestError
from decisioning.facts.signals import SignalField, SignalSettings, SignalType
from features.signals import check_time, validate

TYPE = SignalType(
    id="view",
    retention_days=30.0,
    fields=(
        SignalField(name="page", dtype="string", required=True),
        SignalField(name="step", dtype="enum", values=("added", "bought")),
        SignalField(name="items", dtype="int", max=9),
        SignalField(name="seconds", dtype="float", unit="s", min=0),
        SignalField(name="paid", dtype="bool"),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)
WRONG: list[tuple[str, Any, str]] = [
    ("data.page", {}, "is missing"),
    ("data.page", {"page": None}, "is missing"),
    ("data.page", {"page": 3}, "must be a text"),
    ("data.page", {"page": "x" * 4001}, "must have at most 4000 characters"),
    ("data.page", {"page": "\ud800"}, "must be valid Unicode"),
    ("data.page", {"page": "a\0b"}, "must be valid Unicode without code 0"),
    ("data.step", {"step": "adedd"}, "must be one of added, bought"),
    ("data.step", {"step": True}, "must be a text"),
    ("data.items", {"items": 3.0}, "must be a whole number"),
    ("data.items", {"items": True}, "must be a whole number"),
    ("data.items", {"items": "3"}, "must be a whole number"),
    ("data.items", {"items": 10}, "must be at most 9"),
    ("data.items", {"items": -(10**400)}, "must be a finite number"),
    ("data.seconds", {"seconds": -0.001}, "must be at least 0"),
    ("data.seconds", {"seconds": float("nan")}, "must be a finite number"),
    ("data.seconds", {"seconds": float("inf")}, "must be a finite number"),
    ("data.seconds", {"seconds": 1.1e15}, "must be a finite number within ±1e+15"),
    ("data.seconds", {"seconds": [3]}, "must be a number"),
    ("data.seconds", {"seconds": False}, "must be a number"),
    ("data.paid", {"paid": 1}, "must be true or false"),
    ("data.pag", {"pag": "x"}, "unknown field; known are page, step, items, seconds, paid"),
    ("data", {"jane@example.org": "x"}, "unknown field"),
    ("data", {"x" * 65: "x"}, "unknown field"),
    ("data", {3: "x"}, "unknown field"),
    ("data", ["page"], "must be an object"),
    ("data", None, "must be an object"),
]


@pytest.mark.parametrize(("field", "data", "says"), WRONG)
def test_what_is_wrong_is_refused_by_the_name_of_its_field(field: str, data: Any, says: str) -> None:
    page = {} if not isinstance(data, dict) or field == "data.page" else {"page": "home"}
    with pytest.raises(RequestError) as caught:
        validate(TYPE, {**page, **data} if isinstance(data, dict) else data)
    assert caught.value.field == field
    assert says in str(caught.value)
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize("page", ["", "🎬", "صفحة", "x" * 4000, "a\nb"])
def test_what_is_right_is_kept_as_it_is(page: str) -> None:
    data = {"page": page, "seconds": 3, "items": -(10**15), "step": None, "paid": False}
    fields = validate(TYPE, data)
    assert fields == {"page": page, "seconds": 3.0, "items": -(10**15), "paid": False}
    assert type(fields["seconds"]) is float


def test_minus_zero_is_zero() -> None:
    assert str(validate(TYPE, {"page": "x", "seconds": -0.0})["seconds"]) == "0.0"


@given(st.dictionaries(st.sampled_from(["page", "step", "items", "seconds", "paid", "x"]), JSON) | JSON)
def test_anything_is_right_or_refused(data: Any) -> None:
    try:
        fields = validate(TYPE, data)
    except RequestError as error:
        refusal = error
    else:
        assert fields["page"] == data["page"]
        assert validate(TYPE, fields) == fields
        return
    assert refusal.field.partition(".")[0] == "data"
    assert len(str(refusal)) < 200


def test_neither_too_late_nor_too_far_ahead() -> None:
    settings, now_us = SignalSettings(max_lateness_h=1.0), 10**15
    for occurred_us in (now_us - 3_600_000_000, now_us, now_us + 5_000_000):
        assert check_time(occurred_us, settings, now_us) == occurred_us
    for occurred_us, says in ((now_us - 3_600_000_001, "1 hours ago"), (now_us + 5_000_001, "5 seconds ahead")):
        with pytest.raises(RequestError, match=says):
            check_time(occurred_us, settings, now_us)
