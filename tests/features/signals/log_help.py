"""A release with every kind of signal feature, and senders of its events."""

import random
from typing import Any

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from features.ledger import Ledger
from features.signals import Event

NOW_US = 1_790_000_000_000_000  # in 2026
SECOND_US, HOUR_US, DAY_US = 1_000_000, 3_600_000_000, 86_400_000_000
PAGES = ("home", "paid-tv", "help")

CATALOGUE = """
settings: {signals: {max_lateness_h: 24, max_ahead_s: 60}}
signals:
  - id: page-view
    retention_days: 2
    fields:
      - {name: page, dtype: enum, values: [home, paid-tv, help], required: true}
      - {name: seconds, dtype: float, unit: s, min: 0}
  - {id: login, retention_days: 30}
features:
  - {name: tv_views_30s, dtype: int, source: signal,
     signal: {of: page-view, where: {page: paid-tv}, compute: count, window: 30s}}
  - {name: views_7d, dtype: int, source: signal, signal: {of: page-view, compute: count, window: 7d}}
  - {name: seconds_24h, dtype: float, unit: s, source: signal,
     signal: {of: page-view, compute: sum, field: seconds, window: 24h}}
  - {name: pages_1h, dtype: int, source: signal,
     signal: {of: page-view, compute: distinct, field: page, window: 1h, max_keys: 2}}
  - {name: last_page, dtype: enum, values: [home, paid-tv, help], source: signal,
     signal: {of: page-view, compute: last, field: page}}
  - {name: heat, dtype: float, source: signal,
     signal: {of: [page-view, login], compute: intensity, half_life_s: 600}}
  - {name: since_login_s, dtype: float, unit: s, source: signal, signal: {of: login, compute: seconds_since}}
  - {name: session_events, dtype: int, source: signal,
     signal: {of: [page-view, login], compute: session_events, gap_min: 30}}
  - {name: session_s, dtype: float, unit: s, source: signal,
     signal: {of: [page-view, login], compute: session_seconds, gap_min: 30}}
"""
MORE = """
features:
  - {name: logins_24h, dtype: int, source: signal, signal: {of: login, compute: count, window: 24h}}
"""


def release(*texts: str) -> Release:
    files = {f"{n}.yaml": text for n, text in enumerate((CATALOGUE, *texts))}
    return Release.of(load(files), pack(files))


def event(ledger: Ledger, id_: str, stream: str, at_us: int = NOW_US, type_: str = "login", **fields: Any) -> Event:
    """As `Intake` makes them; recorded when it happened unless told."""
    recorded_us = fields.pop("recorded_us", at_us)
    return Event(ledger.names.key_of(f"signal:{id_}"), stream, type_, at_us, recorded_us, fields)


def some_events(ledger: Ledger, streams: list[str], count: int, seed: int) -> list[Event]:
    """Over two days, a third of them up to a day late, one in ten sent twice, in a random order of arrival."""
    rng = random.Random(seed)
    made: list[Event] = []
    for n in range(count):
        if made and rng.random() < 0.1:
            made.append(rng.choice(made))
            continue
        recorded_us = NOW_US + rng.randrange(2 * DAY_US)
        late_us = rng.randrange(DAY_US) if rng.random() < 0.3 else rng.randrange(SECOND_US)
        stream, at_us = rng.choice(streams), recorded_us - late_us
        if rng.random() < 0.3:
            made.append(event(ledger, f"{seed}.{n}", stream, at_us, recorded_us=recorded_us))
        else:
            more: dict[str, Any] = {"seconds": rng.randrange(10**9) / 1e6} if rng.random() < 0.7 else {}
            page = rng.choice(PAGES)
            made.append(
                event(ledger, f"{seed}.{n}", stream, at_us, "page-view", recorded_us=recorded_us, page=page, **more)
            )
    return made
