"""Random requests of every kind for one customer, and a model of what a reader must find after each of them.

The model is a second implementation of what an id means: it knows nothing of records, streams or folds.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.serving.workspaces import FACTS, Client, Json, ask, consent, offers, signal

PROGRESS = ("delivered", "seen", "pitched")
NAMES = ("accepted", "declined")
STATES = ("reserved", "expired", "not_delivered", *PROGRESS)
BROKEN: tuple[Json, ...] = ({"nonsense": 1}, {"customer_id": "é"}, {"occurred_at": "2199-01-01T00:00:00Z"})
"""What makes a body wrong that was right."""


@dataclass
class Thing:
    """What holds under one outcome_id: an offer or an action, the steps and the outcome that were told of it."""

    offer: str | None
    action: str
    steps: list[str] = field(default_factory=list)
    outcome: str | None = None
    told: set[tuple[str | None, str, str]] = field(default_factory=set)

    def tell(self, offer: str | None, action: str, name: str) -> str:
        """Return what the answer must be, and hold what it says from now on."""
        if (offer, action, name) in self.told:
            return "repeated"
        first, self.told = not self.told, self.told | {(offer, action, name)}
        same = (
            offer is not None and offer == self.offer and not {*self.steps} & {"not_delivered", "expired", "retracted"}
        )
        if not first and same and self._follows(name):
            self._add(name)
            return "recorded"
        self.offer, self.action, self.steps, self.outcome = offer, action, [], None
        self._add(name)
        return "recorded" if first else "corrected"

    def _follows(self, name: str) -> bool:
        if name in PROGRESS:
            return self.outcome is not None or PROGRESS.index(name) > max(map(PROGRESS.index, self.steps))
        return name in NAMES and self.outcome is None

    def _add(self, name: str) -> None:
        if name in NAMES:
            self.outcome = name
        else:
            self.steps.append(name)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """The outcomes that hold; `fix-router` declares that it was seen as one."""
        seen = ["seen"] * self.steps.count("seen") if self.action == "fix-router" else []
        return [(self.action, name) for name in (*([self.outcome] if self.outcome else []), *seen)]

    @property
    def states(self) -> list[str]:
        """What it says of its offer's contact."""
        return [s for s in self.steps if s != "retracted"] + (["seen"] if self.outcome else [])


