"""Parquet files that pdstools reads: model snapshots, predictor binning, interaction history.

Column names are those of the data sets that pdstools documents (`pdstools.adm.Schema`, `pdstools.ih.Schema`). A model
there is one action in one treatment on one channel. The ids of subjects are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.schema import Feature
from features.decisions.log import DecisionLog
from training.evaluation.metrics import auc
from training.model.frame import Bools, Floats
from training.rows.columns import bools, floats

_TIME = pa.timestamp("us")
_BINS = 10
MODELS = pa.schema(
    [
        ("pxApplication", pa.string()),
        ("pyAppliesToClass", pa.string()),
        ("pyModelID", pa.string()),
        ("pyConfigurationName", pa.string()),
        ("pySnapshotTime", _TIME),
        ("pyIssue", pa.string()),
        ("pyGroup", pa.string()),
        ("pyName", pa.string()),
        ("pyTreatment", pa.string()),
        ("pyChannel", pa.string()),
        ("pyDirection", pa.string()),
        ("pyPerformance", pa.float64()),
        ("pySuccessRate", pa.float64()),
        ("pyResponseCount", pa.float32()),
        ("pyPositives", pa.float32()),
        ("pyNegatives", pa.float32()),
        ("pyActivePredictors", pa.uint16()),
        ("pyTotalPredictors", pa.uint16()),
    ]
)
PREDICTORS = pa.schema(
    [
        ("pyModelID", pa.string()),
        ("pySnapshotTime", _TIME),
        ("pyPredictorName", pa.string()),
        ("pyType", pa.string()),
        ("pyEntryType", pa.string()),
        ("pyPerformance", pa.float64()),
        ("pyPositives", pa.float32()),
        ("pyNegatives", pa.float32()),
        ("pyResponseCount", pa.float32()),
        ("pyTotalBins", pa.uint16()),
        ("pyBinIndex", pa.uint16()),
        ("pyBinSymbol", pa.string()),
        ("pyBinType", pa.string()),
        ("pyBinLowerBound", pa.float32()),
        ("pyBinUpperBound", pa.float32()),
        ("pyBinPositives", pa.float32()),
        ("pyBinNegatives", pa.float32()),
        ("pyBinResponseCount", pa.float32()),
    ]
)
_HISTORY = """
SELECT _id AS "pxInteractionID", CASE WHEN _label THEN 'Accepted' WHEN _complained OR _opted_out THEN 'Rejected'
    ELSE 'NoResponse' END AS "pyOutcome", make_timestamp(_at_us) AS "pxOutcomeTime", _channel AS "pyChannel",
  d.direction AS "pyDirection", _issue AS "pyIssue", _group AS "pyGroup", _action AS "pyName",
  _treatment AS "pyTreatment", _propensity AS "pyPropensity", 'LogisticWithTrees' AS "pyModelTechnique"
