"""What an agent is busy with, as the ledger folds the agent's stream."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

PresenceState = Literal["available", "wrap_up", "break", "away", "not_responding", "off"]
"""What is told of an agent. That an agent was offered something, or is busy, follows from what they hold."""
HeldState = Literal["offered", "accepted", "ended"]
_PRESENCE: Final = frozenset(get_args(PresenceState))
_HELD: Final = frozenset(get_args(HeldState))


@dataclass(frozen=True, slots=True)
class HeldHandover:
    """A handover that an agent was offered, or has accepted."""

    handover: str
    channel: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What an agent does now.

    `since_us`: since when they are in this state. `until_us`: when it ends by itself, such as a wrap-up. `held`: by
    id. `upset_in_a_row`: how many of the last customers were upset, without another between them. `idle_since_us`:
    when they last had nothing to do.
    """

    state: PresenceState = "off"
    since_us: int = 0
    until_us: int | None = None
    held: tuple[HeldHandover, ...] = ()
    upset_in_a_row: int = 0
    idle_since_us: int = 0

    def state_at(self, now_us: int) -> PresenceState:
        """Return the state now: one that ends by itself is followed by `available`."""
        return "available" if self.until_us is not None and now_us >= self.until_us else self.state

    def conversations(self) -> dict[str, int]:
        """Return by channel how many conversations take the agent's time; what is offered counts."""
        counts: dict[str, int] = {}
        for one in self.held:
            counts[one.channel] = counts.get(one.channel, 0) + 1
        return counts


def after_presence(work: AgentWork, body: Mapping[str, object], at_us: int) -> AgentWork:
    """Return the work after a record of presence: `state`, and `until_us` or null.

    :raises ValueError, KeyError: it is no such record
    """
    state, until_us = body["state"], body.get("until_us")
    if state not in _PRESENCE or not (until_us is None or isinstance(until_us, int)):
        raise ValueError("no such state of an agent")
    idle_us = at_us if state == "available" and work.state != "available" else work.idle_since_us
    named: PresenceState = state  # type: ignore[assignment]  # one of _PRESENCE
    return replace(work, state=named, since_us=at_us, until_us=until_us, idle_since_us=idle_us)


def after_assignment(work: AgentWork, body: Mapping[str, object], at_us: int) -> AgentWork:
    """Return the work after a record of an assignment: `handover_id`, `channel`, `held`, and `upset` once accepted.

    :raises ValueError, KeyError: it is no such record
    """
    held, name = body["held"], str(body["handover_id"])
    if held not in _HELD:
        raise ValueError("no such state of an assignment")
    others = {one.handover: one for one in work.held if one.handover != name}
    if held == "ended":
        return replace(work, held=tuple(others.values()), idle_since_us=work.idle_since_us if others else at_us)
    others[name] = HeldHandover(name, str(body["channel"]), held == "accepted")
    upset = work.upset_in_a_row
    if held == "accepted":
        upset = upset + 1 if body.get("upset") else 0
    return replace(work, held=tuple(others[key] for key in sorted(others)), upset_in_a_row=upset)