class World:
    """One customer with an account and a cookie, another customer, and what was acknowledged of them."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client, self.rng, self.name = client, random.Random(seed), f"w{seed}"
        self.customer, self.other, self.account = f"c-{self.name}", f"d-{self.name}", f"a-{self.name}"
        self.things: dict[str, Thing] = {}
        self.events: dict[str, tuple[str, Any]] = {}
        self.offers: dict[str, str] = {}
        self.facts: Json = {}
        self.erased = False

    def ids(self) -> tuple[str, str]:
        return self.customer, self.other

    def pages(self) -> list[Json]:
        """Return everything that an export gives of both customers, without what depends on when it is read."""
        found = []
        for customer in self.ids():
            status, page = self.client("GET", f"/v1/customers/{customer}/export")
            assert (status, page["next"]) == (200, None)
            kept = ("records", "events", "facts", "profile", "history", "consents", "links", "contacts", "outcomes")
            found.append({name: page[name] for name in (*kept, "restricted", "erased", "version")})
        return found

    def step(self) -> None:
        """Send one request, and check that what was answered 2xx is there, and that 4xx left no trace."""
        do = self.rng.choice((self.consent, self.outcome, self.outcome, self.outcome, self.signal, self.signal))
        if self.rng.random() < 0.4:
            do = self.rng.choice((self.patch, self.link, self.decide, self.decide, self.restrict, self.erase))
        before = self.pages()
        status, reads = do()
        after = self.pages()
        assert status < 500, do
        if status >= 400:
            assert after == before, f"{do.__name__} was refused with {status} and left a trace"
        else:
            for read in reads:
                read(after[0])
        self.check(after[0])

    def check(self, page: Json) -> None:
        """Check that export and GET say what was acknowledged so far."""
        online = self.client("GET", f"/v1/customers/{self.customer}")[1]
        for name in ("facts", "consents", "links", "contacts", "outcomes", "restricted"):
            assert online[name] == page[name]
        if self.erased:
            assert (page["facts"], page["events"], page["outcomes"], page["erased"]) == ({}, [], [], True)
            return
        held = Counter(outcome for thing in self.things.values() for outcome in thing.outcomes)
        assert Counter((o["action"], o["outcome"]) for o in page["outcomes"]) == held
        assert Counter((e["type"], str(e["fields"])) for e in page["events"]) == Counter(
            (type_, str(fields)) for type_, fields in self.events.values()
        )
        assert {name: page["facts"].get(name) for name in self.facts} == self.facts
        for contact in page["contacts"]:
            told = [s for t in self.things.values() if t.offer == contact["offer_id"] for s in t.states]
            assert contact["state"] == max(["reserved", *told], key=STATES.index)
        shared = self.client.brain.ledger.read(self.client.brain.ledger.stream_of("account", self.account))[0]
        of_account = Counter(o.outcome for known in shared.outcomes.values() for o in known)
        assert of_account == Counter(t.outcome for t in self.things.values() if t.outcome and t.action == "family-data")

    def broken(self, body: Json) -> Json:
        """Return the body, in one of six cases with something wrong in it."""
        return {**body, **self.rng.choice(BROKEN)} if self.rng.random() < 1 / 6 else body

    def consent(self) -> Any:
        status = self.rng.choice(("granted", "refused", "withdrawn", "objected"))
        body = self.broken(consent(self.customer, self.rng.choice(("marketing", "profiling", "nothing")), status))
        code, _ = self.client("POST", "/v1/consents", body)

        def read(page: Json) -> None:
            told = [r["body"] for r in page["records"] if r["kind"] == "consent"]
            assert (told[-1]["purpose"], told[-1]["status"]) == (body["purpose"], status)
            (current,) = [c for c in page["consents"] if c["purpose"] == body["purpose"]]
            assert status == "granted" or current["status"] != "granted"

        return code, [read]

    def outcome(self) -> Any:
        outcome_id = f"{self.name}-{self.rng.randrange(4)}"
        about = self._about(outcome_id)
        name = self.rng.choice((*PROGRESS, *NAMES, *NAMES, "not_delivered", "retracted", "danced"))
        body = self.broken({"outcome_id": outcome_id, "outcome": name, **about})
        whole = body if self.rng.random() < 0.5 else [body, {"outcome_id": "wrong"}]
        code, answer = self.client("POST", "/v1/outcomes", whole)
        if code >= 400:
            return code, []
        offer = about.get("offer_id")
        action = self.offers[offer] if offer else about["action"]
        thing = self.things.setdefault(body["outcome_id"], Thing(offer, action))
        said = [s for s in ("recorded", "repeated", "corrected") if answer.get(s)]
        assert said == [thing.tell(offer, action, name)]

        def read(page: Json) -> None:
            told = [r["body"] for r in page["records"] if (r["body"] or {}).get("outcome_id") == body["outcome_id"]]
            assert any((t.get("outcome") or t["state"], t.get("offer_id")) == (name, offer) for t in told)

        return code, [read]

    def _about(self, outcome_id: str) -> Json:
        if self.offers and self.rng.random() < 0.6:
            return {"offer_id": self.rng.choice([*self.offers])}
        if self.rng.random() < 0.2:
            return {"offer_id": "d-none.0"}
        whom = self.other if self.rng.random() < 0.15 and outcome_id in self.things else self.customer
        action = self.rng.choice(("tv-bundle", "family-data", "no-such-action"))
        return {"customer_id": whom, "action": action, **({"account_id": self.account} if action[0] == "f" else {})}

    def signal(self) -> Any:
        n, type_ = self.rng.randrange(3), self.rng.choice(("page-view", "payment-failure"))
        data = {"page": self.rng.choice(("home", "help"))} if type_ == "page-view" else {}
        if self.rng.random() < 0.15:
            data["nonsense"] = 1
        whom = self.other if self.rng.random() < 0.15 and f"{self.name}-{n}" in self.events else self.customer
        event = {**signal(type_, f"customer:{whom}", **data), "id": f"{self.name}-{n}"}
        code, answer = self.client("POST", "/v1/signals", event)
        if code < 400:
            before, after = self.events.get(event["id"]), (type_, data)
            (result,) = answer["results"]
            assert result["status"] == (
                "accepted" if before is None else "duplicate" if before == after else "corrected"
            )
            self.events[event["id"]] = after
        return code, []

    def patch(self) -> Any:
        facts = {"age": self.rng.randrange(18, 90)} if self.rng.random() < 0.7 else {"age": -4}
        code, _ = self.client("PATCH", f"/v1/customers/{self.customer}", self.broken({"facts": {**FACTS, **facts}}))
        if code < 400:
            self.facts = {**FACTS, **facts}
        return code, []

    def link(self) -> Any:
        status = self.rng.choice(("linked", "unlinked"))
        identifier = {"kind": "cookie", "value": f"k-{self.name}"}
        body = {"customer_id": self.customer, "identifier": identifier, "status": status, "source": "login"}
        code, answer = self.client("POST", "/v1/identities", self.broken(body))

        def read(page: Json) -> None:
            assert [link["status"] for link in page["links"] if link["visitor"] == answer["visitor"]] in (
                [answer["status"]],
                [],
            )

        return code, [read]

    def decide(self) -> Any:
        places = [{"name": "hero", "limit": 5}]
        more = {"account_id": self.account} if self.rng.random() < 0.5 else {}
        body = ask(f"{self.name}-{self.rng.randrange(4)}", self.customer, placements=places, **more)
        code, answer = self.client("POST", "/v1/decisions", self.broken(body))
        if code < 400 and not self.erased:
            self.offers.update({o["offer_id"]: o["action"] for o in offers(answer)})
            assert self.client("GET", f"/v1/decisions/{answer['decision_id']}")[0] == 200

        def read(page: Json) -> None:
            made = [r["body"]["answer"] for r in page["records"] if r["kind"] == "decision" and r["body"]]
            assert self.erased or any(a["decision_id"] == answer["decision_id"] for a in made)

        return code, [read]

    def restrict(self) -> Any:
        restricted = self.rng.random() < 0.3
        code, _ = self.client("PATCH", f"/v1/customers/{self.customer}", {"restricted": restricted})

        def read(page: Json) -> None:
            assert page["restricted"] == restricted

        return code, [read]

    def erase(self) -> Any:
        if self.rng.random() < 0.8:
            return 200, []
        code, _ = self.client("DELETE", f"/v1/customers/{self.customer}")
        self.erased, self.facts, self.offers, self.events = True, {}, {}, {}
        return code, []
