"""Columns that tell an outcome nearly by themselves: they may be known only after it."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from features.importing.drafting.columns import Column


def telling(columns: Sequence[Column], outcome: Column) -> Iterator[tuple[str, float]]:
    """Yield columns that tell the outcome nearly by themselves, each with its AUC: they may be known only after it."""
    if outcome.codes is None or not outcome.is_two_valued:
        return
    happened = outcome.codes == int(np.argmin(np.bincount(outcome.codes[outcome.codes >= 0])))
    for column in columns:
        if column.name != outcome.name and (scores := _scores(column, happened)) is not None:
            area = _auc(scores, happened)
            yield column.name, max(area, 1.0 - area)


def _scores(column: Column, happened: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64] | None:
    if column.numbers is not None:
        return np.nan_to_num(column.numbers, nan=-1e300)
    if column.kind not in ("bool", "enum") or column.codes is None:
        return None
    code = column.codes + 1
    return np.asarray((np.bincount(code, happened) / np.maximum(np.bincount(code), 1))[code], dtype=np.float64)


def _auc(scores: npt.NDArray[np.float64], happened: npt.NDArray[np.bool_]) -> float:
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[place]
    n, m = int(happened.sum()), int((~happened).sum())
    return 0.5 if not n or not m else float((ranks[happened].sum() - n * (n + 1) / 2.0) / (n * m))
