"""The floor: an endpoint that a good engineer would write by hand, without policies, proofs or history.

It reads one row of a customer's features by key, scores every action by the champion's base and trees, takes the best,
and answers once one row of the size of a decision's record is committed. `tests.benchmarks.floor` prepares its folder.
"""

import asyncio
import gc
import json
import math
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self

import numpy as np
from pydantic_core import from_json, to_json
from ray import serve

from serving.lifecycle.options import deployment_options
from serving.settings import Workspace
from training.model.forest import Forests
from training.model.frame import Floats
from training.model.model import PropensityModel

DATABASE, SETTINGS = "floor.db", "floor.json"
MAX_GROUP = 64
"""The most rows of one commit."""
_INSERT = "INSERT INTO decisions (id, customer, at_us, body) VALUES (?, ?, ?, ?)"
_Row = tuple[str, str, int, bytes]


@dataclass(frozen=True)
class Settings:
    """The folder of the champion's model, and how many bytes a row's body and an answer have."""

    model: str
    record_bytes: int
    answer_bytes: int

    @classmethod
    def read(cls, root: Path) -> Self:
        return cls(**json.loads((root / SETTINGS).read_text()))

    def write(self, root: Path) -> None:
        (root / SETTINGS).write_text(json.dumps(self.__dict__))


def connect(root: Path) -> sqlite3.Connection:
    """Return a connection to the floor's database, which commits as durably as the ledger does."""
    connection = sqlite3.connect(root / DATABASE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


class GroupedWriter:
    """One thread that commits all rows that wait in one transaction, and wakes the event loop once for all of them."""

    def __init__(self, root: Path) -> None:
        self._connection = connect(root)
        self._queue: SimpleQueue[tuple[_Row, asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="floor-writer", daemon=True)
        self._thread.start()

    async def commit(self, row: _Row) -> None:
        """Return once the row is on disk."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((row, committed))
        await committed

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first, *self._waiting()]
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, [row for row, _ in group])
            self._connection.execute("COMMIT")
            futures = [future for _, future in group]
            futures[0].get_loop().call_soon_threadsafe(_resolve, futures)

    def _waiting(self) -> list[tuple[_Row, "asyncio.Future[None]"]]:
        """Return the rows that wait now. The mark of the end is put back, to end `_run`."""
        waiting: list[tuple[_Row, asyncio.Future[None]]] = []
        while len(waiting) < MAX_GROUP - 1:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            waiting.append(item)
        return waiting


class Floor:
    """The endpoint without HTTP: `answer` decides one request."""

    def __init__(self, root: Path) -> None:
        self._settings = Settings.read(root)
        model = PropensityModel.load(Path(self._settings.model))
        every = slice(len(model.actions))
        self._actions, self._design = model.actions, model.design
        self._weights, self._offsets = model.weights[every], model.offsets[every, 0]
        self._trees, self._every = Forests(model.forests), np.arange(len(model.actions))
        self._features = connect(root)
        self._select = f"SELECT {', '.join(model.feature_names)} FROM features WHERE customer = ?"
        self.writer = GroupedWriter(root)

    def close(self) -> None:
        self.writer.close()
        self._features.close()

    def read(self, customer: str) -> Floats:
        """Return the customer's features (f,); raises TypeError for an unknown customer."""
        return np.array(self._features.execute(self._select, (customer,)).fetchone(), dtype=np.float64)

    def choose(self, row: Floats) -> tuple[str, float]:
        """Return the best of all actions for one customer's features (f,), and its propensity."""
        logits = self._weights @ self._design.row(row) + self._offsets + self._trees.row(row, self._every)
        best = int(logits.argmax())
        return self._actions[best], 1.0 / (1.0 + math.exp(-logits[best]))

    def row(self, customer: str, action: str, propensity: float) -> _Row:
        """Return the row to commit."""
        fields = {"customer": customer, "action": action, "propensity": propensity}
        return f"f-{uuid.uuid4().hex}", customer, 0, _padded(fields, self._settings.record_bytes)

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to one request, once its row is committed."""
        customer = from_json(body)["customer_id"]
        action, propensity = self.choose(self.read(customer))
        row = self.row(customer, action, propensity)
        await self.writer.commit(row)
        fields = {"decision_id": row[0], "action_id": action, "propensity": propensity}
        return _padded(fields, self._settings.answer_bytes)


def _padded(fields: dict[str, Any], size: int) -> bytes:
    """Return the fields as JSON of at least `size` bytes."""
    content = to_json(fields)
    filler = b"x" * max(0, size - len(content) - len(b',"filler":""'))
    return content[:-1] + b',"filler":"' + filler + b'"}'


def _resolve(futures: "Sequence[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


class _App:
    """The ASGI application, as small as that of the empty endpoint."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        content = await self._floor.answer(await _body(receive))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _body(receive: Any) -> bytes:
    message = await receive()
    content: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        content += message["body"]
    return content


@serve.ingress()
class FloorReplica:
    """One replica of the floor; garbage is collected as in the product's."""

    def __init__(self, root: str) -> None:
        gc.disable()
        self._floor = Floor(Path(root))
        gc.freeze()
        gc.enable()

    def __serve_build_asgi_app__(self) -> _App:
        return _App(self._floor)


def build(args: dict[str, str]) -> serve.Application:
    """Return the application with the options of `serving.http.app:build`."""
    options = deployment_options(Workspace.open(Path(args["workspace"])))
    return serve.deployment(FloorReplica, **options).bind(args["workspace"])
