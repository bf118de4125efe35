"""Agents in the ledger's database: stated, heard of, forgotten in time and erased, and work that one process claims."""

from features.handovers.agents import find_agent, note_heartbeats, put_agent, read_agents
from features.handovers.slots import agent_stream
from features.ledger import Entry, Ledger, now_us
from features.ledger.database import claim
from features.ledger.records import PERISHING

STATED = {"languages": ["nl"], "proficiency": {}, "trained": [], "capacity": {"chat": 1}}


def test_what_is_stated_of_agents_is_kept_heard_of_and_erased(ledger: Ledger) -> None:
    for name in ("a-1", "a-2"):
        put_agent(ledger, name, STATED, 1)
    put_agent(ledger, "a-1", {**STATED, "languages": ["en"]}, 2)
    note_heartbeats(ledger, ["a-1"], 7)
    note_heartbeats(ledger, ["a-1"], 5)
    first = find_agent(ledger, "a-1")
    assert first is not None
    assert (first.stated["languages"], first.changed_us, first.heartbeat_us) == (["en"], 2, 7)
    assert [agent.id for agent in read_agents(ledger, after="a-1")] == ["a-2"]
    ledger.erase(first.stream)
    assert find_agent(ledger, "a-1") is None
    assert not list(ledger.verify())


def test_only_what_agents_did_long_ago_is_forgotten(ledger: Ledger) -> None:
    stream = agent_stream(ledger, "a-1")
    ledger.append([Entry(stream, "presence", {"state": "available"}, None)] * 150)
    assert ledger.erasures.forget(stream, PERISHING, now_us() - 10_000_000) == 0
    assert ledger.erasures.forget(stream, PERISHING, now_us() + 10_000_000) == 150
    assert ledger.erasures.forget(stream, PERISHING, now_us() + 10_000_000) == 0
    ledger.append([Entry(stream, "presence", {"state": "off"}, None)])
    assert [record.body for record in ledger.records(stream)] == [None] * 150 + [{"state": "off"}]
    assert not list(ledger.verify())


def test_one_process_at_a_time_has_a_claim(ledger: Ledger) -> None:
    def claimed(at_us: int) -> bool:
        return ledger.transact(lambda connection: claim(connection, "work", at_us, at_us + 10)).result()

    assert [claimed(at_us) for at_us in (100, 105, 110, 111)] == [True, False, True, False]
