"""Two agents at their desks and a customer at their own page do a hundred random things, against a small model."""

import html
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decisioning.routing.opening import MAX_TRANSFERS
from features.people import LOCAL, find_person
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.people.handovers import UNSTATED_CAPACITY
from tests.serving.people.browser import Browser
from tests.serving.people.own_page import entered
from tests.serving.workspaces import Client, Json, ask, offers, signal, small_workspace, welcome

STEPS = 100
OWN = 0.75
"""How often agents act on what they hold, rather than on anything."""
CUSTOMER = "c-random"
PASSWORD = "correct horse battery"
WAITS, ENDED = ("opened", "transferred"), ("resolved", "cancelled")
_FORM = re.compile(r'<form method="post" action="[^"]*?/(\w+)".*?</form>', re.DOTALL)
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
_BUTTON = re.compile(r'<button type="submit"[^>]*? name="(outcome|is|reason)" value="([^"]*)"')
SAID = ("Can you help me?", "I want to speak to a person", "This is terrible, I am angry", "Thank you, that is great")
CALLS = """
signals:
  - id: call
    retention_days: 30
    fields:
      - {name: conversation_id, dtype: string}
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
      - {name: complaint, dtype: bool, tags: [request]}
      - {name: wants_person, dtype: bool, tags: [request]}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which each scenario makes its workspace."""
    return tmp_path_factory.mktemp("random-desk")


@dataclass
class Held:
    """What the model says of a handover: its state, who has it, and the states that it went through."""

    state: str = "opened"
    agent: str | None = None
    transfers: int = 0
    history: list[str] = field(default_factory=lambda: ["opened"])

    def goes(self, state: str, agent: str | None = None) -> None:
        self.state, self.agent = state, agent
        self.history.append(state)


@dataclass
class Model:
    """What the ledger must hold in the end."""

    handovers: dict[str, Held] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    """The clicks that did something else and were undone."""
    corrected: dict[str, bool] = field(default_factory=dict)
    """The clicks that corrected something, and whether that still holds."""
    refused: list[tuple[str, str]] = field(default_factory=list)
    notes: int = 0
    messages: int = 0
    contests: set[str] = field(default_factory=set)

    def holds(self, agent: str) -> list[str]:
        return [name for name, one in self.handovers.items() if (one.state, one.agent) == ("accepted", agent)]


