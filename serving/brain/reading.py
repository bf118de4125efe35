"""What is known of customers when they are decided for: standings, profiles and signals, of one or of many at once."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from decisioning.deciding.case import history_of
from decisioning.deciding.ethics import protected_facts
from decisioning.errors import Unavailable
from decisioning.facts.forms import Known
from decisioning.facts.schema import Value
from decisioning.facts.standing import Standing
from features.handovers.measured import Measured
from features.ledger import Ledger
from features.ledger.links import visitors_now, with_identities
from features.profile.online import Stored
from features.profile.store import SignalState, Store
from serving.brain.snapshot import Snapshot


@dataclass(frozen=True)
class Subjects:
    """Whom a request concerns, by stream: a person or visitor, and an account if it names one.

    `given`: facts that the request itself gives; they replace what is stored. `visitor`: the first is a visitor's, who
    is decided for from the stretch that takes what comes from it now.
    """

    streams: tuple[str, ...]
    given: Mapping[str, Value | None] = field(default_factory=dict)
    visitor: bool = False


class CustomerReader:
    """Reads what is known now, in as few round trips for many customers as for one."""

    def __init__(self, ledger: Ledger, store: Store, measured: Callable[[], Measured]) -> None:
        self._ledger, self._store, self._measured = ledger, store, measured

    def read(
        self, every: Sequence[Subjects], snapshot: Snapshot, at_us: int, *, keep: bool = False, whole: bool = False
    ) -> list[Known]:
        """Return what is known of the subjects of each request.

        A standing is merged with those of the person's other identifiers (`Known.linked`). A profile that cannot be
        read counts as empty, and `Known.degraded` says so.

        :param keep: whether to repair an outdated copy of signals in the online store; not for a preview
        :param whole: whether to read all contacts and outcomes, not only those that the snapshot's release reads
        """
        standings, versions = self._standings(every, snapshot, at_us, whole=whole)
        people = [s for of in every if not (s := standings[of.streams[0]]).erased and not s.restricted]
        usable = list(dict.fromkeys(stream for s in people for stream in (s.stream, *_joined(s))))
        profiles: dict[str, Stored] = {}
        with suppress(Unavailable):
            profiles = dict(zip(usable, snapshot.profiles.read(usable, now_us=at_us), strict=True)) if usable else {}
        routed = snapshot.release.schema.of_routing
        of_queue = self._measured().facts(routed, at_us) if routed else {}
        read = _Read(self._store, snapshot, at_us, keep, standings, versions, profiles, of_queue=of_queue)
        return [read.known(of) for of in every]

    def _standings(
        self, every: Sequence[Subjects], snapshot: Snapshot, at_us: int, *, whole: bool
    ) -> tuple[dict[str, Standing], dict[str, int]]:
        """Return stream -> standing of the whole person, and stream -> version of its signals, if it has some.

        Under the stream of a visitor's id is the standing of its stretch now.
        """
        signalled: dict[str, int] = {}
        rules = None if whole else snapshot.release.standing_rules

        def read(*streams: str) -> tuple[Standing, ...]:
            standings, versions = self._ledger.read_with_signals(*streams, rules=rules, now_us=at_us)
            signalled.update((s, v) for s, v in zip(streams, versions, strict=True) if v)
            return standings

        visitors = list(dict.fromkeys(of.streams[0] for of in every if of.visitor))
        others = list(dict.fromkeys(s for of in every for s in of.streams[of.visitor :]))
        standings = [now.stretch for now in visitors_now(visitors, read)] if visitors else []
        standings += read(*others) if others else ()
        return dict(zip([*visitors, *others], with_identities(standings, read), strict=True)), signalled


def _joined(person: Standing) -> list[str]:
    """Return the streams of the customers who are joined with a person; visitors name whose they are."""
    return [other.stream for other in person.visitors if other.holder is None]


@dataclass(frozen=True)
class _Read:
    """What was read of many subjects, by stream; a person whose profile is missing could not be read.

    `of_queue`: what was measured of the queue and the agents, the same for everybody.
    """

    store: Store
    snapshot: Snapshot
    at_us: int
    keep: bool
    standings: Mapping[str, Standing]
    versions: Mapping[str, int]
    profiles: Mapping[str, Stored]
    of_queue: Mapping[str, Value]

    def known(self, of: Subjects) -> Known:
        """Return what is known of one request's subjects."""
        person, *others = (self.standings[stream] for stream in of.streams)
        streams = (person.stream, *of.streams[1:], *(visitor.stream for visitor in person.visitors))
        signalled = {stream: self.versions[stream] for stream in streams if stream in self.versions}
        facts: dict[str, Value] = {}
        degraded: tuple[str, ...] = ()
        if person.restricted and not person.erased:
            facts = self._requests(signalled)
        elif not person.erased:
            facts, degraded = self._facts(person.stream, signalled)
        facts = {**facts, **self.of_queue}
        known = Known({**facts, **of.given}, person, others[0] if others else None, degraded, signalled)
        return self._protected(known, of.given) if _joined(person) else known

    def _protected(self, known: Known, given: Mapping[str, Value | None]) -> Known:
        """Return what is known, with a protection that holds by the profile of a joined customer."""
        person, release = known.person, self.snapshot.release
        profiles = [self.profiles[s].facts for s in (person.stream, *_joined(person)) if s in self.profiles]
        own, *joined = profiles or [{}]
        shared = {name: value for name, value in known.facts.items() if name not in own}
        others = [{**shared, **facts, **given} for facts in joined]
        facts = protected_facts(release, known.facts, others, history_of(release, known, self.at_us))
        return replace(known, facts=facts)

    def _facts(self, person: str, signalled: dict[str, int]) -> tuple[dict[str, Value], tuple[str, ...]]:
        """Return the profile with the signal features of the person, linked visitors and account; and what is missing.

        :param signalled: stream -> version of its signal state by the ledger; raised where the copy read is newer
        """
        streams = [person, *(stream for stream in signalled if stream != person)]
        stored, copies = self.profiles.get(person), self._copies(streams)
        versions = [signalled.get(stream, 0) for stream in streams]
        signals = self.snapshot.signals.evaluate(streams, versions, copies, self.at_us, keep=self.keep)
        signalled.update((s, version) for s, version in zip(streams, signals.versions, strict=True) if version)
        if stored is None or copies is None:
            return signals.facts, ("profile",)
        return {**signals.facts, **stored.facts}, ()

    def _requests(self, signalled: Mapping[str, int]) -> dict[str, Value]:
        """Return what a restricted person asks for. All else that is known of them is kept, and not used."""
        requests = self.snapshot.release.request_features
        if not requests or not signalled:
            return {}
        versions = tuple(signalled.values())
        signals = self.snapshot.signals.evaluate(tuple(signalled), versions, None, self.at_us, keep=False)
        return {name: value for name, value in signals.facts.items() if name in requests}

    def _copies(self, streams: Sequence[str]) -> list[SignalState | None] | None:
        """Return the online store's copies of signals, the person's first; None if the store cannot be read."""
        stored = self.profiles.get(streams[0])
        if stored is None:
            return None
        try:
            return [stored.signals, *(self.store.read_signals(streams[1:]) if streams[1:] else ())]
        except Unavailable:
            return None
