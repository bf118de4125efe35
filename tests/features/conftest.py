"""A workspace's data folder with a real Feast repository, shared per module because Feast takes seconds to import."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from decisioning.schema import Feature, FeatureSchema

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
    """`data`, `schema`, `profiles`, `history`, with the working and home directories empty folders (`outside`)."""
    from features.offline import History
    from features.online import open_profiles
    from features.repository import apply

    outside: Path = tmp_path_factory.mktemp("outside")
    data: Path = tmp_path_factory.mktemp("workspace") / "data"
    data.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(outside)
        patch.setenv("HOME", str(outside))
        patch.setenv("MPLCONFIGDIR", str(data.parent))  # Feast's command line imports matplotlib; the brain does not
        apply(data, SCHEMA, "a-workspace")
        profiles = open_profiles(data, SCHEMA)
        yield SimpleNamespace(
            data=data, schema=SCHEMA, profiles=profiles, history=History(profiles), outside=outside, now_us=NOW_US
        )
