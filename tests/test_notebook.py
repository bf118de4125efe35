"""The notebook runs as it is, and promotes a model only where its interval says so."""

import ast
import asyncio
import inspect
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "better_model.ipynb"
FIGURES = 6
FEWER = "CUSTOMERS = 300"


class ThisInterpreter(AsyncKernelManager):
    """A kernel of the Python that runs the tests, whatever is registered on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [c for c in notebook.cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


def check_output(printed: str) -> None:
    """Assert that the model that serves is the one that the interval supports, and that every step printed its part."""
    supported = "lower log-loss: few inputs" in printed
    assert f"serving: propensity@{2 if supported else 1}" in printed
    assert "logged policy:" in printed
    assert "decided by: {'propensity@1': " in printed or "decided by: {'propensity@2': " in printed
    assert "verdict: wait" in printed
    for section in ("card", "actions", "empty"):
        assert re.search(rf"sections with something in them:.*\b{section}\b", printed)


def test_its_cells_run_on_few_customers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cells run in this process, which has most of their imports, and not in a kernel.

    Fits look for no change of the truth, which takes half of their time, and a fifth of the customers that it takes to
    tell a value are enough here.
    """
    import matplotlib.pyplot as plt

    from training.evaluation import estimators
    from training.fitting import propensity

    monkeypatch.setattr(propensity, "rows_since_change", lambda data, *_: data)
    monkeypatch.setattr(estimators, "MIN_CUSTOMERS", estimators.MIN_CUSTOMERS // 5)
    plt.switch_backend("agg")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    sources = [s for c in code for s in (c.source, *([FEWER] if "parameters" in c.metadata.get("tags", ()) else ()))]
    assert sources.count(FEWER) == 1
    plt.close("all")
    try:
        asyncio.run(run_cells(sources))
        assert len(plt.get_fignums()) == FIGURES
    finally:
        plt.close("all")
    check_output(capsys.readouterr().out)


async def run_cells(sources: list[str]) -> None:
    """Run cells one after the other in one namespace, as a kernel does; a cell may await."""
    namespace: dict[str, object] = {}
    for source in sources:
        cell = compile(source, str(NOTEBOOK), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        pending = eval(cell, namespace)
        if inspect.iscoroutine(pending):
            await pending


@pytest.mark.long
def test_it_leads_to_a_model_that_serves_only_where_the_interval_says_so(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}"))
    client = NotebookClient(
        notebook, timeout=180, kernel_manager_class=ThisInterpreter, resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    check_output("".join(o.text for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "stream"))
    pictures = [o for c in notebook.cells for o in c.get("outputs", ()) if "image/png" in o.get("data", {})]
    assert len(pictures) == FIGURES
