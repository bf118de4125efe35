"""Speed of the full decision over HTTP, of a hand-written floor, an empty endpoint, stock servers, and decide()."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from pydantic_core import from_json

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known
from decisioning.facts.standing import Consent, Standing
from features.ledger import Entry, Ledger, now_us
from serving.brain.runtime import Brain, new_id
from serving.contract import parse
from tests.benchmarks import catalogue, floor, signals, stock
from tests.benchmarks.earlier import measure as earlier
from tests.benchmarks.measures import Figures, Line, Measure, Suite, quantile, timed, timed_async
from tests.benchmarks.served import (
    CLOSED,
    CONNECTIONS,
    OPEN,
    P99_LIMIT_MS,
    PER_SECOND,
    measure_server,
    measure_sustained,
    server_of,
)
from tests.benchmarks.world import N_CUSTOMERS, World, open_world
from tests.serving.load import Answer

IN_PROCESS = 1500
MANY_RULES = 60


def _empty(world: World) -> Figures:
    return measure_server(world, "empty", server_of(world, "tests.serving.tiny_app:build"))


def _plain(world: World) -> Figures:
    return measure_server(world, "plain", server_of(world, "tests.benchmarks.request_app:build"))


def _full(world: World) -> Figures:
    server, before = world.server, _decisions_at_rest(world)

    def also() -> Figures:
        sustained = measure_sustained(world, "full", server.port)
        after = _decisions_at_rest(world)
        at_rest = (after.size - before.size) / (after.count - before.count)
        return {**sustained, "at_rest_bytes": at_rest, **signals.measure_acknowledgements(world, server)}

    return measure_server(world, "full", server, lambda answers: _check(world, answers), also)


def _floor(world: World) -> Figures:
    server = world.floor
    assert server is not None
    return measure_server(
        world,
        "floor",
        server,
        lambda answers: floor.check(world, server.root, answers),
        lambda: measure_sustained(world, "floor", server.port),
    )


def _stock(world: World) -> Figures:
    return stock.measure(world, PER_SECOND)


def _check(world: World, answers: list[Answer]) -> None:
    """Assert that every decision is committed and scored all 100 candidates, and that nearly all made offers."""
    workspace = world.workspace
    with_offers = 0
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        for answer in answers:
            body = from_json(answer.body)
            offers = [o for p in body["placements"] for o in p["offers"]]
            with_offers += bool(offers)
            assert (body["model"], body["withheld"], body["degraded"]) == ("propensity@1", 0, [])
            record = ledger.lookup(f"decision:{body['decision_id']}")
            assert record is not None
            assert record.body is not None
            scores = record.body["scores"]
            assert len(scores["candidates"]) == catalogue.N_ACTIONS
            assert min(scores["evidence"]) > 0
            assert len(set(scores["propensity"])) > catalogue.N_ACTIONS / 2
            assert all(o["propensity"] in scores["propensity"] for o in offers)
    assert with_offers >= 0.98 * len(answers)


def _in_process(world: World) -> Figures:
    """Time each step of a decision over all customers, without HTTP, in one thread; then those of the floor."""
    start_s = time.perf_counter()
    brain = Brain(world.workspace)
    loaded_s = time.perf_counter() - start_s
    try:
        figures = {"brain_load_s": loaded_s, **_compile(brain), **_steps(world, brain)}
    finally:
        brain.close()
    world.floor = floor.prepare(world, round(figures["record_bytes"]), round(figures["answer_bytes"]))
    return figures | floor.measure_steps(world, world.floor.root, IN_PROCESS)


def _compile(brain: Brain) -> Figures:
    content = brain.ledger.get_release(brain.snapshot.release.hash)
    start_s = time.perf_counter()
    Release.from_bytes(content).view(catalogue.CHANNEL)
    return {"release_compile_s": time.perf_counter() - start_s}


def _steps(world: World, brain: Brain) -> Figures:
    snapshot, at_us = brain.snapshot, now_us()
    release = snapshot.release
    asks = [parse(Ask, world.request(n, "in-process")) for n in range(N_CUSTOMERS)]
    customers = [brain.known(ask, snapshot, at_us) for ask in asks]
    every, champion = release.view(catalogue.CHANNEL).candidates, snapshot.models.champion
    ids = [new_id() for _ in asks]

    def decide_one(n: int) -> Decision:
        return _decide(brain, asks[n], customers[n], at_us, ids[n])

    decisions = [decide_one(n) for n in range(N_CUSTOMERS)]
    assert sum(bool(d.record["contacts"]) for d in decisions) >= 0.98 * N_CUSTOMERS
    assert {len(d.record["scores"]["candidates"]) for d in decisions} == {catalogue.N_ACTIONS}
    return {
        **_in_turn("parse", lambda n: parse(Ask, world.request(n, "in-process"))),
        **_in_turn("read", lambda n: brain.known(asks[n], snapshot, at_us)),
        **_in_turn("decide", lambda n: decide_one(n).answer),
        **_in_turn("screen", lambda n: screened_for(asks[n], customers[n], release, now_us=at_us)),
        **_in_turn("score", lambda n: champion.score(customers[n].facts, every)),
        **_in_turn("bytes", lambda n: decisions[n].to_bytes()),
        **_commits(world, brain),
    }


def _many_rules(world: World) -> Figures:
    """Time screening over all customers, with twice the rules of the other measures."""
    files = {f"catalogue/{name}": text for name, text in catalogue.files(MANY_RULES).items()}
    release, at_us = Release.of(load(files), pack(files)), now_us()
    assert len(release.view(catalogue.CHANNEL).gates) >= MANY_RULES
    consents = tuple(
        Consent(purpose, "*", "granted", "bench", "2026-01", at_us - 1, None, n)
        for n, purpose in enumerate(("marketing", "profiling"))
    )
    flags = dict.fromkeys(catalogue.FLAGS, False)
    profiles = (dict(zip(catalogue.LEARNED, row, strict=True)) for row in world.rows.tolist())
    customers = [Known({**p, **flags, "age": int(p["age"])}, Standing("s", 2, consents)) for p in profiles]
    ask = parse(Ask, world.request(0, "rules"))
    assert screened_for(ask, customers[0], release, now_us=at_us).permitted.all()
    return _in_turn("rules_screen", lambda n: screened_for(ask, customers[n], release, now_us=at_us))


def _in_turn(name: str, step: Callable[[int], object]) -> Figures:
    """Time a step that is given each customer's number in turn."""
    return timed(name, lambda n: step(n % N_CUSTOMERS), IN_PROCESS)


