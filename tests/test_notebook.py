"""The notebook runs as committed, and promotes a model only if its interval supports it."""

import re
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "better_model.ipynb"


class ThisInterpreter(AsyncKernelManager):
    """A kernel that uses the Python that runs the tests, whatever kernels the machine has."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [c for c in notebook.cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


def test_it_leads_to_a_model_that_serves_only_where_the_interval_says_so(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}"))
    client = NotebookClient(
        notebook, timeout=180, kernel_manager_class=ThisInterpreter, resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    printed = "".join(o.text for c in notebook.cells for o in c.get("outputs", ()) if o.output_type == "stream")
    supported = "lower log-loss: few inputs" in printed
    assert f"serving: propensity@{2 if supported else 1}" in printed
    assert "logged policy:" in printed
    pictures = [o for c in notebook.cells for o in c.get("outputs", ()) if "image/png" in o.get("data", {})]
    assert len(pictures) == 6
    assert "decided by: {'propensity@1': " in printed or "decided by: {'propensity@2': " in printed
    assert "verdict: wait" in printed
    for section in ("card", "actions", "empty"):
        assert re.search(rf"sections with something in them:.*\b{section}\b", printed)
