"""Recomputing many decisions: all are found the same, stream by stream, and no record is read twice for it."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ledger import Record
from features.ledger.reading import in_time
from serving.brain.runtime import Brain
from serving.commands import recomputing
from serving.commands.verifying import located_decisions
from serving.contract import ConsentIn
from serving.customers.recording import record_consent
from tests.examples import examples
from tests.serving.workspaces import Client, ask, consent, small_workspace, welcome

NUMBERS = count()
CUSTOMERS = st.integers(0, 3)
STEPS = st.lists(
    st.tuples(st.sampled_from(("decide", "account", "visitor", "consent", "link", "unlink")), CUSTOMERS), max_size=25
)


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brain]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("recomputing") / "ws"))
    yield brain
    brain.close()


@pytest.fixture(autouse=True)
def _small_pages_and_few_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputing, "_PAGE", 3)
    monkeypatch.setattr(in_time, "MAX_STREAMS", 2)


@settings(deadline=None, max_examples=examples(25))
@given(steps=STEPS, share=st.integers(1, 3))
def test_interleaved_decisions_recompute_whatever_part_of_them_is_chosen(
    brain: Brain, steps: list[tuple[str, int]], share: int
) -> None:
    """People share an account, and a visitor is passed from one person to another between decisions."""
    run = next(NUMBERS)
    before = len(list(located_decisions(brain)))
    for step, n in steps:
        _take(brain, step, f"c-{run}-{n}", f"v-{run}", f"a-{run}")
    chosen = list(located_decisions(brain))[before::share]
    assert recomputing.recompute(brain, set(chosen)) == {"recomputed": len(chosen), "erased": 0, "different": []}


def _take(brain: Brain, step: str, customer: str, visitor: str, account: str) -> None:
    client, number = Client(brain), f"recomputing-{next(NUMBERS)}"
    if step == "consent":
        asyncio.run(record_consent(brain, ConsentIn.model_validate(consent(customer, "marketing", "granted"))))
    elif step.endswith("link"):
        about = {"customer_id": customer, "identifier": {"kind": "visitor", "value": visitor}, "source": "login"}
        assert client("POST", "/v1/identities", {**about, "status": f"{step}ed"})[0] in (200, 409)  # another's
    else:
        body = ask(number, customer)
        if step == "account":
            body["account_id"] = account
        if step == "visitor":
            body = {**{k: v for k, v in body.items() if k != "customer_id"}, "visitor_id": visitor}
        assert client("POST", "/v1/decisions", body)[0] == 200


def test_each_record_is_read_once_though_few_streams_are_held(brain: Brain, monkeypatch: pytest.MonkeyPatch) -> None:
    client, customers = Client(brain), [f"once-{n}" for n in range(6)]
    for customer in customers:
        welcome(client, customer)
    for n in range(60):
        assert client("POST", "/v1/decisions", ask(f"once-{n}", customers[n % 6]))[0] == 200
    streams = {brain.subject_stream(customer) for customer in customers}
    read = Counter[tuple[str, int]]()
    of_ledger = brain.ledger.records

    def records(stream: str, upto: int | None = None, after: int = 0) -> Iterator[Record]:
        for record in of_ledger(stream, upto, after):
            read[record.stream, record.version] += 1
            yield record

    monkeypatch.setattr(brain.ledger, "records", records)
    chosen = {location for location in located_decisions(brain) if location[0] in streams}
    assert recomputing.recompute(brain, chosen)["recomputed"] == 60
    # the last of a page is read again where the next page's first decision read it
    assert sum(read.values()) <= len(read) + 60 / recomputing._PAGE
    assert max(read.values()) <= 2


def test_a_decision_whose_bytes_were_changed_is_reported_and_not_a_failure(brain: Brain) -> None:
    """Whichever byte it is, and whether its record can still be read or not."""
    customer = f"c-broken-{next(NUMBERS)}"
    _take(brain, "decide", customer, "v-broken", "a-broken")
    stream, version = list(located_decisions(brain))[-1]
    record = next(r for r in brain.ledger.records(stream) if r.version == version)
    raw = record.raw or b""
    for at in (0, 5, 33, 40, 60, len(raw) - 1):
        broken = raw[:at] + bytes((raw[at] ^ 255,)) + raw[at + 1 :]
        _write_body(brain, stream, version, broken)
        assert any(f.version == version and "not the one that was appended" in f.message for f in brain.ledger.verify())
        assert len(recomputing.recompute(brain, {(stream, version)})["different"]) == 1
    _write_body(brain, stream, version, raw)
    assert recomputing.recompute(brain, {(stream, version)})["different"] == []


def _write_body(brain: Brain, stream: str, version: int, raw: bytes) -> None:
    """Change a body past the ledger."""
    with closing(sqlite3.connect(brain.workspace.ledger_file)) as database, database:
        name = bytes.fromhex(stream)
        database.execute("UPDATE ledger_records SET body = ? WHERE stream = ? AND version = ?", (raw, name, version))