def _decide(brain: Brain, ask: Ask, customer: Known, at_us: int, decision_id: str) -> Decision:
    champion = brain.snapshot.models.champion
    release = brain.snapshot.release
    return decide(
        ask,
        customer,
        release,
        champion.score,
        DecisionContext(assigned_model=champion.name, now_us=at_us, decision_id=decision_id),
    )


def _commits(world: World, brain: Brain) -> Figures:
    """Time the commit alone, and the whole decision within the process: read, decide, commit and answer."""
    asks = [parse(Ask, world.request(n, "committed")) for n in range(N_CUSTOMERS)]
    again = [parse(Ask, world.request(n, "answered")) for n in range(N_CUSTOMERS)]
    submissions = [_submission(brain, ask) for ask in asks]
    sizes: list[int] = []

    async def commit(n: int) -> None:
        await brain.ledger.commit(*submissions[n])

    async def answer(n: int) -> None:
        sizes.append(len(await brain.answer(again[n])))

    return {
        **asyncio.run(timed_async("commit", commit, N_CUSTOMERS)),
        **asyncio.run(timed_async("answer", answer, N_CUSTOMERS)),
        "answer_bytes": quantile([float(size) for size in sizes], 0.5),
        "record_bytes": _record_bytes(world),
    }


def _submission(brain: Brain, ask: Ask) -> tuple[list[Entry], dict[str, int]]:
    """Return a decision's entries and guards, as the product submits them to the ledger."""
    at_us = now_us()
    known = brain.known(ask, brain.snapshot, at_us)
    decision = _decide(brain, ask, known, at_us, new_id())
    return brain._entries(ask, known, decision, 0)


def _record_bytes(world: World) -> float:
    """Return the median size of the newest decisions' bodies at rest."""
    newest = "SELECT length(body) FROM ledger_records WHERE kind = 'decision' ORDER BY seq DESC LIMIT ?"
    with closing(sqlite3.connect(world.workspace.ledger_file)) as ledger:
        return quantile([float(size) for (size,) in ledger.execute(newest, (N_CUSTOMERS,))], 0.5)


@dataclass(frozen=True)
class _AtRest:
    """The number of decisions in the ledger, and the bytes of its pages in use."""

    count: int
    size: int


