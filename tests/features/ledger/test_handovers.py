"""The life of handovers in the ledger, on both databases: its fold, its row, and what verify says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from decisioning.errors import Refused, Unavailable
from decisioning.facts.handovers import ENDED, FOLLOWS, HandoverState, OpenHandover, after
from decisioning.routing.opening import Opening, step_body
from features.ledger import Entry, Ledger
from features.ledger.tables import HANDOVERS
from tests.features.ledger.builders import past_the_ledger


def open_one(ledger: Ledger, stream: str, name: str, conversation: str = "chat-1") -> OpenHandover:
    """Open a handover, and return it as the standing has it."""
    body = Opening(conversation, "a wish", "chat", "test").body(name, ledger.key_of(f"conversation:{conversation}"))
    ledger.append([Entry(stream, "handover", body, None, key=f"handover:{name}#0")])
    return next(h for h in ledger.read(stream)[0].handovers if h.id == name)


def step(ledger: Ledger, stream: str, handover: OpenHandover, state: HandoverState, agent: str | None = None) -> None:
    ledger.append([Entry(stream, "handover", step_body(handover, state, "test", agent), None)])


@pytest.mark.promise("handovers.one-open")
def test_the_row_follows_the_records_and_verify_compares_both(url: str, ledger: Ledger) -> None:
    stream = ledger.stream_of("person", "c-1")
    step(ledger, stream, open_one(ledger, stream, "h-1"), "accepted", "a-1")
    (row,) = ledger.select(select(HANDOVERS))
    assert (row.state, row.step, row.agent) == ("accepted", 1, "a-1")
    assert not list(ledger.verify())
    past_the_ledger(url, "UPDATE ledger_handovers SET agent = 'a-2'")
    assert [str(flaw) for flaw in ledger.verify()] == ["ledger_handovers@1: it is not the handover that is recorded"]
    past_the_ledger(url, "DELETE FROM ledger_handovers")
    (flaw,) = ledger.verify()
    assert flaw.message == "the handover is recorded, and not in the table of handovers"


@pytest.mark.promise("handovers.one-open")
def test_the_database_keeps_a_second_open_handover_out(ledger: Ledger) -> None:
    stream = ledger.stream_of("person", "c-2")
    first = open_one(ledger, stream, "h-1")
    with pytest.raises(Unavailable):
        open_one(ledger, stream, "h-2")
    step(ledger, stream, first, "resolved")
    assert open_one(ledger, stream, "h-3").state == "opened", "the first one has ended"


def test_a_record_that_does_not_follow_is_refused(ledger: Ledger) -> None:
    stream = ledger.stream_of("person", "c-3")
    handover = open_one(ledger, stream, "h-1")
    body = {**step_body(handover, "accepted", "test", "a-1"), "step": 4}
    with pytest.raises(Refused):
        ledger.append([Entry(stream, "handover", body, None)])
    assert ledger.read(stream)[0].handovers == (handover,)


def test_erasing_removes_the_row(ledger: Ledger) -> None:
    stream = ledger.stream_of("person", "c-4")
    open_one(ledger, stream, "h-1")
    ledger.erase(stream)
    assert not ledger.select(select(HANDOVERS))
    assert not ledger.read(stream)[0].handovers
    assert not list(ledger.verify())
    assert ledger.select(text("SELECT 1 AS one"))[0].one == 1


@given(st.lists(st.sampled_from(sorted(FOLLOWS)), max_size=12))
def test_what_does_not_follow_changes_nothing_and_what_ended_is_not_open(states: list[HandoverState]) -> None:
    opened = Opening("chat-1", "a wish", "chat", "test").body("h-1", "00")
    handovers = after((), opened)
    for state in states:
        if not handovers:
            break
        before = handovers[0]
        body = {**opened, "state": state, "step": before.step + 1}
        if state in FOLLOWS[before.state]:
            handovers = after(handovers, body)
            assert bool(handovers) == (state not in ENDED)
        else:
            with pytest.raises(ValueError, match="does not follow"):
                after(handovers, body)
