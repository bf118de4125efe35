"""Against a real MLflow on SQLite: versions, aliases, sealed copies that outlive it, nothing outside the workspace."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from decisioning.errors import NotFound, Refused, Unavailable
from tests.permits import free_permit, make_champion, put_on_trial
from tests.training.logs import random_log
from training.fitting.propensity import Recipe, fit
from training.model.files import hash_files, read_files
from training.model.model import PropensityModel
from training.registry import Lineup, Registry, Trial
from training.tracking import Provenance

NAME = "propensity"


@pytest.fixture(scope="module")
def models() -> tuple[PropensityModel, PropensityModel]:
    return fit(random_log(5_000, seed=1)), fit(random_log(900, seed=2), Recipe(growth=None))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, models) -> Path:
    """A workspace's data folder with two registered versions, made while working and home directory are elsewhere."""
    root = tmp_path_factory.mktemp("workspace")
    folder, home_folder = root / "data", root / "elsewhere"
    folder.mkdir()
    home_folder.mkdir()
    working_directory, home = Path.cwd(), os.environ.get("HOME")
    os.chdir(home_folder)
    os.environ["HOME"] = str(home_folder)
    try:
        registry = Registry(folder)
        for i, model in enumerate(models):
            model.save(root / f"saved-{i}")
            plot = root / "curve.png"
            plot.write_bytes(b"\x89PNG")
            about = Provenance(
                "sha256:d", model.feature_names, "sha256:r", {"seed": 0}, {"auc": 0.8}, [plot], {"card.json": {"n": i}}
            )
            assert registry.log_and_register(root / f"saved-{i}", NAME, about) == i + 1
        make_champion(registry, 1)
    finally:
        os.chdir(working_directory)
        os.environ["HOME"] = home or ""
    return folder


@pytest.mark.promise("serving.inside-the-workspace")
def test_nothing_is_written_outside_the_workspace(data):
    assert list((data.parent / "elsewhere").rglob("*")) == []


def test_before_the_first_model_there_is_no_champion(tmp_path):
    assert Registry(tmp_path).champion(NAME) is None
    assert list(tmp_path.iterdir()) == [], "asking creates nothing"


def test_the_champion_loads_exactly_from_its_sealed_copy(data, models):
    version, directory = Registry(data).champion(NAME) or (0, Path())
    assert version == 1
    assert PropensityModel.load(directory, directory.name).content_hash == models[0].content_hash == directory.name


def test_sealed_copies_are_read_only_and_named_by_their_content(data):
    for directory in (d for d in (data / "models").iterdir() if d.is_dir()):
        assert hash_files(read_files(directory)) == directory.name
        assert not any(p.stat().st_mode & stat.S_IWUSR for p in (directory, *directory.rglob("*")))


def test_aliases_move_and_unknown_versions_have_none(data):
    registry = Registry(data)
    assert registry.alias_version(NAME, "challenger") is None
    assert registry.alias_version("never-trained", "champion") is None
    registry.set_alias(NAME, "challenger", 2)
    assert (registry.alias_version(NAME, "champion"), registry.alias_version(NAME, "challenger")) == (1, 2)
    with pytest.raises(NotFound, match="no propensity@9"):
        registry.set_alias(NAME, "champion", 9, free_permit("model", "9"))


def test_what_is_read_past_mlflow_is_what_mlflow_says(data):
    registry = Registry(data)
    put_on_trial(registry, Trial(2, 0.25, 7, "salt"))
    registered = registry._client().get_registered_model(NAME)
    assert {a: registry.alias_version(NAME, a) for a in registered.aliases} == {
        a: int(v) for a, v in registered.aliases.items()
    }
    assert registry.lineup(NAME) == Lineup(1, Trial(**json.loads(registered.tags["trial"])))
    registry.set_trial(NAME, None)
    assert registry.lineup(NAME) == Lineup(1, None)


