"""Public data sets as arrays, from the folder of BRAIN_DATA or `shared` beside the project, and an imported shop.

Tests that need a data set are skipped without it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.features.importing_help import ImportWorkspace, planned
from tests.training.trial_help import two_equal_models
from training.model.frame import TrainingSet
from training.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
MONTHS_AGO_NEVER = 999


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ImportWorkspace:
    """The imported shop: three customers and four mailings, one of which offered nothing."""
    plan = planned(tmp_path_factory.mktemp("files"))
    shop = ImportWorkspace(tmp_path_factory.mktemp("shop") / "data", plan)
    shop.write(plan)
    return shop


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry of two equal models of which neither serves: to be copied, never changed."""
    return two_equal_models(tmp_path_factory.mktemp("two-models"))


def data_path(name: str) -> Path:
    """Return the path of a folder or file in the data folder, whether or not it exists."""
    return Path(os.environ.get("BRAIN_DATA", ROOT.parent / "shared")) / name


def absent(name: str) -> str | None:
    """Return a message that says what is missing in the data folder and what to do, or None if it is there."""
    path = data_path(name)
    return None if path.exists() else f"{path} is not there; set BRAIN_DATA to the folder that holds {name}"


def shared(name: str) -> Path:
    """Return a folder of the data folder; skip the test with a reason if it is missing."""
    if missing := absent(name):
        pytest.skip(missing)
    return data_path(name)


def one_hot(frame: pd.DataFrame) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return text columns as 0/1 columns and numbers as they are, with the names of the columns."""
    text = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    wide = pd.get_dummies(frame, columns=text, dtype=float)
    return wide.to_numpy(dtype=np.float64), tuple(str(c) for c in wide.columns)


@dataclass(frozen=True)
class LabelledArrays:
    x: NDArray[np.float64]
    names: tuple[str, ...]
    y: NDArray[np.bool_]


@pytest.fixture(scope="session")
def bank() -> LabelledArrays:
    """Bank Marketing without `duration`, which is known only after the call."""
    frame = pd.read_csv(shared("data/bank_marketing") / "bank-additional-full.csv", sep=";")
    y = (frame.pop("y") == "yes").to_numpy()
    frame = frame.drop(columns="duration")
    frame["pdays"] = frame["pdays"].where(frame["pdays"] != MONTHS_AGO_NEVER).astype(float)
    x, names = one_hot(frame)
    return LabelledArrays(x, names, y)


@pytest.fixture(scope="session")
def telco() -> LabelledArrays:
    """Telco churn; TotalCharges is missing for customers in their first month."""
    frame = pd.read_csv(shared("data/telco_churn") / "churn.csv").drop(columns="customerID")
    y = (frame.pop("Churn") == "Yes").to_numpy()
    frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    x, names = one_hot(frame)
    return LabelledArrays(x, names, y)


@pytest.fixture(scope="session")
def hillstrom() -> TrainingSet:
    """All 64,000 customers."""
    return read_hillstrom(shared("data/hillstrom") / "hillstrom.csv")


def read_hillstrom(path: Path) -> TrainingSet:
    """Return customers randomised over three arms; the outcome is a visit, its value the spend."""
    frame = pd.read_csv(path)
    arms = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    n = len(frame)
    x, names = one_hot(frame.drop(columns=["segment", "visit", "conversion", "spend"]))
    return TrainingSet(
        x=x,
        feature_names=names,
        actions=arms,
        groups=("none", "email", "email"),
        treatments=((), (), ()),
        action=frame["segment"].map({a: i for i, a in enumerate(arms)}).to_numpy(dtype=np.int64),
        treatment=np.full(n, -1, dtype=np.int64),
        label=frame["visit"].to_numpy() == 1,
        probability=np.full(n, 1 / 3),
        value_eur=frame["spend"].to_numpy(dtype=np.float64),
        at_us=np.zeros(n, dtype=np.int64),
    )
