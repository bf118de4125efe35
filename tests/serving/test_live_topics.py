"""GET /v1/live: topics in one connection, where it goes on, and who may listen to what."""

import asyncio
import json
import re
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from features.access_keys import read_keys, revoke_key
from features.ledger import now_us
from features.people import change_person
from serving.access.doors import Access
from serving.access.people.sign_in import SignIn
from serving.access.table import TABLE
from serving.brain.runtime import Brain
from serving.commands.access import keys, people
from serving.events import feed, streams
from serving.http import background, routes
from tests.serving.people.browser import Browser
from tests.serving.workspaces import Client, Json, signal, small_workspace, welcome

PASSWORD = "correct horse battery"
CURSOR = re.compile(r"^id: (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def doors() -> dict[str, Access]:
    """What the doors of the client know of keys, to be read anew as a replica does twice a second."""
    return {}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, doors: dict[str, Access]) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("topics") / "shop"))

    def kept(ledger: object) -> Access:
        return doors.setdefault("keys", Access(ledger))  # type: ignore[arg-type]

    with patch.object(routes, "Access", kept):
        client = Client(brain)
    yield client
    brain.close()


@pytest.fixture
def briefly() -> Iterator[None]:
    """Let streams end soon, so that what they sent can be read as a whole."""
    times = {"LIVE_STREAM_S": 0.03, "BEAT_S": 0.01, "_CHECK_S": 0.01}
    with patch.multiple(streams, **times):
        yield


def heard(client: Client, query: str, **headers: str) -> list[Json]:
    """Return the news of a stream of some topics, until it ends."""
    status, answered, body = client.raw("GET", f"/v1/live?{query}", **headers)
    assert (status, answered["content-type"].partition(";")[0]) == (200, "text/event-stream"), body
    assert body.startswith(b"retry: 1000\nid: ")
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "{}"]


def fire(client: Client, customer: str) -> None:
    """Let three payments of a customer fail, which opens a moment on the web."""
    welcome(client, customer)
    failures = [signal("payment-failure", f"customer:{customer}") for _ in range(3)]
    assert client("POST", "/v1/signals", failures)[1]["accepted"] == 3
    routes.Watcher(client.brain).decide_due()


@pytest.mark.usefixtures("briefly")
@pytest.mark.promise("streams.sequence")
def test_a_stream_of_topics_goes_on_after_the_last_id_and_names_what_was_asked_for(client: Client) -> None:
    fire(client, "c-1")
    fire(client, "c-2")
    first, second = heard(client, "topic=channel:web&after=moments:0")
    assert first["data"]["decision"]["customer_id"] == "c-1"
    assert (first["kind"], first["source"], first["channel"]) == ("moment", "moments", "web")
    (own,) = heard(client, "topic=customer:c-2&topic=customer:c-9&after=moments:0")
    assert own["topics"] == ["customer:c-2"]
    assert own["data"] == second["data"]
    assert heard(client, "topic=customer:c-2&channel=agent&after=moments:0") == []
    last = f"moments:{first['seq']}"
    assert heard(client, "topic=channel:web&after=moments:0", last_event_id=last) == [second]
    assert heard(client, "topic=channel:web") == [], "it begins now"
    assert heard(client, "topic=channel:web&after=moments:999999999,unknown:3") == []
    for query in ("topic=channel:web&after=12", "topic=weather:x", "topic=queue:1", "topic=customer:", "topic=agent"):
        status, problem = client("GET", f"/v1/live?{query}")
        assert (status, problem["field"]) == (422, query.rpartition("&")[2].partition("=")[0])
    assert client("GET", "/v1/live?topic=channel:nowhere")[0] == 422
    assert client("GET", "/v1/live?" + "&".join(["topic=queue"] * 51))[0] == 422


@pytest.mark.usefixtures("briefly")
@pytest.mark.promise("streams.access")
def test_each_scope_listens_to_its_topics_alone(client: Client) -> None:
    named = {"customer": "customer:c-1", "channel": "channel:web", "queue": "queue", "agent": "agent:a-7"}
    assert set(named) == set(TABLE.topics)
    for scope in ("decide", "agent", "lead"):
        for kind, topic in named.items():
            status = client.of_scope(scope).raw("GET", f"/v1/live?topic={topic}")[0]
            assert status == (200 if scope in TABLE.topics[kind] else 403), (scope, topic)
        both = client.of_scope(scope).raw("GET", "/v1/live?topic=queue&topic=customer:c-1")[0]
        assert (both == 200) == (scope == "agent"), "one topic that it may not hear is enough"


