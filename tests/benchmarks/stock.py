"""Speed of stock servers: features from `feast serve`, then 100 rows scored by `mlflow models serve`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from features.ledger import Ledger
from tests.benchmarks import catalogue
from tests.benchmarks.measures import Figures, quantile
from tests.benchmarks.world import N_CUSTOMERS, World, customer_id
from tests.serving.load import get, once, post
from tests.serving.server import free_port

BIN = Path(sys.executable).parent
START_LIMIT_S = 120.0
WARM, CLOSED, OPEN_S = 10, 120, 2.0
_COLUMNS = [*catalogue.LEARNED, "action"]


@dataclass(frozen=True)
class Pair:
    """Both servers; `streams` are the customers' keys in Feast."""

    feast_port: int
    mlflow_port: int
    streams: list[str]

    async def ask(self, number: int, due: float | None = None) -> float:
        """Return the seconds until 100 propensities of a customer arrive, from `due` if given, else from now."""
        start_s = due or time.perf_counter()
        entity = {"subject": [self.streams[number % N_CUSTOMERS]]}
        request = {"features": [f"profile:{name}" for name in catalogue.LEARNED], "entities": entity}
        answer = await once(self.feast_port, post("/get-online-features", json.dumps(request).encode()))
        assert answer.status == 200, answer.body
        reply = await once(self.mlflow_port, post("/invocations", _rows(answer.body)))
        predictions = json.loads(reply.body)["predictions"]
        assert len(predictions) == catalogue.N_ACTIONS
        return time.perf_counter() - start_s


def measure(world: World, per_second: float) -> Figures:
    """Send requests one at a time, then at the same rate as to the others, which may be more than they can serve."""
    start_s = time.perf_counter()
    with _servers(world) as pair:
        started_s = time.perf_counter() - start_s
        closed, opened, rate = asyncio.run(_drive(pair, per_second))
    return {
        "stock_start_s": started_s,
        "stock_closed_median_ms": 1000 * quantile(closed, 0.5),
        "stock_closed_p99_ms": 1000 * quantile(closed, 0.99),
        "stock_open_median_ms": 1000 * quantile(opened, 0.5),
        "stock_open_p99_ms": 1000 * quantile(opened, 0.99),
        "stock_open_answered_per_s": rate,
    }


async def _drive(pair: Pair, per_second: float) -> tuple[list[float], list[float], float]:
    for n in range(WARM):
        await pair.ask(n)
    closed = [await pair.ask(n) for n in range(CLOSED)]
    start_s = time.perf_counter()
    tasks = []
    for n in range(int(OPEN_S * per_second)):
        due = start_s + n / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(pair.ask(n, due)))
    opened = list(await asyncio.gather(*tasks))
    return closed, opened, len(opened) / (time.perf_counter() - start_s)


def _rows(features: bytes) -> bytes:
    """Return MLflow's request for Feast's answer: the customer's features 100 times, each with another action."""
    response = json.loads(features)
    values = dict(
        zip(response["metadata"]["feature_names"], (r["values"][0] for r in response["results"]), strict=True)
    )
    assert all(values[name] is not None for name in catalogue.LEARNED)
    row = json.dumps([values[name] for name in catalogue.LEARNED])[:-1]
    rows = ",".join(f"{row}, {a}]" for a in range(catalogue.N_ACTIONS))
    return f'{{"dataframe_split": {{"columns": {json.dumps(_COLUMNS)}, "data": [{rows}]}}}}'.encode()


@contextmanager
def _servers(world: World) -> Iterator[Pair]:
    workspace = world.workspace
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        streams = [ledger.stream_of("person", customer_id(n)) for n in range(N_CUSTOMERS)]
    pair = Pair(free_port(), free_port(), streams)
    repo = workspace.data / "feature_repo"
    feast = [BIN / "feast", "-c", repo, "serve", "-p", pair.feast_port, "--no-access-log"]
    mlflow = [BIN / "mlflow", "models", "serve", "-m", world.stock_model, "-p", pair.mlflow_port]
    with (
        _running(world, feast, pair.feast_port, "/health"),
        _running(world, [*mlflow, "--env-manager", "local"], pair.mlflow_port, "/ping"),
    ):
        yield pair


@contextmanager
def _running(world: World, command: list[object], port: int, health: str) -> Iterator[None]:
    """Run a server in its own process group, which is ended with all that the server started."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2]), "FEAST_USAGE": "False"}
    log = world.root / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=world.root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, port, health, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, health: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        with suppress(OSError):
            if asyncio.run(once(port, get(health))).status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"did not start: {log.read_text()[-2000:]}")
