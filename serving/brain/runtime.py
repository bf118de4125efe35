"""The composition root of one process: ledger, profiles, and one immutable snapshot of release and models."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from threading import Lock
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.deciding.case import Case, DecisionContext
from decisioning.deciding.engine import decide, decide_block
from decisioning.deciding.record import Decision
from decisioning.errors import BrainError, Conflict, RequestError, Unavailable
from decisioning.facts.forms import Ask, Known, canonical
from decisioning.facts.schema import BUILT_IN, Facts, FeatureSchema, Value
from decisioning.records.audiences import Audience, answer_for
from decisioning.review.hints import hints
from decisioning.times import IMPLAUSIBLE, microseconds, parse_decision_time
from features.deadlines import answering_within, check_time
from features.handovers import calls, concessions
from features.handovers.measured import NOTHING_MEASURED
from features.ledger import Duplicate, Entry, PackedBody, now_us
from features.messages.intents.fitting import intent_model
from features.profile.online import Profiles
from features.profile.online import checked as checked_value
from features.signals.intake import Intake
from features.signals.store import Signals, StateCopier
from features.threads import Bell
from serving.brain.active import active_release, open_own_ledger
from serving.brain.metrics import Metrics
from serving.brain.reading import CustomerReader, Subjects
from serving.brain.releases.named import CURRENT, CompiledReleases, unreleased
from serving.brain.releasing import open_store
from serving.brain.repeats import Repeats, request_key
from serving.brain.scoring import contributions_of, load_model, version_of
from serving.brain.snapshot import MessageScorers, Snapshot, message_champions
from serving.brain.together import Made, Together
from serving.brain.trials import Model, Models
from serving.pools import STATEMENT_S, Pools
from serving.problems import field_name
from serving.settings import Workspace
from training.registry import PROPENSITY, Lineup, Registry, propensity_name

ATTEMPTS = 5
"""How often a decision is made again because another record was appended first."""

_DERIVED = frozenset(f.name for f in BUILT_IN) - {"gpc"}
"""Facts that decide() computes itself; no request may give them."""


class Brain:
    """All that a process needs to decide; the HTTP app, batch and the command line use it alike.

    `routed` rings when somebody waits for a person or an agent may be free,
    `signalled` when signals were recorded that may open a moment, `news` when something was committed that people
    watch for on open pages.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.environment = workspace.settings.environment
        self.ledger = open_own_ledger(workspace)
        try:
            self._open(workspace)
        except BaseException:
            self.ledger.close()
            raise

    def _open(self, workspace: Workspace) -> None:
        self._store = open_store(workspace)
        self._copies = StateCopier(self._store)
        self.measured = NOTHING_MEASURED
        self.customers = CustomerReader(self.ledger, self._store, lambda: self.measured)
        self._registry = Registry(workspace.data)
        self.releases = CompiledReleases(workspace, self.ledger)
        self.release = self.releases.stored
        self._model = lru_cache(maxsize=4)(partial(load_model, self._registry))
        self.repeats = Repeats(self.ledger, self.subject_stream, partial(self.known, whole=True))
        self.signalled, self.news, self.routed = Bell(), Bell(), Bell()
        self.metrics, self.pools = Metrics(), Pools(workspace.settings.http.request_timeout_s)
        self._together = Together(self.make, self.make_block, self.metrics.loop.add_decisions)
        self._snapshot_lock = Lock()
        self.snapshot = self._load_snapshot()

    def close(self) -> None:
        """Commit what was submitted, then close the ledger."""
        self.pools.close()
        self._copies.close()
        self.ledger.close()

    def _load_snapshot(self) -> Snapshot:
        release = self.release(active_release(self.ledger, self.environment))
        self.ledger.keep_for(release.standing_rules)
        scorers = MessageScorers.load(self._registry, message_champions(self._registry))
        return self._snapshot_of(release, scorers, self.ledger.paused())

    def _snapshot_of(self, release: Release, scorers: MessageScorers, paused: frozenset[str]) -> Snapshot:
        models = self._models(release, self._registry.lineup(PROPENSITY))
        signals = Signals(self.ledger, self._store, release, self._copies)
        intake = Intake(release, self.ledger.names)
        profiles = Profiles(self._store, release.schema)
        intents = intent_model(release.catalogue.intents)
        return Snapshot(release, profiles, signals, intake, models, scorers, paused=paused, intents=intents)

    def _models(self, release: Release, lineup: Lineup) -> Models:
        """Load the models of a lineup over the release's candidates, which takes a moment.

        They are cached: a model that was on trial before it serves, or serves again after a trial, is not loaded twice.
        """
        champion = self._model(release, lineup.champion)
        if lineup.trial is None:
            return Models(champion)
        return Models(champion, self._model(release, lineup.trial.version), lineup.trial)

    def model_of(self, release: Release, name: str) -> Model:
        """Return the model that a decision names, over the candidates of the release; raises Refused if it is gone."""
        for model in (self.snapshot.models.champion, self.snapshot.models.challenger):
            if model is not None and model.name == name and release.hash == self.snapshot.release.hash:
                return model
        return self._model(release, version_of(name))

    def contributions(self, release: Release, name: str, facts: Facts) -> Callable[[int], dict[str, Any]] | None:
        """Return a function: candidate index -> what each feature added to its score by the model `name`.

        None for the catalogue's priors.
        """
        version = version_of(name)
        return None if version is None else contributions_of(release, self._registry.load(PROPENSITY, version), facts)

    def refresh_release(self) -> None:
        """Load the release that now serves, if it changed; a request in progress keeps the snapshot it began with."""
        if self.ledger.active(self.environment) != self.snapshot.release.hash:
            loaded = self._load_snapshot()
            with self._snapshot_lock:  # reads the pauses again: one may have come while the release was loaded
                self.snapshot = replace(loaded, paused=self.ledger.paused())

    def refresh_paused(self) -> None:
        """Apply pauses and resumptions, without waiting for a release that may be loading at the same time."""
        snapshot, paused = self.snapshot, self.ledger.paused()
        if paused != snapshot.paused:
            self._update_snapshot(snapshot.release, paused=paused)

    def refresh_model(self) -> None:
        """Load champions that were promoted, and apply trials that began or ended."""
        release, lineup = self.snapshot.release, self._registry.lineup(PROPENSITY)
        versions = message_champions(self._registry)
        current = (self.snapshot.model, self.snapshot.models.trial)
        if current != (propensity_name(lineup.champion), lineup.trial):
            self._update_snapshot(release, models=self._models(release, lineup))
        if self.snapshot.scorers.versions != versions:
            self._update_snapshot(release, scorers=MessageScorers.load(self._registry, versions))

    def _update_snapshot(self, release: Release, **parts: Any) -> None:
        """Replace parts of the snapshot in one step, unless its release is no longer the one they were made for."""
        with self._snapshot_lock:
            if self.snapshot.release is release:
                self.snapshot = replace(self.snapshot, **parts)

    def checkpoint(self) -> None:
        """Sign what the ledger has gained since the last checkpoint, if one is due and no other replica does it."""
        self.ledger.checkpoint(self.workspace.checkpoints_file, self.workspace.checkpoints_mirror)

    def compact(self) -> None:
        """Move newly written profile facts into the history files, and purge signals whose retention is over."""
        self.snapshot.profiles.archive.compact()
        self.snapshot.signals.purge(now_us())

    async def answer(self, ask: Ask, audience: Audience = "company") -> bytes:
        """Return the answer to a request as JSON bytes; a live decision is committed first. May raise TooLate."""
        check_time()
        if ask.mode == "preview":
            return await self.pools.long.run(lambda: self.previewed(ask, audience))
        return self._sent(ask, audience, await self.commit(ask))

    def _sent(self, ask: Ask, audience: Audience, answer: dict[str, Any]) -> bytes:
        """Return an answer as it is sent to an audience, with hints about the request if there are any."""
        hinted = hints(self.snapshot.release, ask)
        return canonical({**answer_for(audience, answer), **({"hints": hinted} if hinted else {})})

    def previewed(self, ask: Ask, audience: Audience = "company", release: Release | None = None) -> bytes:
        """Return the answer to a preview as JSON bytes; by `release` instead of the one that it names, if given."""
        return self._sent(ask, audience, self.preview(ask, release).answer)

    def preview(self, ask: Ask, release: Release | None = None) -> Decision:
        """Decide in the same way, and write nothing; by `release` instead of the one that the request names."""
        if release is None:
            release = self.releases.named(ask.release or CURRENT, self.snapshot.release)
        snapshot = self.snapshot_under(release)
        at_us = microseconds(parsed_time(ask.as_of)) if ask.as_of else now_us()
        known = self.known(ask, snapshot, at_us, overrides=ask.overrides)
        return self.decide(ask, known, snapshot, at_us, ask.seed or new_id())

    def snapshot_under(self, release: Release) -> Snapshot:
        """Return what this release decides with now; features that nobody has released yet are unknown of everybody."""
        snapshot = self.snapshot
        if release.hash == snapshot.release.hash:
            return snapshot
        models = self._models(release, self._registry.lineup(PROPENSITY))
        signals = Signals(self.ledger, self._store, release, self._copies)
        profiles = Profiles(self._store, release.schema.without(self.unreleased(release)))
        return replace(snapshot, release=release, profiles=profiles, signals=signals, models=models)

    def unreleased(self, release: Release) -> frozenset[str]:
        """Return the features of the profile that the store does not have, as no release with them has served."""
        return unreleased(self._store.layout, release.schema)

    def decide(
        self, ask: Ask, known: Known, snapshot: Snapshot, at_us: int, decision_id: str, supersedes: str | None = None
    ) -> Decision:
        model, context = self._context(snapshot, at_us, decision_id, supersedes)
        return decide(ask, known, snapshot.release, model.score, context)

    def decide_block(
        self,
        asks: Sequence[Ask],
        every: Sequence[Known],
        snapshot: Snapshot,
        at_us: int,
        ids: Sequence[str] | None = None,
    ) -> list[Decision]:
        """Decide for several customers at once, as `decide` does for each; one that cannot be decided fails all.

        :param ids: the ids of the decisions, from which all draws follow; None: new ones
        """
        contexts = [self._context(snapshot, at_us, name) for name in ids or [new_id() for _ in asks]]
        decisions: dict[int, Decision] = {}
        for model in dict.fromkeys(model for model, _ in contexts):
            own = [n for n, (assigned, _) in enumerate(contexts) if assigned is model]
            cases = [Case(asks[n], every[n], snapshot.release, contexts[n][1]) for n in own]
            decisions.update(zip(own, decide_block(cases, model.scores), strict=True))
        return [decisions[n] for n in range(len(asks))]

    def _context(
        self, snapshot: Snapshot, at_us: int, decision_id: str, supersedes: str | None = None
    ) -> tuple[Model, DecisionContext]:
        assigned = snapshot.models.for_decision(decision_id)
        return assigned.model, DecisionContext(
            assigned_model=assigned.model.name,
            now_us=at_us,
            decision_id=decision_id,
            environment=self.environment,
            paused=snapshot.paused,
            supersedes=supersedes,
            shadow=assigned.shadow,
            trial=assigned.trial,
        )

    async def commit(self, ask: Ask) -> dict[str, Any]:
        """Return the answer to a live request: read, decide, append; start again if another record came first.

        A repeated request gets what was recorded while `decisioning.review.rechecking` says that it holds.

        Raises RequestReused for a request_id that came with another body, Erased for one whose decision was erased with
        its customer, Unavailable after ATTEMPTS conflicts, Unconfirmed if its time is over while it is written.
        """
        return await self.finish(ask, await self._together.make(ask))

    async def finish(self, ask: Ask, made: Made) -> dict[str, Any]:
        """Return what `commit` does, given the first decision; for callers with an event loop of their own."""
        snapshot, decision_id = made.snapshot, made.decision.kept.decision_id
        repeat, supersedes = 0, None
        for attempt in range(ATTEMPTS):
            check_time()
            _, at_us, known, decision = made if not attempt else self._make(ask, snapshot, decision_id, supersedes)
            check_time()
            try:
                release = partial(self._release, known, decision)
                await self.ledger.commit(*self._entries(ask, known, decision, repeat), release)
            except Duplicate as duplicate:
                again = partial(self.repeats.newest, ask, snapshot, at_us, duplicate.record, repeat)
                recorded, repeat, holds = await self.pools.short.run(again)
                if holds:
                    return calls.with_handover(self.ledger, snapshot.release.catalogue, ask, known, recorded["answer"])
                repeat, supersedes = repeat + 1, recorded["decision_id"]
            except Conflict:
                continue
            else:
                self._tell(ask, decision)
                return calls.with_handover(self.ledger, snapshot.release.catalogue, ask, known, decision.answer)
        raise Unavailable("other requests for this customer kept coming first; try again")

    def _tell(self, ask: Ask, decision: Decision) -> None:
        """Count a decision that was committed, and wake what routes people if it called a person."""
        self.metrics.count_decision(decision)
        if decision.kept.handover is not None and ask.conversation_id is not None:
            self.news.ring()
            self.routed.ring()

    def _release(self, known: Known, decision: Decision) -> None:
        """Release the contacts, and what is held, of a decision that was committed after its request was answered 503.

        Nobody was told of it. A repeat of the request finds it released, and decides anew.
        """
        reserved = [(known.person.stream, decision.contacts)]
        if known.account is not None:
            reserved.append((known.account.stream, decision.account_contacts))
        entries = [
            Entry(stream, "contact", {"offer_id": contact["offer_id"], "state": "expired"}, now_us())
            for stream, contacts in reserved
            for contact in contacts
        ]
        entries += concessions.let_go_entries(known, decision)
        if entries:
            self.ledger.submit(entries)

    def _make(self, ask: Ask, snapshot: Snapshot, decision_id: str, supersedes: str | None = None) -> Made:
        at_us = now_us()
        with answering_within(STATEMENT_S):
            known = self.known(ask, snapshot, at_us)
        return Made(snapshot, at_us, known, self.decide(ask, known, snapshot, at_us, decision_id, supersedes))

    def make(self, ask: Ask) -> Made:
        """Return the decision of one request, not committed yet."""
        return self._make(ask, self.snapshot, new_id())

    def make_block(self, asks: Sequence[Ask], *, keep: bool = True) -> list[Made]:
        """Return the decisions of several requests; raises BrainError if one of them cannot be decided.

        :param keep: whether to repair an outdated copy of signals in the online store; not for a preview
        """
        snapshot, at_us = self.snapshot, now_us()
        every = self.customers.read([self.subjects(ask, snapshot) for ask in asks], snapshot, at_us, keep=keep)
        decisions = self.decide_block(asks, every, snapshot, at_us)
        return [Made(snapshot, at_us, *of_one) for of_one in zip(every, decisions, strict=True)]

    def submit_each(self, asks: Sequence[Ask], every: Sequence[Made]) -> Iterator[tuple[int, ...] | BrainError]:
        """Submit the first decisions of several requests to the ledger, and return what becomes of each."""
        decided = zip(asks, every, strict=True)
        return self.ledger.submit_each(self._entries(ask, made.known, made.decision, 0) for ask, made in decided)

    def _entries(self, ask: Ask, known: Known, decision: Decision, repeat: int) -> tuple[list[Entry], dict[str, int]]:
        """Return the entries and guards of a decision.

        :param repeat: how many decisions of this request are recorded already
        """
        decision_id, at_us, person = decision.kept.decision_id, decision.kept.decided_us, known.person
        key, alias = request_key(ask, repeat), (f"decision:{decision_id}",)
        body = PackedBody(decision.to_bytes(), decision.contacts)
        entries = [Entry(person.stream, "decision", body, at_us, person.version, key, alias)]
        entries += calls.entries_of(self.ledger, ask, known, decision)
        entries += concessions.entries_of(ask, known, decision)
        account = known.account
        if account is None:
            return entries, known.linked
        if not decision.account_contacts:
            return entries, {**known.linked, account.stream: account.version}
        of_account = {"decision_id": decision_id, "contacts": decision.account_contacts}
        entries.append(Entry(account.stream, "account_decision", of_account, at_us, account.version))
        return entries, known.linked

    def known(
        self, ask: Ask, snapshot: Snapshot, at_us: int, overrides: Facts | None = None, *, whole: bool = False
    ) -> Known:
        """Read what is known now of the request's subjects, with the facts that the request itself gives.

        A request that names a visitor reads that visitor's own stream, as the device may be shared; for caps and
        suppressions alone it also reads what was shown to the person that the visitor is linked to.
        """
        subjects = self.subjects(ask, snapshot, overrides)
        (known,) = self.customers.read([subjects], snapshot, at_us, keep=ask.mode == "live", whole=whole)
        return known

    def subjects(self, ask: Ask, snapshot: Snapshot, overrides: Facts | None = None) -> Subjects:
        """Return whom a request concerns, with the facts that it gives; raises RequestError as `checked` does."""
        schema = snapshot.release.schema
        context = checked(ask.context, schema, ("context",), "context")
        replaced = checked(overrides, schema, ("profile", "signal", "model", "context", "routing"), "overrides")
        return Subjects(self.streams(ask), {**context, **replaced}, visitor=ask.visitor_id is not None)

    def streams(self, ask: Ask) -> tuple[str, ...]:
        """Return the person's (or visitor's) stream, and the account's if the request names one."""
        person = self.subject_stream(ask.customer_id, ask.visitor_id)
        return (person,) if ask.account_id is None else (person, self.ledger.stream_of("account", ask.account_id))

    def subject_stream(self, customer_id: str | None, visitor_id: str | None = None) -> str:
        """Return the stream of the customer, or of the visitor if no customer is named."""
        if customer_id is not None:
            return self.ledger.stream_of("person", customer_id)
        return self.ledger.stream_of("visitor", visitor_id or "")


def new_id() -> str:
    """Return a new decision id, from which every draw of its decision follows."""
    return f"d-{uuid.uuid4().hex}"


def checked(
    facts: Facts | None, schema: FeatureSchema, sources: tuple[str, ...], where: str
) -> dict[str, Value | None]:
    """Return the facts of a request as their features store them.

    Raises RequestError naming the field, unless each is declared, of one of `sources` and of its feature's type.
    """
    if not facts:
        return {}
    valid: dict[str, Value | None] = {}
    for name, value in facts.items():
        if name not in schema or name in _DERIVED or schema[name].source not in sources:
            raise RequestError(f"{where}.{field_name(name)}", f"no feature of this name may be given in {where}")
        valid[name] = checked_value(f"{where}.{name}", value, schema[name])
    return valid


def parsed_time(text: str) -> datetime:
    """Return the moment of a preview; raises RequestError for what is none."""
    try:
        return parse_decision_time(text)
    except ValueError:
        raise RequestError("as_of", f"{IMPLAUSIBLE}, such as 2026-11-01T08:00:00Z") from None
