"""Writes a model's score of every customer to the profile, as a feature of source `model`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from decisioning.catalogue.actions import PROFILING
from decisioning.catalogue.release import Release
from decisioning.deciding.consent import permission
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.rules import Columns
from features.decisions.log import Progress
from features.ledger import Ledger
from features.ledger.driver import in_chunks
from features.ledger.links import with_identities
from features.matrix import FeatureMatrix, columns_from_table
from features.views import TIME
from training.fitting.risk import RiskModel

if TYPE_CHECKING:  # Feast takes seconds to import
    from features.profile.offline import History


def write_scores(
    model: RiskModel,
    feature: str,
    ledger: Ledger,
    release: Release,
    history: "History",
    now_us: int,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Score every customer with a profile as of `now_us`; return how many were `scored` and how many `left_out`.

    Customers who may not be profiled are left out, and so are those not known to be adults if the release names an age.
    """
    everyone = history.archive.subjects()
    subjects = profilable_streams(everyone, ledger, release, now_us)
    times = pa.repeat(pa.scalar(now_us, pa.int64()), len(subjects)).cast(TIME)
    entities = pa.table({"subject": pa.array(subjects, pa.string()), "event_timestamp": times})
    columns = columns_from_table(history.point_in_time(entities), release.schema)
    matrix = FeatureMatrix(release.schema)
    at = [matrix.names.index(name) for name in model.feature_names]
    adult = _adult(release, columns, len(subjects))
    scores = model.scores(matrix.rows(columns, len(subjects))[adult][:, at])
    history.import_profiles(
        entities.filter(pa.array(adult)).append_column(feature, pa.array(scores)),
        (lambda written, total: progress(written, total, "scores")) if progress else None,
    )
    return {"scored": len(scores), "left_out": len(everyone) - len(scores)}


def current_scores(
    feature: str, streams: Sequence[str], ledger: Ledger, release: Release, history: "History", now_us: int
) -> dict[str, float]:
    """Return stream -> the score that a customer has as of `now_us`; none of who may not be profiled, or has none."""
    subjects = profilable_streams(list(dict.fromkeys(streams)), ledger, release, now_us)
    times = pa.repeat(pa.scalar(now_us, pa.int64()), len(subjects)).cast(TIME)
    table = history.point_in_time(pa.table({"subject": pa.array(subjects, pa.string()), "event_timestamp": times}))
    adult = _adult(release, columns_from_table(table, release.schema), len(subjects))
    rows = zip(table["subject"].to_pylist(), table[feature].to_pylist(), adult.tolist(), strict=True)
    return {subject: score for subject, score, is_adult in rows if is_adult and score is not None}


def _adult(release: Release, columns: Columns, n: int) -> NDArray[np.bool_]:
    """Return who is known to be old enough to be profiled, bool (n,)."""
    return np.ones(n, dtype=np.bool_) if release.adult is None else release.adult.truth_column(columns, n).true


def profilable_streams(streams: Sequence[str], ledger: Ledger, release: Release, now_us: int) -> list[str]:
    """Return the streams of customers who may be profiled on at least one channel.

    Refusals of linked visitors and under joined ids bind the customer.
    """
    read = partial(ledger.read, rules=NO_PAST)
    standings = (standing for part in in_chunks(streams) for standing in with_identities(read(*part), read))
    return [s.stream for s in standings if _may_profile(s, release, now_us)]


def _may_profile(standing: Standing, release: Release, now_us: int) -> bool:
    purpose = release.purposes.get(PROFILING)
    if purpose is None or standing.erased or standing.restricted:
        return False
    bases = release.catalogue.bases
    return any(permission(standing, purpose, channel, bases, now_us).allowed for channel in release.channels)
