"""Erasures are finished in every file within the stated time, whichever process dies meanwhile."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import update

from features.ledger import now_us
from features.ledger.erasing import erase_subject
from features.ledger.tables import CLAIMS, ERASURES
from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.customers import erasing, exported_files
from serving.settings import Workspace
from tests.promises.marked_customers import Marks, store_everything, traces_in
from tests.serving.workspaces import Client

pytestmark = pytest.mark.promise("erasure.every-file")


def left(workspace: Workspace, one: Marks) -> set[bytes]:
    return {mark for _, mark in traces_in(workspace, one.everything)}


def make_older(brain: Brain, seconds: float) -> None:
    """Move everything that is noted about erasures into the past."""
    by_us = round(seconds * 1_000_000)
    for column in (ERASURES.c.at_us, CLAIMS.c.until_us):
        statement = update(column.table).values({column: column - by_us})
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
