"""Format 2 read back: bytes and their release -> codes and figures. Frozen, as `packing` is."""

from typing import Any, NamedTuple

import numpy as np

from decisioning.records.columns import Columns
from decisioning.records.kept import NOTHING, Floats, Kept, KeptPick, Reason
from decisioning.records.packing import (
    ARMS,
    DEGRADED,
    EMPTY,
    EMPTY_BITS,
    ENVIRONMENTS,
    IS_CERTAIN,
    IS_EXTRA,
    KINDS,
    WITH_FIGURE,
    implied_figure,
)
from decisioning.records.pieces import PiecesRead
from decisioning.records.tables import ChannelTable, Tables

_FIELDS = (
    "request_id",
    "customer_id",
    "visitor_id",
    "account_id",
    "channel",
    "locale",
    "mode",
    "placements",
    "consent_platform",
    "machine",
    "context",
    "as_of",
    "release",
    "overrides",
    "seed",
    "moment",
)
"""The fields of a request in their order."""


def unpack(packed: bytes, tables: Tables) -> Kept:
    """Return what a record keeps.

    :raises ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RequestError: these are not the bytes
        of a record
    """
    pieces = PiecesRead(packed)
    decision_id, decided_us, channel, picks, request = _heading(pieces, tables)
    read, context, permitted, known, all_scored, forms, shadow = pieces.listed[5:]
    kept = Kept(
        decision_id=decision_id,
        decided_us=decided_us,
        picks=picks,
        request=request,
        read=_read(read, pieces),
        **_context(context, len(request["placements"]), tables, pieces),
        permissions=_permissions(permitted, channel.channel.id, tables),
        facts=tables.facts.unpack(known, decided_us, pieces),
        **_columns(channel, pieces.rest(), all_scored, forms, shadow),
    )
    for pick in kept.offers:
        _complete(pick, kept, tables)
    return kept


class Heading(NamedTuple):
    """What can be read of a record without its facts and scores; the picks lack what follows from these."""

    decision_id: str
    decided_us: int
    channel: ChannelTable
    picks: list[KeptPick]
    request: dict[str, Any]


def unpack_heading(packed: bytes, tables: Tables) -> Heading:
    """Return the first part of a record; errors as for `unpack`, but not of all that is wrong."""
    return _heading(PiecesRead(packed), tables)


def _heading(pieces: PiecesRead, tables: Tables) -> Heading:
    of_channel, decision_id, decided_us, picked, asked = pieces.listed[:5]
    channel = tables.channel(tables.channels.name(of_channel))
    decision_id = pieces.id(decision_id)
    picks = [_pick(pick, channel, tables, pieces) for pick in picked]
    return Heading(decision_id, decided_us, channel, picks, _request(asked, tables, channel, pieces))


def _pick(listed: list[Any], channel: ChannelTable, tables: Tables, pieces: PiecesRead) -> KeptPick:
    """Return a pick, its reasons as they are listed."""
    bits, placement, rank, *offer = listed
    pick = KeptPick(placement, rank, NOTHING, 1.0 if bits & IS_CERTAIN else pieces.figure())
    if bits & IS_EXTRA:
        pick.extra, pick.given_up = pieces.figure(), pieces.figure()
    if number := bits >> EMPTY_BITS:
        pick.empty = EMPTY.name(number - 1)
    if offer:
        pick.priority = pieces.figure()
        pick.row, pick.value_eur, factors, *pick.reasons = offer
        pick.factors = tables.inputs.names(factors)
        if pick.row < 0 or pick.row >= len(channel.offered):
            raise ValueError("the record offers what its release does not have")
    return pick


def _complete(pick: KeptPick, kept: Kept, tables: Tables) -> None:
    """Fill in what is left out of an offer because it follows from the columns."""
    pick.at = int(kept.rows.searchsorted(pick.row))
    if pick.at == len(kept.rows) or kept.rows[pick.at] != pick.row:
        raise ValueError("the record offers what it did not score")
    pick.reasons = [_reason(listed, pick, kept, tables) for listed in pick.reasons]


