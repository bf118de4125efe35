"""What customers ask of people, as a lead sees it who may answer it."""

from typing import Any, Final

from decisioning.errors import BrainError, RequestError
from decisioning.times import iso
from serving.access.callers import Caller
from serving.access.looks import Doer
from serving.brain.explaining import story_for_customer
from serving.brain.runtime import Brain
from serving.customers.rights import asking, reviewing
from serving.customers.rights.reviewing import Review

Json = dict[str, Any]
MAX_ANSWER: Final = 4_000
MAX_REASON: Final = 2_000
_OPEN: Final[tuple[asking.State, ...]] = ("open", "in_review")


def waiting_requests(brain: Brain, most: int, caller: Caller | None, locale: str) -> Json:
    """Return requests that have no answer, those that are due first before the others, and how many more there are.

    `decision`: what a contest is about, in the words that its customer sees. `part`: the caller had a part in it.
    """
    every = [one for state in _OPEN for one in reviewing.listed(brain, state, "")["requests"]]
    every.sort(key=lambda one: (one["due_at"], one["number"]))
    shown = [{**one, **_about(brain, one, caller, locale)} for one in every[:most]]
    return {"requests": shown, "more": max(0, len(every) - most)}


def _about(brain: Brain, one: Json, caller: Caller | None, locale: str) -> Json:
    decision_id, stream = one["decision_id"], brain.subject_stream(one["customer_id"])
    if decision_id is None:
        return {"decision": None, "part": False}
    try:
        part = caller is not None and reviewing.had_part(brain, stream, decision_id, caller.id)
        record = asking.decision_of(brain, stream, decision_id)
        story = story_for_customer(brain, record, locale)
    except BrainError:
        return {"decision": None, "part": False}  # it was erased, or what it was made from is not kept here
    body = record.body or {}
    offers = [offer for placed in body["answer"]["placements"] for offer in placed["offers"]]
    counted = {} if story is None else story.counted
    offered = [{"action": o["action"], "title": _title(o), "counted": counted.get(o["treatment"], [])} for o in offers]
    return {"decision": {"at": iso(body["decided_us"]), "offers": offered}, "part": part}


def _title(offer: Json) -> str:
    return str(next(iter((offer.get("content") or {}).values()), offer["action"]))


def answer(brain: Brain, number: str, fields: dict[str, str], caller: Caller | None, doer: Doer) -> str:
    """Take a request in review, or answer it, as the person who signed in; return what was done.

    :raises RequestError: no person signed in, the answer is empty or too long, or a change has no reason
    :raises Refused: the person had a part in what it is about, or it was answered otherwise before
    """
    if caller is None or caller.kind != "person":
        raise RequestError("reviewer", "a person answers: sign in")
    text, is_answer = fields.get("answer", "").strip(), fields.get("state") == "answered"
    if is_answer and not 1 <= len(text) <= MAX_ANSWER:
        raise RequestError("answer", f"write 1 to {MAX_ANSWER} characters; the customer reads them")
    review = _answered(caller.id, text, fields) if is_answer else Review("in_review", caller.id)
    reviewing.answer_request(brain, number, doer, review)
    return review.state


def _answered(reviewer: str, text: str, fields: dict[str, str]) -> Review:
    """Return the answer of a form; what is changed only counts if the form says that the decision changes."""
    changed, reason = fields.get("outcome") == "changed", fields.get("reason", "").strip()
    if not changed:
        return Review("answered", reviewer, text)
    if not 1 <= len(reason) <= MAX_REASON:
        raise RequestError("reason", f"say why the decision changes, in 1 to {MAX_REASON} characters")
    offered, excluded = (fields.get(name) or None for name in ("offered", "excluded"))
    if offered is not None and offered == excluded:
        raise RequestError("excluded", "it cannot be offered, too")
    return Review("answered", reviewer, text, True, offered, excluded, reason)
