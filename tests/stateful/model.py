"""What must hold of each person, folded from scratch out of lists of words told: slow, plain, and without our code.

The rules are those of the design. A visitor's doings belong to whom the visitor is linked to when they are recorded;
what came while it was linked to nobody belongs to whoever is linked next. Where the design leaves a choice (what a
person did on a device that they have left is theirs, but need not count for them there), the model gives bounds: what
must count, and what may.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
TOLERANCE_US = 5 * SECOND_US
ALL = "*"
RELEASED = ("expired", "not_delivered")
STATES = ("reserved", *RELEASED, "delivered", "seen", "pitched")
"""How far a contact got, the furthest last."""
SUPPRESS = {"declined": 30 * DAY_US, "accepted": None}
"""Outcome -> for how long it suppresses its action; None: for good."""
LIMIT, LIMIT_WINDOW_US = 2, 7 * DAY_US
WINDOWS_US = {"searches_2d": 2 * DAY_US, "searches_20d": 20 * DAY_US}
BUCKETS = 30
"""A window may end early or late by its share of this."""
FACTS = ("nickname", "fee", "hardship", "size", "searches_2d", "searches_20d", "last_words")


class Word(NamedTuple):
    """One thing that was told of a subject: `person:c-1`, `visitor:v-1` or `account:a-1`.

    `at_us`: when it counts. `recorded_us`: when we got it. `token`: the text that tells it from all other words.
    """

    number: int
    subject: str
    kind: str
    at_us: int
    recorded_us: int
    data: Mapping[str, Any]
    token: str = ""


class Bounds(NamedTuple):
    """What must count, and what may count beside it."""

    must: list[Word]
    may: list[Word]

    def of(self, *kinds: str) -> "Bounds":
        """Return the words of these kinds."""
        return Bounds(*([w for w in words if w.kind in kinds] for words in self))


class Stops(NamedTuple):
    """The gates that stop an action, in the order in which they apply: those that must, and those that may."""

    must: list[str]
    may: list[str]

    def allow(self, gate: str) -> bool:
        """Tell whether `gate`, empty for none, can be the first that stops the action."""
        if not gate:
            return not self.must
        return gate in self.may and not any(g in self.must for g in self.may[: self.may.index(gate)])


@dataclass
class Model:
    """Words in the order of their recording; `holders`: visitor -> (number of the next word, whose it is from then)."""

    words: list[Word] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    holders: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)

    def tell(
        self, subject: str, kind: str, now_us: int, told_us: int | None = None, token: str = "", **data: Any
    ) -> Word:
        """Keep a word that was taken, with the time at which it counts."""
        before = [] if kind == "event" else [w for w in self.of(subject) if _place(w.kind) == _place(kind)]
        if _place(kind) == "profile":  # each fact has times of its own
            before = [w for w in before if w.data.keys() & data.keys()]
        recorded_us = max([now_us, *(w.recorded_us for w in before)])
        # the profile goes by the clock for what is told with a time, so that statements may come in any order
        at_us = recorded_us if told_us is None else min(told_us, now_us if _place(kind) == "profile" else recorded_us)
        was_ahead = recorded_us > now_us + TOLERANCE_US
        if kind != "filed" and was_ahead and told_us is not None and told_us > now_us - TOLERANCE_US:
            at_us = recorded_us  # it is told of now, and the clock that was ahead may not hold against it
        word = Word(len(self.words), subject, kind, at_us, recorded_us, data, token)
        self.words.append(word)
        return word

    def of(self, subject: str, *kinds: str) -> list[Word]:
        """Return the words of one subject's own, in the order of their recording; of all kinds if none is named."""
        return [w for w in self.words if w.subject == subject and (not kinds or w.kind in kinds)]

    # Who is linked when, and what belongs to whom

    def link(self, person: str, visitor: str, now_us: int, *, linked: bool, token: str) -> bool:
        """Keep a statement that a visitor is a person, or is not; return whether it is afterwards."""
        kind = "link" if linked else "unlink"
        self.tell(person, kind, now_us, token=token, visitor=visitor)
        after = self.says_linked(person, visitor)
        if after != (self.holder(visitor) == person):
            self.tell(visitor, "held", now_us)
            self.holders.setdefault(visitor, []).append((len(self.words), person if after else None))
        return after

    def says_linked(self, person: str, visitor: str) -> bool:
        """Tell whether the person's words link the visitor: it is a grant, and what undoes it refuses."""
        about = [w for w in self.of(person, "link", "unlink") if w.data["visitor"] == visitor]
        return holds((w.at_us for w in about if w.kind == "link"), (w.at_us for w in about if w.kind == "unlink"))

    def was_unlinked(self, person: str, visitor: str, now_us: int) -> bool:
        """Tell whether the person was said not to be the visitor just now, so that no link of now undoes it."""
        told = [w.at_us for w in self.of(person, "unlink") if w.data["visitor"] == visitor]
        at_us = max([now_us, *(w.recorded_us for w in self.of(person) if _place(w.kind) == "ledger")])
        return bool(told) and max(told) + TOLERANCE_US > at_us

    def holder(self, visitor: str, number: int | None = None) -> str | None:
        """Return whose the visitor is now, or was when the word of this number was recorded."""
        changes = self.holders.get(visitor, [])
        return next((p for n, p in reversed(changes) if number is None or n <= number), None)

    def owner(self, word: Word) -> str | None:
        """Return to which person a word belongs; None for an account's, and for a visitor's who is nobody yet."""
        if not word.subject.startswith("visitor:"):
            return word.subject if word.subject.startswith("person:") else None
        number = self.begun(word)
        if (holder := self.holder(word.subject, number)) is not None:
            return holder
        changes = self.holders.get(word.subject, [])
        return next((p for n, p in changes if n > number and p is not None), None)

    def begun(self, word: Word) -> int:
        """Return the number of the contact that a word is about, else its own: what becomes of offers is theirs."""
        if word.kind not in ("state", "outcome"):
            return word.number
        about = (w for w in self.of(word.subject, "contact") if w.data["offer"] == word.data["offer"])
        return next((w.number for w in about), word.number)

    def stretch(self, visitor: str) -> list[Word]:
        """Return the words of a visitor since it was last unlinked from anyone."""
        unlinked = [n for n, person in self.holders.get(visitor, []) if person is None]
        return [w for w in self.of(visitor) if self.begun(w) >= max(unlinked, default=0)]

    def own_consents(self, subject: str) -> list[Word]:
        """Return the consents by which a subject is asked: of a visitor not what others said while they were linked."""
        told, holder = self.of(subject, "consent"), self.holder(subject)
        return [w for w in told if self.holder(subject, w.number) in (None, holder)]

    def linked(self, person: str) -> list[str]:
        """Return the visitors that are the person now, under whichever of their ids."""
        people = self.ids(person)
        return [v for v in self.holders if self.holder(v) in people]

    def belonging(self, person: str) -> Bounds:
        """Return all words that belong to a person; decisions may count those on a device that is not theirs now.

        A device is theirs by the id under which it is linked: what they did there under another id is left behind.
        """
        people = self.ids(person)
        own = [w for w in self.words if self.owner(w) in people]
        return Bounds([w for w in own if w.subject in people or self.holder(w.subject) == self.owner(w)], own)

    # Two ids of one person

    def join(self, person: str, other: str, now_us: int, *, joined: bool, token: str) -> bool:
        """Keep a statement that two people are one, or are not; return whether they are afterwards."""
        for one, about in ((person, other), (other, person)):
            self.tell(one, "join" if joined else "part", now_us, token=token, other=about)
        return other in self.joined(person)

    def joined(self, person: str) -> set[str]:
        """Return the people who are the same by the words of both."""
        return {other for other in self._says_joined(person) if person in self._says_joined(other)}

    def _says_joined(self, person: str) -> set[str]:
        told = self.of(person, "join", "part")
        return {other for other in {w.data["other"] for w in told} if _holds_of(told, other)}

    def ids(self, person: str) -> set[str]:
        """Return all ids of a person."""
        people, waiting = {person}, [person]
        while waiting:
            new = self.joined(waiting.pop()) - people
            people |= new
            waiting += new
        return people

    def reach(self, subject: str) -> Bounds:
        """Return the words by which decisions for a person or visitor count what was shown and done."""
        if subject.startswith("person:"):
            return self.belonging(subject)
        own, holder = self.stretch(subject), self.holder(subject)
        whole = Bounds([], []) if holder is None else self.belonging(holder)
        return Bounds(*({w.number: w for w in (*own, *part)}.values() for part in whole))  # type: ignore[arg-type]

    # What is permitted

    def binding(self, person: str) -> Iterator[list[Word]]:
        """Yield the consents of each visitor that is the person now, without those that belong to somebody else.

        And those of each other id of the person.
        """
        yield from (self.of(other, "consent") for other in self.ids(person) - {person})
        for visitor in self.linked(person):
            told, holder = self.of(visitor, "consent"), self.holder(visitor)
            yield [w for w in told if self.owner(w) == holder or self.holder(visitor, w.number) is None]

    def consent_gates(self, subject: str, purposes: Iterable[str], channel: str, now_us: int) -> Stops:
        """Return the gates of the purposes that are not permitted; `service` needs only that nobody refuses it.

        A grant that a clock ahead recorded may wait for its time.
        """
        must, may = [], []
        for purpose in purposes:
            told = self.own_consents(subject)
            own = permitted(told, purpose, channel)
            early = any(_grants_after(w, purpose, now_us) for w in told)
            others = [permitted(told, purpose, channel) for told in self.binding(subject)]
            refused = own is False or False in others or (own is None and purpose != "service")
            must += [f"consent:{purpose}"] if refused else []
            may += [f"consent:{purpose}"] if refused or early else []
        return Stops(must, may)

    def stops(self, subject: str, account: str | None, action: str, channel: str, now_us: int) -> Stops:
        """Return what stops an action for a person or visitor now."""
        purposes = ["marketing" if action != "help" else "service", *(["push"] if channel == "push" else [])]
        first = [
            *(["subject:erased"] if self.erased & {subject, account} else []),
            *(["subject:restricted"] if any(map(self.is_restricted, (subject, account or ""))) else []),
            *(["action:account"] if action == "family" and account is None else []),
        ]
        consents, after = self.consent_gates(subject, purposes, channel, now_us), Stops([], [])
        if action != "help":
            after = self.sales_gates(subject, account, action, now_us)
        return Stops(*([*first, *asked, *rest] for asked, rest in zip(consents, after, strict=True)))

    def sales_gates(self, subject: str, account: str | None, action: str, now_us: int) -> Stops:
        """Return the gates of what sells alone: protection, suppression and caps."""
        protected = ["protection:hardship"] if True in self.facts(subject, now_us)["hardship"] else []
        of_account = action == "family"
        accounts = [] if account is None or not of_account else self.of(account)
        every = []
        for words in self.reach(subject):
            counted = (self.count(words, action, now_us), self.count(accounts, action, now_us))
            capped = ["cap:twice-a-week"] if max(counted) >= LIMIT else []
            acted = self.suppressing(accounts if of_account else words, action, now_us)
            every.append([*protected, *acted, *capped])
        return Stops(*every)

    def is_restricted(self, subject: str) -> bool:
        """Tell whether the last word about it restricts the subject, under any of its ids.

        Of two words at one time the refusing one holds.
        """
        flags = (self.of(one, "flag") for one in self.ids(subject))
        return any(max(((w.at_us, bool(w.data["restricted"])) for w in f), default=(0, False))[1] for f in flags)

    # What was shown, and what they did

    def suppressing(self, words: Iterable[Word], action: str, now_us: int) -> list[str]:
        """Return the gates of outcomes that suppress an action."""
        happened = [w for w in latest(words) if w.data["action"] == action]
        return [
            f"suppressed:{outcome}"
            for outcome, span_us in SUPPRESS.items()
            if any(w.data["outcome"] == outcome and (span_us is None or w.at_us >= now_us - span_us) for w in happened)
        ]

    def count(self, words: Iterable[Word], action: str, now_us: int) -> int:
        """Return how many contacts of an action a cap counts."""
        return sum(
            w.data["action"] == action and w.at_us > now_us - LIMIT_WINDOW_US and self.counts(w, now_us)
            for w in words
            if w.kind == "contact"
        )

    def counts(self, contact: Word, now_us: int) -> bool:
        """Tell whether a cap counts a contact: while it is reserved, and then if it got as far as its channel asks."""
        state = self.state(contact)
        if state in RELEASED:
            return False
        asks = contact.data["channel"] == "push"
        return not asks or now_us < contact.data["until_us"] or state not in ("reserved", *RELEASED)

    def state(self, contact: Word) -> str:
        """Return how far a contact got; an outcome of an offer says that it was seen."""
        told = [w.data["state"] for w in self.words if w.kind == "state" and w.data["offer"] == contact.data["offer"]]
        acted = [w for w in latest(self.words) if w.data.get("offer") == contact.data["offer"]]
        return max([*told, *(["seen"] if acted else []), "reserved"], key=STATES.index)

    # What is known

    def facts(self, subject: str, now_us: int, *, whole: bool = True) -> dict[str, set[Any]]:
        """Return each fact with the values that it may have; None is unknown.

        :param whole: whether the release is the one that counts over 20 days and knows no halves of sizes
        """
        if subject in self.erased or self.is_restricted(subject):
            return {name: {None} for name in FACTS}
        own = {name: {self.stated(subject, name)} for name in ("nickname", "fee", "hardship", "size")}
        if any(self.stated(other, "hardship") for other in self.ids(subject)):
            own["hardship"] = {True}
        words = self.belonging(subject) if subject.startswith("person:") else Bounds(*[self.stretch(subject)] * 2)
        events = words.of("event")
        counted = {name: searches(events, span_us, now_us) for name, span_us in WINDOWS_US.items()}
        if whole:
            own["size"] = {size if size is None or size % 1 == 0 else None for size in own["size"]}
        else:
            counted["searches_20d"] = {None}
        return {**own, **counted, "last_words": last_words(events, now_us)}

    def stated(self, subject: str, name: str) -> Any:
        """Return the value of a profile fact by its latest statement."""
        told = [w for w in self.of(subject, "fact", "filed") if name in w.data]
        return max(told, key=lambda w: (w.at_us, w.number)).data[name] if told else None

    # What erasing takes

    def erase(self, person: str) -> Bounds:
        """Forget all words that belong to a person, under whichever id, and return them.

        What a visitor allowed or refused while it was linked to nobody binds on, without its token, if it was unlinked
        from the person before.
        """
        gone, linked, people = self.belonging(person), self.linked(person), self.ids(person)
        bound = {w.number for w in gone.may if w.kind == "consent" and w.subject not in (*people, *linked)}
        bound = {number for number in bound if self.holder(self.words[number].subject, number) is None}
        self._forget({w.number for w in gone.may} - bound)
        self.words = [w._replace(token="") if w.number in bound else w for w in self.words]
        for visitor in linked:
            self.holders[visitor].append((len(self.words), None))
        self.erased |= people
        return gone

    def erase_visitor(self, visitor: str, now_us: int) -> list[Word]:
        """Forget all words of a visitor, and return them; it is unlinked from whoever it is linked to."""
        gone = self.of(visitor)
        if (holder := self.holder(visitor)) is not None:
            self.tell(holder, "held", now_us)
        self._forget({w.number for w in gone})
        self.holders.setdefault(visitor, []).append((len(self.words), None))
        self.erased.add(visitor)
        return gone

    def erase_account(self, account: str) -> list[Word]:
        """Forget all words of an account, and return them."""
        gone = self.of(account)
        self._forget({w.number for w in gone})
        self.erased.add(account)
        return gone

    def _forget(self, numbers: set[int]) -> None:
        self.words = [w._replace(subject="", kind="gone", data={}) if w.number in numbers else w for w in self.words]

    def is_gone(self, word: Word) -> bool:
        """Tell whether a word was forgotten since it was told."""
        return self.words[word.number].kind == "gone"


