"""Some people, visitors and accounts of a company: each word is told to the product and to the model."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

from decisioning.times import iso, microseconds, parse_moment
from tests.serving.workspaces import Json, offers
from tests.stateful.catalogue import WITHIN_S
from tests.stateful.company import HERE, NUMBERS, Company
from tests.stateful.model import TOLERANCE_US, Model, Word, tokens

PEOPLE = ("person:1", "person:2", "person:3")
ACTIONS = ("tv", "family", "help")


class Request(NamedTuple):
    """A request that was decided, and the newest decision of it."""

    body: Json
    subject: str
    account: str | None
    channel: str
    decision_id: str
    word: Word


@dataclass
class Leaving:
    """An offer that leaves to screens, and over a webhook: when it is due next, and how often that was tried in vain.

    `ended`: whether the webhook is not called any more. `arrived`: whether its receiver took the offer.
    """

    subject: str
    offer_id: str
    due_us: int
    attempts: int = 0
    ended: bool = False
    arrived: bool = False


class Case:
    """Some people, visitors and accounts of a company that no other case knows; each word goes to both sides."""

    def __init__(self, company: Company) -> None:
        self.company, self.model = company, Model()
        self.mark = f"zxq{next(NUMBERS)}"
        self.retired: set[str] = set()
        """Visitors who were erased, by their id or with whom they were linked to: what becomes of them is not asked."""
        self.outcomes: dict[int, tuple[str, list[str]]] = {}
        """Number of an outcome id -> the offer that it is about, and what was told under it."""
        self.shown: dict[str, Word] = {}
        """Offers by id."""
        self.requests: list[Request] = []
        self.read: dict[str, set[str]] = {}
        """Persons -> tokens of the events that their decisions may have read: these keep them, as long as they are."""
        self.events: list[tuple[Json, Word]] = []
        """Events as they were sent, which were taken."""
        self.deliveries: dict[str, Leaving] = {}
        """Ids of decisions, and what is to be delivered of each."""
        self.newest_seq = 0
        self.by = HERE
        """Who does the next steps."""
        self._words = itertools.count(1)

    @property
    def now_us(self) -> int:
        """The time on the clock of whoever does the step."""
        return self.company.clock.now_us + round((self.by.ahead_s or 0) * 1_000_000)

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Json]:
        """Return the answer to one request."""
        status, content = self.company.do((method, path, body), self.by)
        return status, content

    def id_of(self, subject: str) -> str:
        """Return the id of a subject of the model, which is a token."""
        return f"{self.mark}{subject.replace(':', '').replace('-', '')}w"

    def token(self) -> str:
        return f"{self.mark}t{next(self._words)}w"

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
        if self.taken(subject, self.send("POST", "/v1/consents", body)):
            about = {"purpose": purpose, "channel": channel, "status": status}
            self.model.tell(subject, "consent", self.now_us, told_us, token, **about)

    def told(self, ago_s: float | None) -> int | None:
        """Return a time to tell with a word, None for none."""
        return None if ago_s is None else self.now_us - round(ago_s * 1_000_000)

    def know(self, person: str, name: str, ago_s: float | None) -> None:
        """State a fact of a profile; its value is one that nobody else has."""
        token, told_us, number = self.token(), self.told(ago_s), next(NUMBERS)
        size = number if self.company.released == 1 else number + 0.5
        value: Any = {"nickname": token, "fee": 1000 + number / 7, "hardship": number % 2 == 0, "size": size}[name]
        body: Json = {"facts": {name: value}, **({} if told_us is None else {"as_of": iso(told_us)})}
        answer = self.send("PATCH", f"/v1/customers/{self.id_of(person)}", body)
        if self.gone(person, answer):
            return
        self.model.tell(person, "fact", self.now_us, told_us, token if name == "nickname" else "", **{name: value})

    def gone(self, person: str, answer: tuple[int, Json]) -> bool:
        status, content = answer
        assert status == 200 or (person in self.model.erased and status in (404, 410)), (status, content)
        return status != 200

    def restrict(self, subject: str, *, restricted: bool) -> None:
        """Restrict the use of a person's or an account's data to keeping it, or lift that."""
        kind = "customers" if subject.startswith("person:") else "accounts"
        answer = self.send("PATCH", f"/v1/{kind}/{self.id_of(subject)}", {"restricted": restricted})
        if not self.gone(subject, answer):
            self.model.tell(subject, "flag", self.now_us, restricted=restricted)

    def search(self, subject: str, ago_s: float | None) -> None:
        token, told_us = self.token(), self.told(ago_s)
        kind = "customer" if subject.startswith("person:") else "visitor"
        event = {"specversion": "1.0", "id": token, "source": "test", "type": "search", "data": {"words": token}}
        event |= {"subject": f"{kind}:{self.id_of(subject)}"}
        event |= {} if told_us is None else {"time": iso(told_us)}
        if self.taken(subject, self.send("POST", "/v1/signals", event)):
            ahead = bool(self.by.ahead_s)
            word = self.model.tell(subject, "event", self.now_us, told_us, token, words=token, ahead=ahead)
            self.events.append((event, word))

    def send_again(self, ago: int) -> str | None:
        """Send an event once more, 0 for the last one, which changes nothing; return whose it is.

        What was erased meanwhile is gone, whoever the visitor is linked to by now. A time that is too far back by now,
        or that lies ahead of a right clock, is refused first.
        """
        if ago >= len(self.events) or (word := self.events[-1 - ago][1]).subject in self.retired:
            return None
        event = self.events[-1 - ago][0]
        status, content = self.send("POST", "/v1/signals", event)
        ahead = "time" in event and microseconds(parse_moment(event["time"])) > self.now_us + TOLERANCE_US
        if ahead or (status == 422 and "hours ago" in str(content)):
            assert status == 422, (word.subject, status, content)
        else:
            assert status == (410 if self.model.is_gone(word) else 200), (word.subject, status, content)
        return word.subject

    def link(self, person: str, visitor: str, *, linked: bool) -> None:
        token, before = self.token(), self.model.holder(visitor)
        identifier = {"kind": "visitor", "value": self.id_of(visitor)}
        body = {**self.about(person), "identifier": identifier, "status": "linked" if linked else "unlinked"}
        status, content = self.send("POST", "/v1/identities", {**body, "source": token})
        if person in self.model.erased:
            assert status == 410, (status, content)
        elif linked and before not in (None, person) and not self.model.was_unlinked(person, visitor, self.now_us):
            assert status == 409, (status, content)
        else:
            assert status == 200, (status, content)
            after = self.model.link(person, visitor, self.now_us, linked=linked, token=token)
            assert content["status"] == ("linked" if after else "unlinked")

    def join(self, person: str, other: str, *, joined: bool) -> None:
        """Say that two people are one, or are not."""
        token = self.token()
        body = {**self.about(person), "identifier": {"kind": "customer", "value": self.id_of(other)}, "source": token}
        status, content = self.send("POST", "/v1/identities", {**body, "status": "linked" if joined else "unlinked"})
        if {person, other} & self.model.erased:
            assert status == 410, (status, content)
            return
        assert status == 200, (status, content)
        after = self.model.join(person, other, self.now_us, joined=joined, token=token)
        assert content["status"] == ("linked" if after else "unlinked")

    def decide(self, subject: str, account: str | None, channel: str) -> None:
        """Ask for a decision: it holds what is permitted, and nothing else."""
        token = self.token()
        self.name(account)
        body = {"request_id": token, **self.asked(subject, account, channel)}
        status, answer = self.send("POST", "/v1/decisions", body)
        if status == 410 and self.by.kill_s is not None and subject in self.model.erased:
            return  # the process that was killed had decided it, and nothing of the erased is repeated
        assert status == 200, answer
        shown = offers(answer)
        self.check_shown(subject, account, channel, {a: a in [o["action"] for o in shown] for a in ACTIONS})
        if subject in self.model.erased:
            return
        self.note_reading(subject)
        word = self.model.tell(subject, "decision", self.now_us, token=token, account=account)
        self.requests.append(Request(body, subject, account, channel, answer["decision_id"], word))
        for offer in shown:
            self.show(subject, account, channel, offer, decided_us(answer))

    def ask_again(self, ago: int) -> str | None:
        """Repeat a request, 0 for the last one: nothing is given again that may not be shown now; return whose it was.

        The offers of the decision itself are not counted against it.
        """
        if ago >= len(self.requests) or self.requests[-1 - ago].subject in self.retired:
            return None
        request = self.requests[-1 - ago]
        status, answer = self.send("POST", "/v1/decisions", request.body)
        if self.model.is_gone(request.word):
            assert status == 410, (status, answer)
            return request.subject
        assert status == 200, (status, answer)
        for offer in offers(answer):
            stops = self.model.stops(request.subject, request.account, offer["action"], request.channel, self.now_us)
            assert [gate for gate in stops.must if not gate.startswith("cap:")] == [], (request, offer["action"], stops)
        if answer["decision_id"] != request.decision_id:
            assert answer["supersedes"], answer
            self.note_reading(request.subject)
            word = self.model.tell(request.subject, "decision", self.now_us, token=str(request.body["request_id"]))
            self.requests[-1 - ago] = request._replace(decision_id=answer["decision_id"], word=word)
            for offer in offers(answer):
                self.show(request.subject, request.account, request.channel, offer, decided_us(answer))
        return request.subject

    def note_reading(self, subject: str) -> None:
        """Keep what a decision that was just made may have read of a person."""
        if subject.startswith("person:"):
            self.read.setdefault(subject, set()).update(tokens(self.model.belonging(subject).of("event").may))

    def show(self, subject: str, account: str | None, channel: str, offer: Json, at_us: int) -> None:
        """Keep that an offer was decided then."""
        until_us = at_us + (600 if channel == "push" else 3600) * 1_000_000
        about = {"offer": offer["offer_id"], "action": offer["action"], "channel": channel, "until_us": until_us}
        word = self.model.tell(subject, "contact", self.now_us, at_us, **about, account=account)
        self.shown[offer["offer_id"]] = word
        if account is not None and offer["action"] == "family":
            self.model.tell(account, "contact", self.now_us, at_us, **about)

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
        token, contact = f"{self.mark}o{number}w", self.shown[offer_id]
        taken = self.is_told(contact, {"outcome_id": token, "offer_id": offer_id, "outcome": name})
        if taken and name not in told:
            told.append(name)
            about = {"id": token, "outcome": name, "action": contact.data["action"], "offer": offer_id}
            for subject in self.concerned(contact):
                self.model.tell(subject, "outcome", self.now_us, token=token, **about)
        return contact

    def is_told(self, word: Word, body: Json) -> bool:
        """Tell something about an offer; return whether it was taken, which it is unless its subject was erased.

        Nothing is told of retired visitors: whether it is taken depends on whose the stretch was.
        """
        if word.subject in self.retired:
            return False
        status, content = self.send("POST", "/v1/outcomes", body)
        gone = self.model.is_gone(word)
        assert gone or status == 200, (status, content)
        return not gone

    def concerned(self, word: Word) -> list[str]:
        """Return the subjects whose stream keeps what becomes of an offer."""
        account = word.data["account"] if word.data["action"] == "family" else None
        return [word.subject, *([account] if account and account not in self.model.erased else [])]

    def erase(self, person: str) -> None:
        """Erase a person, under all ids; from the stated time on, nothing of theirs is found anywhere."""
        self.retired.update(self.model.linked(person))
        people = self.model.ids(person)
        fees = {w.data["fee"] for p in people for w in self.model.of(p, "fact") if w.data.get("fee") is not None}
        status, content = self.send("DELETE", f"/v1/customers/{self.id_of(person)}")
        assert status == 200, content
        read = set[str]().union(*(self.read.get(p, set()) for p in people))
        self.forget({*map(self.id_of, people), *read, *tokens(self.model.erase(person).may)}, fees)

    def erase_visitor(self, visitor: str) -> None:
        """Erase a visitor by its id, with all stretches, whosever they are.

        What the decisions of a person read of the visitor's events while these were theirs goes with the person.
        """
        self.retired.add(visitor)
        status, content = self.send("DELETE", f"/v1/visitors/{self.id_of(visitor)}")
        assert status == 200, content
        self.forget(tokens(self.model.erase_visitor(visitor, self.now_us)), set())

    def erase_account(self, account: str) -> None:
        """Erase an account; its id stays with the people who named it in a request, as long as they are there."""
        status, content = self.send("DELETE", f"/v1/accounts/{self.id_of(account)}")
        assert status == 200, content
        named = any(w.data.get("account") == account for w in self.model.words)
        texts = tokens(self.model.erase_account(account)) | ({self.id_of(account)} if not named else set())
        self.forget(texts, set())

    def name(self, account: str | None) -> None:
        """Let an account's id stay that somebody names again, after its erasure: it is of their request."""
        for _, texts, _ in self.company.overdue if account is not None else ():
            texts.discard(self.id_of(account))

    def forget(self, texts: set[str], numbers: set[float]) -> None:
        """Let these be searched for as soon as the stated time is over, but for what somebody told who is still there.

        A request that is repeated in another stretch of a visitor is decided there, too, under the same id. Nor are
        those searched for that decisions of somebody who is still there may have read.
        """
        read = (words for person, words in self.read.items() if person not in self.model.erased)
        texts = texts - tokens(w for w in self.model.words if w.kind != "gone") - set().union(*read)
        self.company.overdue.append((self.company.clock.now_us + WITHIN_S * 1_000_000, texts, numbers))

    def check_shown(self, subject: str, account: str | None, channel: str, shown: dict[str, bool]) -> None:
        """Assert that what was shown may be, and that what must pass was shown; each is worth showing."""
        if subject in self.retired:
            return
        for action in ACTIONS if channel == "web" else ("tv",):
            stops = self.model.stops(subject, account, action, channel, self.now_us)
            assert not (shown[action] and stops.must), (subject, action, stops)
            assert shown[action] or stops.may, (subject, action, stops)


def decided_us(answer: Json) -> int:
    """Return when a decision was made, in microseconds."""
    return microseconds(parse_moment(answer["decided_at"]))
