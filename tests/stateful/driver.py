"""Drives the product in process and the model beside it, word for word, and says where they differ."""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask
from decisioning.times import iso
from serving.brain.runtime import Brain
from serving.commands.offline import verify
from serving.customers import erasing
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, offers
from tests.stateful.catalogue import WITHIN_S, stateful_workspace
from tests.stateful.clock import Clock
from tests.stateful.model import Model, Word, tokens
from tests.stateful.searching import tokens_in, traces

ACTIONS = ("tv", "family", "help")
FACTS = ("nickname", "fee", "hardship", "searches_2d", "last_words")
EXCLUDED = {"devices": "a device that a second person takes over"}
"""What is known to differ still, and is not tried."""
START_US = 1_796_040_000_000_000
NUMBERS = itertools.count(1)


class Company:
    """One workspace with a replica that serves it, in a folder that is also the current and the temporary one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = Clock(START_US)
        self.workspace: Workspace = stateful_workspace(root / "workspace")
        self.brain = Brain(self.workspace)
        self.client = Client(self.brain)
        self.agrees = True
        """Whether everything that was asked after the last request was as it should be."""
        self.overdue: list[tuple[int, set[str], set[float]]] = []
        """Erasures whose time is not over: until when (us), the texts, and the numbers that must be gone by then."""

    @contextmanager
    def open(self) -> Iterator["Company"]:
        """Serve until the block ends."""
        with ExitStack() as stack:
            stack.callback(os.chdir, Path.cwd())
            for name in ("here", "temporary"):
                (self.root / name).mkdir()
            os.chdir(self.root / "here")
            stack.enter_context(self.clock.set())
            stack.callback(self.brain.close)
            yield self

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """Return the answer to one request, some milliseconds after the last one."""
        self.clock.advance(0.01)
        self.agrees = False
        return self.client(method, path, body)

    def wait(self, seconds: float) -> None:
        """Let time pass. While erasures are not finished, the cleaning that any process does runs as it falls due."""
        while self.overdue and seconds > 0:
            part = min(seconds, WITHIN_S / 8)
            self.clock.advance(part)
            seconds -= part
            self.tend()
        self.clock.advance(seconds)

    def tend(self) -> None:
        """Do what every replica does now and then; then search for what has to be gone by now."""
        self.brain.compact()
        erasing.tend(self.brain)
        over = [erasure for erasure in self.overdue if erasure[0] <= self.clock.now_us]
        self.overdue = [erasure for erasure in self.overdue if erasure not in over]
        if over:
            texts, numbers = (set().union(*(erasure[n] for erasure in over)) for n in (1, 2))
            assert traces([self.root], texts, numbers) == []

    def verify(self) -> None:
        """Assert that every chain and checkpoint verifies, and that every decision recomputes."""
        answer = verify(self.workspace, None)
        assert (answer["flaws"], answer["different"]) == ([], []), answer


class Case:
    """Some people, visitors and accounts of a company that no other case knows; each word goes to both sides."""

    def __init__(self, company: Company) -> None:
        self.company, self.model = company, Model()
        self.name = f"zxq{next(NUMBERS)}"
        self.retired: set[str] = set()
        """Visitors of people who were erased: what becomes of them is not asked."""
        self.outcomes: dict[int, tuple[str, list[str]]] = {}
        """Number of an outcome id -> the offer that it is about, and what was told under it."""
        self.shown: dict[str, Word] = {}
        """Offers by id."""
        self._words = itertools.count(1)

    @property
    def now_us(self) -> int:
        return self.company.clock.now_us

    def id_of(self, subject: str) -> str:
        """Return the id of a subject of the model, which is a token."""
        return f"{self.name}{subject.replace(':', '').replace('-', '')}w"

    def token(self) -> str:
        return f"{self.name}t{next(self._words)}w"

    def about(self, subject: str) -> Json:
        field = "customer_id" if subject.startswith("person:") else "visitor_id"
        return {field: self.id_of(subject)}

    def taken(self, subject: str, answer: tuple[int, Json]) -> bool:
        """Tell whether a word was taken, which it must be unless its subject was erased."""
        status, content = answer
        assert status == (410 if subject in self.model.erased else 200), (subject, status, content)
        return status == 200

    # Words

    def consent(self, subject: str, purpose: str, channel: str, status: str, ago_s: float | None) -> None:
        token, told_us = self.token(), self.told(ago_s)
        body = {"purpose": purpose, "status": status, "source": token, "notice_version": "1", **self.about(subject)}
        body |= {} if channel == "*" else {"channel": channel}
        body |= {} if told_us is None else {"occurred_at": iso(told_us)}
        if self.taken(subject, self.company.send("POST", "/v1/consents", body)):
            about = {"purpose": purpose, "channel": channel, "status": status}
            self.model.tell(subject, "consent", self.now_us, told_us, token, **about)

    def told(self, ago_s: float | None) -> int | None:
        """Return a time to tell with a word, None for none."""
        return None if ago_s is None else self.now_us - round(ago_s * 1_000_000)

    def know(self, person: str, name: str, ago_s: float | None) -> None:
        """State a fact of a profile; its value is one that nobody else has."""
        token, told_us, number = self.token(), self.told(ago_s), next(NUMBERS)
        value: Any = {"nickname": token, "fee": 1000.0 + number / 7, "hardship": number % 2 == 0}[name]
        body: Json = {"facts": {name: value}, **({} if told_us is None else {"as_of": iso(told_us)})}
        answer = self.company.send("PATCH", f"/v1/customers/{self.id_of(person)}", body)
        if self.gone(person, answer):
            return
        self.model.tell(person, "fact", self.now_us, told_us, token if name == "nickname" else "", **{name: value})

    def gone(self, person: str, answer: tuple[int, Json]) -> bool:
        status, content = answer
        assert status == 200 or (person in self.model.erased and status in (404, 410)), (status, content)
        return status != 200

    def restrict(self, person: str, *, restricted: bool) -> None:
        answer = self.company.send("PATCH", f"/v1/customers/{self.id_of(person)}", {"restricted": restricted})
        if not self.gone(person, answer):
            self.model.tell(person, "flag", self.now_us, restricted=restricted)

    def search(self, subject: str, ago_s: float | None) -> None:
        token, told_us = self.token(), self.told(ago_s)
        kind = "customer" if subject.startswith("person:") else "visitor"
        event = {"specversion": "1.0", "id": token, "source": "test", "type": "search", "data": {"words": token}}
        event |= {"subject": f"{kind}:{self.id_of(subject)}"}
        event |= {} if told_us is None else {"time": iso(told_us)}
        if self.taken(subject, self.company.send("POST", "/v1/signals", event)):
            self.model.tell(subject, "event", self.now_us, told_us, token, words=token)

    def may_take_over(self, person: str, visitor: str) -> bool:
        """Tell whether a person may be linked to a visitor in this test; see `EXCLUDED`."""
        others = {p for _, p in self.model.holders.get(visitor, []) if p not in (None, person)}
        return not others or "devices" not in EXCLUDED

    def link(self, person: str, visitor: str, *, linked: bool) -> None:
        token, before = self.token(), self.model.holder(visitor)
        identifier = {"kind": "visitor", "value": self.id_of(visitor)}
        body = {**self.about(person), "identifier": identifier, "status": "linked" if linked else "unlinked"}
        status, content = self.company.send("POST", "/v1/identities", {**body, "source": token})
        if person in self.model.erased:
            assert status == 410, (status, content)
        elif linked and before not in (None, person) and not self.model.was_unlinked(person, visitor, self.now_us):
            assert status == 409, (status, content)
        else:
            assert status == 200, (status, content)
            after = self.model.link(person, visitor, self.now_us, linked=linked, token=token)
            assert content["status"] == ("linked" if after else "unlinked")

    def decide(self, subject: str, account: str | None, channel: str) -> None:
        """Ask for a decision: it holds what is permitted, and nothing else."""
        token = self.token()
        body = {"request_id": token, **self.asked(subject, account, channel)}
        status, answer = self.company.send("POST", "/v1/decisions", body)
        assert status == 200, answer
        shown = offers(answer)
        self.compare_permitted(subject, account, channel, {a: a in [o["action"] for o in shown] for a in ACTIONS})
        if subject in self.model.erased:
            return
        self.model.tell(subject, "decision", self.now_us, token=token)
        for offer in shown:
            self.show(subject, account, channel, offer)

    def show(self, subject: str, account: str | None, channel: str, offer: Json) -> None:
        until_us = self.now_us + (600 if channel == "push" else 3600) * 1_000_000
        about = {"offer": offer["offer_id"], "action": offer["action"], "channel": channel, "until_us": until_us}
        word = self.model.tell(subject, "contact", self.now_us, **about, account=account)
        self.shown[offer["offer_id"]] = word
        if account is not None and offer["action"] == "family":
            self.model.tell(account, "contact", self.now_us, **about)

    def asked(self, subject: str, account: str | None, channel: str) -> Json:
        """Return a request for all that a channel shows, without its id."""
        placement = {"web": "hero", "push": "note"}[channel]
        body = {**self.about(subject), "channel": channel, "placements": [{"name": placement, "limit": 5}]}
        return {**body, **({"account_id": self.id_of(account)} if account else {})}

    def offer(self, ago: int) -> Word | None:
        """Return the contact of an offer, 0 for the last one, or None if there are not so many."""
        every = list(self.shown.values())
        return every[-1 - ago] if ago < len(every) else None

    def reach(self, contact: Word, state: str) -> None:
        """Tell how far a contact got."""
        token, offer_id = self.token(), contact.data["offer"]
        if self.is_told(contact, {"outcome_id": token, "offer_id": offer_id, "outcome": state}):
            for subject in self.concerned(contact):
                self.model.tell(subject, "state", self.now_us, token=token, state=state, offer=offer_id)

    def act(self, number: int, name: str) -> Word | None:
        """Tell, correct or take back what a customer did about an offer, whose contact is returned.

        What was told under the same id before changes nothing.
        """
        contact = self.offer(0)
        if contact is None or (number not in self.outcomes and name == "retracted"):
            return None
        offer_id, told = self.outcomes.setdefault(number, (contact.data["offer"], []))
        token, contact = f"{self.name}o{number}w", self.shown[offer_id]
        taken = self.is_told(contact, {"outcome_id": token, "offer_id": offer_id, "outcome": name})
        if taken and name not in told:
            told.append(name)
            about = {"id": token, "outcome": name, "action": contact.data["action"], "offer": offer_id}
            for subject in self.concerned(contact):
                self.model.tell(subject, "outcome", self.now_us, token=token, **about)
        return contact

    def is_told(self, word: Word, body: Json) -> bool:
        """Tell something about an offer; return whether it was taken, which it is unless its subject was erased."""
        status, content = self.company.send("POST", "/v1/outcomes", body)
        gone = word.subject in self.model.erased or word.subject in self.retired
        assert gone or status == 200, (status, content)
        return not gone

    def concerned(self, word: Word) -> list[str]:
        """Return the subjects whose stream keeps what becomes of an offer."""
        account = word.data["account"] if word.data["action"] == "family" else None
        return [word.subject, *([account] if account else [])]

    def erase(self, person: str) -> None:
        """Erase a person; from the stated time on, nothing of theirs is found anywhere."""
        self.retired.update(v for v in self.model.holders if any(p == person for _, p in self.model.holders[v]))
        fees = {w.data["fee"] for w in self.model.of(person, "fact") if w.data.get("fee") is not None}
        status, content = self.company.send("DELETE", f"/v1/customers/{self.id_of(person)}")
        assert status == 200, content
        forgotten = {self.id_of(person), *tokens(self.model.erase(person))}
        self.company.overdue.append((self.now_us + WITHIN_S * 1_000_000, forgotten, fees))

    # Questions

    def compare(self, subject: str, account: str | None) -> None:
        """Assert that what the product says of a person or visitor is what the model says."""
        if subject in self.retired:
            return
        if not (subject.startswith("visitor:") and self.model.is_shared(subject)):
            for channel in ("web", "push"):
                self.compare_gates(subject, account, channel)
        if subject.startswith("person:"):
            self.compare_customer(subject)
            self.compare_export(subject)

    def compare_gates(self, subject: str, account: str | None, channel: str) -> None:
        brain = self.company.brain
        body = {"request_id": "gates", **self.asked(subject, account, channel)}
        ask = Ask.model_validate_json(to_json(body))
        known = brain.known(ask, brain.snapshot, self.now_us)
        found = screened_for(ask, known, brain.snapshot.release, now_us=self.now_us)
        rows = found.view.rows_by_action
        for action in ACTIONS if channel == "web" else ("tv",):
            here = sum(1 << row for row in rows[action])
            gate = next((stop.gate for stop in found.stops if stop.candidates & here), "")
            stops = self.model.stops(subject, account, action, channel, self.now_us)
            assert stops.allow(gate), (subject, account, action, channel, gate, stops)
        expected = self.model.facts(subject, self.now_us)
        wrong = {n: (known.facts.get(n), expected[n]) for n in FACTS if known.facts.get(n) not in expected[n]}
        assert wrong == {}, subject

    def compare_permitted(self, subject: str, account: str | None, channel: str, shown: dict[str, bool]) -> None:
        """Assert that what was shown may be, and that what must pass was shown; each is worth showing."""
        if subject in self.retired or (subject.startswith("visitor:") and self.model.is_shared(subject)):
            return
        for action in ACTIONS if channel == "web" else ("tv",):
            stops = self.model.stops(subject, account, action, channel, self.now_us)
            assert not (shown[action] and stops.must), (subject, action, stops)
            assert shown[action] or stops.may, (subject, action, stops)

    def compare_customer(self, person: str) -> None:
        content = self.company.client("GET", f"/v1/customers/{self.id_of(person)}")[1]
        own = self.model.of(person)
        assert content["erased"] == (person in self.model.erased)
        states = {w.data["offer"]: self.model.state(w) for w in own if w.kind == "contact"}
        assert {c["offer_id"]: c["state"] for c in content["contacts"]} == states
        links = {link["status"] for link in content["links"]}
        assert ("linked" in links) == bool(self.model.linked(person))

    def compare_export(self, person: str) -> None:
        """Assert that an export has all that belongs to a person, and nothing of anyone else."""
        content = self.company.client("GET", f"/v1/customers/{self.id_of(person)}/export")[1]
        assert content["next"] is None
        theirs = self.model.belonging(person)
        found = tokens_in(content) - {self.id_of(person)}
        others = {self.id_of(subject) for subject in self.model.holders} | {self.id_of(f"account:{n}") for n in "12"}
        assert tokens(theirs.must) <= found, (person, tokens(theirs.must) - found)
        assert found <= tokens(theirs.may) | others, (person, found - tokens(theirs.may))
