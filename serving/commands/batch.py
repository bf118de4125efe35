"""`brain batch`: decide for a file of customers on Ray Data, many at a time; every decision is committed."""

import gc
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic_core import to_json

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, Refused, RequestError, Unavailable
from decisioning.facts.forms import Ask, PlacementAsk, Scalar
from decisioning.facts.ids import check_id
from features.importing import read_requests
from features.importing.opening import OpenedTable
from serving.brain.active import active_release, open_ledger
from serving.brain.blocks import Answer, commit_all, preview_all
from serving.brain.runtime import Brain
from serving.commands.progress import phases
from serving.contract import parse
from serving.customers import exported_files
from serving.lifecycle import environment, processes
from serving.lifecycle.ports import reserved
from serving.settings import Workspace

BLOCK_ROWS = 2048
"""How many customers one worker is given at a time."""
WORKERS = 2
"""Processes that decide; each needs a core and some 300 MB."""
STARTS = 3
"""How often Ray is started before the command gives up."""

OUTPUT = pa.schema(
    [
        ("customer_id", pa.string()),
        ("decision_id", pa.string()),
        ("placement", pa.string()),
        ("rank", pa.int64()),
        ("offer_id", pa.string()),
        ("action", pa.string()),
        ("treatment", pa.string()),
        ("propensity", pa.float64()),
        ("probability", pa.float64()),
        ("priority", pa.float64()),
        ("empty_reason", pa.string()),
        ("error", pa.string()),
    ]
)
"""One row per offer; a customer without an offer has one row with `empty_reason`, a refused one a row with `error`."""


def run(
    workspace: Workspace,
    table: OpenedTable,
    out: Path,
    channel: str,
    placements: tuple[str, ...],
    *,
    batch_id: str | None = None,
    preview: bool = False,
) -> dict[str, Any]:
    """Decide for every `customer_id` of a table, and write OUTPUT as Parquet to `out`.

    Columns `account_id`, `locale` and those named like context features are part of the customer's request.

    Repeating a `batch_id` gives the decisions already made, as far as they still hold (see
    `decisioning.review.rechecking`).

    :param preview: decide the same, and commit nothing
    :raises NotFound: there is no such file
    :raises RequestError: the release has no such channel or placement, or `batch_id` is no id
    :raises Refused: the file cannot be read, or lacks the column, or a cell of it is no id; or some customers have no
        decision, and the reason why not is in `out`
    """
    batch = batch_id or uuid.uuid4().hex
    release = _check_request(workspace, channel, placements, batch)
    requests = read_requests(table, release.schema, "nothing was decided")
    customers = requests.table
    decided = _decided(workspace, customers, (channel, placements, batch, preview))
    with exported_files.written(workspace, out, "batch") as half:
        offers, failed = _write(decided, half, customers.num_rows)
    if failed:
        again = "" if preview else f", and run it again with --batch-id {batch}"
        raise Refused(f"{failed} of {customers.num_rows} customers have no decision: see `error` in {out}{again}")
    return {
        "batch_id": batch,
        "customers": customers.num_rows,
        "offers": offers,
        "failed": failed,
        "written": str(out),
        "read": table.how,
        **({"unused_columns": list(requests.unused)} if requests.unused else {}),
    }


def _check_request(workspace: Workspace, channel: str, placements: tuple[str, ...], batch: str) -> Release:
    """Return the release that serves; raises RequestError for what every customer's request would be refused for."""
    check_id("batch_id", batch)
    names = [{"name": name} for name in placements]
    sample = {"request_id": _request_id(batch, "0" * 40), "customer_id": "c", "channel": channel, "placements": names}
    parse(Ask, to_json(sample))
    with open_ledger(workspace) as ledger:
        release = Release.from_bytes(ledger.get_release(active_release(ledger, workspace.settings.environment)))
    known = release.view(channel).channel.placements
    for name in placements:
        if name not in known:
            raise RequestError("placement", f"no such placement on {channel}; it has {', '.join(known)}")
    return release


def _request_id(batch: str, stream: str) -> str:
    return f"{batch}/{stream}"


def _write(parts: Iterable[pa.Table], out: Path, customers: int) -> tuple[int, int]:
    """Write the parts as they come; return the numbers of offers and of customers without a decision."""
    counts, done = [0, 0], 0
    with phases() as progress, pq.ParquetWriter(out, OUTPUT) as writer:
        for part in parts:
            writer.write_table(part)
            done += pc.count_distinct(part["customer_id"]).as_py()
            counts[0] += part.num_rows - part["offer_id"].null_count
            counts[1] += part.num_rows - part["error"].null_count
            progress(done, customers, "customers decided")
    return counts[0], counts[1]


def _decided(
    workspace: Workspace, customers: pa.Table, arguments: tuple[str, tuple[str, ...], str, bool]
) -> Iterator[pa.Table]:
    """Yield the OUTPUT rows of all customers in their order; `arguments` are those of `Decider` after the workspace."""
    blocks = [customers.slice(at, BLOCK_ROWS) for at in range(0, customers.num_rows, BLOCK_ROWS)]
    if not blocks:
        return
    with _ray(workspace) as ray:
        decided = ray.data.from_arrow(blocks).map_batches(
            Decider,
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=WORKERS),
            fn_constructor_args=(str(workspace.root), *arguments),
        )
        for part in decided.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield part.cast(OUTPUT)


