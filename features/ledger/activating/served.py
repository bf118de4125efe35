"""Which release serves an environment, what is paused, and the steps that led there, which are only appended to.

What lets something serve takes a `Permit` of `decisioning.review.approval`, and does nothing else than it permits.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Row, insert, select

from decisioning.errors import NotFound, Refused
from decisioning.hashes import content_id
from decisioning.review.approval import PROD, ApprovalStep, Asked, Permit, Person, StepKind, What, open_pauses
from features.ledger.database import Database, upsert
from features.ledger.records import Activation
from features.ledger.tables import ACTIVATIONS, APPROVALS, PAUSES, RELEASES

_T = TypeVar("_T")
_STEPS = select(APPROVALS).order_by(APPROVALS.c.seq)
_CHANGED = "something else came first: look at what serves now with `brain releases`, and run it again"


class Served:
    """What serves, as one ledger keeps it.

    :param run: runs a function in a write transaction, and returns its result once that is committed
    :param clock: returns the time now, in int microseconds since 1970 UTC
    """

    def __init__(
        self, database: Database, run: Callable[[Callable[[Connection], Any]], Any], clock: Callable[[], int]
    ) -> None:
        self._database, self._run, self._clock = database, run, clock

    def activate(self, permit: Permit) -> Activation:
        """Make an environment serve the release that is permitted from now on.

        :raises NotFound: the release is not stored
        :raises Refused: the permit is about something else, or another release came first
        """
        asked, at_us = _about(permit, "release"), self._clock()
        values = {"environment": asked.environment, "release": asked.hash, "at_us": at_us, "by": asked.by.name}
        adding = insert(ACTIVATIONS).values(values).returning(ACTIVATIONS.c.seq)

        def put(connection: Connection) -> int:
            if connection.execute(select(RELEASES.c.hash).where(RELEASES.c.hash == asked.hash)).first() is None:
                raise NotFound("release", "no release with this hash is kept here")
            newest = connection.execute(_newest(asked.environment)).scalar()
            if asked.guarded and (newest or "") != asked.before:
                raise Refused(_CHANGED)
            return int(connection.execute(adding).scalar_one())

        seq: int = self._run(put)
        return Activation(seq, asked.environment, asked.hash, at_us, asked.by.name)

    def active(self, environment: str) -> str | None:
        """Return the release that `environment` serves, or None."""
        rows = self._database.fetch(_newest(environment))
        return str(rows[0].release) if rows else None

    def activations(self, environment: str) -> tuple[Activation, ...]:
        """Return the activations of `environment`, oldest first."""
        statement = select(ACTIVATIONS).where(ACTIVATIONS.c.environment == environment).order_by(ACTIVATIONS.c.seq)
        rows = self._database.fetch(statement)
        return tuple(Activation(row.seq, row.environment, row.release, row.at_us, row.by) for row in rows)

    def is_guarded(self, environment: str) -> bool:
        """Tell whether approval is asked for: in `prod`, and wherever the ledger has served `prod`, whose customers
        it holds whatever `brain.yaml` says by now."""
        return environment == PROD or self.active(PROD) is not None

    def pause(self, environment: str, action: str, by: Person) -> None:
        """Stop offering an action, without a new release; keep who did."""

        def put(connection: Connection) -> None:
            self._add(connection, self._done("paused", environment, action, by))
            self._set_paused(connection, action, paused=True)

        self._run(put)

    def resume(self, permit: Permit) -> None:
        """Offer a paused action again.

        :raises Refused: the permit is about something else, or the action was paused once more meanwhile
        """
        asked = _about(permit, "resume")

        def put(connection: Connection) -> None:
            steps = [_step(row) for row in connection.execute(_STEPS)]
            if asked.guarded and asked.hash != hash_of_pauses(asked.environment, asked.item, steps):
                raise Refused(_CHANGED)
            self._add(connection, self._done("resumed", asked.environment, asked.item, asked.by))
            self._set_paused(connection, asked.item, paused=False)

        self._run(put)

    def paused(self) -> frozenset[str]:
        """Return the actions that are paused now."""
        return frozenset(row.action for row in self._database.fetch(select(PAUSES.c.action).where(PAUSES.c.paused)))

    def steps(self) -> list[ApprovalStep]:
        """Return who proposed, approved, paused and resumed what, and who went round approval, oldest first."""
        return [_step(row) for row in self._database.fetch(_STEPS)]

    def add_steps(self, new: Callable[[Sequence[ApprovalStep]], Iterable[ApprovalStep]]) -> list[ApprovalStep]:
        """Append the steps that `new` returns of those that are there, and return them; nobody comes between.

        Their `seq` does not count.
        """

        def put(connection: Connection) -> list[ApprovalStep]:
            added = list(new([_step(row) for row in connection.execute(_STEPS)]))
            for step in added:
                self._add(connection, step)
            return added

        steps: list[ApprovalStep] = self._run(put)
        return steps

    def _done(self, kind: StepKind, environment: str, action: str, by: Person) -> ApprovalStep:
        return ApprovalStep(
            seq=0,
            environment=environment,
            kind=kind,
            what="resume",
            hash="",
            item=action,
            before="",
            by=by,
            at_us=self._clock(),
        )

    def _add(self, connection: Connection, step: ApprovalStep) -> None:
        by = to_json({"kind": step.by.kind, "ids": step.by.ids}).decode()
        names = ("environment", "kind", "what", "hash", "item", "before", "at_us", "reason")
        connection.execute(insert(APPROVALS).values({name: getattr(step, name) for name in names} | {"by": by}))

    def _set_paused(self, connection: Connection, action: str, *, paused: bool) -> None:
        upsert(connection, PAUSES, {"action": action}, {"paused": paused, "at_us": self._clock()})


def hash_of_pauses(environment: str, action: str, steps: Iterable[ApprovalStep]) -> str:
    """Return what is approved when an action is offered again: the hash of just these pauses of it."""
    pauses = [step.seq for step in open_pauses(environment, action, steps)]
    return content_id([to_json(["resume", environment, action, pauses])])


def _newest(environment: str) -> Any:
    of_it = select(ACTIVATIONS.c.release).where(ACTIVATIONS.c.environment == environment)
    return of_it.order_by(ACTIVATIONS.c.seq.desc()).limit(1)


def _about(permit: Permit, what: What) -> Asked:
    if permit.asked.what != what:
        raise Refused(f"this permit is about a {permit.asked.what}")
    return permit.asked


def _step(row: Row[Any]) -> ApprovalStep:
    by = from_json(row.by)
    values = row._asdict() | {"by": Person(by["kind"], tuple(by["ids"]))}
    return ApprovalStep(**values)
