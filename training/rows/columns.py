"""Columns of the log of decisions as numpy arrays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.model.frame import Bools, Floats


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a numeric column (n,), with NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), dtype=np.float64)


def bools(column: pa.ChunkedArray) -> Bools:
    """Return a boolean column (n,), with false for null."""
    return np.asarray(pc.fill_null(column.cast(pa.bool_()), False).to_numpy(), dtype=np.bool_)
