"""LightGBM trees that correct a base logit: one row at a time at C speed, or a column of rows."""

import ctypes
import weakref
from collections.abc import Sequence

import lightgbm
import numpy as np
from lightgbm.basic import _LIB, Booster

from training.frame import Floats

_RAW_SCORE = 1
_FLOAT64 = 1


class Forest:
    """Trees read from LightGBM's model text; adds to the logit what the base could not express.

    One row goes through `LGBM_BoosterPredictForMatSingleRowFast` with a handle prepared once: `Booster.predict` spends
    ten times as long on preparing each call as on the trees. Both give the same bits.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.booster = Booster(model_str=text)
        self.n_features = self.booster.num_feature()
        self.config = ctypes.c_void_p()
        _check(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                self.booster._handle,
                ctypes.c_int(_RAW_SCORE),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(self.n_features),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self.config),
            )
        )
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self.config)

    def column(self, x: Floats) -> Floats:
        """Raw scores (n_rows,) for rows (n_rows, n_features)."""
        return np.asarray(self.booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)


def score_row(row: Floats, forests: Sequence[Forest]) -> list[float]:
    """Raw score of one row (n_features,) by each forest."""
    row = np.ascontiguousarray(row, dtype=np.float64)
    data, out = ctypes.c_void_p(row.ctypes.data), ctypes.c_double()
    out_at, n_out_at = ctypes.byref(out), ctypes.byref(ctypes.c_int64())
    predict = _LIB.LGBM_BoosterPredictForMatSingleRowFast
    found = []
    for forest in forests:
        _check(predict(forest.config, data, n_out_at, out_at))
        found.append(out.value)
    return found


def _check(code: int) -> None:
    if code != 0:
        raise lightgbm.basic.LightGBMError(_LIB.LGBM_GetLastError().decode())
