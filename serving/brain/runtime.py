"""The composition root of one process: ledger, profiles, and one immutable snapshot of release and model."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.deciding.engine import decide
from decisioning.errors import Conflict, Refused, RequestError, RequestReused, Unavailable
from decisioning.facts.forms import PRIOR_MODEL, Ask, Decision, Known, canonical
from decisioning.facts.schema import BUILT_IN, Facts, FeatureSchema, Value
from decisioning.facts.standing import Standing
from decisioning.times import microseconds, parse_moment
from features.ledger import Duplicate, Entry, Ledger, Record, now_us
from features.ledger.links import united
from features.profile.online import Profiles
from features.profile.online import checked as checked_value
from features.profile.store import SignalState
from features.signals.intake import Intake
from features.signals.store import Copies, Signals
from serving.brain.messages import Scorers, champions
from serving.brain.metrics import Metrics
from serving.brain.releasing import open_store
from serving.brain.repeating import still_permitted
from serving.brain.scoring import explained, model_scorer, prior_scorer
from serving.brain.trials import Model, Models
from serving.settings import Workspace
from training.registry import Lineup, Registry

PROPENSITY = "propensity"
ATTEMPTS = 5
"""How often a decision is made again when another record came first."""


_DERIVED = frozenset(f.name for f in BUILT_IN) - {"gpc"}
"""Facts that decide() makes itself; no request may give them."""


@dataclass(frozen=True)
class Snapshot:
    """What one request is decided with; replaced whole, never changed."""

    release: Release
    profiles: Profiles
    signals: Signals
    intake: Intake
    models: Models
    scorers: Scorers
    paused: frozenset[str]

    @property
    def model(self) -> str:
        """The champion's name."""
        return self.models.champion.name


