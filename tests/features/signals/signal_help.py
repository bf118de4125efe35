"""A catalogue of every compute, random events of it, and its features by the book: one event after the other."""

import math
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

from hypothesis import strategies as st

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.facts.schema import Value
from features.signals import Definitions, Event

NOW_US = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z."""
S_US = 1_000_000
HOUR_US = 3600 * S_US
CATALOGUE = """
settings: {signals: {max_lateness_h: 24}}
signals:
  - id: view
    retention_days: 30
    fields:
      - {name: page, dtype: string}
      - {name: seconds, dtype: float, unit: s}
      - {name: items, dtype: int, min: -5, max: 5}
      - {name: paid, dtype: bool}
      - {name: step, dtype: enum, values: [added, removed, bought]}
  - {id: login, retention_days: 30}
features:
  - {name: count_30s, dtype: int, source: signal, signal: {of: [view, login], compute: count, window: 30s}}
  - {name: count_7s, dtype: int, source: signal, signal: {of: view, compute: count, window: 7s}}
  - {name: count_24h, dtype: int, source: signal, signal: {of: view, compute: count, window: 24h}}
  - {name: tv_1h, dtype: int, source: signal,
     signal: {of: view, where: {page: [tv, film], paid: true}, compute: count, window: 1h}}
  - {name: sum_5min, dtype: float, source: signal, signal: {of: view, compute: sum, field: seconds, window: 5min}}
  - {name: items_7d, dtype: float, source: signal, signal: {of: view, compute: sum, field: items, window: 7d}}
  - {name: pages_1h, dtype: int, source: signal,
     signal: {of: view, compute: distinct, field: page, window: 1h, max_keys: 3}}
  - {name: pages_24h, dtype: int, source: signal, signal: {of: view, compute: distinct, field: page, window: 24h}}
  - {name: items_30s, dtype: int, source: signal,
     signal: {of: view, compute: distinct, field: items, window: 30s, max_keys: 2}}
  - {name: last_page, dtype: string, source: signal, signal: {of: view, compute: last, field: page}}
  - {name: last_step, dtype: enum, values: [added, removed, bought, none], source: signal, max_age_s: 60,
     signal: {of: view, compute: last, field: step}}
  - {name: heat_10s, dtype: float, source: signal, signal: {of: [view, login], compute: intensity, half_life_s: 10}}
  - {name: heat_1h, dtype: float, source: signal, signal: {of: view, compute: intensity, half_life_s: 3600}}
  - {name: since_login_s, dtype: float, source: signal, signal: {of: login, compute: seconds_since}}
  - {name: session_events, dtype: int, source: signal, signal: {of: [view, login], compute: session_events}}
  - {name: session_s, dtype: float, source: signal, signal: {of: [view, login], compute: session_seconds, gap_min: 30}}
  - {name: page_again, dtype: int, source: signal,
     signal: {of: view, compute: repeated, field: page, window: 1h, since: login}}
  - {name: items_again, dtype: int, source: signal, signal: {of: view, compute: repeated, field: items, window: 30s}}
  - {name: visit_s, dtype: float, source: signal, signal: {of: view, compute: session_seconds, gap_min: 1}}