def _place(kind: str) -> str:
    """Return where words of a kind are kept: facts, told over HTTP or in a file, in the profile; events in a log."""
    return {"event": "log", "fact": "profile", "filed": "profile"}.get(kind, "ledger")


def _grants_after(word: Word, purpose: str, now_us: int) -> bool:
    return word.data["purpose"] == purpose and word.data["status"] == "granted" and word.at_us > now_us


def _holds_of(told: list[Word], other: str) -> bool:
    """Tell whether these words join somebody with the other person."""
    joins, parts = ([w.at_us for w in told if w.kind == kind and w.data["other"] == other] for kind in ("join", "part"))
    return holds(joins, parts)


def holds(grants: Iterable[int], refusals: Iterable[int]) -> bool:
    """Tell whether a grant holds: of two words less than five seconds apart, the refusing one does."""
    newest = max(grants, default=None)
    return newest is not None and all(newest >= refusal_us + TOLERANCE_US for refusal_us in refusals)


def permitted(told: Iterable[Word], purpose: str, channel: str) -> bool | None:
    """Return whether consents of one stream permit a purpose on a channel; None if there are none.

    A grant for all channels does not lift a refusal for this one.
    """
    about = [w for w in told if w.data["purpose"] == purpose]
    named, general = ([w for w in about if w.data["channel"] == c] for c in (channel, ALL))
    if not (named or general):
        return None
    return _lifted(named, named) and _lifted([*named, *general], general)


