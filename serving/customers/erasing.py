"""To be left alone, and to be forgotten: what a person or a visitor may ask of us beside what is held."""

import asyncio
from typing import Final

from decisioning.errors import NotFound
from features.decisions.log import LOG, DecisionLog
from features.ledger import Entry, SubjectKind, now_us
from features.signals.log import erased_since
from serving.brain.runtime import Brain
from serving.customers import exported_files

ID_FIELDS: Final = {"person": "customer_id", "visitor": "visitor_id", "account": "account_id"}
"""What requests call the id of each kind of subject."""


async def erase(brain: Brain, kind: SubjectKind, subject_id: str) -> tuple[str, ...]:
    """Forgets them: profile, history, signals, moments and every body in the ledger; the streams that were erased.

    A tombstone keeps them left alone. The visitors linked to a person go with them. What is stored of those goes first,
    too: once the person is erased, nothing says who they were, should this have to be run again.
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    profiles = brain.snapshot.profiles
    await asyncio.to_thread(profiles.delete, *brain.ledger.read(stream)[0].linked, stream)
    erased = await asyncio.to_thread(brain.ledger.erase, stream)
    await asyncio.to_thread(profiles.delete, *erased)
    return erased


def clean(brain: Brain) -> int:
    """Takes what is left of the erased out of every file: how many files and customers had something left.

    Something is where a crash came between, or it was being written, or a command wrote a file for people; and SQLite
    leaves copies of rows in its pages as others are erased, so its files are written anew. Run by every replica within
    `erasure.within_s`, and by `brain erase`.
    """
    erased = erased_since(brain.ledger.select, 0)
    if not erased:
        return 0
    profiles = brain.snapshot.profiles
    left = profiles.archive.present(erased)
    if left:
        profiles.delete(*left)
    if brain.ledger.rewrite() or left:
        profiles.rewrite()
    person = brain.ledger.names
    logged = DecisionLog(brain.workspace.data / LOG).forget(erased)
    return (
        len(left)
        + logged
        + exported_files.clean(
            brain.workspace, frozenset(erased), lambda customer: person.stream_of("person", customer)
        )
    )


async def restrict(brain: Brain, kind: SubjectKind, subject_id: str, *, restricted: bool) -> None:
    """From now on nothing but keeping is done with what is known of them (Art. 18 GDPR), or all of it is again.

    Of this subject alone: a device may be shared, so a visitor linked to a person asks for itself. Raises NotFound for
    one who was erased.
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    if brain.ledger.read(stream)[0].erased:
        raise NotFound(ID_FIELDS[kind], f"this {'visitor' if kind == 'visitor' else 'customer'} was erased")
    flag = Entry(stream, "flag", {"restricted": restricted}, now_us())
    await asyncio.wrap_future(brain.ledger.submit([flag]))
