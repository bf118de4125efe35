"""Compare the online store with the history, each of which has what the other one says of every subject."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from features.profile.archive import Archive
from features.profile.merging import states_of
from features.profile.stores.rows import table_of
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import NEVER, State, newer
from features.views import ProfileView

CHUNK = 500


class SubjectDifference(NamedTuple):
    """The newest versions of a subject that only the history has, and those that only the online store has."""

    subject: str
    view: ProfileView
    in_history: State
    online: State


def differing(archive: Archive, online: SqliteOnline) -> Iterator[SubjectDifference]:
    """Yield every difference of the two, view by view. Memory grows with the number of subjects."""
    for view in archive.views:
        spooled: dict[str, State] = {}
        for subject, statement in archive.spool.read()[1]:
            state = spooled.setdefault(subject, {})
            state.update(newer(state, statement.versions))
        compared = set[str]()
        for states in _latest(archive, view, spooled):
            compared.update(states)
            yield from _compared(online, view, states)
        others = [subject for subject in (*spooled, *online.subjects(view.name)) if subject not in compared]
        for chunk in _chunks(dict.fromkeys(others)):
            yield from _compared(online, view, {subject: spooled.get(subject, {}) for subject in chunk})


def _latest(archive: Archive, view: ProfileView, spooled: dict[str, State]) -> Iterator[dict[str, State]]:
    """Yield the newest versions of the subjects that the file has, some at a time."""
    for part in archive.parts(view):
        states: dict[str, State] = {}
        for subject, row in zip(part["subject"].to_pylist(), states_of(part), strict=True):
            state = states.setdefault(subject, dict(spooled.get(subject, {})))
            state.update(newer(state, row))
        yield states


def _compared(online: SqliteOnline, view: ProfileView, states: dict[str, State]) -> Iterator[SubjectDifference]:
    names = {feature.name for feature in view.features}
    table = table_of(view)
    for chunk in _chunks(states):
        for subject, stored in zip(chunk, online.states(table, chunk), strict=True):
            known = {name: version for name, version in states[subject].items() if name in names}
            served = {n: v for n, v in stored.items() if n in names and v.stamp != NEVER}
            lacking, further = newer(served, known), newer(known, served)
            if lacking or further:
                yield SubjectDifference(subject, view, lacking, further)


def _chunks(subjects: Iterable[str]) -> Iterator[Sequence[str]]:
    listed = list(subjects)
    return (listed[at : at + CHUNK] for at in range(0, len(listed), CHUNK))
