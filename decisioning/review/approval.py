"""Who may let what serve: in `prod` a second person approves the very hash. Pure.

`may_activate` is the only place that makes a `Permit`, and nothing serves, is promoted or is un-paused without one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from decisioning.times import SECOND_US, TOLERANCE_US

What = Literal["release", "model", "resume"]
StepKind = Literal["proposed", "approved", "went round", "served before", "paused", "resumed"]
MakerOf = Mapping[str, str]
"""The id of a key or a person -> the id of whoever made it."""

PROD: Final = "prod"
OWN_PAUSE_US: Final = 600 * SECOND_US
"""How long whoever paused an action may undo that alone."""
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class Person:
    """Who does something: an operating-system user, a person who signed in, or a key. `ids`: every name it acts under.

    An operating-system user has the name under which it logged in, and that under which the process runs.
    """

    kind: Literal["user", "person", "key"]
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that is shown."""
        return self.ids[0]


@dataclass(frozen=True, slots=True)
class ApprovalStep:
    """What somebody did about `hash` in an environment, as it is kept. `seq` counts from 1.

    `item` names it for people. `before` is what served when it was done: a release's hash, or empty. `reason` is why
    approval was gone round.
    """

    seq: int
    environment: str
    kind: StepKind
    what: What
    hash: str
    item: str
    before: str
    by: Person
    at_us: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to let serve.

    `guarded`: the environment asks for approval. `removes`: the gates and caps that what serves now has, and it has
    not. `reason`: why approval is gone round, if it is. `from_harm`: going back by itself to what served before.
    """

    environment: str
    what: What
    hash: str
    item: str
    by: Person
    now_us: int
    guarded: bool
    before: str = ""
    removes: tuple[str, ...] = ()
    reason: str = ""
    from_harm: bool = False


@dataclass(frozen=True, slots=True)
class Permit:
    """That `asked` may be done now. Whoever writes what serves asks for one, and checks that it is about that.

    `went_round`: nobody else approved it, which is to be kept as a record.
    """

    asked: Asked
    went_round: bool = False


def may_activate(asked: Asked, steps: Sequence[ApprovalStep], made_by: MakerOf) -> Permit | str:
    """Return the permit, or the reason why there is none.

    :param steps: all steps that are kept, oldest first
    :param made_by: who made which key and which person
    """
    if not asked.guarded or (asked.from_harm and asked.what == "model"):
        return Permit(asked)
    if _is_own_pause(asked, steps) or not (why := _why_not(asked, steps, made_by)):
        return Permit(asked)
    if not asked.reason:
        return why
    if _is_key(asked.by):
        return f"{asked.by.name} is a key, and keys never go round approval"
    return Permit(asked, went_round=True)


def _why_not(asked: Asked, steps: Sequence[ApprovalStep], made_by: MakerOf) -> str | None:
    """Return why nobody's approval lets this serve, or None if one does.

    An approval is of going to a release from what served then. Later the release may come back without another one
    where it removes nothing.
    """
    grounds = _grounds(asked.environment, asked.what, asked.hash, steps, made_by)
    if not grounds:
        return f"in {asked.environment} it needs the approval of a second person"
    if asked.removes and all(step.before != asked.before for step in grounds):
        return f"it removes {_few(asked.removes)}, which needs the approval of a second person"
    return None


def why_not_approver(by: Person, authors: Iterable[Person], made_by: MakerOf) -> str | None:
    """Return why somebody may not approve what these authors propose, or None if they may.

    An author of whom an id is shared, who made the approver, or whom the approver made, is no other person.
    """
    if _is_key(by):
        return "keys propose, and never approve: a person who signed in or an operating-system user does"
    for author in authors:
        if set(by.ids) & set(author.ids):
            return f"{by.name} proposed it: another person approves it"
        if made := set(by.ids) & _makers(author.ids, made_by):
            return f"{min(made)} made {author.name}, which proposed it: another person approves it"
        if made := _principals(author, made_by) & _makers(by.ids, made_by):
            return f"{by.name} was made by {min(made)}, for whom it was proposed: another person approves it"
    return None


def authors_of(asked: Asked | ApprovalStep, steps: Iterable[ApprovalStep]) -> list[Person]:
    """Return who proposed this, in this place: nobody of them approves it.

    Of what was approved before, those count who want it back; of anything else everybody who ever proposed it.
    """
    about = (asked.environment, asked.what, asked.hash)
    own = [s for s in steps if (s.environment, s.what, s.hash) == about]
    again = any(s.kind in ("approved", "served before") and s.before != asked.before for s in own)
    proposed = [s for s in own if s.kind == "proposed"]
    here = [s.by for s in proposed if s.before == asked.before]
    return here if again and here else [s.by for s in proposed]


def open_pauses(environment: str, action: str, steps: Iterable[ApprovalStep]) -> list[ApprovalStep]:
    """Return the pauses of an action that nobody has undone yet, oldest first."""
    pauses: list[ApprovalStep] = []
    for step in steps:
        if (step.environment, step.what, step.item) == (environment, "resume", action):
            pauses = [*pauses, step] if step.kind == "paused" else [] if step.kind == "resumed" else pauses
    return pauses


def _is_own_pause(asked: Asked, steps: Iterable[ApprovalStep]) -> bool:
    """Tell whether nobody else paused the action, ten minutes ago at most; times of a clock ahead prove nothing."""
    pauses = open_pauses(asked.environment, asked.item, steps) if asked.what == "resume" else []
    times = [asked.now_us - step.at_us for step in pauses]
    own = all(set(step.by.ids) == set(asked.by.ids) for step in pauses)
    return bool(pauses) and own and all(-TOLERANCE_US <= ago_us <= OWN_PAUSE_US for ago_us in times)


def was_let_serve(environment: str, release: str, steps: Sequence[ApprovalStep], made_by: MakerOf) -> bool:
    """Tell whether a release was approved in an environment, or approval of it gone round."""
    rounds = (s.kind == "went round" and (s.environment, s.hash) == (environment, release) for s in steps)
    return any(rounds) or bool(_grounds(environment, "release", release, steps, made_by))


def _grounds(
    environment: str, what: What, name: str, steps: Sequence[ApprovalStep], made_by: MakerOf
) -> list[ApprovalStep]:
    """Return the steps that let this serve: approvals of other persons than its authors, and service of earlier."""
    own = [s for s in steps if (s.environment, s.what, s.hash) == (environment, what, name)]
    approved = (s for s in own if s.kind == "approved" and why_not_approver(s.by, authors_of(s, own), made_by) is None)
    return [*approved, *(s for s in own if s.kind == "served before")]


def _makers(ids: Iterable[str], made_by: MakerOf) -> set[str]:
    """Return who made these, who made those, and so on."""
    makers: set[str] = set()
    waiting = list(ids)
    while waiting:
        maker = made_by.get(waiting.pop())
        if maker and maker not in makers:
            makers.add(maker)
            waiting.append(maker)
    return makers


def _principals(author: Person, made_by: MakerOf) -> set[str]:
    """Return for whom an author acts: itself, and whoever made the key that it is."""
    return {*author.ids, *(made_by[i] for i in author.ids if _is_key(author) and i in made_by)}


def _is_key(by: Person) -> bool:
    return by.kind == "key"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