def _decisions_at_rest(world: World) -> _AtRest:
    with closing(sqlite3.connect(world.workspace.ledger_file)) as ledger:
        count = ledger.execute("SELECT count(*) FROM ledger_records WHERE kind = 'decision'").fetchone()[0]
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (ledger.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return _AtRest(count, (pages - free) * size)


SPEED = Suite(
    world=open_world,
    measures=(
        Measure("the steps within the process", _in_process),
        Measure("an empty Ray Serve endpoint", _empty),
        Measure("the brain's full decision", _full),
        Measure("the hand-written floor", _floor),
        Measure(f"the full decision of commit {earlier.COMMIT}", earlier.measure),
        Measure("a plain Request deployment", _plain),
        Measure("feast serve, then mlflow models serve", _stock),
        Measure(f"screening with {MANY_RULES} rules", _many_rules),
        *signals.MEASURES,
    ),
    lines=(
        Line("empty endpoint, one connection, median", "empty_closed_median_ms"),
        Line("plain Request deployment, median", "plain_closed_median_ms", "empty_closed_median_ms"),
        Line("floor, median, to empty", "floor_closed_median_ms", "empty_closed_median_ms"),
        Line("full decision, median, to the floor", "full_closed_median_ms", "floor_closed_median_ms", 2.5),
        Line("full decision, median, to empty", "full_closed_median_ms", "empty_closed_median_ms", 6.0),
        Line("full decision, median, to stock servers", "full_closed_median_ms", "stock_closed_median_ms", 1 / 6),
        Line(f"full decision, median, to {earlier.COMMIT}", "full_closed_median_ms", "earlier_closed_median_ms"),
        Line("feast serve + mlflow models serve, median", "stock_closed_median_ms", "empty_closed_median_ms"),
        Line(f"floor: highest rate with p99 under {P99_LIMIT_MS:.0f} ms, a second", "floor_sustained_per_s"),
        Line("full decision: the same, to the floor", "full_sustained_per_s", "floor_sustained_per_s", None, 1 / 3),
        Line(
            f"full decision: the same, to {earlier.COMMIT}",
            "full_sustained_per_s",
            "earlier_sustained_per_s",
            None,
            4.0,
        ),
        Line(f"floor: rate of {CONNECTIONS} connections, a second", "floor_capacity_per_s"),
        Line(
            f"full decision: rate of {CONNECTIONS} connections, to the floor",
            "full_capacity_per_s",
            "floor_capacity_per_s",
        ),
        Line(f"empty endpoint at {PER_SECOND:.0f}/s, median", "empty_open_median_ms"),
        Line(f"empty endpoint at {PER_SECOND:.0f}/s, p99", "empty_open_p99_ms"),
        Line(f"plain deployment at {PER_SECOND:.0f}/s, p99", "plain_open_p99_ms", "empty_open_p99_ms"),
        Line(f"full decision at {PER_SECOND:.0f}/s, median", "full_open_median_ms", "empty_open_median_ms"),
        Line(f"full decision at {PER_SECOND:.0f}/s, p99", "full_open_p99_ms", "empty_open_p99_ms"),
        Line(f"full decision at {PER_SECOND:.0f}/s, not answered 200 of {OPEN}", "full_open_refused"),
        Line(f"plain deployment, not answered 200 of {CLOSED}", "plain_closed_refused"),
        Line(f"stock servers at {PER_SECOND:.0f}/s, p99", "stock_open_p99_ms", "empty_open_p99_ms"),
        Line("stock servers, answered a second of those", "stock_open_answered_per_s"),
        Line(
            f"decide(), 100 actions, 30 rules, to {earlier.COMMIT}", "decide_median_ms", "earlier_decide_median_ms", 0.4
        ),
        Line("decide(), median, to the floor's choice", "decide_median_ms", "floor_choose_median_ms"),
        Line("decide(), p99", "decide_p99_ms"),
        Line("  of it screening, median", "screen_median_ms"),
        Line("  of it scoring, median", "score_median_ms"),
        Line(f"screening of 100 actions, {MANY_RULES} rules, median", "rules_screen_median_ms"),
        Line(f"screening of 100 actions, {MANY_RULES} rules, p99", "rules_screen_p99_ms", None, 1.0),
        Line("reading ledger and profile, to the floor's", "read_median_ms", "floor_read_median_ms"),
        Line("commit, median, to the floor's", "commit_median_ms", "floor_commit_median_ms"),
        Line("parsing the request, median, to empty", "parse_median_ms", "empty_closed_median_ms"),
        Line("record to bytes, median, to empty", "bytes_median_ms", "empty_closed_median_ms"),
        Line("read, decide, commit, answer, to the floor's", "answer_median_ms", "floor_answer_median_ms"),
        Line("bytes of a decision's record", "record_bytes"),
        Line("bytes of an answer", "answer_bytes"),
        Line("bytes at rest a decision, indexes included", "at_rest_bytes", None, 2500),
        Line("release compiled from its bytes", "release_compile_s"),
        Line("brain loaded (release, model, stores)", "brain_load_s"),
        Line("empty endpoint, start to ready", "empty_start_s"),
        Line("brain, start to ready", "full_start_s", "empty_start_s"),
        Line("stock servers, start to ready", "stock_start_s"),
        Line("model fitted (100 actions, 40,000 rows)", "fit_s"),
        *signals.LINES,
    ),
)
