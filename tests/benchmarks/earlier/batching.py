"""Makes a workspace of commit b29a19b, whose files PYTHONPATH names, for `tests.benchmarks.batching`.

In the current folder it reads `model/` and `customers.parquet`, and makes `brain/`: released, with these customers,
their consents and the model as champion. All that it imports is the earlier commit's, under the names of then.
"""

from pathlib import Path
from typing import Any


def main() -> None:
    from decisioning.release import Release
    from features.offline import History
    from features.online import Profiles
    from features.store import Store

    from features.ledger import Entry, Ledger, now_us
    from serving import releasing
    from serving.settings import Workspace
    from tests.benchmarks import catalogue
    from training.model import PropensityModel
    from training.registry import Provenance, Registry

    root = Path.cwd() / "brain"
    releasing.new(root, catalogue.files())
    workspace = Workspace.open(root)
    released = releasing.release(workspace, "bench")
    model = PropensityModel.load(Path.cwd() / "model")
    registry = Registry(workspace.data)
    version = registry.register(model.files(), "propensity", Provenance("", model.feature_names, released["release"]))
    registry.set_alias("propensity", "champion", version)
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        release = Release.from_bytes(ledger.get_release(ledger.active(workspace.settings.environment) or ""))
        customers, streams = _customers(ledger)
        History(Profiles(Store(workspace.data), release.schema)).import_profiles(customers)
        about = {"channel": "*", "status": "granted", "source": "bench", "notice_version": "2026-01"}
        more = {**about, "expires_us": None, "asserted_by": None}
        at_us = now_us()
        ledger.append_many(
            Entry(stream, "consent", {"purpose": purpose, **more}, at_us)
            for stream in streams
            for purpose in ("marketing", "profiling")
        )


def _customers(ledger: Any) -> tuple[Any, list[str]]:
    """Return the customers' facts with streams for ids, and the streams."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table("customers.parquet")
    streams = [ledger.stream_of("person", customer) for customer in table["subject"].to_pylist()]
    return table.set_column(0, "subject", pa.array(streams, pa.string())), streams


if __name__ == "__main__":
    main()
