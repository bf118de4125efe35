"""Erasures are finished in every file within the stated time, whichever process dies meanwhile."""

import asyncio
from functools import partial
from threading import Event

import pytest
from sqlalchemy import true, update

from features.ledger import now_us
from features.ledger.erasing import erase_subject
from features.ledger.tables import CLAIMS, ERASURES
from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.customers import erasing, exported_files
from serving.settings import Workspace
from tests.promises.marked_customers import Marks, store_everything, traces_in
from tests.serving.workspaces import Client, welcome

pytestmark = pytest.mark.promise("erasure.every-file")


def left(workspace: Workspace, one: Marks) -> set[bytes]:
    return {mark for _, mark in traces_in(workspace, one.everything)}


def make_older(brain: Brain, seconds: float) -> None:
    """Move everything that is noted about erasures into the past."""
    by_us = round(seconds * 1_000_000)
    for column, moved in ((ERASURES.c.at_us, true()), (CLAIMS.c.until_us, CLAIMS.c.name != "secret")):
        statement = update(column.table).where(moved).values({column: column - by_us})
        brain.ledger.transact(lambda connection, statement=statement: connection.execute(statement)).result()


def test_a_crash_after_the_tombstone_is_made_good_by_the_next_process(client: Client, workspace: Workspace) -> None:
    one = Marks("zxqcrashedw")
    asyncio.run(store_everything(client, one))
    client.brain.compact()
    ledger = client.brain.ledger
    stream = ledger.stream_of("person", one.customer)
    assert left(workspace, one)
    ledger.transact(partial(erase_subject, stream=stream, now_us=now_us(), rules=ledger._rules)).result()
    assert left(workspace, one)
    with open_brain(workspace) as brain:
        erasing.tend(brain)
        assert client("GET", f"/v1/customers/{one.customer}/export")[0] == 200
        make_older(brain, workspace.settings.erasure.within_s / 4)
        erasing.tend(brain)
        assert left(workspace, one) == set()
        assert brain.ledger.erasures.listed() == []


def test_six_erasures_that_cannot_be_finished_are_answered_and_hold_up_nobody(
    client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside an import that keeps the stores busy: everyone is suppressed at once, and emptied afterwards."""
    brain, erasures, busy = client.brain, client.brain.ledger.erasures, Event()
    customers = [f"c-{n}" for n in range(6)]
    for customer in (*customers, "c-other"):
        welcome(client, customer)
    empty = erasures.empty
    monkeypatch.setattr(erasures, "empty", lambda stream: busy.wait(60) and empty(stream))
    monkeypatch.setattr(brain.pools.erasures, "_within_s", 0.1)

    async def at_once() -> list[int]:
        asked = [client.ask("DELETE", f"/v1/customers/{customer}") for customer in customers]
        hardship = client.ask("PATCH", "/v1/customers/c-other", {"facts": {"hardship": True}})
        return [status for status, _ in await asyncio.gather(*asked, hardship)]

    assert asyncio.run(at_once()) == [200] * 7
    streams = [brain.subject_stream(customer) for customer in customers]
    assert all(standing.erased for standing in brain.ledger.read(*streams))
    assert client("GET", "/v1/customers/c-other")[1]["facts"]["hardship"] is True
    assert [erasure.emptied for erasure in erasures.listed()] == [False] * 6
    busy.set()
    erasing.tend(brain)
    assert [erasure.emptied for erasure in erasures.listed()] == [True] * 6
    assert [stored.raw for stored in brain.snapshot.profiles.read(streams, now_us=now_us())] == [{}] * 6


def test_an_erasure_that_was_listed_by_a_clock_ahead_is_finished_no_later(client: Client, workspace: Workspace) -> None:
    welcome(client, "c-listed")
    assert client("DELETE", "/v1/customers/c-listed")[0] == 200
    make_older(client.brain, -3600)
    erasing.tend(client.brain)
    assert client.brain.ledger.erasures.listed() == []


def test_what_killed_processes_left_half_written_is_removed_though_no_file_holds_the_customer(
    client: Client, workspace: Workspace
) -> None:
    """The half of an update of the log and of the history, and what DuckDB had spilled."""
    welcome(client, "c-half")
    assert client("DELETE", "/v1/customers/c-half")[0] == 200
    decisions, offline = workspace.data / "decisions", workspace.offline
    left = [
        decisions / "rows" / ".2026-11-23.parquet.half",
        decisions / "events" / ".2026-11-23.parquet.half",
        offline / ".profile.parquet.half",
        *(folder / "spill" / f"killed{suffix}" for folder in (decisions, offline) for suffix in (".lock", "/block")),
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("c-half")
    make_older(client.brain, workspace.settings.erasure.within_s / 4)
    erasing.tend(client.brain)
    assert [file for file in left if file.exists()] == []


def test_files_are_cleaned_in_time_by_processes_that_live_for_a_moment(client: Client, workspace: Workspace) -> None:
    one = Marks("zxqrestartsw")
    asyncio.run(store_everything(client, one))
    assert client("DELETE", f"/v1/customers/{one.customer}")[0] == 200
    for _ in range(3):
        with open_brain(workspace) as brain:
            erasing.tend(brain)
            assert {erasure.emptied for erasure in brain.ledger.erasures.listed()} == {True}
            make_older(brain, workspace.settings.erasure.within_s / 12 + 1)
    with open_brain(workspace) as brain:
        erasing.tend(brain)
        assert brain.ledger.erasures.listed() == []
    assert left(workspace, one) == set()


def test_a_file_that_was_exported_during_the_erasure_is_cleaned_by_any_later_process(
    client: Client, workspace: Workspace
) -> None:
    one, out = Marks("zxqmeantimew"), workspace.root / "meantime.json"
    asyncio.run(store_everything(client, one))
    assert client("DELETE", f"/v1/customers/{one.customer}")[0] == 200
    with open_brain(workspace) as brain:
        erasing.clean(brain)
    out.write_text(one.mark)
    exported_files.register(workspace, out, "export", (client.brain.ledger.stream_of("person", one.customer),))
    with open_brain(workspace) as brain:
        erasing.tend(brain)
        assert out.exists()
        make_older(brain, workspace.settings.erasure.within_s / 2)
        erasing.tend(brain)
    assert not out.exists()
