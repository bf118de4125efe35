"""What a slate may take: each action once, so many of a group, and what the caps leave, as columns of a channel."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue.actions import Action, Channel
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.policies import Cap

UNLIMITED = 2**62
_CACHED_KINDS = 4096


@dataclass(frozen=True)
class CompiledCap:
    """A cap over the candidates of a channel.

    `bucket`: int64 (k,), what each candidate is counted under, -1 if the cap does not concern it. `names`: name ->
    bucket. `exempt`: the actions of tiers that it does not count.
    """

    cap: Cap
    bucket: NDArray[np.int64]
    names: Mapping[str, int]
    exempt: frozenset[str]

    def bucket_of(self, action: str, group: str, issue: str, channel: str) -> int | None:
        """Return the bucket in which a contact of this kind counts, or None if it does not count here."""
        if action in self.exempt or (self.cap.channels and channel not in self.cap.channels):
            return None
        attach = self.cap.attach
        if not (attach.all or issue in attach.issue or group in attach.group or action in attach.action):
            return None
        return self.names.get(cap_bucket(self.cap, action, group, issue, channel))


@dataclass(frozen=True)
class SlateLimits:
    """What a slate may take of each candidate before anything was counted: every action once, `max_per_group` of each
    group, and each cap's limit for the person, and for the account as well where one is named.

    `bucket`: int64 (n_limits, k), the place in `remaining` that a candidate counts under, -1 where a limit does not
    concern it. `remaining`: int64 (n_buckets + 1,), of which the last never runs out. `caps`: of each limit that is a
    cap, whose contacts it counts (0: the person's, 1: the account's), the cap, and the place of its first bucket.
    """

    bucket: NDArray[np.int64]
    remaining: NDArray[np.int64]
    caps: tuple[tuple[int, CompiledCap, int], ...]

    @cached_property
    def room(self) -> NDArray[np.bool_]:
        """Bool (k,): whether a candidate counts under nothing that has a limit of 0."""
        return np.asarray((self.remaining[self.bucket] > 0).all(axis=0), dtype=np.bool_)

    @cached_property
    def closed(self) -> tuple[tuple[Cap, NDArray[np.bool_]], ...]:
        """The caps with a limit of 0, as `full` returns them."""
        return self.full(self.remaining)

    def full(self, remaining: NDArray[np.int64]) -> tuple[tuple[Cap, NDArray[np.bool_]], ...]:
        """Return (cap, bool (k,)) of each cap that leaves some candidates no room, given what is left."""
        places = self.bucket[len(self.bucket) - len(self.caps) :]
        stopped = ((cap.cap, remaining[at] <= 0) for (_, cap, _), at in zip(self.caps, places, strict=True))
        return tuple((cap, members) for cap, members in stopped if members.any())

    @cached_property
    def places(self) -> Callable[[int, str, str, str, str], tuple[tuple[int, int], ...]]:
        """A function: (0 person, 1 account), action, group, issue, channel -> where such a contact counts.

        That is (number of the cap in `caps`, place in `remaining`) for every cap that counts it.
        """
        return lru_cache(maxsize=_CACHED_KINDS)(self._places)

    def _places(self, whose: int, action: str, group: str, issue: str, channel: str) -> tuple[tuple[int, int], ...]:
        buckets = (
            (n, first, cap.bucket_of(action, group, issue, channel))
            for n, (counts, cap, first) in enumerate(self.caps)
            if counts == whose
        )
        return tuple((n, first + bucket) for n, first, bucket in buckets if bucket is not None)


def compile_limits(
    catalogue: Catalogue, actions: Sequence[Action], channel: Channel, of_account: NDArray[np.bool_]
) -> tuple[SlateLimits, SlateLimits]:
    """Return the limits of a slate for a request without an account, and for one that names an account.

    :param of_account: bool (k,), the candidates that count under the account's caps as well
    """
    by_action, by_group = numbered(a.id for a in actions), numbered(a.group for a in actions)
    own = [(by_action, 1), (by_group, catalogue.settings.max_per_group)]
    caps = tuple(_caps(catalogue.caps, actions, channel, catalogue.actions))
    person = [(0, cap, cap.bucket) for cap in caps]
    account = [(1, cap, np.where(of_account, cap.bucket, -1)) for cap in caps]
    both = [limit for of_one_cap in zip(person, account, strict=True) for limit in of_one_cap]
    return _joined(own, person), _joined(own, both)


def numbered(names: Iterable[str]) -> NDArray[np.int64]:
    """Return a number for each name (k,): equal names have the same."""
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _joined(
    own: Sequence[tuple[NDArray[np.int64], int]], caps: Sequence[tuple[int, CompiledCap, NDArray[np.int64]]]
) -> SlateLimits:
    rows, remaining, first, placed = [], [], 0, []
    for bucket, limit in own:
        rows.append(bucket + first)
        remaining += [limit] * (n := int(bucket.max(initial=-1)) + 1)
        first += n
    for whose, cap, bucket in caps:
        placed.append((whose, cap, first))
        rows.append(np.where(bucket < 0, -1, bucket + first))
        remaining += [cap.cap.limit] * len(cap.names)
        first += len(cap.names)
    return SlateLimits(np.vstack(rows), np.asarray([*remaining, UNLIMITED], dtype=np.int64), tuple(placed))


def _caps(
    caps: Iterable[Cap], actions: Sequence[Action], channel: Channel, every: Sequence[Action]
) -> Iterator[CompiledCap]:
    for cap in caps:
        concerned = [a.tier in cap.tiers and cap.attach.covers(a) for a in actions]
        if not any(concerned) or (cap.channels and channel.id not in cap.channels):
            continue
        keys = [
            cap_bucket(cap, a.id, a.group, a.issue, channel.id) if c else None
            for a, c in zip(actions, concerned, strict=True)
        ]
        names = {key: n for n, key in enumerate(sorted({key for key in keys if key is not None}))}
        bucket = np.asarray([-1 if key is None else names[key] for key in keys], dtype=np.int64)
        yield CompiledCap(cap, bucket, names, frozenset(a.id for a in every if a.tier not in cap.tiers))


def cap_bucket(cap: Cap, action: str, group: str, issue: str, channel: str) -> str:
    """Return the name that a contact or a candidate is counted under."""
    return {"action": action, "group": group, "issue": issue, "channel": channel, "customer": "*"}[cap.count]