class Decider:
    """One Ray Data worker: a brain that decides for a batch of customers at once."""

    def __init__(self, root: str, channel: str, placements: tuple[str, ...], batch: str, preview: bool = False) -> None:
        self._brain = Brain(Workspace.open(Path(root)))
        self._mode: Literal["live", "preview"] = "preview" if preview else "live"
        self._channel, self._batch = channel, batch
        self._placements = tuple(PlacementAsk(name=p) for p in placements)

    def __call__(self, customers: pa.Table) -> pa.Table:
        """Return the OUTPUT rows for requests (n,) with customer_id and other columns of `read_requests`."""
        with _seldom_collecting():
            return self._decided(customers)

    def _decided(self, customers: pa.Table) -> pa.Table:
        asks: list[Ask] = []
        rows: list[dict[str, Any]] = []
        for customer in customers.to_pylist():
            try:
                asks.append(self._ask(**customer))
            except ValueError as error:
                rows.append({"customer_id": customer["customer_id"], "error": type(error).__name__})
        answers = (commit_all if self._mode == "live" else preview_all)(self._brain, asks)
        for ask, answer in zip(asks, answers, strict=True):
            rows += _rows(ask, answer)
        return pa.Table.from_pylist(rows, OUTPUT)

    def _ask(
        self, customer_id: str, account_id: str | None = None, locale: str | None = None, **context: Scalar
    ) -> Ask:
        return Ask(
            request_id=_request_id(self._batch, self._brain.subject_stream(customer_id)),
            customer_id=customer_id,
            account_id=account_id,
            locale=locale,
            context={name: value for name, value in context.items() if value is not None},
            channel=self._channel,
            placements=self._placements,
            mode=self._mode,
        )


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for garbage once per block: decisions that wait for their commit are many objects, and none is garbage."""
    usual = gc.get_threshold()
    gc.set_threshold(200_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _rows(ask: Ask, answer: Answer) -> list[dict[str, Any]]:
    if isinstance(answer, BrainError):
        return [{"customer_id": ask.customer_id, "error": type(answer).__name__}]
    if isinstance(answer, Decision):
        return _decision_rows(ask, answer)
    return [row for placement in answer["placements"] for row in _placement_rows(answer, placement)]


def _placement_rows(answer: dict[str, Any], placement: dict[str, Any]) -> list[dict[str, Any]]:
    ids = {"customer_id": answer["customer_id"], "decision_id": answer["decision_id"], "placement": placement["name"]}
    names = ("rank", "offer_id", "action", "treatment", "propensity", "probability", "priority")
    offers = [{**ids, **{name: offer[name] for name in names}} for offer in placement["offers"]]
    return offers or [{**ids, "empty_reason": placement["empty_reason"]}]


def _decision_rows(ask: Ask, decision: Decision) -> list[dict[str, Any]]:
    """Return the rows that `_placement_rows` makes of the decision's answer, without making its texts."""
    kept, view = decision.kept, decision.computed.view
    ids = {"customer_id": ask.customer_id, "decision_id": kept.decision_id}
    named = [{**ids, "placement": placement.name} for placement in ask.placements]
    placed: list[list[dict[str, Any]]] = [
        [] if why is None else [{**placement, "empty_reason": why}]
        for placement, why in zip(named, kept.empty, strict=True)
    ]
    for n, pick in enumerate(kept.offers):
        placed[pick.placement].append(
            {
                **named[pick.placement],
                "rank": pick.rank,
                "offer_id": f"{kept.decision_id}.{n}",
                "action": view.actions[pick.row].id,
                "treatment": view.ids[pick.row],
                "propensity": kept.propensity.item(pick.at),
                "probability": pick.probability,
                "priority": pick.priority,
            }
        )
    return list(chain.from_iterable(placed))


@contextmanager
def _ray(workspace: Workspace) -> Iterator[Any]:
    """Start a Ray for this run, secured like the one that serves; stop it and remove its folder at the end.

    Raises Unavailable if it does not start.
    """
    workspace.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    run_id = uuid.uuid4().hex
    with reserved(workspace.root) as ports, processes.guarded(run_id):
        temp = Path(tempfile.mkdtemp(prefix="brain-"))
        os.environ.update(environment.for_ray(workspace, run_id, temp, ports))
        import ray  # noqa: PLC0415 - reads the environment at import
        import ray.data  # noqa: PLC0415

        try:
            _start(ray, temp, run_id, ports.agent)
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.execution_options.preserve_order = True
            yield ray
        finally:
            ray.shutdown()
            processes.kill_all(run_id)
            shutil.rmtree(temp, ignore_errors=True)


def _start(ray: Any, temp: Path, run_id: str, agent_port: int) -> None:
    """Start Ray, and try again if it breaks off, as it may where other programs use the cores."""
    from serving.lifecycle.ray_start import start_ray  # noqa: PLC0415 - imports Ray

    for remaining in reversed(range(STARTS)):
        try:
            start_ray(temp, cpus=2, agent_port=agent_port, logging_level="ERROR")
        except Exception as error:
            ray.shutdown()
            processes.kill_all(run_id)
            if not remaining:
                cause = str(error).partition(". ")[0].strip()
                raise Unavailable(f"Ray could not be started: {cause}; free the cores and run it again") from error
        else:
            return
