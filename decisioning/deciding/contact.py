"""How often and when: caps, quiet hours and suppression, over the standings of a person and of their account."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action, QuietHours
from decisioning.catalogue.release import CompiledCap, Mask, View, cap_bucket
from decisioning.deciding.arbitration import Limits
from decisioning.deciding.case import standing_for
from decisioning.facts.forms import Known
from decisioning.facts.standing import Contact, Standing
from decisioning.times import days_us


def suppressed(view: View, known: Known, now_us: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (outcome, candidates) for every outcome that suppresses candidates now; only actions with a past count."""
    happened = {*known.person.outcomes, *(known.account.outcomes if known.account else ())}
    for name in sorted(happened & view.rows_by_action.keys()):
        members = view.rows_by_action[name]
        if after := _suppressed_by(view.actions[members[0]], known, now_us):
            yield after, members


def _suppressed_by(action: Action, known: Known, now_us: int) -> str | None:
    history = standing_for(action, known)
    for rule in action.suppress:
        since_us = 0 if rule.days is None else now_us - days_us(rule.days)
        if history.history(action.id, rule.after, since_us):
            return rule.after
    return None


def limits(view: View, known: Known, now_us: int, max_per_group: int) -> tuple[Limits, list[tuple[str, Mask]]]:
    """Return what a slate may take, and (gate, members) of the caps that leave some candidates (k,) no room at all.

    A slate takes every action once, `max_per_group` of each group, and what is left under each cap: the person's for
    all candidates, and the account's as well for those of account scope.
    """
    buckets, remaining = [view.action, view.group], [_per(view.action, 1), _per(view.group, max_per_group)]
    full: list[tuple[str, Mask]] = []
    for cap in view.caps:
        for standing, bucket in _counted_for(cap, view, known):
            left = _room(cap, standing, now_us)
            buckets.append(bucket)
            remaining.append(left)
            if (left <= 0).any():
                full.append((f"cap:{cap.cap.id}", (bucket >= 0) & (left[bucket] <= 0)))
    return Limits(np.vstack(buckets), tuple(remaining)), full


def _counted_for(cap: CompiledCap, view: View, known: Known) -> Iterator[tuple[Standing, NDArray[np.int64]]]:
    yield known.person, cap.bucket
    if known.account is not None:
        yield known.account, np.where(view.of_account, cap.bucket, -1)


def quiet(hours: QuietHours | None, zone: str | None, now_us: int) -> bool | None:
    """Tell whether it is quiet time where the customer is; None if the zone is unknown."""
    if hours is None:
        return False
    if zone is None:
        return None
    try:
        local = datetime.fromtimestamp(now_us / 1_000_000, UTC).astimezone(ZoneInfo(zone)).time()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return _within(hours.from_, hours.to, local)


def _within(start: time, end: time, at: time) -> bool:
    return start <= at < end if start <= end else at >= start or at < end


def _per(index: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    return np.full(int(index.max(initial=-1)) + 1, room, dtype=np.int64)


def _room(cap: CompiledCap, standing: Standing, now_us: int) -> NDArray[np.int64]:
    since_us = now_us - days_us(cap.cap.window_days)
    room = np.full(len(cap.names), cap.cap.limit, dtype=np.int64)
    for contact in standing.contacts:
        if contact.at_us > since_us and _counted(cap, contact) and contact.counts_at(now_us):
            key = cap_bucket(cap.cap, contact.action, contact.group, contact.issue, contact.channel)
            if (bucket := cap.names.get(key)) is not None:
                room[bucket] -= 1
    return room


def _counted(cap: CompiledCap, contact: Contact) -> bool:
    if contact.action in cap.exempt or (cap.cap.channels and contact.channel not in cap.cap.channels):
        return False
    attach = cap.cap.attach
    return bool(attach.all) or (
        contact.issue in attach.issue or contact.group in attach.group or contact.action in attach.action
    )
