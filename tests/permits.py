"""What serves in tests of other things: releases, pauses and models, where no approval is asked for."""

from decisioning.review.approval import Asked, Permit, Person, What, may_activate
from features.approvals.door import Door
from features.ledger import Ledger
from training.registry import PROPENSITY, Registry, Trial

TESTER = Person("user", ("test",))


def free_permit(what: What, name: str, environment: str = "dev", by: str = "test") -> Permit:
    """Return the permit that an environment gives to everybody."""
    asked = Asked(environment, what, name, name, Person("user", (by,)), now_us=0, guarded=False)
    permit = may_activate(asked, [], {})
    assert isinstance(permit, Permit)
    return permit


def activate(ledger: Ledger, environment: str, release: str, by: str = "test") -> object:
    """Let an environment serve a release."""
    return ledger.served.activate(free_permit("release", release, environment, by))


def set_paused(ledger: Ledger, action: str, *, paused: bool) -> None:
    """Pause an action in `dev`, or offer it again."""
    if paused:
        ledger.served.pause("dev", action, TESTER)
    else:
        ledger.served.resume(Door(ledger, "dev", TESTER).for_resuming(action))


def model_permit(registry: Registry, version: int, name: str = PROPENSITY) -> Permit:
    """Return the permit that a version makes decisions in `dev`."""
    return free_permit("model", registry.content(name, version))


def make_champion(registry: Registry, version: int, name: str = PROPENSITY) -> None:
    """Let a version serve."""
    registry.set_alias(name, "champion", version, model_permit(registry, version, name))


def put_on_trial(registry: Registry, trial: Trial) -> None:
    """Let a challenger make its share of decisions."""
    registry.set_trial(PROPENSITY, trial, model_permit(registry, trial.version))
