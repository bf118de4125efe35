"""What is checked of a recorded decision before it is given again. The one place that says so.

A decision is given again to a request that repeats its request_id (over HTTP, in `brain batch --batch-id`, and when a
moment is decided twice), and whenever it is delivered: by a webhook, at every attempt, and to a screen, at every replay
of the stream. Each time it is checked against what is known then, under the release that serves then.

An offer still stands if all of this holds:

- it was not decided for a visitor who was unlinked since;
- its `expires_at` has not come, so the reservation of its contact lives, and nobody reported that it was not delivered;
- its treatment exists, in its placement, and passes every gate: erasure and restriction, dates, pauses, permissions (a
  `notice_version` that changed takes them away), protections, policies, quiet hours, suppression, caps, holdout;
- the caps leave room for it beside the other offers of the decision, whose own contacts are not counted twice;
- if it was chosen with profiling, profiling is permitted;
- if it was chosen by what was collected for a purpose, that purpose is permitted;
- the emotion layer does not silence it, if it sells or lends.

A repeat gets the recorded answer if every offer still stands, and every permission that the decision cites still holds.
Otherwise it is decided anew, and names what it supersedes. Of several such decisions only the newest is given again.
Before that, the request must have the same body (else 409), and a request of an erased customer has one answer for good
(410): its decision is gone, and nothing is decided or written.

A delivery leaves with the offers that still stand, and with its call for a person. If neither is left, it does not
leave. A call for a person that the customer asked for holds until they are erased. One that rests on an emotion holds
as long as the purpose `emotion` is permitted, and one that rests on anything else of a restricted customer does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decisioning.catalogue.actions import EMOTION, PROFILING
from decisioning.catalogue.release import Release
from decisioning.deciding import ethics
from decisioning.deciding.case import Case, undrawn_case
from decisioning.deciding.consent import Permission
from decisioning.deciding.screening import Screened, screen
from decisioning.errors import RequestError
from decisioning.facts.forms import Known, recorded_ask
from decisioning.facts.standing import Contact, Standing

GONE = "release:gone"
"""The gate of an offer whose channel, placement or treatment the release does not have."""
UNLINKED = "subject:unlinked"
"""The gate of what was decided for a visitor before it was unlinked from a person."""
EXPIRED, RELEASED, SILENCED, NO_ROOM = "offer:expired", "offer:released", "emotion:silenced", "offer:no-room"


@dataclass(frozen=True)
class Recheck:
    """What still holds of a recorded decision.

    `stopped`: offer id -> the gate that stops it now. `lapsed`: purposes that the decision cites and that are no longer
    permitted. `call_holds`: whether its call for a person holds, if it has one.
    """

    stopped: Mapping[str, str]
    lapsed: tuple[str, ...] = ()
    call_holds: bool = True

    @property
    def may_be_repeated(self) -> bool:
        """Whether a repeat of the request gets the recorded answer."""
        return self.call_holds and not (self.stopped or self.lapsed)


def recheck(
    record: Mapping[str, Any], known: Known, release: Release, now_us: int, paused: frozenset[str] = frozenset()
) -> Recheck:
    """Return what still holds of a recorded decision.

    :param known: of its request's subjects now, with all contacts and outcomes; see `Ledger.read` without rules
    :param release: the one that serves now
    """
    ask = recorded_ask(record["request"])
    before = {contact["offer_id"]: contact for contact in record["contacts"]}
    case = undrawn_case(ask, _without(known, frozenset(before)), release, now_us, paused)
    try:
        facts = case.facts()
        screened = screen(case, facts)
    except RequestError:
        return Recheck(dict.fromkeys(before, GONE))
    allowed = screened.permissions
    lapsed = tuple(p for p in record["permissions"] if p not in allowed or not allowed[p].allowed)
    mood = ethics.mood(release, facts, case.history, allowed, ask.moment)
    own = {c.offer_id: c for c in known.person.contacts if c.offer_id in before}
    read = frozenset[str]().union(*(release.purposes_of.get(name, ()) for name in record["facts"]))
    used = (*(p for p in lapsed if p == PROFILING), *sorted(case.refused & read))
    offers = _Offers(case, screened, own, used, mood.silence_sales)
    return Recheck(dict(offers.stopped(record["answer"]["placements"])), lapsed, _call_holds(record, case, allowed))


def _call_holds(record: Mapping[str, Any], case: Case, allowed: Mapping[str, Permission]) -> bool:
    """Tell whether the decision's call for a person holds: what it read then may still be read, and calls for one."""
    release, facts = case.release, record["facts"]
    emotion = allowed.get(EMOTION)
    hidden = not case.unreadable.isdisjoint(facts)
    may_not_hold = case.known.person.restricted or hidden or (emotion and not emotion.allowed)
    if record["answer"]["handover"] is None or not may_not_hold:
        return True
    facts = ethics.without(facts, case.unreadable) if hidden else facts
    if case.known.person.restricted:
        facts = {name: value for name, value in facts.items() if name in release.request_features}
    return ethics.mood(release, facts, case.history, allowed).handover is not None


def _without(known: Known, offer_ids: frozenset[str]) -> Known:
    """Return what is known without the contacts of these offers, and what they give away."""
    return replace(
        known,
        person=_standing_without(known.person, offer_ids),
        account=known.account and _standing_without(known.account, offer_ids),
    )


def _standing_without(standing: Standing, offer_ids: frozenset[str]) -> Standing:
    contacts = tuple(c for c in standing.contacts if c.offer_id not in offer_ids)
    concessions = tuple(c for c in standing.concessions if c.offer_id not in offer_ids)
    return replace(standing, contacts=contacts, concessions=concessions)


@dataclass(frozen=True)
class _Offers:
    """The offers of a decision, looked at again; `own`: their contacts as they are now.

    `used`: purposes that are not permitted any more, and by which the offers were chosen.
    """

    case: Case
    screened: Screened
    own: Mapping[str, Contact]
    used: Sequence[str]
    silence_sales: bool

    def stopped(self, placements: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """Yield (offer id, gate) of each offer that no longer stands. Those that stand take room from the next."""
        limits = self.screened.limits
        for placement in placements:
            for offer in placement["offers"]:
                at = self._column(offer["treatment"], placement["name"])
                gate = GONE if at is None else self._gate(offer["offer_id"], at)
                if at is not None and gate is None and not limits.room[at]:
                    gate = NO_ROOM
                if gate is not None:
                    yield offer["offer_id"], gate
                elif at is not None:
                    limits = limits.without(at)

    def _column(self, treatment: str, placement: str) -> int | None:
        """Return the offer's column of the view; None if its placement does not show it any more."""
        view = self.screened.view
        at = view.ids.index(treatment) if treatment in view.ids else None
        return at if at is not None and view.placements[placement].mask[at] else None

    def _gate(self, offer_id: str, at: int) -> str | None:
        contact = self.own.get(offer_id)
        if contact is None or self.case.now_us >= contact.reserved_until_us:
            return EXPIRED
        if not contact.counts_at(self.case.now_us):
            return RELEASED
        if not self.screened.permitted[at]:
            return next(stop.gate for stop in self.screened.stops if stop.candidates >> at & 1)
        if self.used:
            return f"consent:{self.used[0]}"
        return SILENCED if self.silence_sales and self.screened.view.sells_or_lends[at] else None