class Brain:
    """Everything a process needs to decide; used by the HTTP app, batch and the command line alike."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.environment = workspace.settings.environment
        self.ledger = Ledger.open(workspace.database_url, workspace.secret())
        self._store = open_store(workspace)
        self._copies = Copies(self._store)
        self._registry = Registry(workspace.data)
        self.release = lru_cache(maxsize=32)(self._load_release)
        self._loaded = lru_cache(maxsize=4)(self._model)
        self.metrics = Metrics()
        self._exchanging = Lock()
        self.snapshot = self._load_snapshot()

    def close(self) -> None:
        """Commits what was submitted."""
        self._copies.close()
        self.ledger.close()

    def _load_release(self, name: str) -> Release:
        return Release.from_bytes(self.ledger.get_release(name))

    def _load_snapshot(self) -> Snapshot:
        active = self.ledger.active(self.environment)
        if active is None:
            raise Refused(f"nothing is released in {self.environment} yet: run `brain release`")
        release = self.release(active)
        scorers = Scorers.load(self._registry, champions(self._registry))
        return self._snapshot_of(release, scorers, self.ledger.paused())

    def _snapshot_of(self, release: Release, scorers: Scorers, paused: frozenset[str]) -> Snapshot:
        models = self._models(release, self._registry.lineup(PROPENSITY))
        signals = Signals(self.ledger, self._store, release, self._copies)
        intake = Intake(release, self.ledger.names)
        profiles = Profiles(self._store, release.schema)
        return Snapshot(release, profiles, signals, intake, models, scorers, paused)

    def _models(self, release: Release, lineup: Lineup) -> Models:
        """Over this release's candidates, which takes a moment: in the replica, before the first request meets them.

        What was tried before it serves, or comes back when a trial ends, is loaded already.
        """
        champion = self._loaded(release, lineup.champion)
        if lineup.trial is None:
            return Models(champion)
        return Models(champion, self._loaded(release, lineup.trial.version), lineup.trial)

    def _model(self, release: Release, version: int | None) -> Model:
        if version is None:
            return Model(PRIOR_MODEL, prior_scorer(release))
        return Model(f"{PROPENSITY}@{version}", model_scorer(release, self._registry.load(PROPENSITY, version)))

    def model_of(self, release: Release, name: str) -> Model:
        """The model that a decision names, over the candidates of the release it names; Refused where it is gone."""
        for model in (self.snapshot.models.champion, self.snapshot.models.challenger):
            if model is not None and model.name == name and release.hash == self.snapshot.release.hash:
                return model
        return self._loaded(release, _version_of(name))

    def contributions(self, release: Release, name: str, facts: Facts) -> Callable[[int], dict[str, Any]] | None:
        """Candidate index -> what each feature added to its score, by the model of this name; None of priors."""
        version = _version_of(name)
        return None if version is None else explained(release, self._registry.load(PROPENSITY, version), facts)

    def refresh_release(self) -> None:
        """Takes up what was released since; a request in flight keeps what it started with."""
        if self.ledger.active(self.environment) != self.snapshot.release.hash:
            loaded = self._load_snapshot()
            with self._exchanging:  # what was paused while it was loaded is out with it as well
                self.snapshot = replace(loaded, paused=self.ledger.paused())

    def refresh_paused(self) -> None:
        """Takes up what was paused or resumed since: beside a release that is being loaded, which may take a while."""
        snapshot, paused = self.snapshot, self.ledger.paused()
        if paused != snapshot.paused:
            self._exchange(snapshot.release, paused=paused)

    def refresh_model(self) -> None:
        """Takes up champions promoted, and trials begun and ended, since."""
        release, lineup, languages = self.snapshot.release, self._registry.lineup(PROPENSITY), champions(self._registry)
        name = PRIOR_MODEL if lineup.champion is None else f"{PROPENSITY}@{lineup.champion}"
        if (self.snapshot.model, self.snapshot.models.trial) != (name, lineup.trial):
            self._exchange(release, models=self._models(release, lineup))
        if self.snapshot.scorers.versions != languages:
            self._exchange(release, scorers=Scorers.load(self._registry, languages))

    def _exchange(self, release: Release, **parts: Any) -> None:
        """Parts of the snapshot, in one step; not where the release has moved on from the one they are made for."""
        with self._exchanging:
            if self.snapshot.release is release:
                self.snapshot = replace(self.snapshot, **parts)

    def checkpoint(self) -> None:
        """Signs what the ledger has since the last time, if it is time and no other replica does."""
        self.ledger.checkpoint(self.workspace.checkpoints_file)

    def compact(self) -> None:
        """Moves profile facts written since the last time into the history files; purges signals past their time."""
        self.snapshot.profiles.archive.compact()
        self.snapshot.signals.purge(now_us())

    async def answer(self, ask: Ask) -> bytes:
        """The answer to a request, as JSON bytes; a live decision is committed before it is given."""
        if ask.mode == "preview":
            return canonical(self.preview(ask).answer)
        return canonical(await self.commit(ask))

    def preview(self, ask: Ask) -> Decision:
        """The same decision, written nowhere."""
        snapshot = self._snapshot_for(ask)
        at_us = microseconds(_moment(ask.as_of)) if ask.as_of else now_us()
        known = self.known(ask, snapshot, at_us, overrides=ask.overrides)
        return self._decide(ask, known, snapshot, at_us, ask.seed or new_id())

    def _snapshot_for(self, ask: Ask) -> Snapshot:
        snapshot = self.snapshot
        if ask.release is None or ask.release == snapshot.release.hash:
            return snapshot
        return self._snapshot_of(self.release(ask.release), snapshot.scorers, snapshot.paused)

    def _decide(
        self, ask: Ask, known: Known, snapshot: Snapshot, at_us: int, decision_id: str, supersedes: str | None = None
    ) -> Decision:
        model, shadow = snapshot.models.of(decision_id)
        return decide(
            ask,
            known,
            snapshot.release,
            model.score,
            model=model.name,
            now_us=at_us,
            decision_id=decision_id,
            environment=self.environment,
            paused=snapshot.paused,
            supersedes=supersedes,
            shadow=shadow,
        )

    async def commit(self, ask: Ask) -> dict[str, Any]:
        """The answer to a live request: read, decide, append; again from the reading when another record came first."""
        snapshot, decision_id = self.snapshot, new_id()
        repeat, supersedes = 0, None
        for _ in range(ATTEMPTS):
            at_us = now_us()
            known = self.known(ask, snapshot, at_us)
            decision = self._decide(ask, known, snapshot, at_us, decision_id, supersedes)
            entries, guards = self._entries(ask, known, decision, f"request:{ask.request_id}#{repeat}")
            try:
                await asyncio.wrap_future(self.ledger.submit(entries, guards))
            except Duplicate as duplicate:
                recorded = _same_request(ask, duplicate.record)
                if recorded is not None and still_permitted(recorded, self.release(recorded["release"]), known, at_us):
                    return dict(recorded["answer"])
                repeat, supersedes = repeat + 1, recorded["decision_id"] if recorded else None
            except Conflict:
                continue
            else:
                self.metrics.decided(decision)
                return decision.answer
        raise Unavailable("other requests for this customer kept coming first; try again")

    def _entries(self, ask: Ask, known: Known, decision: Decision, key: str) -> tuple[list[Entry], dict[str, int]]:
        record, at_us = decision.record, decision.record["decided_us"]
        alias = (f"decision:{record['decision_id']}",)
        person = known.person
        entries = [Entry(person.stream, "decision", record, at_us, person.version, key, alias)]
        account = known.account
        if account is None:
            return entries, known.linked
        if not decision.account_contacts:
            return entries, {**known.linked, account.stream: account.version}
        body = {"decision_id": record["decision_id"], "contacts": list(decision.account_contacts)}
        entries.append(Entry(account.stream, "account_decision", body, at_us, account.version))
        return entries, known.linked

    def known(self, ask: Ask, snapshot: Snapshot, at_us: int, overrides: Facts | None = None) -> Known:
        """What the brain knows now of the request's subjects; a profile that cannot be read is no profile.

        A person's standing is merged with those of the visitors linked to them, `Known.linked`. A request that names
        a visitor knows that visitor's own stream alone, linked or not: the device may be shared.
        """
        signalled: dict[str, int] = {}

        def read(*streams: str) -> tuple[Standing, ...]:
            standings, versions = self.ledger.read_with_signals(*streams)
            signalled.update((s, v) for s, v in zip(streams, versions, strict=True) if v)
            return standings

        standings = united(read(*self.streams(ask)), read)
        schema = snapshot.release.schema
        context = checked(ask.context, schema, ("context",), "context")
        wanted = checked(overrides, schema, ("profile", "signal", "model", "context"), "overrides")
        live, person = ask.mode == "live", standings[0]
        silent = person.erased or person.restricted  # what is restricted is kept, and not used
        facts, degraded = ({}, ()) if silent else self._facts(snapshot, person, signalled, at_us, keep=live)
        return Known({**facts, **context, **wanted}, person, _second(standings), degraded, signalled)

    def _facts(
        self, snapshot: Snapshot, person: Standing, signalled: dict[str, int], at_us: int, *, keep: bool
    ) -> tuple[dict[str, Value], tuple[str, ...]]:
        """Profile, and what the signals come to of everyone in play: the person, linked visitors, the account.

        :param signalled: versions as the ledger told; a copy that had moved on by the time it was read moves its own
        :param keep: whether a copy of signals that is behind is made good in the store; not for a preview
        """
        streams = [person.stream, *(stream for stream in signalled if stream != person.stream)]
        copies: list[SignalState | None] | None
        degraded: tuple[str, ...] = ()
        try:
            stored = snapshot.profiles.read(streams[:1], now_us=at_us)[0]
            copies = [stored.signals, *(self._store.read_signals(streams[1:]) if streams[1:] else ())]
            profile = stored.facts
        except Unavailable:
            profile, copies, degraded = {}, None, ("profile",)
        versions = [signalled.get(stream, 0) for stream in streams]
        seen = snapshot.signals.seen(streams, versions, copies, at_us, keep=keep)
        signalled.update((s, version) for s, version in zip(streams, seen.versions, strict=True) if version)
        return {**seen.facts, **profile}, degraded

    def streams(self, ask: Ask) -> tuple[str, ...]:
        """The person's (or visitor's) stream, and the account's where one is named."""
        if ask.customer_id is not None:
            person = self.ledger.stream_of("person", ask.customer_id)
        else:
            person = self.ledger.stream_of("visitor", ask.visitor_id or "")
        if ask.account_id is None:
            return (person,)
        return person, self.ledger.stream_of("account", ask.account_id)


