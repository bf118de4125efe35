"""Erasing a person or a visitor, restricting what is done with their data, and cleaning up what erasures left."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from decisioning.errors import Erased, Unavailable
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import TOLERANCE_US
from features.decisions.log import LOG, DecisionLog
from features.handovers.slots import all_released
from features.ledger import Entry, SubjectKind, now_us
from features.ledger.erasing import ListedErasure
from features.ledger.links import streams_of
from features.signals.purging import erased_since
from features.signals.visitor_records import append_for_visitor
from serving.brain.runtime import Brain
from serving.customers import exported_files
from serving.problems import ERASED

ID_FIELDS: Final = {"person": "customer_id", "visitor": "visitor_id", "account": "account_id"}
"""What requests call the id of each kind of subject."""


async def erase(brain: Brain, kind: SubjectKind, subject_id: str) -> tuple[str, ...]:
    """Erase a subject, and of a person all identifiers: their records, signals, moments and profile.

    Those are customers joined with them, and the stretches of visitors that are or were theirs, and nobody else's. Of a
    visitor it is every stretch.

    Returns the erased streams. The tombstones, which keep them suppressed, are committed first, and wait for no other
    erasure. What takes longer than a request may goes on after the answer, and what may be left in files is on the
    ledger's list of erasures, for `tend` to remove.
    """
    return await erase_stream(brain, brain.ledger.stream_of(kind, subject_id))


async def erase_stream(brain: Brain, stream: str) -> tuple[str, ...]:
    """Erase a subject or an agent by their stream, as `erase` does."""
    erased = await brain.pools.consents.run(_bar, brain, stream)
    with suppress(Unavailable):  # it takes longer, or waits behind others: `tend` finds it on the list
        await brain.pools.erasures.run(_remove, brain, erased)
    return erased


def _bar(brain: Brain, stream: str) -> tuple[str, ...]:
    """Give back what the handovers of the subject hold, under all of its identifiers, then commit the tombstones."""
    every = streams_of(stream, partial(brain.ledger.read, rules=NO_PAST), brain.ledger.select)
    if entries := [entry for one in every for entry in all_released(brain.ledger, one)]:
        brain.ledger.append(entries)
    return brain.ledger.bar(stream)


def _remove(brain: Brain, erased: Sequence[str]) -> None:
    """Delete what is kept of erased subjects; a listed erasure counts as emptied when both parts are done."""
    brain.snapshot.profiles.forget(*erased)
    for stream in erased:
        brain.ledger.erasures.empty(stream)


def tend(brain: Brain) -> None:
    """Do what erasures need now; every replica calls it about once a second, from a thread of its own.

    A quarter of `erasure.within_s` after an erasure, the files are cleaned, of all erasures that are listed by then. A
    process that starts finds the list as the last one left it, so no deadline depends on how long a process lives.
    """
    erasures, now = brain.ledger.erasures, now_us()
    within_us = round(brain.workspace.settings.erasure.within_s * 1_000_000)
    listed = erasures.listed()
    if any(_is_past(erasure.at_us, within_us // 4, now) for erasure in listed):
        clean(brain)
    elif _is_past(erasures.files_cleaned_us(), within_us // 2, now):
        clean_files(brain)
    else:
        _empty(brain, [erasure for erasure in listed if not erasure.emptied])


def _is_past(noted_us: int, by_us: int, now_us: int) -> bool:
    """Tell whether so much time is over since then; a time that a clock ahead noted may be over for long."""
    return not now_us - by_us < noted_us <= now_us + TOLERANCE_US


def clean(brain: Brain) -> int:
    """Finish the erasures of one pass; return how many files and customers had something left.

    It goes on with the pass that was begun last, if that was interrupted. Erasures that came after it began stay on the
    list for the next one.
    """
    erasures = brain.ledger.erasures
    listed = erasures.listed()
    if not listed:
        return clean_files(brain)
    _empty(brain, listed)
    pass_us = erasures.begin_pass(now_us())
    left = clean_files(brain)
    erasures.remove_remains(pass_us)
    brain.snapshot.profiles.remove_remains(pass_us)
    erasures.end_pass(pass_us)
    return left


def _empty(brain: Brain, listed: Sequence[ListedErasure]) -> None:
    """Delete what an erasure that was interrupted has left of its subject; both parts are safe to repeat."""
    for erasure in listed:
        brain.snapshot.profiles.forget(erasure.stream)
        if not erasure.emptied:
            brain.ledger.erasures.empty(erasure.stream)


def clean_files(brain: Brain) -> int:
    """Remove everyone who was ever erased from files that other processes may have been writing meanwhile.

    Returns how many files and customers had something left: the history, deliveries, the log of decisions, and what
    commands wrote.
    """
    began_us, erased = now_us(), erased_since(brain.ledger.select, 0)
    profiles = brain.snapshot.profiles
    if erased:
        profiles.archive.remove_abandoned()
    remaining = profiles.archive.present(erased) if erased else []
    if remaining:
        profiles.delete(*remaining)
        brain.ledger.erasures.list_again(remaining)
    delivered = brain.ledger.erasures.empty_again()
    logged = DecisionLog(brain.workspace.data / LOG).forget(erased)
    exported = exported_files.clean(brain.workspace, frozenset(erased), brain.subject_stream)
    brain.ledger.erasures.note_files_cleaned(began_us)
    return len(remaining) + delivered + logged + exported


async def restrict(brain: Brain, kind: SubjectKind, subject_id: str, *, restricted: bool) -> None:
    """Restrict the use of a subject's data to keeping it (Art. 18 GDPR), or lift the restriction.

    It holds for this subject alone: a device may be shared, so a visitor linked to a person is restricted by itself.
    Raises Erased if the subject was erased.
    """
    stream, body = brain.ledger.stream_of(kind, subject_id), {"restricted": restricted}
    try:
        if kind == "visitor":
            await append_for_visitor(brain.ledger, stream, "flag", body, None)
        else:
            await brain.ledger.commit([Entry(stream, "flag", body, None)])
    except Erased:
        raise Erased(ID_FIELDS[kind], ERASED.about) from None