class Scenario:
    """People who do what chance says; each step asserts the answer that the model expects."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client, self.chance, self.model = client, random.Random(seed), Model()
        welcome(client, CUSTOMER)
        self.desks = {name: self._agent(name) for name in ("ann", "bob")}
        self.ids = {name: self._id(name) for name in self.desks}
        self.own = entered(client, CUSTOMER)
        self.decisions: list[str] = []
        self.clicks: dict[str, str] = {}
        self.done: Counter[str] = Counter()

    def run(self, steps: int) -> None:
        anybody: tuple[Callable[[], None], ...] = (self.chat, self.write, self.decide, self.object, self.contest)
        acts: tuple[Callable[[str, str], None], ...] = (
            *(self.take, self.outcome, self.undo, self.note, self.withdraw),
            *(self.transfer, self.give_back, self.resolve, self.instead, self.correct),
        )
        self.chat()
        for _ in range(steps - 1):
            step = self.chance.choices((*anybody, *acts), (3, 6, 3, 3, 3, 9, 6, 3, 3, 1, 2, 2, 2, 3, 5))[0]
            self.done[step.__name__] += 1
            if step in anybody:
                step()  # type: ignore[call-arg]
            else:
                name, every = self.chance.choice([*self.desks]), [*self.model.handovers]
                own = self.model.holds(self.ids[name]) if self.chance.random() < OWN else []
                step(name, self.chance.choice(own or every))  # type: ignore[call-arg]

    def chat(self) -> None:
        """A conversation needs a person: the company's chat opens a handover."""
        number = len(self.model.handovers)
        asked = {"request_id": f"r-{number}", "customer_id": CUSTOMER, "conversation_id": f"k-{number}"}
        status, shown = self.client("POST", "/v1/handovers", {**asked, "channel": "chat", "reason": "asks"})
        assert (status, shown["status"]) == (200, "opened")
        self.model.handovers[shown["handover_id"]] = Held()

    def write(self) -> None:
        """The customer writes, mostly in a conversation that somebody helps with."""
        every = [one.state for one in self.model.handovers.values()]
        helped = [at for at, state in enumerate(every) if state == "accepted" and self.chance.random() < OWN]
        number = self.chance.choice(helped or range(len(every)))
        said = signal("call", f"customer:{CUSTOMER}", text=self.chance.choice(SAID), conversation_id=f"k-{number}")
        assert self.client("POST", "/v1/signals", said)[1]["accepted"] == 1
        self.model.messages += 1

    def decide(self) -> None:
        asked = ask(f"d-{len(self.decisions)}", CUSTOMER, placements=[{"name": "hero"}])
        status, answer = self.client("POST", "/v1/decisions", asked)
        assert status == 200
        is_open = any(one.state not in ENDED for one in self.model.handovers.values())
        sells = [offer for offer in offers(answer) if offer["tier"] == "commercial"]
        assert not (sells and (is_open or ("marketing", "*") in self.model.refused)), "sold in spite of a no"
        self.decisions.append(answer["decision_id"])

    def object(self) -> None:
        """The customer stops something at their own page."""
        forms = [fields for act, fields, _ in _forms(self.own, "/me") if act == "stop"]
        if forms:
            fields = self.chance.choice(forms)
            assert self.own.post("/me/stop", fields)[0] == 303
            self.model.refused.append((fields["purpose"], fields["channel"]))

    def contest(self) -> None:
        forms = [f for act, f, _ in _forms(self.own, "/me") if act == "requests" and f.get("about") == "contest"]
        if forms:
            fields = self.chance.choice(forms)
            assert self.own.post("/me/requests", fields)[0] == 303
            self.model.contests.add(fields["decision_id"])

    def take(self, name: str, handover: str) -> None:
        one, agent = self.model.handovers[handover], self.ids[name]
        has_room = len(self.model.holds(agent)) < UNSTATED_CAPACITY
        is_theirs = (one.state, one.agent) == ("accepted", agent)
        may = is_theirs or (one.state in WAITS and has_room)
        assert self._post(name, handover, "take") == (303 if may else 409)
        if may and not is_theirs:
            one.goes("accepted", agent)

    def outcome(self, name: str, handover: str) -> None:
        """Click what the customer says to what the desk suggests, perhaps twice."""
        if handover not in self.model.holds(self.ids[name]):
            assert self.desks[name].get(f"/desk/{handover}")[0] == 403
            return
        for fields in self._pressed(name, handover, "outcome"):
            self.model.outcomes[fields["once"]] = fields["outcome"]
            self.clicks[name] = fields["once"]

    def instead(self, name: str, handover: str) -> None:
        """Do something else than the desk suggests, for one of the reasons."""
        if handover in self.model.holds(self.ids[name]):
            for fields in self._pressed(name, handover, "instead"):
                self.model.overrides[fields["once"]] = fields["reason"]
                self.clicks[name] = fields["once"]

    def correct(self, name: str, handover: str) -> None:
        """Say that something was heard wrong in a conversation, if anything was said in it."""
        if handover in self.model.holds(self.ids[name]):
            for fields in self._pressed(name, handover, "correct"):
                self.model.corrected[fields["once"]] = True
                self.clicks[name] = fields["once"]

    def _pressed(self, name: str, handover: str, act: str) -> Iterator[dict[str, str]]:
        """Press a button of a form of the desk, perhaps twice, and yield what is sent; nothing if there is none."""
        forms = [form for form in _forms(self.desks[name], f"/desk/{handover}") if form[0] == act and form[2]]
        if forms:
            _, fields, buttons = self.chance.choice(forms)
            sent = {**fields, **dict([self.chance.choice(buttons)])}
            for _ in range(self.chance.choice((1, 2))):
                assert self._post(name, handover, act, **sent) == 303
            yield sent

    def undo(self, name: str, handover: str) -> None:
        once = self.clicks.pop(name, "never")
        holds = handover in self.model.holds(self.ids[name])
        expected = (303 if once != "never" else 422) if holds else 409
        assert self._post(name, handover, "undo", once=once) == expected
        if expected == 303 and once in self.model.corrected:
            self.model.corrected[once] = False
        elif expected == 303 and once in self.model.overrides:
            self.model.undone.add(once)
        elif expected == 303:
            self.model.outcomes[once] = "retracted"

    def note(self, name: str, handover: str) -> None:
        note = f"note {self.model.notes}"
        if self._acts(name, handover, "note", note=note, once=f"n-{self.chance.random()}"):
            self.model.notes += 1

    def withdraw(self, name: str, handover: str) -> None:
        purpose = self.chance.choice(("marketing", "profiling", "email"))
        if self._acts(name, handover, "stop", purpose=purpose, channel="*"):
            self.model.refused.append((purpose, "*"))

    def transfer(self, name: str, handover: str) -> None:
        one = self.model.handovers[handover]
        holds, may = handover in self.model.holds(self.ids[name]), one.transfers < MAX_TRANSFERS
        assert self._post(name, handover, "transfer", note="go on") == (303 if holds and may else 409)
        if holds and may:
            one.goes("transferred")
            one.transfers += 1
            self.model.notes += 1

    def give_back(self, name: str, handover: str) -> None:
        if self._acts(name, handover, "return"):
            self.model.handovers[handover].goes("opened")

    def resolve(self, name: str, handover: str) -> None:
        if self._acts(name, handover, "resolve"):
            self.model.handovers[handover].goes("resolved")

    def _acts(self, name: str, handover: str, act: str, **fields: str) -> bool:
        """Send a form; return whether it is done, which it is for whoever holds the conversation."""
        holds = handover in self.model.holds(self.ids[name])
        assert self._post(name, handover, act, **fields) == (303 if holds else 409)
        return holds

    def _post(self, name: str, handover: str, act: str, **fields: str) -> int:
        desk = self.desks[name]
        return desk.post(f"/desk/{handover}/{act}", {"csrf": self._csrf[name], **fields})[0]

    def _agent(self, name: str) -> Browser:
        browser = Browser(self.client)
        assert browser.sign_in(name, PASSWORD)[0] == 303
        self._csrf = {**getattr(self, "_csrf", {}), name: browser.csrf}
        return browser

    def _id(self, name: str) -> str:
        person = find_person(self.client.brain.ledger, LOCAL, name)
        assert person is not None
        return f"person:{person.id}"


