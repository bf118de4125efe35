"""What an agent is busy with, as the ledger folds the agent's stream."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

PresenceState = Literal["available", "wrap_up", "break", "away", "not_responding", "off"]
"""What is told of an agent. That an agent was offered something, or is busy, follows from what they hold."""
HeldState = Literal["offered", "accepted", "ended"]
KEPT_US: Final = 600_000_000
"""How long it is remembered that a conversation ended, so that an older word about it changes nothing."""
_PRESENCE: Final = frozenset(get_args(PresenceState))
_HELD: Final = frozenset(get_args(HeldState))


@dataclass(frozen=True, slots=True)
class HeldHandover:
    """A handover that an agent was offered, or has accepted."""

    handover: str
    channel: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class OtherConversation:
    """A conversation of a telephone system's own queue, by a keyed hash of its id; `at_us`: of the last word on it."""

    key: str
    channel: str
    at_us: int
    ended: bool


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What an agent does now.

    `since_us`: since when they are in this state. `until_us`: when it ends by itself, such as a wrap-up. `held`: by
    id. `upset_in_a_row`: how many of the last customers were upset, without another between them. `idle_since_us`:
    when they last had nothing to do. `elsewhere`: conversations that this product did not hand to them;
    `whole_us`: when all of those were listed last.
    """

    state: PresenceState = "off"
    since_us: int = 0
    until_us: int | None = None
    held: tuple[HeldHandover, ...] = ()
    upset_in_a_row: int = 0
    idle_since_us: int = 0
    elsewhere: tuple[OtherConversation, ...] = ()
    whole_us: int = 0

    def state_at(self, now_us: int) -> PresenceState:
        """Return the state now: one that ends by itself is followed by `available`."""
        return "available" if self.until_us is not None and now_us >= self.until_us else self.state

    def shown_at(self, now_us: int) -> PresenceState | Literal["offered", "busy"]:
        """Return the state now as people see it: what an available agent holds counts."""
        state = self.state_at(now_us)
        if state != "available" or not self.conversations():
            return state
        return "busy" if any(one.accepted for one in self.held) or len(self.held) == 0 else "offered"

    def conversations(self) -> dict[str, int]:
        """Return by channel how many conversations take the agent's time; what is offered counts."""
        counts: dict[str, int] = {}
        for channel in (*(h.channel for h in self.held), *(o.channel for o in self.elsewhere if not o.ended)):
            counts[channel] = counts.get(channel, 0) + 1
        return counts


def after_presence(work: AgentWork, body: Mapping[str, object], at_us: int) -> AgentWork:
    """Return the work after a record of presence: `state`, and `until_us` or null; or conversations held elsewhere.

    A word that is older than the last one about the same changes nothing, so that words may come in any order.

    :raises ValueError, KeyError: it is no such record
    """
    if "elsewhere" in body:
        return _after_elsewhere(work, body, at_us)
    state, until_us = body["state"], body.get("until_us")
    if state not in _PRESENCE or not (until_us is None or isinstance(until_us, int)):
        raise ValueError("no such state of an agent")
    if at_us < work.since_us:
        return work
    idle_us = at_us if state == "available" and work.state != "available" else work.idle_since_us
    named: PresenceState = state  # type: ignore[assignment]  # one of _PRESENCE
    return replace(work, state=named, since_us=at_us, until_us=until_us, idle_since_us=idle_us)


def _after_elsewhere(work: AgentWork, body: Mapping[str, object], at_us: int) -> AgentWork:
    """Return the work after a word about conversations: [key, channel, ended] each; `whole`: they are all that is held.

    Of two words about the same conversation the later counts, and its end if they are of the same time.
    """
    rows = body["elsewhere"]
    if not isinstance(rows, list):
        raise TypeError("conversations are a list")
    said = {str(key): OtherConversation(str(key), str(channel), at_us, bool(ended)) for key, channel, ended in rows}
    if at_us < work.whole_us:  # the list names all that was held later
        return work
    before = {one.key: one for one in work.elsewhere}
    if body.get("whole"):
        gone = (one for one in work.elsewhere if one.key not in said and not one.ended)
        said |= {one.key: replace(one, at_us=at_us, ended=True) for one in gone if one.at_us <= at_us}
    latest = {**before, **{key: max(one, before.get(key, one), key=_word_order) for key, one in said.items()}}
    newest_us = max((one.at_us for one in latest.values()), default=at_us)
    kept = (one for key, one in sorted(latest.items()) if not one.ended or one.at_us > newest_us - KEPT_US)
    whole_us = max(work.whole_us, at_us) if body.get("whole") else work.whole_us
    after = replace(work, elsewhere=tuple(kept), whole_us=whole_us)
    if work.conversations() and not after.conversations():
        after = replace(after, idle_since_us=max(work.idle_since_us, at_us))
    new = any(not one.ended and one.key not in before for one in said.values())
    if not new or body.get("whole"):
        return after
    return replace(after, upset_in_a_row=work.upset_in_a_row + 1 if body.get("upset") else 0)


def _word_order(one: OtherConversation) -> tuple[int, bool]:
    return one.at_us, one.ended


def after_assignment(work: AgentWork, body: Mapping[str, object], at_us: int) -> AgentWork:
    """Return the work after a record of an assignment: `handover_id`, `channel`, `held`, and `upset` once accepted.

    :raises ValueError, KeyError: it is no such record
    """
    held, name = body["held"], str(body["handover_id"])
    if held not in _HELD:
        raise ValueError("no such state of an assignment")
    others = {one.handover: one for one in work.held if one.handover != name}
    if held == "ended":
        after = replace(work, held=tuple(others.values()))
        became_idle = len(others) < len(work.held) and not after.conversations()
        return replace(after, idle_since_us=at_us) if became_idle else after
    others[name] = HeldHandover(name, str(body["channel"]), held == "accepted")
    upset = work.upset_in_a_row
    if held == "accepted":
        upset = upset + 1 if body.get("upset") else 0
    return replace(work, held=tuple(others[key] for key in sorted(others)), upset_in_a_row=upset)