def test_documents_and_notes_read_past_mlflow_are_those_that_mlflow_keeps(data):
    registry = Registry(data)
    registry.write_note(NAME, 2, "why", "é")
    kept = registry._client().get_model_version(NAME, "2")
    document = registry._mlflow().artifacts.load_dict(f"runs:/{kept.run_id}/card.json")
    assert registry.document(NAME, 2, "card.json") == document == {"n": 1}
    assert registry.document(NAME, 1, "card.json") == {"n": 0}
    assert registry.read_note(NAME, 2, "why") == kept.tags["why"] == "é"
    assert registry.read_note(NAME, 1, "why") is registry.read_note(NAME, 2, "other") is None
    with pytest.raises(NotFound, match=r"registered without other\.json"):
        registry.document(NAME, 2, "other.json")
    with pytest.raises(NotFound, match="no propensity@9"):
        registry.document(NAME, 9, "card.json")


def test_a_database_that_is_being_made_has_nothing_yet_and_a_broken_one_is_told(tmp_path):
    registry, file = Registry(tmp_path), tmp_path / "mlflow.db"
    file.touch()
    assert (registry.lineup(NAME), registry.alias_version(NAME, "champion")) == (Lineup(None, None), None)
    file.write_text("name,age\n" * 1000)
    with pytest.raises(Unavailable, match=r"cannot be read .* see .*mlflow\.db"):
        registry.lineup(NAME)


def test_a_run_says_what_made_the_model(data):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{data / 'mlflow.db'}")
    version = client.get_model_version(NAME, "1")
    run = client.get_run(version.run_id)
    assert run.data.params == {"seed": "0", "release": "sha256:r", "data_hash": "sha256:d"}
    assert run.data.metrics == {"auc": 0.8}
    assert {f.path for f in client.list_artifacts(version.run_id)} == {"card.json", "features.json", "plots"}
    assert version.tags["release"] == "sha256:r"


@pytest.mark.promise("serving.copies")
@pytest.mark.parametrize("folder", ["another", "a name with 20% [odd] signs?"])
def test_a_copy_in_another_folder_uses_its_own_artifacts_and_leaves_the_originals_alone(data, models, tmp_path, folder):
    """MLflow keeps absolute paths: a copy read and wrote the original's artifacts."""
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    copied = tmp_path / folder / "data"
    shutil.copytree(data, copied)
    registry = Registry(copied)
    registry.settle()
    client = registry._client()
    for version in ("1", "2"):
        source = client.get_model_version(NAME, version)
        assert client.get_model_version_download_uri(NAME, version).startswith(copied.as_uri())
        assert client.get_run(source.run_id).info.artifact_uri.startswith(copied.as_uri())
    directory = registry.sealed_directory(NAME, 1)
    directory.rename(directory.parent / ".hidden")
    assert registry.seal(NAME, 1) == models[0].content_hash, "from the copy's own artifacts"
    about = Provenance("sha256:d", models[1].feature_names, "sha256:r")
    assert registry.register(models[1].files(), NAME, about) == 3
    with closing(sqlite3.connect(copied / "mlflow.db")) as db:
        assert not [line for line in db.iterdump() if data.as_uri() in line]
    assert not [p for p in copied.rglob("MLmodel") if data.as_uri() in p.read_text()]
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_a_lost_sealed_copy_comes_back_from_mlflow(data, models):
    registry = Registry(data)
    directory = registry.sealed_directory(NAME, 2)
    hidden = directory.rename(directory.parent / ".hidden")
    assert registry.seal(NAME, 2) == models[1].content_hash
    assert registry.load(NAME, 2).content_hash == models[1].content_hash
    assert hidden.exists()