def _forms(browser: Browser, path: str) -> Iterator[tuple[str, dict[str, str], list[tuple[str, str]]]]:
    """Yield each form of a page: how its address ends, its hidden fields, and what its buttons say."""
    status, _, page = browser.get(path)
    assert status == 200
    for form in _FORM.finditer(page):
        yield form[1], {name: html.unescape(v) for name, v in _FIELD.findall(form[0])}, _BUTTON.findall(form[0])


def compare(client: Client, scenario: Scenario) -> None:
    """Assert that ledger, lists, export and agents say what the model says."""
    model = scenario.model
    listed = client("GET", "/v1/handovers")[1]["handovers"]
    opened = {name: (one.state, one.agent) for name, one in model.handovers.items() if one.state not in ENDED}
    assert {one["handover_id"]: (one["state"], one["agent_id"]) for one in listed} == opened
    records = exported(client)
    histories: dict[str, list[str]] = {}
    for record in records:
        if record["kind"] == "handover":
            histories.setdefault(record["body"]["handover_id"], []).append(record["body"]["state"])
    assert histories == {name: one.history for name, one in model.handovers.items()}
    kinds = Counter(record["kind"] for record in records)
    notes = sum(bool(r["body"].get("note")) for r in records if r["kind"] in ("handover", "handover_note"))
    assert (notes, kinds["request"]) == (model.notes, len(model.contests))
    told = [r["body"] for r in records if r["kind"] in ("outcome", "contact") and "outcome_id" in r["body"]]
    said = {body["outcome_id"]: body.get("outcome", body.get("state")) for body in told}
    said = {name: what for name, what in said.items() if not name.startswith("desk-ended-")}
    progress = {"maybe": "pitched", "later": "seen", "said": "pitched"}
    assert said == {f"desk-{once}": progress.get(what, what) for once, what in model.outcomes.items()}
    overrides = [r["body"] for r in records if r["kind"] == "override"]
    reasons = {body["override_id"]: body["reason"] for body in overrides if "undoes" not in body}
    assert reasons == {f"desk-{once}": reason for once, reason in model.overrides.items()}
    assert {body["undoes"] for body in overrides if "undoes" in body} == {f"desk-{once}" for once in model.undone}
    corrections = [r["body"] for r in records if r["kind"] == "correction"]
    undone = {body["undoes"] for body in corrections if "undoes" in body}
    holds = {body["correction_id"]: body["correction_id"] not in undone for body in corrections if "undoes" not in body}
    assert {name.removeprefix("desk-").rpartition("-")[0]: so for name, so in holds.items()} == model.corrected
    standing = client.brain.ledger.read(client.brain.subject_stream(CUSTOMER))[0]
    counted = Counter(one.outcome for happened in standing.outcomes.values() for one in happened)
    assert counted == Counter(what for what in model.outcomes.values() if what in ("accepted", "declined"))
    refused = [r["body"] for r in records if r["kind"] == "consent" and r["body"]["status"] != "granted"]
    assert [(one["purpose"], one.get("channel") or "*") for one in refused] == model.refused
    for agent in scenario.ids.values():
        work = client.brain.ledger.read(client.brain.ledger.names.stream_of("agent", agent))[0].work  # type: ignore[union-attr]
        assert sorted(one.handover for one in (work.held if work else ())) == sorted(model.holds(agent))
    assert not list(client.brain.ledger.verify())


def exported(client: Client) -> list[Json]:
    """Return all records of the customer's export."""
    records, after = list[Json](), ""
    while True:
        page = client("GET", f"/v1/customers/{CUSTOMER}/export{after}")[1]
        records += page["records"]
        if page.get("next") is None:
            return records
        after = f"?after={page['next']}"


@pytest.mark.promise("desk.random")
@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(100, 120))])
def test_a_hundred_random_steps_leave_what_a_model_says(workspace: Path, seed: int) -> None:
    made = small_workspace(workspace / str(seed), CALLS)
    for name in ("ann", "bob"):
        people.add(made, name, ["agent"], PASSWORD, "test")
    client = Client(Brain(made))
    scenario = Scenario(client, seed)
    scenario.run(STEPS)
    compare(client, scenario)
    assert len(scenario.done) >= 12, "nearly every kind of step was taken"
    client.brain.close()
