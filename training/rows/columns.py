"""Columns of the log of decisions as numpy arrays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.model.frame import Bools, Floats, Ints


def floats(column: pa.ChunkedArray) -> Floats:
    """Return a numeric column (n,), with NaN for null."""
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(), dtype=np.float64)


def bools(column: pa.ChunkedArray) -> Bools:
    """Return a boolean column (n,), with false for null."""
    return np.asarray(pc.fill_null(column.cast(pa.bool_()), False).to_numpy(), dtype=np.bool_)


def unit_codes(names: pa.ChunkedArray) -> Ints:
    """Return a code per name (n,), from 0 on in the order in which they occur.

    So the codes do not depend on how streams are named, which differs between workspaces.
    """
    if not len(names):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(names.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)
