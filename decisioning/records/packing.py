"""A decision's record as bytes, as format 2 has them.

First come the pieces (`pieces`), whose list is made here, then the scored candidates as bits, unless all of the channel
were scored, and the columns of scores. Frozen: another order or meaning is another format.
"""

from collections.abc import Mapping
from math import copysign
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from decisioning.records.columns import pack_counts, pack_levels, pack_scores
from decisioning.records.kept import NOTHING, Floats, Kept, KeptPick, Reason
from decisioning.records.pieces import Numbering, Pieces
from decisioning.records.tables import ChannelTable, Tables

PACKED_FIELDS: Final = frozenset(("request_id", "customer_id", "account_id", "channel", "locale", "placements"))
"""The fields of a request that have a place of their own; the others are kept by name."""
ARMS = Numbering(("nba", "holdout", "no-levers", "propensity-only", "random"))
ENVIRONMENTS = Numbering(("dev", "test", "prod"))
EMPTY = Numbering(
    ("silenced", "no_candidates", "all_withheld", "nothing_is_better", "explored_nothing", "no_room"),
)
DEGRADED = Numbering(("profile", "transparency"))
KINDS = Numbering(
    (
        "tier.mandatory",
        "tier.service",
        "uplift",
        "propensity",
        "asserted",
        "propensity.prior",
        "context",
        "lever",
        "value.expected",
    )
)
WITH_FIGURE: Final = frozenset(("uplift", "lever", "value.expected"))
_ONLY_PERSON_AND_ACCOUNT: Final = 2
IS_CERTAIN, IS_EXTRA = 1, 2
"""Bits of a pick: probability 1; something went to immature candidates."""
EMPTY_BITS: Final = 2
"""How many bits of a pick come before the number of the reason why its slot is empty, from 1 on; 0: not told."""


def pack(kept: Kept, tables: Tables) -> list[bytes]:
    """Return the record as bytes, in pieces."""
    pieces, channel = Pieces(), tables.channel(kept.request["channel"])
    every, rows = len(channel.view), kept.rows
    forms, columns = _columns(kept, channel)
    listed = [
        tables.channels.code(channel.channel.id),
        pieces.id(kept.decision_id),
        kept.decided_us,
        [_pick(pick, kept, tables, pieces) for pick in kept.picks],
        _request(kept.request, tables, channel, pieces),
        _read(kept.read, pieces),
        _context(kept, tables, pieces),
        _permissions(kept.permissions, channel.channel.id, tables),
        tables.facts.pack(kept.facts, kept.decided_us, pieces),
        len(rows) == every,
        forms,
        kept.shadow[0] if kept.shadow else None,
    ]
    bits = [] if len(rows) == every else [_bits(rows, every)]
    return [pieces.to_bytes(listed), *bits, *columns]


def _pick(pick: KeptPick, kept: Kept, tables: Tables, pieces: Pieces) -> list[Any]:
    extra = bool(pick.extra or pick.given_up)
    bits = (IS_CERTAIN if pick.probability == 1.0 else 0) | (IS_EXTRA if extra else 0)
    if pick.probability != 1.0:
        pieces.floats.append(pick.probability)
    if extra:
        pieces.floats += (pick.extra, pick.given_up)
    if pick.row == NOTHING:
        return [bits | _empty_number(pick) << EMPTY_BITS, pick.placement, pick.rank]
    pieces.floats.append(pick.priority)
    factors = tables.inputs.codes(pick.factors)
    reasons = [_reason(reason, pick, kept, tables) for reason in pick.reasons]
    return [bits, pick.placement, pick.rank, pick.row, pick.value_eur, factors, *reasons]


def _empty_number(pick: KeptPick) -> int:
    return 0 if pick.empty is None else 1 + EMPTY.numbers[pick.empty]


def _reason(reason: Reason, pick: KeptPick, kept: Kept, tables: Tables) -> Any:
    """Return the code of a reason's kind, or a list of it and what the reason is about.

    A figure is left out if it is the one that the reason most likely has; a propensity's factor is its place, negative.
    """
    kind, about = reason
    if kind == "propensity" and about in pick.factors:
        return -1 - pick.factors.index(about)
    code = KINDS.code(kind)
    if about is None:
        return code
    if isinstance(about, str):
        return [code, tables.inputs.code(about)]
    if isinstance(about, tuple):
        return [code, *tables.inputs.codes(about)]
    return code if _same(about, implied_figure(kind, pick, kept)) else [code, about]