def _version_of(name: str) -> int | None:
    """The version that `propensity@7` names; None of the catalogue's priors."""
    return None if name == PRIOR_MODEL else int(name.rpartition("@")[2])


def new_id() -> str:
    """A decision's id, from which every draw of its decision follows."""
    return f"d-{uuid.uuid4().hex}"


def checked(
    facts: Facts | None, schema: FeatureSchema, sources: tuple[str, ...], where: str
) -> dict[str, Value | None]:
    """Facts of a request, each declared, of one of `sources` and of its type; raises RequestError naming the field."""
    fitting: dict[str, Value | None] = {}
    for name, value in (facts or {}).items():
        if name not in schema or name in _DERIVED or schema[name].source not in sources:
            raise RequestError(f"{where}.{name}", f"no feature of this name may be given in {where}")
        fitting[name] = checked_value(f"{where}.{name}", value, schema[name])
    return fitting


def _same_request(ask: Ask, record: Record) -> dict[str, Any] | None:
    """The recorded decision of this very request, None where it was erased; raises RequestReused for another body."""
    if record.body is None:
        return None
    if record.body["request"] != ask.model_dump(mode="json", exclude_defaults=True):
        raise RequestReused("request_id", "this request_id came before with another body; use a new one")
    return record.body


def _second(standings: Sequence[Standing]) -> Standing | None:
    return standings[1] if len(standings) > 1 else None


def _moment(text: str) -> Any:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise RequestError("as_of", str(error)) from None