def test_a_version_serves_and_replays_without_mlflow(data, tmp_path, models):
    """In a new process that cannot import MLflow, nor what LightGBM imports if it is there, which takes seconds."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('mlflow', 'sklearn', 'pandas')))\n"
        "from pathlib import Path; from training.registry import Registry\n"
        f"registry = Registry(Path({str(data)!r}))\n"
        f"registry.lineup({NAME!r}); assert 'lightgbm' not in sys.modules\n"
        f"print(registry.load({NAME!r}, 1).content_hash, registry.versions({NAME!r}), registry.lineup({NAME!r}))"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert process.stdout.split(maxsplit=1)[0] == models[0].content_hash
    assert "Lineup(champion=1" in process.stdout


def test_mlflow_scores_a_table_with_the_same_bits(data, models, monkeypatch):
    import mlflow
    import pandas as pd

    monkeypatch.setattr(sys, "path", [*sys.path])  # MLflow puts the model's code first in it

    Registry(data).alias_version(NAME, "champion")  # points MLflow at the workspace
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    x = random_log(20, seed=3).x
    frame = pd.DataFrame(x, columns=list(models[0].feature_names)).assign(action="a1", treatment="a1.email")
    frame.loc[0, ["action", "treatment"]] = ["a2", "never seen"]
    expected = models[0].propensities(x, 1, 1)
    expected[0] = models[0].propensities(x[:1], 2, -1)[0]
    np.testing.assert_array_equal(served.predict(frame), expected)


def test_the_code_beside_a_model_is_all_it_needs(data, tmp_path):
    """As `mlflow models serve` would run it on a machine without this project."""
    code = next((data / "artifacts").rglob("code"))
    saved = data.parent / "saved-0"
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('sklearn', 'pandas')))  # LightGBM would import them\n"
        "from training.model.pyfunc import _load_pyfunc\n"
        "print(len(_load_pyfunc(sys.argv[1]).model.actions))"
    )
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", script, str(saved)],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert process.stdout.strip() == "4"


@pytest.mark.promise("models.not-deleted-while-needed")
def test_who_serves_is_tried_or_comes_next_cannot_be_deleted(data):
    registry = Registry(data)
    make_champion(registry, 1)
    registry.set_alias(NAME, "challenger", 2)
    with pytest.raises(Refused, match=r"propensity@1 .* it is the champion; promote another first"):
        registry.delete(NAME, 1, lambda _: False)
    with pytest.raises(Refused, match=r"propensity@2 .* it is the challenger; train or try another first"):
        registry.delete(NAME, 2, lambda _: False)
    registry.set_alias(NAME, "challenger", 1)
    registry.set_trial(NAME, Trial(2, 0.0, 7, "salt"))
    with pytest.raises(Refused, match=r"propensity@2 .* it is on trial; end that first"):
        registry.delete(NAME, 2, lambda _: False)
    registry.set_trial(NAME, None)
    assert registry.versions(NAME) == (1, 2)


@pytest.mark.promise("models.not-deleted-while-needed")
def test_a_version_that_decisions_name_cannot_be_deleted(data):
    registry = Registry(data)
    referenced: list[str] = []
    make_champion(registry, 1)
    registry.set_alias(NAME, "challenger", 1)
    with pytest.raises(Refused, match="must stay recomputable"):
        registry.delete(NAME, 2, lambda model: referenced.append(model) is None)
    assert referenced == ["propensity@2"]
    assert registry.load(NAME, 2).actions


def test_deleting_keeps_bytes_that_another_version_shares(data, models):
    registry = Registry(data)
    registry.set_alias(NAME, "challenger", 1)
    about = Provenance("sha256:d", models[1].feature_names, "sha256:r")
    twin = registry.log_and_register(data.parent / "saved-1", NAME, about)
    directory = registry.sealed_directory(NAME, twin)
    registry.delete(NAME, twin, lambda _: False)
    assert directory.exists()
    registry.delete(NAME, 2, lambda _: False)
    assert not directory.exists()
    assert registry.versions(NAME) == (1,)
    with pytest.raises(NotFound):
        registry.load(NAME, 2)