def _reason(listed: Any, pick: KeptPick, kept: Kept, tables: Tables) -> Reason:
    if isinstance(listed, int) and listed < 0:
        return Reason("propensity", pick.factors[-1 - listed])
    code, *about = listed if isinstance(listed, list) else (listed,)
    kind = KINDS.name(code)
    if kind in WITH_FIGURE:
        return Reason(kind, about[0] if about else implied_figure(kind, pick, kept))
    names = tables.inputs.names(about)
    if kind == "context":
        return Reason(kind, tuple(names))
    return Reason(kind, *names)


def _request(listed: list[Any], tables: Tables, channel: ChannelTable, pieces: PiecesRead) -> dict[str, Any]:
    request_id, customer_id, account_id, locale, placements, *rest = listed
    fields: dict[str, Any] = {
        "request_id": pieces.id(request_id),
        "customer_id": pieces.id(customer_id),
        "account_id": pieces.id(account_id),
        "channel": channel.channel.id,
        "locale": tables.locales.name(locale),
        "placements": [_placement(placement, channel) for placement in placements],
    }
    if not rest:
        return {name: value for name, value in fields.items() if value is not None}
    fields |= rest[0]
    ordered = {name: value for name in _FIELDS if (value := fields.pop(name, None)) is not None}
    return {**ordered, **fields}


def _placement(listed: list[Any], channel: ChannelTable) -> dict[str, Any]:
    code, limit, *fallback = listed
    placement = {"name": channel.placements.name(code)}
    if limit != 1:
        placement["limit"] = limit
    if fallback:
        placement["fallback"] = fallback[0]
    return placement


def _read(listed: list[Any], pieces: PiecesRead) -> dict[str, Any]:
    person, account, *more = listed
    read = {"person": person, "account": account}
    for name, versions in zip(("linked", "signals"), more, strict=False):
        if versions:
            streams = map(pieces.id, versions[::2])
            read[name] = dict(zip(streams, versions[1::2], strict=True))
    return read


def _context(listed: list[Any], placements: int, tables: Tables, pieces: PiecesRead) -> dict[str, Any]:
    model, profiled, withheld, environment, arm, empty, *rest = listed
    supersedes, tone, handover, paused, degraded = rest or (None, None, None, (), ())
    return {
        "model": model,
        "profiled": (False, True)[profiled],
        "withheld": withheld,
        "environment": ENVIRONMENTS.name(environment),
        "arm": ARMS.name(arm),
        "supersedes": pieces.id(supersedes),
        "tone": tone,
        "handover": handover,
        "paused": tables.actions.names(paused),
        "degraded": DEGRADED.names(degraded),
        "empty": EMPTY.names(empty) if empty else [None] * placements,
    }


def _permissions(listed: list[Any], channel: str, tables: Tables) -> dict[str, str]:
    purposes = tables.purposes.names(listed[::2])
    return {p: _cites(cites, p, channel) for p, cites in zip(purposes, listed[1::2], strict=True)}


def _cites(cites: str | int, purpose: str, channel: str) -> str:
    if isinstance(cites, str):
        return cites
    return f"consent:{purpose}/*@{cites}" if cites > 0 else f"consent:{purpose}/{channel}@{-cites}"


def _columns(
    channel: ChannelTable, packed: bytes, all_scored: bool, forms: list[int], shadow: str | None
) -> dict[str, Any]:
    every = len(channel.view)
    rows = np.arange(every)
    if not all_scored:
        rows = np.flatnonzero(Columns(packed, every).bits(every))
        packed = packed[(every + 7) // 8 :]
    columns = Columns(packed, len(rows))

    def priors() -> Floats:
        return channel.view.prior[rows]

    result: dict[str, Any] = {
        "rows": rows,
        "propensity": _present(columns.floats(forms[0], priors)),
        "evidence": _present(columns.floats(forms[1], priors)),
        "upper": columns.floats(forms[2], priors),
        "uplift": columns.floats(forms[3], priors),
        "transparency": columns.levels(forms[4]),
    }
    second = columns.floats(forms[5], priors)
    columns.end()
    return result if second is None or shadow is None else {**result, "shadow": (shadow, second)}


def _present(column: Floats | None) -> Floats:
    if column is None:
        raise ValueError("the record lacks its scores")
    return column
