"""What a customer sees of themself: the decisions about them, what is held, and that they looked is a record, too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import bindparam, select

from decisioning.errors import BrainError
from decisioning.facts.standing import Consent
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import Record
from features.ledger.as_of_decision import KnownAtDecisions
from features.ledger.tables import RECORDS
from serving.access.looks import Looker, record_looks
from serving.brain.explaining import CustomersStory, story_for_customer
from serving.brain.runtime import Brain
from serving.customers import exporting, looking
from serving.customers.holdings import holdings
from serving.customers.rights.asking import opinions, requests_of
from serving.customers.rights.choosing import PurposeChoice, choices
from serving.customers.rights.entering import CUSTOMER, Visit

FEW: Final = 5
MANY: Final = 20
"""How many decisions are shown at first, and at most."""
_PURPOSE: Final = "rights"
_PAGES: Final = 100
"""Of an export, how many pages are in one file at most."""
_Shown = tuple[Record, Mapping[str, Any], list[Mapping[str, Any]]]
"""A decision, its body, and its offers."""
_DECISIONS = (
    select(RECORDS)
    .where(RECORDS.c.stream == bindparam("stream"), RECORDS.c.kind == "decision")
    .order_by(RECORDS.c.version.desc())
    .limit(4 * MANY)
)


@dataclass(frozen=True)
class SeenDecision:
    """A decision of which a customer saw something: its offers as they saw them, and its story, if it can be told.

    `right`: whether they found it right, None if they did not say; `contest`: their request to look at it again.
    """

    decision_id: str
    decided_us: int
    channel: str
    offers: list[Mapping[str, Any]]
    story: CustomersStory | None
    right: bool | None
    contest: Mapping[str, Any] | None


@dataclass(frozen=True)
class OwnView:
    """All that the customer's own page shows."""

    choices: dict[str, list[PurposeChoice]]
    decisions: list[SeenDecision]
    more: bool
    requests: list[dict[str, Any]]
    held: dict[str, int]
    consents: tuple[Consent, ...] = ()


def own_view(brain: Brain, visit: Visit, locale: str, most: int) -> OwnView:
    """Return what the page shows, once it is recorded that the customer looks; raises Erased."""
    _note_look(brain, visit)
    requests = requests_of(brain, visit.stream)
    shown = list(islice(_showing(brain, visit.stream), most + 1))
    decisions = list(_decisions(brain, shown[:most], locale, requests))
    held = holdings(brain, "person", visit.customer_id)
    (standing,) = brain.ledger.read(visit.stream, rules=NO_PAST)
    more, own_choices = len(shown) > most, choices(brain, visit.customer_id)
    return OwnView(own_choices, decisions, more, requests, held, standing.consents)


def _note_look(brain: Brain, visit: Visit) -> None:
    looker = Looker(CUSTOMER, CUSTOMER, "glance", _PURPOSE)
    record_looks(brain.ledger, [looker.at(visit.stream, {"customer_id": visit.customer_id})])


def _showing(brain: Brain, stream: str) -> Iterator[_Shown]:
    """Yield the decisions of a stream that showed something, the newest first, with their offers."""
    for record in map(brain.ledger.record_of, brain.ledger.select(_DECISIONS, {"stream": stream})):
        body = record.body
        if body is not None and (
            offers := [one for placed in body["answer"]["placements"] for one in placed["offers"]]
        ):
            yield record, body, offers


def _decisions(
    brain: Brain, shown: Sequence[_Shown], locale: str, requests: list[dict[str, Any]]
) -> Iterator[SeenDecision]:
    """Yield decisions as their customer sees them."""
    if not shown:
        return
    contests = {one.get("decision_id"): one for one in reversed(requests)}
    said, before = opinions(brain, shown[0][0].stream), KnownAtDecisions(brain.ledger)
    stories = [_story(brain, record, locale, before) for record, _, _ in reversed(shown)]
    for (_, body, offers), story in zip(shown, reversed(stories), strict=True):
        name, at_us, channel = body["decision_id"], body["decided_us"], body["request"]["channel"]
        yield SeenDecision(name, at_us, channel, offers, story, right=said.get(name), contest=contests.get(name))


def _story(brain: Brain, record: Record, locale: str, before: KnownAtDecisions) -> CustomersStory | None:
    try:
        return story_for_customer(brain, record, locale, before)
    except BrainError:
        return None  # the release or the model that it names is not kept here


def whole_export(brain: Brain, visit: Visit) -> dict[str, Any]:
    """Return everything that is held of a customer as one document, once it is recorded that they look."""
    looker = Looker(CUSTOMER, CUSTOMER, "export", _PURPOSE)
    whom = looking.seen_by_id(brain, looker, "person", visit.customer_id)
    whole = looking.shown(brain, looker, lambda: exporting.export(brain, "person", visit.customer_id), whom)
    for _ in range(_PAGES):
        if whole["next"] is None:
            break
        page = exporting.export(brain, "person", visit.customer_id, whole["next"])
        logs = {log.name: [*whole[log.name], *page[log.name]] for log in exporting.LOGS}
        whole = {**whole, **logs, "next": page["next"]}
    return whole
