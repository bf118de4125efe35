"""What open streams are told of handovers and of what customers do: all of it, in order, and no type of a signal."""

from pathlib import Path

import pytest
from pydantic_core import from_json

from serving.brain.runtime import Brain
from serving.events.feed import FOR_COMPANY, topic_of_subject
from serving.http.people.news import people_sources
from tests.serving.workspaces import Client, signal, small_workspace

LIMIT = 10


@pytest.mark.promise("streams.people-catch-up")
def test_a_page_is_whole_however_much_came_about_others(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop"))
    client = Client(brain)
    handovers, signals = people_sources(brain.ledger)
    others = [signal("page-view", f"customer:o-{n}", page="home") for n in range(3 * LIMIT)]
    assert client("POST", "/v1/signals", others)[1]["accepted"] == 3 * LIMIT
    own = [signal("page-view", "customer:c-1", page="home") for _ in range(LIMIT + 2)]
    assert client("POST", "/v1/signals", own)[1]["accepted"] == LIMIT + 2
    about = {"conversation_id": "chat-1", "channel": "chat", "reason": "asks for a person"}
    for n in range(2 * LIMIT):
        body = {"request_id": f"r-{n}", "customer_id": f"o-{n}", **about}
        assert client("POST", "/v1/handovers", body)[0] == 200
    assert client("POST", "/v1/handovers", {"request_id": "r-own", "customer_id": "c-1", **about})[0] == 200
    topics = frozenset({topic_of_subject(brain.subject_stream("c-1"))})
    first = signals.page(0, topics, LIMIT)
    second = signals.page(first[-1].seq, topics, LIMIT)
    assert (len(first), len(second), signals.page(second[-1].seq, topics, LIMIT)) == (LIMIT, 2, [])
    assert len(handovers.page(0, topics, LIMIT)) == 1
    every = signals.page(0, None, LIMIT)
    assert [news.seq for news in every] == sorted(news.seq for news in every)
    assert signals.body(first[0], FOR_COMPANY) is not None
    assert from_json(signals.body(first[0], FOR_COMPANY) or b"") == {}, "a type may be for a purpose that is refused"
    brain.close()
