"""Erasing a person or a visitor, restricting what is done with their data, and cleaning up what erasures left."""

import asyncio
from typing import Final

from decisioning.errors import NotFound
from decisioning.facts.standing_rules import NO_PAST
from features.decisions.log import LOG, DecisionLog
from features.ledger import Entry, SubjectKind, now_us
from features.signals.log import erased_since
from serving.brain.runtime import Brain
from serving.customers import exported_files

ID_FIELDS: Final = {"person": "customer_id", "visitor": "visitor_id", "account": "account_id"}
"""What requests call the id of each kind of subject."""


async def erase(brain: Brain, kind: SubjectKind, subject_id: str) -> tuple[str, ...]:
    """Erase a subject: profile, history, signals, moments and every body in the ledger; return the erased streams.

    A tombstone keeps them suppressed. The visitors linked to a person are erased too, and their profiles first: once
    the person is erased, nothing says who the visitors were, should this have to run again.
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    profiles = brain.snapshot.profiles
    await asyncio.to_thread(profiles.delete, *brain.ledger.read(stream, rules=NO_PAST)[0].linked, stream)
    erased = await asyncio.to_thread(brain.ledger.erase, stream)
    await asyncio.to_thread(profiles.delete, *erased)
    return erased


def clean(brain: Brain) -> int:
    """Remove what is left of erased subjects from every file; return how many files and customers had something left.

    Something is left if a crash interrupted an erasure, if a file was being written meanwhile, or if a command exported
    a file. SQLite leaves copies of rows in its pages when others are erased, so its files are rewritten. Every replica
    runs this within `erasure.within_s`, and so does `brain erase`.
    """
    erased = erased_since(brain.ledger.select, 0)
    if not erased:
        return 0
    profiles = brain.snapshot.profiles
    remaining = profiles.archive.present(erased)
    if remaining:
        profiles.delete(*remaining)
    if brain.ledger.rewrite() or remaining:
        profiles.rewrite()
    logged = DecisionLog(brain.workspace.data / LOG).forget(erased)
    return len(remaining) + logged + exported_files.clean(brain.workspace, frozenset(erased), brain.subject_stream)


async def restrict(brain: Brain, kind: SubjectKind, subject_id: str, *, restricted: bool) -> None:
    """Restrict the use of a subject's data to keeping it (Art. 18 GDPR), or lift the restriction.

    It holds for this subject alone: a device may be shared, so a visitor linked to a person is restricted by itself.
    Raises NotFound if the subject was erased.
    """
    stream = brain.ledger.stream_of(kind, subject_id)
    if brain.ledger.read(stream, rules=NO_PAST)[0].erased:
        raise NotFound(ID_FIELDS[kind], f"this {'visitor' if kind == 'visitor' else 'customer'} was erased")
    flag = Entry(stream, "flag", {"restricted": restricted}, now_us())
    await brain.ledger.commit([flag])
