"""A workspace's data folder with a real Feast repository; shared by a module's tests, since Feast is slow to import."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from decisioning.facts.schema import Feature, FeatureSchema

DAY_US = 86_400_000_000
NOW_US = 1_750_000_000_123_456

FEATURES = (
    Feature(name="age", dtype="int", min=0, max=130),
    Feature(name="fee_eur", dtype="float", unit="EUR", min=0, max=500),
    Feature(name="fresh_eur", dtype="float", max_age_s=60),
    Feature(name="hardship", dtype="bool", tags=("special-category",)),
    Feature(name="plan", dtype="enum", values=("basic", "plus")),
    Feature(name="city", dtype="string"),
    Feature(name="since", dtype="timestamp"),
    Feature(name="churn_risk", dtype="float", source="model", min=0, max=1, max_age_s=3600),
    Feature(name="page", dtype="string", source="context"),
)
SCHEMA = FeatureSchema(FEATURES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A workspace on SQLite: `data`, `schema`, `profiles`, `store`, `history`, `now_us` and `redis` (None).

    The working and home directories are one empty folder, `outside`.
    """
    with open_world(tmp_path_factory, None) as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """`world`, once for each online store."""
    redis = request.getfixturevalue("redis_at") if request.param == "redis" else None
    with open_world(tmp_path_factory, redis) as opened:
        yield opened


@contextmanager
def open_world(tmp_path_factory: pytest.TempPathFactory, redis: str | None) -> Iterator[SimpleNamespace]:
    """Open a workspace; on Redis its project has a unique name, since others may use the same Redis."""
    from features.profile.offline import History
    from features.profile.online import open_profiles
    from features.profile.repository import apply

    outside: Path = tmp_path_factory.mktemp("outside")
    data: Path = tmp_path_factory.mktemp("workspace") / "data"
    data.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(outside)
        patch.setenv("HOME", str(outside))
        patch.setenv("MPLCONFIGDIR", str(data.parent))  # Feast's command line imports matplotlib; the brain does not
        apply(data, SCHEMA, f"a-workspace-{uuid.uuid4().hex[:8]}" if redis else "a-workspace", redis)
        profiles = open_profiles(data, SCHEMA)
        yield SimpleNamespace(
            data=data,
            schema=SCHEMA,
            profiles=profiles,
            store=profiles.store,
            history=History(profiles),
            outside=outside,
            now_us=NOW_US,
            redis=redis,
        )
        if redis:
            feast = profiles.store.feast._get_provider().online_store
            feast.delete_entity_values(profiles.store.config, ["subject"])
