"""Prepares, checks and measures the hand-written floor (`tests.benchmarks.floor_app`)."""

import asyncio
from pathlib import Path

import numpy as np
from pydantic_core import from_json

from tests.benchmarks import catalogue
from tests.benchmarks.floor_app import Floor, Settings, connect
from tests.benchmarks.measures import Figures, timed, timed_async
from tests.benchmarks.served import server_of
from tests.benchmarks.world import N_CUSTOMERS, World, customer_id
from tests.serving.load import Answer
from tests.serving.server import Server
from training.model.model import PropensityModel

APP = "tests.benchmarks.floor_app:build"


def prepare(world: World, record_bytes: int, answer_bytes: int) -> Server:
    """Return the floor's server, not started yet, over the same customers and model as the product's."""
    server = server_of(world, APP)
    Settings(str(world.root / "fitted"), record_bytes, answer_bytes).write(server.root)
    names = ", ".join(f"{name} REAL NOT NULL" for name in catalogue.LEARNED)
    rows = [(customer_id(n), *row) for n, row in enumerate(world.rows.tolist())]
    connection = connect(server.root)
    connection.execute(f"CREATE TABLE features (customer TEXT PRIMARY KEY, {names}) WITHOUT ROWID")
    connection.execute("CREATE TABLE decisions (id TEXT PRIMARY KEY, customer TEXT, at_us INTEGER, body BLOB)")
    connection.execute("BEGIN")
    places = ", ".join("?" * (1 + len(catalogue.LEARNED)))
    connection.executemany(f"INSERT INTO features VALUES ({places})", rows)
    connection.execute("COMMIT")
    connection.close()
    return server


def measure_steps(world: World, root: Path, count: int) -> Figures:
    """Time each step of the floor over all customers, without HTTP, in one thread."""
    floor = Floor(root)
    customers = [customer_id(n) for n in range(N_CUSTOMERS)]
    rows = [floor.read(customer) for customer in customers]
    bodies = [world.request(n, "floor-steps") for n in range(N_CUSTOMERS)]
    record = [floor.row(customer, "action-000", 0.5) for customer in customers]
    try:
        return {
            **timed("floor_read", lambda n: floor.read(customers[n % N_CUSTOMERS]), count),
            **timed("floor_choose", lambda n: floor.choose(rows[n % N_CUSTOMERS]), count),
            **asyncio.run(timed_async("floor_commit", lambda n: floor.writer.commit(record[n]), N_CUSTOMERS)),
            **asyncio.run(timed_async("floor_answer", lambda n: floor.answer(bodies[n]), N_CUSTOMERS)),
        }
    finally:
        floor.close()


def check(world: World, root: Path, answers: list[Answer]) -> None:
    """Assert that every answer's row is there, that answers differ, and that each is the model's own best action."""
    settings, model = Settings.read(root), PropensityModel.load(world.root / "fitted")
    order = [catalogue.LEARNED.index(name) for name in model.feature_names]
    every = np.arange(len(model.actions))
    connection, chosen = connect(root), set()
    for answer in answers:
        body = from_json(answer.body)
        assert len(answer.body) >= settings.answer_bytes
        found = connection.execute("SELECT customer, body FROM decisions WHERE id = ?", (body["decision_id"],))
        customer, record = found.fetchone()
        assert (customer, len(record) >= settings.record_bytes) == (customer_id(answer.number % N_CUSTOMERS), True)
        assert from_json(record)["action"] == body["action_id"]
        chosen.add(body["action_id"])
        if answer.number % 10 == 0:
            propensity, _, _ = model.score(world.rows[answer.number % N_CUSTOMERS, order], every, 0 * every)
            assert model.actions[int(propensity.argmax())] == body["action_id"]
            assert abs(propensity.max() - body["propensity"]) < 1e-9
    connection.close()
    assert len(chosen) > catalogue.N_ACTIONS / 4, chosen
