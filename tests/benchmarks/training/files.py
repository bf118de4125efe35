"""Generated files of a company: customers who left or stayed, and a log of twelve actions, with their mappings."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import yaml

LEAVERS, RISK_FEATURES = 51_047, (35, 18, 11, 6)
"""Customers, and their numbers of features: floats, ints, bools, enums."""
CUSTOMERS, CONTACTS, ACTIONS, LOG_FEATURES = 50_000, 100_000, 12, (20, 5, 3, 2)
_SINCE = "2026-01-01"
_FLAGS = {
    "hardship": ["hardship", "arrears"],
    "vulnerable": ["vulnerability", "bereavement"],
    "open_complaint": ["complaint", "service-issue"],
}


def write_leavers(folder: Path) -> None:
    """Write leavers.csv, whose last column tells who left, and its mapping leavers.yaml."""
    rng = np.random.default_rng(7)
    columns, x = _features(rng, LEAVERS, RISK_FEATURES)
    weights = rng.normal(0.0, 0.12, x.shape[1])
    bent = 0.35 * (x[:, 3] > 0.8) * (x[:, 37] > 0.3) - 0.5 * (np.abs(x[:, 6]) < 0.4) + 0.3 * np.sin(2.0 * x[:, 10])
    left = rng.random(LEAVERS) < _probability(-1.05 + x @ weights + bent)
    table = {"customer": _ids("u", LEAVERS), **columns, "left": np.where(left, "yes", "no")}
    pyarrow.csv.write_csv(pa.table(table), folder / "leavers.csv")
    outcome = {"name": "churned", "column": "left", "positive": "yes"}
    contact = {"action": "none", "channel": "agent", "at": "2026-02-01", "outcomes": [outcome]}
    file = {**_customers(columns), "contact": contact}
    actions = [_action("loyalty-month", "retain", "loyalty")]
    _write_mapping(folder / "leavers.yaml", actions, [file], [{"name": "churn_risk", "outcome": "churned"}])


def write_log(folder: Path) -> None:
    """Write customers.csv and contacts.csv, whose actions were drawn evenly, and their mapping log.yaml."""
    rng = np.random.default_rng(8)
    columns, x = _features(rng, CUSTOMERS, LOG_FEATURES)
    pyarrow.csv.write_csv(pa.table({"customer": _ids("u", CUSTOMERS), **columns}), folder / "customers.csv")
    who, action = rng.integers(0, CUSTOMERS, CONTACTS), rng.integers(0, ACTIONS, CONTACTS)
    weights = rng.normal(0.0, 0.25, (ACTIONS, x.shape[1]))
    logit = -2.2 + np.einsum("ij,ij->i", x[who], weights[action]) + 0.9 * (x[who, action % 8] > 0.7)
    names = [f"offer-{a:02d}" for a in range(ACTIONS)]
    contacts = {
        "contact": _ids("k", CONTACTS),
        "customer": pa.array(_ids("u", CUSTOMERS)).take(pa.array(who)),
        "what": pa.array(names).take(pa.array(action)),
        "chance": np.full(CONTACTS, 1.0 / ACTIONS),
        "bought": np.where(rng.random(CONTACTS) < _probability(logit), "yes", "no"),
    }
    pyarrow.csv.write_csv(pa.table(contacts), folder / "contacts.csv")
    contact = {
        "id": "contact",
        "action": {"column": "what", "values": {name: name for name in names}},
        "channel": "agent",
        "at": "2026-02-01",
        "probability": {"column": "chance"},
        "outcomes": [{"name": "bought", "column": "bought", "positive": "yes"}],
    }
    files = [_customers(columns), {"id": "contacts", "subject": {"column": "customer"}, "contact": contact}]
    actions = [_action(name, "grow", f"group-{a % 4}") for a, name in enumerate(names)]
    _write_mapping(folder / "log.yaml", actions, files, [])


def _features(rng: np.random.Generator, n: int, kinds: tuple[int, ...]) -> tuple[dict[str, Any], np.ndarray]:
    """Return the columns of the file by name, and what the truth is made of, (n, f), standardised."""
    hidden, columns, parts = rng.normal(size=(n, 8)), {}, []
    for kind, count in zip("fibe", kinds, strict=True):
        for j in range(count):
            z = 0.7 * hidden @ rng.normal(size=8) / 8**0.5 + 0.7 * rng.normal(size=n)
            values = {"f": np.exp(z).round(3) if j % 2 else z.round(3), "i": rng.poisson(np.exp(0.5 * z + 1.0))}
            values |= {"b": z > 0.3, "e": np.digitize(z, np.linspace(-1.0, 1.0, 2 + j % 4))}
            parts.append((values[kind] - values[kind].mean()) / values[kind].std())
            columns[f"{kind}{j:02d}"] = _column(kind, values[kind], rng.random(n) < (0.03 if j % 6 == 0 else 0.0))
    return columns, np.column_stack(parts).clip(-3.0, 3.0)


def _column(kind: str, values: np.ndarray, unknown: np.ndarray) -> pa.Array:
    if kind == "e":
        return pa.array([f"v{value}" for value in values])
    return pa.array(np.where(values, "yes", "no")) if kind == "b" else pa.array(values, mask=unknown)


def _probability(logit: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _ids(letter: str, n: int) -> list[str]:
    return [f"{letter}{i:06d}" for i in range(n)]


def _action(name: str, issue: str, group: str) -> dict[str, Any]:
    return {"id": name, "issue": issue, "group": group, "title": name, "value": 10, "window_days": 14}


def _customers(columns: dict[str, Any]) -> dict[str, Any]:
    dtypes = {"f": "float", "i": "int", "b": "bool", "e": "enum"}
    features = [{"column": name, "name": name, "dtype": dtypes[name[0]]} for name in columns]
    return {"id": "customers", "subject": {"column": "customer"}, "as_of": "2026-01-15", "features": features}


def _write_mapping(file: Path, actions: list[Any], files: list[Any], scores: list[Any]) -> None:
    flags = [{"name": name, "value": False, "protects": protects} for name, protects in _FLAGS.items()]
    purposes = ["marketing", "profiling"]
    channel = {"id": "agent", "direction": "inbound", "placements": ["tip"], "counts_on": "seen", "human": True}
    assertion = {
        "author": "bench",
        "text": "All are adults who agreed, and none is in trouble.",
        "since": _SINCE,
        "consents": [{"purpose": purpose} for purpose in purposes],
        "features": [{"name": "adult", "value": True}, *flags],
    }
    mapping = {
        "id": file.stem,
        "about": "A company's own files.",
        "purposes": [{"id": purpose, "notice_version": "2026-01"} for purpose in purposes],
        "settings": {"age_feature": "adult"},
        "channels": [{**channel, "reservation_s": 1800}],
        "actions": actions,
        "assertions": [assertion],
        "scores": scores,
        "files": files,
    }
    file.write_text(yaml.safe_dump(mapping, sort_keys=False))
