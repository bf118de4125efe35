"""Show what is known of a customer once it is recorded who looks, and list who looked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import iso
from features.ledger import Record, SubjectKind, now_us
from features.ledger.links import streams_of
from features.ledger.people.rows import step_key
from serving.access.looks import Looker, record_looks
from serving.brain.runtime import Brain
from serving.customers.erasing import ID_FIELDS

Json = dict[str, Any]
Subject = tuple[str, dict[str, str]]
"""A stream, with the id that was asked for, under its name, if it is the stream's own."""
Whom = Callable[[Json], Sequence[Subject] | None]
"""Returns whom a content shows; None if one of them was erased since it was read."""
MAX_LISTED: Final = 200
_SHOWN: Final = ("who", "role", "what", "purpose", "case", *ID_FIELDS.values(), "decision_id")


def shown(brain: Brain, looker: Looker, read: Callable[[], Json], whom: Whom) -> Json:
    """Return what `read` returns, once it is recorded who looks at whom; raises as `read` does.

    Nothing is recorded of who is erased, or of whom nothing is held: that shows nobody.
    """
    content = read()
    subjects = whom(content)
    if subjects is None or not record_looks(brain.ledger, (looker.at(*subject) for subject in subjects)):
        return read()  # of who was erased meanwhile, nothing is left to show
    return content


def seen_by_id(brain: Brain, looker: Looker, kind: SubjectKind, subject_id: str) -> Whom:
    """Return what finds the subject of an id, and in an export the customers who are the same person."""

    def whom(_: Json) -> list[Subject] | None:
        own = brain.ledger.stream_of(kind, subject_id)
        streams = _all_of(brain, own) if looker.what == "export" else (own,)
        standings, signalled = brain.ledger.read_with_signals(*streams, rules=NO_PAST)
        stored = brain.snapshot.profiles.read(streams, now_us=now_us())
        held = list(zip(standings, signalled, stored, strict=True))
        people = [held[0], *(one for one in held[1:] if one[0].holder is None)]
        if any(standing.erased for standing, _, _ in people):
            return None
        ids = {streams[0]: {ID_FIELDS[kind]: subject_id}}
        seen = [standing.stream for standing, version, facts in people if standing.version or version or facts.raw]
        return [(stream, ids.get(stream, {})) for stream in seen]

    return whom


def seen_in_decision(brain: Brain, decision_id: str) -> Whom:
    """Return what finds whom a decision was made for."""

    def whom(content: Json) -> list[Subject]:
        record = brain.ledger.lookup(f"decision:{decision_id}")
        names, request = (ID_FIELDS["person"], ID_FIELDS["visitor"]), content["request"]
        known = [{name: request[name]} for name in names if request.get(name) is not None]
        ids = {**(known[0] if known else {}), "decision_id": decision_id}
        return [] if record is None else [(record.stream, ids)]

    return whom


def seen_in_handover(brain: Brain, handover_id: str) -> Whom:
    """Return what finds whose handover it is."""

    def whom(content: Json) -> list[Subject]:
        record = brain.ledger.lookup(step_key(handover_id, 0))
        ids = {name: content[name] for name in ID_FIELDS.values() if name in content}
        return [] if record is None else [(record.stream, ids)]

    return whom


def _all_of(brain: Brain, stream: str) -> tuple[str, ...]:
    return streams_of(stream, partial(brain.ledger.read, rules=NO_PAST), brain.ledger.select)


def listed(brain: Brain, after: int, *, who: str | None = None, subject: tuple[SubjectKind, str] | None = None) -> Json:
    """Return a page of looks: at everybody or one subject with all their identifiers, by everybody or one caller."""
    streams = _all_of(brain, brain.ledger.stream_of(*subject)) if subject is not None else ()
    page = brain.ledger.looks(after, MAX_LISTED, streams, who)
    looks = [_look(record) for record in page if record.body is not None]
    return {"looks": looks, "next": page[-1].seq if len(page) == MAX_LISTED else None}


def _look(record: Record) -> Json:
    body = record.body or {}
    about = {name: body[name] for name in _SHOWN if name in body}
    return {"at": iso(record.at_us), "subject": body["subject"], **about}
