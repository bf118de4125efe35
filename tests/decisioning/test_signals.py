"""Signal types and definitions as a release offers them; `mistakes.yaml` has the mistakes in them."""

import pytest
from pydantic import ValidationError

from decisioning.catalogue.files import load, pack, read
from decisioning.catalogue.release import Release
from decisioning.facts.signals import SignalFeature, SignalField, misfit

TEXT = """
settings: {signals: {max_lateness_h: 36}}
signals:
  - {id: view, retention_days: 2, description: a page, fields: [{name: page, dtype: enum, values: [home, tv]}]}
  - {id: login, retention_days: 1.5}
features:
  - {name: views, dtype: int, source: signal, signal: {of: [view, login], compute: session_events}}
  - {name: tv, dtype: int, source: signal, signal: {of: view, where: {page: tv}, compute: count, window: 5min}}
"""


def test_a_release_offers_its_signals_and_what_is_computed_from_them() -> None:
    files = {"a.yaml": TEXT}
    release = Release.of(load(files), pack(files))
    assert list(release.signals) == ["login", "view"]
    assert release.signals["view"].fields[0].values == ("home", "tv")
    limits = release.catalogue.settings.signals
    assert limits.max_lateness_us == 36 * 3_600_000_000
    tv, views = release.schema.of_source("signal")
    assert tv.signal is not None
    assert views.signal is not None
    assert (tv.signal.of, tv.signal.where, tv.signal.window_us) == (("view",), {"page": ("tv",)}, 300_000_000)
    assert (views.signal.of, views.signal.gap_us) == (("view", "login"), 1_800_000_000)


def test_a_release_of_before_definitions_can_still_be_read() -> None:
    """Decisions that name it can be replayed; only `load` requires definitions."""
    assert read({"a.yaml": "features: [{name: views, dtype: int, source: signal}]"}).features[0].signal is None


@pytest.mark.parametrize(
    ("window", "seconds"), [("1s", 1), ("30s", 30), ("5min", 300), ("1h", 3600), ("24h", 86_400), ("366d", 31_622_400)]
)
def test_windows(window: str, seconds: int) -> None:
    assert SignalFeature(of=("view",), compute="count", window=window).window_us == seconds * 1_000_000


@pytest.mark.parametrize(
    "window", ["", "0s", "05s", "5m", "5 min", "1.5h", "-1d", "367d", "1w", "9999999999s", "١s", 30]
)
def test_what_is_no_window(window: object) -> None:
    with pytest.raises(ValidationError, match="expected a length of time"):
        SignalFeature.model_validate({"of": "view", "compute": "count", "window": window})


def test_bounds_of_a_field_are_included() -> None:
    field = SignalField(name="seconds", dtype="float", min=0.0, max=1.0)
    assert [misfit(field, value) for value in (0, 0.0, 1, 1.0)] == [None] * 4
    assert misfit(field, 1.0000001) == "must be at most 1"
    assert misfit(field, -1e-9) == "must be at least 0"
