"""In prod a model makes decisions once a second person approved its files: as champion, and as challenger."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from decisioning.errors import Refused
from decisioning.review.approval import Person
from features.approvals.door import Door
from features.ledger import Ledger
from tests.permits import free_permit, make_champion, model_permit
from tests.training.trial_help import NOW_US, context_of, copy_of, open_ledger
from training.learning.context import LearningContext
from training.learning.promotion import Justification, promote
from training.learning.trials import begin
from training.registry import PROPENSITY, Registry, Trial

ALICE, BOB, SERVICE = (Person("user", (name,)) for name in ("alice", "bob", "brain"))


@pytest.fixture
def context(two_models: Registry, tmp_path: Path) -> Iterable[LearningContext]:
    """What learns in prod, as Alice: two equal models, of which neither serves."""
    with open_ledger(tmp_path) as ledger:
        own = context_of(tmp_path, ledger, copy_of(two_models, tmp_path))
        yield as_(own, ALICE)


def as_(context: LearningContext, by: Person, reason: str = "") -> LearningContext:
    return replace(context, door=Door(context.ledger, "prod", by, reason))


def begin_share(context: LearningContext, version: int, share: float) -> object:
    return begin(context.registry, version, share, NOW_US, partial(context.permit, PROPENSITY))


@pytest.mark.promise("approvals.models")
def test_a_challenger_gets_its_share_once_its_hash_is_approved_and_then_needs_nobody(context: LearningContext) -> None:
    registry, name = context.registry, context.registry.content(PROPENSITY, 2)
    begin_share(context, 2, 0.0)
    with pytest.raises(Refused, match=f"propensity@2 is proposed: in prod .*: brain approve {name}"):
        begin_share(context, 2, 0.5)
    with pytest.raises(Refused, match=f"brain approve {name}"):
        promote(as_(context, SERVICE), NOW_US, version=2)
    assert registry.lineup(PROPENSITY).champion is None
    assert registry.lineup(PROPENSITY).trial.share == 0.0  # type: ignore[union-attr]
    with pytest.raises(Refused, match="alice proposed it"):
        context.door.approve(name)
    as_(context, BOB).door.approve(name)
    begin_share(context, 2, 0.5)
    assert promote(as_(context, SERVICE), NOW_US, version=2)["before"] is None


@pytest.mark.promise("approvals.models")
def test_a_promotion_against_the_verdict_is_approved_by_itself(context: LearningContext) -> None:
    make_champion(context.registry, 1)
    signed, name = Justification("alice", "the campaign begins"), context.registry.content(PROPENSITY, 2)
    with pytest.raises(Refused):
        begin_share(context, 2, 0.5)
    as_(context, BOB).door.approve(name)
    begin_share(context, 2, 0.5)
    with pytest.raises(Refused, match="it removes what its verdict or a guard protects"):
        promote(context, NOW_US, version=2, justification=signed)
    as_(context, BOB).door.approve(name)
    assert promote(context, NOW_US, version=2, justification=signed)["before"] == 1


@pytest.mark.promise("approvals.models")
def test_a_model_that_goes_round_approval_is_a_record(context: LearningContext) -> None:
    promote(as_(context, ALICE, "the site is down"), NOW_US, version=1)
    (step,) = (s for s in context.ledger.served.steps() if s.kind == "went round")
    assert (step.what, step.item, step.reason) == ("model", "propensity@1", "the site is down")


@pytest.mark.promise("approvals.models", "approvals.permits")
def test_the_registry_takes_nothing_but_a_permit_about_just_these_files(two_models: Registry, tmp_path: Path) -> None:
    registry = copy_of(two_models, tmp_path)
    for permit in (None, free_permit("model", "0" * 64), free_permit("release", registry.content(PROPENSITY, 1))):
        with pytest.raises(Refused, match="nobody permitted that"):
            registry.set_alias(PROPENSITY, "champion", 1, permit)
        with pytest.raises(Refused, match="nobody permitted that"):
            registry.set_trial(PROPENSITY, Trial(2, 0.1, 1, "s"), permit)
    make_champion(registry, 1)
    registry.set_trial(PROPENSITY, Trial(2, 0.3, 1, "s"), model_permit(registry, 2))
    registry.set_trial(PROPENSITY, Trial(2, 0.2, 2, "s"))
    with pytest.raises(Refused):
        registry.set_trial(PROPENSITY, Trial(2, 0.4, 3, "s"))
    registry.set_trial(PROPENSITY, None)
    permit = model_permit(registry, 2)
    changed = next(p for p in registry.sealed_directory(PROPENSITY, 2).rglob("*") if p.is_file())
    changed.chmod(0o600)
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(Refused, match="not those that were sealed"):
        registry.set_trial(PROPENSITY, Trial(2, 0.1, 1, "s"), permit)


def test_going_back_from_harm_needs_nobody(context: LearningContext) -> None:
    own = as_(context, SERVICE)
    make_champion(context.registry, 1)
    with pytest.raises(Refused):
        own.permit(PROPENSITY, 2)
    assert own.permit(PROPENSITY, 2, from_harm=True).asked.hash == context.registry.content(PROPENSITY, 2)


def test_dev_asks_for_nothing(two_models: Registry, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "other.db", b"x" * 32) as ledger:
        door = Door(ledger, "dev", ALICE)
        assert door.why_not_model("propensity@1", two_models.content(PROPENSITY, 1)) is None
        assert ledger.served.steps() == []