"""
FILES = {"all.yaml": CATALOGUE}
LONG = "a page with a name that nobody would keep as it is: " + "x" * 60


@cache
def release() -> Release:
    """Return the release of the catalogue."""
    return Release.of(load(FILES), pack(FILES))


@cache
def definitions() -> Definitions:
    """Return the compiled definitions of the release."""
    return Definitions.from_release(release())


def event(number: int, occurred_us: int, recorded_us: int | None = None, type_: str = "view", **fields: Value) -> Event:
    """Return an event that was recorded when it occurred, or at `recorded_us`."""
    return Event(f"{number:032x}", "stream", type_, occurred_us, recorded_us or occurred_us, fields)


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "page": st.sampled_from(["home", "tv", "film", "help", "", "ÅÄÖ 🎬", LONG, LONG + "y"]),
        "seconds": st.one_of(st.sampled_from([0.0, 0.1, 5e-7, 1.5e-6, 2.5e-6, 1e15]), st.floats(-1e6, 1e6)),
        "items": st.integers(-5, 5),
        "paid": st.booleans(),
        "step": st.sampled_from(["added", "removed", "bought"]),
    },
)
STEPS_US = st.one_of(
    st.sampled_from([0, 1, S_US, 30 * S_US, 60 * S_US, 1800 * S_US, 1800 * S_US + 1, HOUR_US]),
    st.integers(0, 5 * S_US),
    st.integers(0, HOUR_US),
)
"""Steps between two times, including those at which a reading changes."""


@st.composite
def histories(draw: st.DrawFn, most: int = 40) -> list[Event]:
    """Events in the order of recording, up to a day late and up to a minute early."""
    recorded_us, events = NOW_US, list[Event]()
    for number in range(draw(st.integers(0, most))):
        recorded_us += draw(STEPS_US)
        late_us = draw(st.one_of(st.just(0), STEPS_US, st.integers(-5 * S_US, 24 * HOUR_US)))
        type_ = draw(st.sampled_from(["view", "view", "view", "login"]))
        fields = draw(FIELDS) if type_ == "view" else {}
        events.append(event(number * 7919 % 97, recorded_us - late_us, recorded_us, type_, **fields))
    return events


def by_the_book(events: Sequence[Event], at_us: int) -> dict[str, Value]:
    """Return every feature of the catalogue as of a time not before any recording, computed by its definition."""
    both = [(min(e.occurred_us, e.recorded_us), e.key, e) for e in events]
    views = [(t, key, e.fields) for t, key, e in both if e.type == "view"]
    logins = [t for t, _, e in both if e.type == "login"]

    def having(field: str) -> list[tuple[int, str, Value]]:
        return [(t, key, f[field]) for t, key, f in views if field in f]

    def inside(times: Sequence[int], window_s: int) -> list[bool]:
        resolution = window_s * S_US
        return [at_us * 30 // resolution - 30 < t * 30 // resolution <= at_us * 30 // resolution for t in times]

    def count(times: Sequence[int], window_s: int) -> int:
        return sum(inside(times, window_s))

    def total(field: str, window_s: int) -> float:
        amounts = having(field)
        counted = inside([t for t, _, _ in amounts], window_s)
        return sum(_millionths(v) for (_, _, v), k in zip(amounts, counted, strict=True) if k) / 10**6

    def distinct(field: str, window_s: int, keys: int) -> int:
        last: dict[Value, int] = {}
        for t, _, value in having(field):
            last[value] = max(t, last.get(value, t))
        return count(sorted(last.values(), reverse=True)[:keys], window_s)

    def kept(value: Value) -> Any:
        is_long = isinstance(value, str) and len(value) > 40
        return blake2b(str(value).encode(), digest_size=16).hexdigest() if is_long else value

    def again(field: str, window_s: int, begun_us: int) -> int:
        after = [(t, kept(v)) for t, _, v in having(field) if t > begun_us and t > at_us - window_s * S_US]
        values = [v for _, v in sorted(after)[-20:]]
        return max((values.count(v) for v in values), default=0)

    def heat(times: Sequence[int], half_life_s: int) -> float:
        return math.fsum(0.5 ** ((at_us - t) / (half_life_s * S_US)) for t in times)

    def session(times: Sequence[int], gap_s: int) -> tuple[int, float]:
        groups: list[list[int]] = []
        for t in sorted(times):
            if groups and t - groups[-1][-1] <= gap_s * S_US:
                groups[-1].append(t)
            else:
                groups.append([t])
        goes_on = [g for g in groups if g[-1] >= at_us - gap_s * S_US]
        return (len(goes_on[0]), (goes_on[0][-1] - goes_on[0][0]) / 10**6) if goes_on else (0, 0.0)

    all_times, view_times = [t for t, _, _ in both], [t for t, _, _ in views]
    tv = [t for t, _, f in views if f.get("page") in ("tv", "film") and f.get("paid") is True]
    features: dict[str, Value] = {
        "count_30s": count(all_times, 30),
        "count_7s": count(view_times, 7),
        "count_24h": count(view_times, 86_400),
        "tv_1h": count(tv, 3600),
        "sum_5min": total("seconds", 300),
        "items_7d": total("items", 7 * 86_400),
        "pages_1h": distinct("page", 3600, 3),
        "pages_24h": distinct("page", 86_400, 100),
        "items_30s": distinct("items", 30, 2),
        "page_again": again("page", 3600, max(logins, default=-1)),
        "items_again": again("items", 30, -1),
        "heat_10s": heat(all_times, 10),
        "heat_1h": heat(view_times, 3600),
        "session_events": session(all_times, 1800)[0],
        "session_s": session(all_times, 1800)[1],
        "visit_s": session(view_times, 60)[1],
    }
    if pages := having("page"):
        features["last_page"] = max(pages, key=lambda p: p[:2])[2]
    if steps := having("step"):
        at, _, step = max(steps, key=lambda s: s[:2])
        features |= {"last_step": step} if at_us - at <= 60 * S_US else {}
    if logins:
        features["since_login_s"] = (at_us - max(logins)) / 10**6
    return features


def _millionths(value: Value) -> int:
    assert isinstance(value, int | float)
    return value * 10**6 if isinstance(value, int) else round(value * 1e6)


def assert_same(actual: dict[str, Value], expected: dict[str, Value]) -> None:
    """Assert that facts are equal: decayed intensities to 1e-9, everything else exactly."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if name.startswith("heat"):
            assert math.isclose(float(actual[name]), float(value), rel_tol=1e-9, abs_tol=1e-9), name
        else:
            assert (type(actual[name]), actual[name]) == (type(value), value), name