def implied_figure(kind: str, pick: KeptPick, kept: Kept) -> float:
    """Return the figure that a reason of this kind most likely has."""
    if kind == "uplift" and kept.uplift is not None:
        return 100.0 * kept.uplift.item(pick.at)
    return pick.priority


def _same(one: float, other: float) -> bool:
    return one == other and (one != 0.0 or copysign(1.0, one) == copysign(1.0, other))


def _request(request: Mapping[str, Any], tables: Tables, channel: ChannelTable, pieces: Pieces) -> list[Any]:
    rest = [{name: request[name] for name in request if name not in PACKED_FIELDS}]
    return [
        pieces.id(request["request_id"]),
        pieces.id(request.get("customer_id")),
        pieces.id(request.get("account_id")),
        tables.locales.code(request.get("locale")),
        [_placement(placement, channel) for placement in request["placements"]],
        *(rest if rest[0] else ()),
    ]


def _placement(placement: Mapping[str, Any], channel: ChannelTable) -> Any:
    code, fallback = channel.placements.code(placement["name"]), placement.get("fallback")
    return [code, placement.get("limit", 1)] if fallback is None else [code, placement.get("limit", 1), fallback]


def _read(read: Mapping[str, Any], pieces: Pieces) -> list[Any]:
    if len(read) == _ONLY_PERSON_AND_ACCOUNT:
        return [read["person"], read["account"]]
    return [read["person"], read["account"], *(_versions(read.get(name, {}), pieces) for name in ("linked", "signals"))]


def _versions(versions: Mapping[str, int], pieces: Pieces) -> list[Any]:
    return [x for stream, version in versions.items() for x in (pieces.id(stream), version)]


def _context(kept: Kept, tables: Tables, pieces: Pieces) -> list[Any]:
    listed = [
        kept.model,
        int(kept.profiled),
        kept.withheld,
        ENVIRONMENTS.code(kept.environment),
        ARMS.code(kept.arm),
        EMPTY.codes(kept.empty) if any(why is not None for why in kept.empty) else [],
    ]
    if kept.supersedes is kept.tone is kept.handover is None and not (kept.paused or kept.degraded):
        return listed
    return [
        *listed,
        pieces.id(kept.supersedes),
        kept.tone,
        kept.handover,
        tables.actions.codes(kept.paused),
        DEGRADED.codes(kept.degraded),
    ]


def _permissions(permissions: Mapping[str, str], channel: str, tables: Tables) -> list[Any]:
    listed: list[Any] = []
    for purpose, cites in permissions.items():
        listed += (tables.purposes.code(purpose), _cites(cites, purpose, channel))
    return listed


def _cites(cites: str, purpose: str, channel: str) -> str | int:
    """Return the number of the record that permits a purpose, negative if it is about this channel, or the text."""
    stated, _, record = cites.rpartition("@")
    number = int(record) if record.isascii() and record.isdigit() and record[0] != "0" else 0
    if number and stated == f"consent:{purpose}/*":
        return number
    return -number if number and stated == f"consent:{purpose}/{channel}" else cites


def _columns(kept: Kept, channel: ChannelTable) -> tuple[list[int], list[bytes]]:
    def priors() -> Floats:
        return channel.view.prior[kept.rows]

    packed = [
        pack_scores(kept.propensity, priors),
        pack_counts(kept.evidence),
        pack_scores(kept.upper, priors),
        pack_scores(None if kept.uplift is None else _with_one_nan(kept.uplift), priors),
        pack_levels(kept.transparency),
        pack_scores(kept.shadow[1] if kept.shadow else None, priors),
    ]
    return [form for form, _ in packed], [column for _, column in packed]


def _with_one_nan(column: Floats) -> Floats:
    """Return the column with the same bits wherever it is NaN: a computed NaN may have another sign."""
    return np.where(np.isnan(column), np.nan, column)


def _bits(rows: NDArray[np.int64], every: int) -> bytes:
    here = np.zeros(every, dtype=np.bool_)
    here[rows] = True
    return np.packbits(here).tobytes()
