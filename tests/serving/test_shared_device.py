"""A shared device: what one person did on it is in nobody else's facts, exports and erasures."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from decisioning.facts.standing import MAX_STRETCHES
from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.contract import Ask, parse
from serving.events.moments import Watcher
from serving.settings import Workspace
from tests.examples import examples
from tests.serving.belonging import Belonging
from tests.serving.test_identities import actions, as_visitor, decide, fill_cap, identity, visitor_consent
from tests.serving.workspaces import Client, Json, ask, signal, small_workspace, welcome

STEPS = """
signals:
  - {id: step, retention_days: 30, fields: [{name: n, dtype: int, required: true}]}
features:
  - {name: steps_1d, dtype: int, source: signal, signal: {of: step, compute: count, window: 24h}}
  - {name: numbers_1d, dtype: float, source: signal, signal: {of: step, compute: sum, field: n, window: 24h}}
moments:
  - {id: stepped, on: step, wait_s: 1, when: "steps_1d >= 1", channel: web, placements: [hero], deliver: stream}
"""
ANGRY = "Dit is belachelijk, ik ben woedend!!"
NAMES, TIMES = count(), count()
STARTED = datetime.now(UTC) - timedelta(hours=20)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = small_workspace(tmp_path_factory.mktemp("shared") / "ws")
    (workspace.catalogue / "steps.yaml").write_text(STEPS)
    releasing.release(workspace, "test")
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[Client]:
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


@pytest.fixture
def people(client: Client) -> tuple[str, str, str]:
    """Two customers with consents, and the value of a cookie."""
    n = next(NAMES)
    for customer in (f"anna-{n}", f"bert-{n}"):
        welcome(client, customer)
    return f"anna-{n}", f"bert-{n}", f"tablet-{n}"


def told() -> str:
    """Return a time ten seconds after the one before: of words that are closer, the refusing one holds."""
    return (STARTED + timedelta(seconds=10 * next(TIMES))).isoformat()


def link(client: Client, customer: str, value: str, status: str = "linked", **more: Any) -> None:
    body = identity(customer, value, status, **{"occurred_at": told(), **more})
    code, answer = client("POST", "/v1/identities", body)
    assert (code, answer["status"]) == (200, status)


def say(client: Client, tablet: str, status: str) -> None:
    body = {**visitor_consent(f"cookie:{tablet}", "marketing", status), "occurred_at": told()}
    assert client("POST", "/v1/consents", body)[0] == 200


def send(client: Client, subject: str, type_: str = "step", **data: Any) -> Json:
    event = signal(type_, subject, **(data or {"n": 1}))
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1
    return event


def facts(client: Client, **whom: str) -> dict[str, Any]:
    request = ask(f"facts-{next(NAMES)}")
    del request["customer_id"]
    asked = parse(Ask, to_json({**request, **whom, "mode": "preview"}))
    return dict(client.brain.known(asked, client.brain.snapshot, now_us()).facts)


def export(client: Client, path: str) -> Json:
    status, page = client("GET", f"/v1/{path}/export")
    assert (status, page["next"]) == (200, None)
    return page


def switched(client: Client, people: tuple[str, str, str], *events: tuple[str, Json]) -> None:
    """Let Anna use the tablet, then link it to Bert."""
    anna, bert, tablet = people
    link(client, anna, tablet)
    for type_, data in events:
        send(client, f"cookie:{tablet}", type_, **data)
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)


@pytest.mark.promise("identity.shared-device")
def test_the_page_that_one_person_saw_is_no_fact_of_the_next(client: Client, people: tuple[str, str, str]) -> None:
    switched(client, people, ("page-view", {"page": "paid-tv"}), ("step", {"n": 7}))
    assert facts(client, customer_id=people[1])["steps_1d"] == 0
    assert facts(client, customer_id=people[1])["paid_tv_views_30s"] == 0
    assert facts(client, visitor_id=f"cookie:{people[2]}").get("steps_1d", 0) == 0


@pytest.mark.promise("identity.shared-device")
def test_one_persons_anger_neither_silences_the_next_nor_calls_a_person(
    client: Client, people: tuple[str, str, str]
) -> None:
    switched(client, people, ("message", {"text": ANGRY}))
    answer = decide(client, people[1])
    assert (answer["handover"], "tv-bundle" in actions(answer)) == (None, True)
    assert client("POST", "/v1/decisions", as_visitor(f"cookie:{people[2]}"))[1]["handover"] is None
    link(client, people[1], people[2], "unlinked")
    link(client, people[0], people[2])
    again = decide(client, people[0])
    assert again["handover"] is not None
    assert "tv-bundle" not in actions(again)


@pytest.mark.promise("identity.shared-device")
def test_an_export_lists_what_a_person_did_on_the_device_and_nothing_else(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, bert, tablet = people
    send(client, f"cookie:{tablet}", n=1)
    switched(client, people, ("step", {"n": 2}))
    send(client, f"cookie:{tablet}", n=4)
    client("POST", "/v1/decisions", as_visitor(f"cookie:{tablet}"))
    numbers = {who: [e["fields"]["n"] for e in export(client, f"customers/{who}")["events"]] for who in (anna, bert)}
    assert numbers == {anna: [1, 2], bert: [4]}
    assert [e["fields"]["n"] for e in export(client, f"visitors/cookie:{tablet}")["events"]] == [4]
    decided = {who: [r["kind"] for r in export(client, f"customers/{who}")["records"]] for who in (anna, bert)}
    assert (decided[anna].count("decision"), decided[bert].count("decision")) == (0, 1)


@pytest.mark.promise("identity.shared-device")
@pytest.mark.parametrize("erased", [0, 1])
def test_erasing_one_person_leaves_what_the_other_did_on_the_device(
    client: Client, workspace: Workspace, people: tuple[str, str, str], erased: int
) -> None:
    switched(client, people, ("step", {"n": 2}))
    send(client, f"cookie:{people[2]}", n=4)
    client("POST", "/v1/decisions", as_visitor(f"cookie:{people[2]}"))
    gone, left = people[erased], people[1 - erased]
    assert client("DELETE", f"/v1/customers/{gone}")[0] == 200
    assert [e["fields"]["n"] for e in export(client, f"customers/{left}")["events"]] == [(4, 2)[erased]]
    assert export(client, f"customers/{gone}")["events"] == []
    barred = client("POST", "/v1/signals", signal("step", f"cookie:{people[2]}", n=5))[0]
    assert barred == (200 if erased == 0 else 410)
    assert verify(workspace, None)["flaws"] == []


@pytest.mark.promise("identity.shared-device")
@pytest.mark.parametrize("timed", [True, False])
def test_an_event_of_an_erased_person_that_is_sent_again_becomes_nobody_elses(
    client: Client, workspace: Workspace, people: tuple[str, str, str], timed: bool
) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    event = {**signal("step", f"cookie:{tablet}", n=2), **({"time": told()} if timed else {})}
    assert client("POST", "/v1/signals", event)[1]["accepted"] == 1
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert client("DELETE", f"/v1/customers/{anna}")[0] == 200
    status, answer = client("POST", "/v1/signals", event)
    assert (status, answer["accepted"]) == (410, 0)
    assert (export(client, f"customers/{bert}")["events"], export(client, f"customers/{anna}")["events"]) == ([], [])
    send(client, f"cookie:{tablet}", n=4)
    assert facts(client, customer_id=bert)["numbers_1d"] == 4
    assert verify(workspace, None)["flaws"] == []


@pytest.mark.promise("identity.shared-device")
def test_what_came_before_the_login_belongs_to_who_logs_in(client: Client, people: tuple[str, str, str]) -> None:
    anna, bert, tablet = people
    send(client, f"cookie:{tablet}", n=1)
    link(client, anna, tablet)
    assert facts(client, customer_id=anna)["numbers_1d"] == 1
    link(client, anna, tablet, "unlinked")
    send(client, f"cookie:{tablet}", n=2)
    assert facts(client, visitor_id=f"cookie:{tablet}")["numbers_1d"] == 2
    link(client, bert, tablet)
    assert facts(client, customer_id=bert)["numbers_1d"] == 2
    link(client, bert, tablet, "unlinked")
    send(client, f"cookie:{tablet}", n=4)
    link(client, anna, tablet)
    assert facts(client, customer_id=anna)["numbers_1d"] == 5
    assert facts(client, visitor_id=f"cookie:{tablet}")["numbers_1d"] == 4


@pytest.mark.promise("identity.shared-device")
def test_who_logs_in_again_has_what_they_did_before_and_what_came_between(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, _, tablet = people
    for n in range(MAX_STRETCHES + 3):
        link(client, anna, tablet)
        send(client, f"cookie:{tablet}", n=1)
        link(client, anna, tablet, "unlinked")
        send(client, f"cookie:{tablet}", n=100)
        assert facts(client, customer_id=anna).get("steps_1d", 0) == 0
        (standing,) = client.brain.ledger.read(client.brain.subject_stream(anna))
        assert len(standing.links[0].stretches) == min(n + 1, MAX_STRETCHES)
    link(client, anna, tablet)
    assert facts(client, customer_id=anna)["steps_1d"] == 2 * MAX_STRETCHES - 1
    assert len(export(client, f"customers/{anna}")["events"]) == 2 * (MAX_STRETCHES + 3)


@pytest.mark.promise("identity.shared-device")
def test_what_one_person_was_shown_and_declined_on_the_device_leaves_the_next_alone(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    stretch = client.brain.subject_stream(None, f"cookie:{tablet}")
    fill_cap(client, f"cookie:{tablet}")
    assert "tv-bundle" not in actions(decide(client, anna, mode="preview"))
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert "tv-bundle" in actions(decide(client, bert, mode="preview"))
    link(client, bert, tablet, "unlinked")
    link(client, anna, tablet)
    assert "tv-bundle" not in actions(decide(client, anna, mode="preview"))
    assert client.brain.ledger.read(stretch)[0].contacts


@pytest.mark.promise("identity.shared-device")
def test_what_an_unlinked_stretch_refuses_binds_whoever_is_linked_next(
    client: Client, people: tuple[str, str, str]
) -> None:
    """What a person refuses on the device while they are linked binds them alone."""
    anna, bert, tablet = people
    say(client, tablet, "refused")
    link(client, anna, tablet)
    assert "tv-bundle" not in actions(decide(client, anna, mode="preview"))
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert "tv-bundle" not in actions(decide(client, bert, mode="preview"))
    say(client, tablet, "granted")
    assert "tv-bundle" in actions(decide(client, bert, mode="preview"))


@pytest.mark.promise("identity.shared-device")
def test_what_a_person_refuses_on_the_device_binds_them_and_not_the_next(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    say(client, tablet, "refused")
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert "tv-bundle" in actions(decide(client, bert, mode="preview"))
    link(client, bert, tablet, "unlinked")
    link(client, anna, tablet)
    assert "tv-bundle" not in actions(decide(client, anna, mode="preview"))
    say(client, tablet, "granted")
    assert "tv-bundle" in actions(decide(client, anna, mode="preview"))


@pytest.mark.promise("identity.shared-device")
def test_a_restricted_device_stays_restricted_for_the_next(client: Client, people: tuple[str, str, str]) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    assert client("PATCH", f"/v1/visitors/cookie:{tablet}", {"restricted": True})[0] == 200
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert actions(decide(client, bert, mode="preview")) == set()


@pytest.mark.promise("identity.shared-device")
def test_a_repeat_of_a_devices_request_is_decided_anew_for_the_next(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    body = as_visitor(f"cookie:{tablet}")
    first = client("POST", "/v1/decisions", body)[1]
    assert client("POST", "/v1/decisions", body)[1]["decision_id"] == first["decision_id"]
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    second = client("POST", "/v1/decisions", body)[1]
    assert second["supersedes"] == first["decision_id"]
    assert client("POST", "/v1/decisions", {**body, "locale": "en"})[0] == 409


@pytest.mark.promise("identity.shared-device")
def test_a_moment_of_one_person_does_not_fire_for_the_next(
    client: Client, people: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert, tablet = people
    watcher = Watcher(client.brain)
    later = now_us() + 3_000_000
    for turn in ("anna", "bert"):
        link(client, people[turn == "bert"], tablet)
        send(client, f"cookie:{tablet}")
        if turn == "anna":
            link(client, anna, tablet, "unlinked")
    monkeypatch.setattr("serving.events.moments.now_us", lambda: later)
    watcher.decide_due()
    assert export(client, f"customers/{anna}")["moments"]["fired"] == []
    assert len(export(client, f"customers/{bert}")["moments"]["fired"]) == 1
    assert export(client, f"customers/{anna}")["moments"]["watched"] == []


def test_an_event_that_is_sent_again_after_the_unlink_stays_the_first_persons(
    client: Client, people: tuple[str, str, str]
) -> None:
    anna, bert, tablet = people
    link(client, anna, tablet)
    event = send(client, f"cookie:{tablet}", n=1)
    link(client, anna, tablet, "unlinked")
    link(client, bert, tablet)
    assert client("POST", "/v1/signals", event)[1]["duplicate"] == 1
    corrected = {**event, "data": {"n": 3}}
    assert client("POST", "/v1/signals", corrected)[1]["corrected"] == 1
    assert [e["fields"]["n"] for e in export(client, f"customers/{anna}")["events"]] == [3]
    assert export(client, f"customers/{bert}")["events"] == []


def test_a_late_word_about_a_link_moves_nothing_that_was_received(client: Client, people: tuple[str, str, str]) -> None:
    """What counts is the order of receiving: a link told for yesterday takes what came unlinked, and nothing else."""
    anna, bert, tablet = people
    link(client, anna, tablet, occurred_at="2026-01-01T00:00:00Z")
    send(client, f"cookie:{tablet}", n=1)
    link(client, anna, tablet, "unlinked", occurred_at="2026-01-02T00:00:00Z")
    send(client, f"cookie:{tablet}", n=2)
    link(client, bert, tablet, occurred_at="2026-01-03T00:00:00Z")
    late = identity(anna, tablet, occurred_at="2026-01-01T12:00:00Z")
    assert client("POST", "/v1/identities", late)[1]["status"] == "unlinked"
    assert facts(client, customer_id=bert)["numbers_1d"] == 2
    assert [e["fields"]["n"] for e in export(client, f"customers/{anna}")["events"]] == [1]


def test_of_joined_customers_the_device_of_one_is_the_persons(client: Client, people: tuple[str, str, str]) -> None:
    anna, bert, _ = people
    other = f"{anna}-too"
    welcome(client, other)
    switched(client, people, ("step", {"n": 2}))
    joined = {"customer_id": other, "identifier": {"kind": "customer", "value": anna}, "status": "linked"}
    assert client("POST", "/v1/identities", {**joined, "source": "test"})[0] == 200
    assert [e["fields"]["n"] for e in export(client, f"customers/{other}")["events"]] == [2]
    assert client("DELETE", f"/v1/customers/{other}")[0] == 200
    assert export(client, f"customers/{anna}")["events"] == []
    assert "tv-bundle" in actions(decide(client, bert, mode="preview"))


@pytest.mark.promise("identity.shared-device")
def test_an_explanation_names_facts_of_the_one_who_was_linked(client: Client, people: tuple[str, str, str]) -> None:
    switched(client, people, ("step", {"n": 2}))
    answer = client("POST", "/v1/decisions", as_visitor(f"cookie:{people[2]}"))[1]
    why = client("GET", f"/v1/decisions/{answer['decision_id']}")[1]
    assert why["facts"].get("steps_1d", 0) == 0
    assert client("DELETE", f"/v1/customers/{people[0]}")[0] == 200
    assert client("GET", f"/v1/decisions/{answer['decision_id']}")[0] == 200


def test_a_device_that_is_erased_takes_nothing_more_and_is_no_ones(
    client: Client, people: tuple[str, str, str]
) -> None:
    switched(client, people, ("step", {"n": 2}))
    assert client("DELETE", f"/v1/visitors/cookie:{people[2]}")[0] == 200
    assert [export(client, f"customers/{who}")["events"] for who in people[:2]] == [[], []]
    assert client("POST", "/v1/identities", identity(people[0], people[2], occurred_at=told()))[0] == 410
    assert client("POST", "/v1/signals", signal("step", f"cookie:{people[2]}", n=5))[0] == 410


PEOPLE, DEVICES = ("p", "q", "r"), ("x", "y")
WHO, DEVICE = st.sampled_from(PEOPLE), st.sampled_from(DEVICES)
DO, LOG = st.tuples(st.just("do"), DEVICE), st.tuples(st.sampled_from(("log_in", "log_in", "log_out")), DEVICE, WHO)
RARE = st.one_of(
    st.tuples(st.just("do_as_person"), WHO),
    st.tuples(st.sampled_from(("link", "unlink")), WHO, DEVICE),
    st.tuples(st.just("erase_person"), WHO),
)
"""Rare, as nothing happens any more to who is erased."""
STEP = st.integers(0, 9).flatmap(lambda n: (DO, LOG, RARE)[(n > 3) + (n > 8)])


class Product:
    """The product behind the same steps as `Belonging`, with ids of its own."""

    def __init__(self, client: Client, run: int) -> None:
        self._client, self._run = client, run

    def do(self, name: str, number: int) -> bool:
        return self._send(f"cookie:{name}-{self._run}", number)

    def do_as_person(self, person: str, number: int) -> bool:
        return self._send(f"customer:{person}-{self._run}", number)

    def _send(self, subject: str, number: int) -> bool:
        return self._client("POST", "/v1/signals", signal("step", subject, n=number))[0] == 200

    def link(self, person: str, name: str) -> bool:
        return self._say(person, name, "linked")

    def unlink(self, person: str, name: str) -> bool:
        return self._say(person, name, "unlinked")

    def _say(self, person: str, name: str, status: str) -> bool:
        body = identity(f"{person}-{self._run}", f"{name}-{self._run}", status, occurred_at=told())
        return self._client("POST", "/v1/identities", body)[0] == 200

    def erase_person(self, person: str) -> None:
        assert self._client("DELETE", f"/v1/customers/{person}-{self._run}")[0] == 200

    def facts_of(self, person: str) -> tuple[int, float]:
        return _figures(facts(self._client, customer_id=f"{person}-{self._run}"))

    def facts_of_device(self, name: str) -> tuple[int, float]:
        return _figures(facts(self._client, visitor_id=f"cookie:{name}-{self._run}"))

    def exported(self, person: str) -> list[int]:
        page = export(self._client, f"customers/{person}-{self._run}")
        return sorted(event["fields"]["n"] for event in page["events"])


def _figures(known: dict[str, Any]) -> tuple[int, float]:
    return known.get("steps_1d", 0), known.get("numbers_1d", 0.0)


def simple(steps: list[tuple[str, ...]], model: Belonging) -> Iterator[tuple[str, ...]]:
    """Yield the steps: logging in at a device unlinks whoever is linked to it, and then links; logging out unlinks."""
    for name, *whom in steps:
        if name not in ("log_in", "log_out"):
            yield name, *whom
            continue
        device, person = whom
        holder = model.device(device).linked
        if holder is not None:
            yield "unlink", holder, device
        if name == "log_in":
            yield "link", person, device


def run(product: Product, model: Belonging, steps: list[tuple[str, ...]]) -> None:
    for n, (name, *whom) in enumerate(simple(steps, model)):
        arguments: list[Any] = [*whom, 2**n] if name.startswith("do") else whom
        assert getattr(product, name)(*arguments) == getattr(model, name)(*arguments), (n, name, whom)


@pytest.mark.promise("identity.shared-device")
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(STEP, min_size=6, max_size=20))
def test_facts_exports_and_erasures_are_what_belongs_to_each(client: Client, steps: list[tuple[str, ...]]) -> None:
    product, model = Product(client, next(NAMES)), Belonging()
    run(product, model, steps)
    for person in PEOPLE:
        numbers = model.facts_of(person)
        assert product.facts_of(person) == (len(numbers), sum(numbers))
        assert product.exported(person) == model.exported(person)
    for name in DEVICES:
        numbers = [] if model.device(name).barred else model.facts_of_device(name)
        assert product.facts_of_device(name) == (len(numbers), sum(numbers))
