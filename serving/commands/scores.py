"""`brain train risk --scores OUT --customers FILE`: the scores of many customers, as a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.errors import Refused
from features.importing.cells import CellReader, lacking
from features.importing.opening import open_table
from features.importing.tables import Faults
from serving.customers import exported_files
from serving.settings import Workspace

_CUSTOMER: Final = "customer_id"
ScoresOf = Callable[[Sequence[str]], Sequence[float | None]]


def write_scores_of(
    workspace: Workspace, feature: str, files: tuple[Path, Path], scores_of: ScoresOf
) -> dict[str, int | str]:
    """Write the scores that customers have now, null for who may not be profiled, and return what was written.

    :param files: the table with a column `customer_id`, and the Parquet file to write
    :param scores_of: returns the scores of customers by their ids, None for those who have none
    """
    customers, out = files
    ids = _ids(customers)
    column = pa.array(scores_of(ids), pa.float64())
    with exported_files.written(workspace, out, "batch") as half:
        pq.write_table(pa.table({_CUSTOMER: pa.array(ids, pa.string()), feature: column}), half)
    return {"scores": str(out), "customers_with_a_score": len(ids) - column.null_count, "without": column.null_count}


def _ids(path: Path) -> list[str]:
    """Return the different ids of a table, in its order; raises Refused for cells that are none."""
    faults, ids = Faults(), dict[str, None]()
    table = open_table(path)
    if _CUSTOMER not in table.columns:
        raise Refused(lacking(table, _CUSTOMER))
    for sheet, _, _ in table.parts(faults):
        cells = CellReader(sheet, faults, ("",), ZoneInfo("UTC"), 0).ids(_CUSTOMER)
        ids |= dict.fromkeys(cells.drop_null().to_pylist())
    faults.raise_any("no score was written")
    return list(ids)