@pytest.mark.usefixtures("briefly")
@pytest.mark.promise("streams.access")
def test_what_is_told_is_for_the_callers_audience_and_channels(client: Client, doors: dict[str, Access]) -> None:
    fire(client, "c-3")
    query = "topic=customer:c-3&after=moments:0"
    (whole,), (less,) = heard(client, query), heard(client.of_scope("decide"), query)
    shown, kept = (one["data"]["decision"]["placements"][0]["offers"][0] for one in (less, whole))
    assert "value_eur" in kept
    assert "value_eur" not in shown
    limited = client.of_scope("agent")
    created = keys.create(client.brain.workspace, "agent", None, "test", expires=None, issues="", channels="agent")
    limited.key = created["key"]
    doors["keys"].refresh()
    assert heard(limited, query) == []
    assert limited.raw("GET", "/v1/live?topic=channel:web")[0] == 403
    assert limited.raw("GET", f"/v1/live?{query}&channel=web")[0] == 403


@pytest.mark.promise("streams.access")
def test_a_revoked_key_ends_its_streams(client: Client, doors: dict[str, Access]) -> None:
    created = keys.create(client.brain.workspace, "lead", None, "test", expires=None, issues="", channels="")
    doors["keys"].refresh()
    lead = client.of_scope("lead")
    lead.key = created["key"]

    async def revoked_meanwhile() -> int:
        stream = asyncio.create_task(lead.ask("GET", "/v1/live?topic=queue"))
        await asyncio.sleep(0.1)
        assert not stream.done()
        (key_id,) = [key.id for key in read_keys(client.brain.ledger) if key.id in created["key"]]
        assert revoke_key(client.brain.ledger, key_id, now_us())
        doors["keys"].refresh()
        with pytest.raises(ValueError, match="expected"):  # its events are no JSON
            await asyncio.wait_for(stream, 2)
        return (await lead.ask("GET", "/v1/live?topic=queue"))[0]

    with patch.object(streams, "_CHECK_S", 0.02):
        assert asyncio.run(revoked_meanwhile()) == 401


@pytest.mark.promise("streams.access")
def test_a_session_that_ended_or_whose_person_has_other_rights_may_not_listen(client: Client) -> None:
    sign_in = SignIn(client.brain.workspace, client.brain.ledger)
    people.add(client.brain.workspace, "ann", ["agent"], PASSWORD, "root")
    ended, narrowed = (sign_in.with_password("ann", PASSWORD, "")[0] for _ in range(2))
    listening = sign_in.listening
    with listening.holding(ended), listening.holding(narrowed):
        sign_in.refresh()
        assert (listening.may_listen(ended), listening.may_listen(narrowed)) == (True, True)
        sign_in.sessions.end(ended.session.id)
        sign_in.refresh()
        assert (listening.may_listen(ended), listening.may_listen(narrowed)) == (False, True)
        change_person(client.brain.ledger, narrowed.person.id, {"scopes": "lead"}, needed="admin")
        sign_in.refresh()
        assert not listening.may_listen(narrowed)
    sign_in.refresh()
    assert not listening._ended, "nobody is asked about who listens no more"


@pytest.mark.usefixtures("briefly")
@pytest.mark.promise("streams.access")
def test_a_person_listens_to_what_concerns_themselves_and_a_lead_to_all(client: Client) -> None:
    people.add(client.brain.workspace, "bea", ["agent"], PASSWORD, "root")
    people.add(client.brain.workspace, "lea", ["lead"], PASSWORD, "root")
    for name, other in (("bea", 403), ("lea", 200)):
        browser = Browser(client)
        browser.sign_in(name, PASSWORD)
        own = SignIn(client.brain.workspace, client.brain.ledger).with_password(name, PASSWORD, "")[0].person.id
        assert browser.api("GET", f"/v1/live?topic=agent:{own}")[0] == 200
        assert browser.api("GET", "/v1/live?topic=agent:a-7")[0] == other
        assert browser.api("GET", "/v1/live?topic=queue", sec_fetch_site="cross-site")[0] == 403


@pytest.mark.promise("streams.soon")
def test_a_signal_reaches_an_open_stream_without_waiting_for_a_poll(client: Client) -> None:
    """The threads that decide moments and the reader of news look by themselves once in a minute here."""
    welcome(client, "c-soon")
    wanted = feed.Wanted(frozenset({feed.topic_of_subject(client.brain.subject_stream("c-soon"))}))
    watchers: list[routes.Watcher] = []

    def kept(brain: Brain, *_: object) -> routes.Watcher:
        watchers.append(Watcher(brain))
        return watchers[-1]

    async def told() -> bytes:
        app = Client(Brain(client.brain.workspace))
        async with app.app.router.lifespan_context(app.app):
            events = streams.live_events(watchers[0].feed, wanted, {}, None, feed.FOR_COMPANY, lambda: True)
            await anext(events)
            for _ in range(3):
                await app.ask("POST", "/v1/signals", signal("payment-failure", "customer:c-soon"))
            news = await asyncio.wait_for(anext(events), 5)
            await events.aclose()
            return news

    Watcher = routes.Watcher
    with (
        patch.object(routes, "Watcher", kept),
        patch.object(background, "POLL_S", 60.0),
        patch.object(feed, "READ_S", 60.0),
    ):
        assert b'"moment":"payment-trouble"' in asyncio.run(told())