def _lifted(granting: Iterable[Word], refusing: Iterable[Word]) -> bool:
    refusals = [w.at_us for w in refusing if w.data["status"] != "granted"]
    return not refusals or holds((w.at_us for w in granting if w.data["status"] == "granted"), refusals)


def latest(words: Iterable[Word]) -> list[Word]:
    """Return what was told last under each outcome id, without what was taken back."""
    told = {w.data["id"]: w for w in words if w.kind == "outcome"}
    return [w for w in told.values() if w.data["outcome"] != "retracted"]


def searches(events: Bounds, span_us: int, now_us: int) -> set[Any]:
    """Return the counts that are right: events at the window's edge, and those ahead of the clock, may count."""
    edge_us = span_us // BUCKETS
    sure = [w for w in events.must if now_us - span_us + edge_us < w.at_us <= now_us + TOLERANCE_US]
    maybe = [w for w in events.may if w.at_us > now_us - span_us - edge_us]
    return {*range(len(sure), len(maybe) + 1), *([None] if not events.must else [])}


def last_words(events: Bounds, now_us: int) -> set[Any]:
    """Return the texts that may be the last: of the latest event that must count, or of one after it."""
    known = [w.at_us for w in events.must if w.at_us <= now_us + TOLERANCE_US]
    since_us = max(known, default=None)
    ahead = any(w.data["ahead"] for w in events.may)  # whether such an event is the last is not asked
    may = {w.data["words"] for w in events.may if ahead or since_us is None or w.at_us >= since_us}
    return {*may, *([None] if since_us is None else [])}


def tokens(words: Iterable[Word]) -> set[str]:
    """Return the tokens of words."""
    return {w.token for w in words if w.token}
