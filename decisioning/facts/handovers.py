"""Handovers to a person: the states of their life, and what a standing holds of those that are open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

HandoverState = Literal[
    "opened", "offered", "accepted", "transferred", "lapsed", "call_back", "ticket", "resolved", "cancelled"
]
"""`opened` and `transferred` wait for an agent, and so does `lapsed`, for longer than was promised; `call_back` waits
for its appointment, `ticket` for its owner's answer."""
ENDED: Final = frozenset[HandoverState](("resolved", "cancelled"))
WITH_AGENT: Final = frozenset[HandoverState](("offered", "accepted"))
"""States in which an agent's time is taken: it was offered to them, or they have it."""
WAITS: Final = frozenset[HandoverState](("opened", "transferred"))
"""States in which somebody waits for any agent who may help."""
FOLLOWS: Final[Mapping[HandoverState, frozenset[HandoverState]]] = {
    "opened": frozenset(("offered", "accepted", "lapsed", "call_back", "ticket", "resolved", "cancelled")),
    "offered": frozenset(
        ("opened", "transferred", "accepted", "lapsed", "call_back", "ticket", "resolved", "cancelled")
    ),
    "accepted": frozenset(("opened", "transferred", "call_back", "ticket", "resolved", "cancelled")),
    "transferred": frozenset(("offered", "accepted", "lapsed", "call_back", "ticket", "resolved", "cancelled")),
    "lapsed": frozenset(("offered", "accepted", "lapsed", "call_back", "ticket", "resolved", "cancelled")),
    "call_back": frozenset(("offered", "accepted", "call_back", "ticket", "resolved", "cancelled")),
    "ticket": frozenset(("offered", "accepted", "call_back", "ticket", "resolved", "cancelled")),
    "resolved": frozenset(),
    "cancelled": frozenset(),
}
"""State -> the states that may follow it."""


@dataclass(frozen=True, slots=True)
class OpenHandover:
    """A handover that has not ended.

    `step`: the number of its last record, from 0. `agent`: who was offered it or has it. `transfers`: how often it was
    given on to somebody else. `lapses`: how often the promised time was over since somebody had it, or since the
    customer chose to wait.
    """

    id: str
    conversation: str
    state: HandoverState
    step: int
    agent: str | None = None
    transfers: int = 0
    lapses: int = 0

    @property
    def waits(self) -> bool:
        """Whether it waits for any agent who may help."""
        return self.state in WAITS


def after(open_ones: tuple[OpenHandover, ...], body: Mapping[str, object]) -> tuple[OpenHandover, ...]:
    """Return the open handovers after one more record, by id.

    :raises ValueError: the record does not follow from them
    """
    by_id = {handover.id: handover for handover in open_ones}
    handover = _next(by_id.pop(str(body["handover_id"]), None), body)
    if handover.state not in ENDED:
        by_id[handover.id] = handover
    return tuple(by_id[name] for name in sorted(by_id))


def _next(before: OpenHandover | None, body: Mapping[str, object]) -> OpenHandover:
    state, step, conversation = body["state"], body["step"], str(body["conversation_id"])
    agent = None if body.get("agent") is None else str(body["agent"])
    if not (isinstance(step, int) and isinstance(state, str) and state in FOLLOWS):
        raise ValueError("a handover has a state and a step")
    name: HandoverState = state  # type: ignore[assignment]  # one of FOLLOWS
    if before is None:
        if step or name != "opened":
            raise ValueError("a handover begins when it is opened")
        return OpenHandover(str(body["handover_id"]), conversation, name, 0, agent)
    if step != before.step + 1 or name not in FOLLOWS[before.state]:
        raise ValueError("this does not follow from the state of the handover")
    transfers = before.transfers + (name == "transferred" and before.state == "accepted")
    return OpenHandover(before.id, conversation, name, step, agent, transfers, _lapses(before, name, body))


def _lapses(before: OpenHandover, state: HandoverState, body: Mapping[str, object]) -> int:
    if state == "accepted" or body.get("choice") is not None:
        return 0
    return before.lapses + (state == "lapsed")
