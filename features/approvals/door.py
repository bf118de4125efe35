"""The one door to what serves: it asks for approval where an environment needs it, and keeps who asked for what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from decisioning.errors import NotFound, Refused
from decisioning.review.approval import (
    PROD,
    ApprovalStep,
    Asked,
    MakerOf,
    Permit,
    Person,
    StepKind,
    What,
    authors_of,
    may_activate,
    was_let_serve,
    why_not_approver,
)
from decisioning.times import iso
from features.approvals.makers import read_makers
from features.ledger import Ledger
from features.ledger.activating.served import hash_of_pauses

_DESPITE_VERDICT = "against its verdict"
"""What is kept in `before` of an approval of a model that its verdict or a guard speaks against."""


@dataclass(frozen=True)
class Door:
    """Lets `by` change what serves in an environment, once that is approved. `reason`: why approval is gone round."""

    ledger: Ledger
    environment: str
    by: Person
    reason: str = ""

    @property
    def is_guarded(self) -> bool:
        """Whether approval is asked for here."""
        return self.ledger.served.is_guarded(self.environment)

    def for_release(self, name: str, removes: Sequence[str] = (), authors: Sequence[Person] = ()) -> Permit:
        """Return the permit to serve a release that is stored; raises Refused with what to do if it is not approved.

        :param removes: the gates and caps of what serves now that it does not have
        :param authors: who made it in another workspace; they are kept, as they may not approve it
        """
        asked = self._asked("release", name, "the release")
        if asked.guarded:
            before = self.ledger.active(self.environment) or ""
            asked = replace(asked, before=before, removes=tuple(removes))
        if authors or not asked.guarded:
            self._keep_authors(asked, authors)
        return self._permit(asked)

    def why_not_release(self, name: str, removes: Sequence[str]) -> str | None:
        """Return why a release may not serve yet, and what to do, or None if it may; it is proposed."""
        try:
            replace(self, reason="").for_release(name, removes)
        except Refused as refused:
            return str(refused)
        return None

    def for_model(self, model: str, content: str, *, against_verdict: bool = False, from_harm: bool = False) -> Permit:
        """Return the permit to let a model make decisions; raises Refused as `for_release`.

        :param model: its name and version
        :param content: the hash of its files
        :param against_verdict: its verdict or a guard speaks against it, which is approved by itself
        :param from_harm: a guard goes back to what served before, which needs nobody
        """
        asked = replace(self._asked("model", content, model), from_harm=from_harm)
        if against_verdict and asked.guarded:
            asked = replace(asked, before=_DESPITE_VERDICT, removes=("what its verdict or a guard protects",))
        return self._permit(asked)

    def why_not_model(self, model: str, content: str) -> str | None:
        """Return why a model may not make decisions yet, and what to do, or None if it may; it is proposed if not."""
        try:
            replace(self, reason="").for_model(model, content)
        except Refused as refused:
            return str(refused)
        return None

    def for_resuming(self, action: str) -> Permit:
        """Return the permit to offer a paused action again; raises Refused as `for_release`."""
        name = hash_of_pauses(self.environment, action, self.ledger.served.steps())
        return self._permit(self._asked("resume", name, action))

    def _asked(self, what: What, name: str, item: str) -> Asked:
        now_us, guarded = self.ledger.clock(), self.is_guarded
        return Asked(self.environment, what, name, item, self.by, now_us=now_us, guarded=guarded, reason=self.reason)

    def _permit(self, asked: Asked) -> Permit:
        answer = may_activate(asked, self.ledger.served.steps(), read_makers(self.ledger))
        if isinstance(answer, Permit):
            if answer.went_round:
                self.ledger.served.add_steps(lambda _: [_step("went round", asked)])
            return answer
        if asked.reason:
            raise Refused(answer)
        self._keep_authors(asked, ())
        raise Refused(f"{asked.item} is proposed: {answer}; after that, run this again: brain approve {asked.hash}")

    def approve(self, name: str) -> ApprovalStep:
        """Keep that `by` approves what has this hash, going there from what serves now; again changes nothing.

        :raises NotFound: nobody proposed it here
        :raises Refused: no approval is asked for here, or `by` may not approve it
        """
        if not self.is_guarded:
            raise Refused(f"{self.environment} asks for no approval: `brain release` serves at once")
        makers, serving = read_makers(self.ledger), self.ledger.active(self.environment) or ""
        approved: list[ApprovalStep] = []

        def new(steps: Sequence[ApprovalStep]) -> list[ApprovalStep]:
            approved[:] = [self._approval(name, serving, steps, makers)]
            return [] if any(_is_same(approved[0], step) for step in steps) else approved

        self.ledger.served.add_steps(new)
        return approved[0]

    def _approval(self, name: str, serving: str, steps: Sequence[ApprovalStep], makers: MakerOf) -> ApprovalStep:
        of_name = [s for s in steps if (s.kind, s.environment, s.hash) == ("proposed", self.environment, name)]
        if not of_name:
            raise NotFound("hash", f"nothing with this hash is proposed in {self.environment}: see `brain releases`")
        proposed = of_name[-1]
        before = serving if proposed.what == "release" else proposed.before
        step = replace(proposed, kind="approved", before=before, by=self.by, at_us=self.ledger.clock())
        if why := why_not_approver(self.by, authors_of(step, steps), makers):
            raise Refused(why)
        return step

    def _keep_authors(self, asked: Asked, authors: Sequence[Person]) -> None:
        """Keep who made this: `authors`, or if nobody is known, whoever asks for it first."""

        def new(steps: Sequence[ApprovalStep]) -> list[ApprovalStep]:
            about = (asked.environment, asked.what, asked.hash, asked.before)
            proposals = (s for s in steps if s.kind == "proposed")
            known = [s.by for s in proposals if (s.environment, s.what, s.hash, s.before) == about]
            wanted = authors or (() if known else (asked.by,))
            return [replace(_step("proposed", asked), by=person) for person in wanted if person not in known]

        self.ledger.served.add_steps(new)


def is_let_serve(ledger: Ledger, environment: str, release: str) -> bool:
    """Tell whether a release was approved in an environment, or approval of it gone round."""
    return was_let_serve(environment, release, ledger.served.steps(), read_makers(ledger))


def unapproved(ledger: Ledger) -> Iterator[str]:
    """Yield a line for each release that serves, or served, `prod` without the approval that it needed."""
    for name in dict.fromkeys(a.release for a in ledger.activations(PROD)):
        if not is_let_serve(ledger, PROD, name):
            yield f"releases: {name} served in {PROD}, and nobody approved it or said why not"


def gone_round(ledger: Ledger, environment: str) -> list[dict[str, str]]:
    """Return each time that approval was gone round in an environment, the newest first: what, who, when and why."""
    steps = [s for s in ledger.served.steps() if s.kind == "went round" and s.environment == environment]
    return [{**shown(step), "reason": step.reason} for step in reversed(steps)]


def waiting(ledger: Ledger, environment: str) -> list[dict[str, str]]:
    """Return what is proposed in an environment, and nobody approved or let serve since then, the oldest first."""
    steps = [s for s in ledger.served.steps() if s.environment == environment]
    settled = {(s.what, s.hash): s.seq for s in steps if s.kind in ("approved", "went round")}
    serving = ledger.active(environment)
    proposed = (s for s in steps if s.kind == "proposed" and s.seq > settled.get((s.what, s.hash), 0))
    pauses = {s.item: hash_of_pauses(environment, s.item, steps) for s in steps if s.what == "resume"}
    return [shown(s) for s in proposed if s.hash != serving and (s.what != "resume" or s.hash == pauses[s.item])]


def grounds_of(release: str, environment: str, steps: Sequence[ApprovalStep]) -> dict[str, str]:
    """Return who approved a release, and why approval of it was gone round; nothing for what did not happen."""
    own = [s for s in steps if (s.environment, s.hash) == (environment, release)]
    approvers = ", ".join(dict.fromkeys(s.by.name for s in own if s.kind == "approved"))
    reasons = "; ".join(dict.fromkeys(s.reason for s in own if s.kind == "went round"))
    return {
        **({"approved_by": approvers} if approvers else {}),
        **({"without_approval": reasons} if reasons else {}),
    }


def shown(step: ApprovalStep) -> dict[str, str]:
    """Return what people see of a step."""
    return {"what": step.what, "item": step.item, "hash": step.hash, "by": step.by.name, "at": iso(step.at_us)}


def _step(kind: StepKind, asked: Asked) -> ApprovalStep:
    return ApprovalStep(
        seq=0,
        environment=asked.environment,
        kind=kind,
        what=asked.what,
        hash=asked.hash,
        item=asked.item,
        before=asked.before,
        by=asked.by,
        at_us=asked.now_us,
        reason=asked.reason,
    )


def _is_same(one: ApprovalStep, other: ApprovalStep) -> bool:
    """Tell whether two steps are the same but for when they were done."""
    return replace(one, seq=0, at_us=0) == replace(other, seq=0, at_us=0)