FROM log LEFT JOIN (VALUES {channels}) d(channel, direction) ON d.channel = _channel
WHERE _source = 'decision' AND _action <> 'none' AND _label IS NOT NULL ORDER BY _at_us, _id
"""
_LABELLED = """
SELECT * FROM log WHERE _source = 'decision' AND _action <> 'none' AND _label IS NOT NULL
ORDER BY _action, _treatment, _channel, _at_us, _id
"""


@dataclass(frozen=True, slots=True, eq=False)
class _OfferGroup:
    """The offers of one action, treatment and channel: a model of pdstools. `keys`: the values they share."""

    id: str
    keys: dict[str, str]
    rows: pa.Table


def write_tables(log: DecisionLog, release: Release, now_us: int, folder: Path) -> tuple[Path, ...]:
    """Write `models.parquet`, `predictors.parquet` and `interactions.parquet`, and return their paths.

    They hold all offers whose windows have closed.
    """
    rows, at = log.query(_LABELLED, release), datetime.fromtimestamp(now_us / 1e6, UTC).replace(tzinfo=None)
    if not rows.num_rows:
        raise Refused(
            "pdstools would get empty tables: no offer of a decision has a closed window yet, and imported contacts "
            "are no offers; the report itself is written"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    models = list(_models(rows))
    predictors = [f for f in release.schema.learnable if f.name in rows.column_names]
    binned = [row for model in models for row in _predictor_rows(model, predictors)]
    directions = ", ".join(f"('{c.id}', '{c.direction.capitalize()}')" for c in release.channels.values())
    tables = {
        "models": pa.Table.from_pylist([_model_row(m, len(predictors), release, at) for m in models], MODELS),
        "predictors": pa.Table.from_pylist([{**r, "pySnapshotTime": at} for r in binned], PREDICTORS),
        "interactions": log.query(_HISTORY.format(channels=directions or "('', '')"), release),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return tuple(folder / f"{name}.parquet" for name in tables)


def _models(rows: pa.Table) -> Iterator[_OfferGroup]:
    """Split rows, sorted by action, treatment and channel, into the models of pdstools."""
    keys = ("_action", "_treatment", "_channel", "_issue", "_group")
    columns = [rows[k].to_pylist() for k in keys]
    at = 0
    for n in range(1, rows.num_rows + 1):
        here = [c[at] for c in columns]
        if n == rows.num_rows or [c[n] for c in columns[:3]] != here[:3]:
            yield _OfferGroup("/".join(here[:3]), dict(zip(keys, here, strict=True)), rows.slice(at, n - at))
            at = n


def _model_row(model: _OfferGroup, predictors: int, release: Release, at: datetime) -> dict[str, Any]:
    label, score = bools(model.rows["_label"]), np.nan_to_num(floats(model.rows["_propensity"]))
    keys, channel = model.keys, release.channels.get(model.keys["_channel"])
    return {
        "pxApplication": "central-brain",
        "pyAppliesToClass": "Customer",
        "pyModelID": model.id,
        "pyConfigurationName": "propensity",
        "pySnapshotTime": at,
        "pyIssue": keys["_issue"],
        "pyGroup": keys["_group"],
        "pyName": keys["_action"],
        "pyTreatment": keys["_treatment"],
        "pyChannel": keys["_channel"],
        "pyDirection": channel.direction.capitalize() if channel else "Inbound",
        "pyPerformance": _performance(label, score),
        "pySuccessRate": float(label.mean()),
        **_totals(label),
        "pyActivePredictors": predictors,
        "pyTotalPredictors": predictors,
    }


def _predictor_rows(model: _OfferGroup, predictors: list[Feature]) -> Iterator[dict[str, Any]]:
    """Yield a row per bin of each predictor."""
    label = bools(model.rows["_label"])
    for feature in predictors:
        column, numeric = model.rows[feature.name], feature.dtype in ("float", "int")
        bins = list(_numeric(column) if numeric else _symbolic(column))
        rates = np.zeros(len(label))
        for *_, members in bins:
            rates[members] = label[members].mean() if members.any() else 0.0
        shared = {
            "pyModelID": model.id,
            "pyPredictorName": feature.name,
            "pyType": "numeric" if numeric else "symbolic",
            "pyEntryType": "Active",
            "pyPerformance": _performance(label, rates),
            "pyTotalBins": len(bins),
            **_totals(label),
        }
        for n, (symbol, low, high, members) in enumerate(bins, 1):
            kind = "MISSING" if symbol == "MISSING" else "INTERVAL" if numeric else "SYMBOL"
            bounds = {"pyBinLowerBound": low, "pyBinUpperBound": high}
            yield {
                **shared,
                "pyBinIndex": n,
                "pyBinSymbol": symbol,
                "pyBinType": kind,
                **bounds,
                **_bin(label[members]),
            }


def _bin(label: Bools) -> dict[str, float]:
    positives, rows = float(label.sum()), float(len(label))
    return {"pyBinPositives": positives, "pyBinNegatives": rows - positives, "pyBinResponseCount": rows}


def _numeric(column: pa.ChunkedArray) -> Iterator[tuple[str, float | None, float | None, Bools]]:
    """Yield the bin of unknown values, then up to ten bins of equally many rows: symbol, bounds, rows as bool (n,)."""
    x = floats(column)
    known = x[~np.isnan(x)]
    yield "MISSING", None, None, np.isnan(x)
    if not len(known):
        return
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    for n in range(max(len(edges) - 1, 1)):
        low, high = float(edges[n]), float(edges[min(n + 1, len(edges) - 1)])
        yield f"[{low:.6g}, {high:.6g})", low, high, (place == n) & ~np.isnan(x)


def _symbolic(column: pa.ChunkedArray) -> Iterator[tuple[str, float | None, float | None, Bools]]:
    """Yield the bin of unknown values, then one per value, as `_numeric` does."""
    symbols = np.array(["MISSING" if v is None else str(v) for v in column.to_pylist()], dtype=object)
    for symbol in ("MISSING", *sorted(set(symbols.tolist()) - {"MISSING"})):
        yield symbol, None, None, symbols == symbol


def _performance(label: Bools, score: Floats) -> float:
    """Return the AUC, but at least one half, as pdstools expects."""
    return 0.5 if label.all() or not label.any() else max(auc(label, score), 0.5)


def _totals(label: Bools) -> dict[str, float]:
    positives = float(label.sum())
    return {"pyResponseCount": float(len(label)), "pyPositives": positives, "pyNegatives": len(label) - positives}
