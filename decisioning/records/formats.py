"""The formats that a decision's record is kept in.

- 1: JSON, with every text written out; its bytes begin with `{`. Written up to November 2026.
- 2: packed (`packing`): codes and figures, from which the release and wording 1 make the texts.
- 3: as 2; the standings that it was decided from are folded by the rule `AS_RECORDED` of `decisioning.times`.
- 4: as 3; after the release's hash come 8 bytes of the trial in which its model was drawn (0: in none): 7 of its
  number, little-endian, and the last byte of their sum, as nothing else would show that they were changed.
- 5: as 4; after the trial comes what was drawn (`drawn`): for the arm, and with what probability for each slot.
- 6: as 5; every pick that leaves its slot empty says why, and `no_room` is among the reasons for an empty placement
  whenever the picks before took what it could show.
- 7: as 6; of what was drawn it keeps which candidates chance decided among, and no probabilities, which follow from the
  rest (`review.drawn_odds`).

A format never changes. Another layout or another rule for what is derived is the next number. Another wording is the
next number, too, or the next `wording` of the settings of releases.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.errors import Refused, RequestError
from decisioning.records import wording_1, wording_2
from decisioning.records.answers import contact_of, record_of
from decisioning.records.drawn import after_drawn, pack_drawn, unpack_drawn
from decisioning.records.kept import NOTHING, Kept
from decisioning.records.packing import pack as pack_kept
from decisioning.records.tables import Tables, tables_of
from decisioning.records.unpacking import unpack as unpack_kept
from decisioning.records.unpacking import unpack_heading
from decisioning.times import AS_RECORDED, AS_STATED, TimeRule

JSON_FORMAT: Final = 1
NEWEST: Final = 7
WORDINGS: Final = dict.fromkeys((JSON_FORMAT, 2, 3, 4, 5, 6, 7), wording_1.Words)
"""Format -> the wording that it makes texts with, for releases of wording 1."""
_WORDINGS_OF_RELEASES: Final = {2: wording_2.DirectedWords}
"""The wording of a release -> the wording that every format makes texts with."""
TIME_RULES: Final[Mapping[int, TimeRule]] = {
    **dict.fromkeys((JSON_FORMAT, 2), AS_STATED),
    **dict.fromkeys((3, 4, 5, 6, 7), AS_RECORDED),
}
"""Format -> the rule by which the standings that were decided from are folded."""
HASH: Final = "sha256:"
_DIGEST: Final = slice(1, 33)
_TRIAL: Final = slice(33, 41)
_FIRST_WITH_TRIAL: Final = 4
FIRST_WITH_DRAWN: Final = 5
FIRST_WITH_EMPTY_PICKS: Final = 6
"""The first format whose picks say why their slot is empty."""
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RequestError)


class Unpacked(dict[str, Any]):
    """A record that was read from the bytes of a packed format, or that will be packed in it."""

    def __init__(self, record: Mapping[str, Any], number: int) -> None:
        super().__init__(record)
        self.format = number


def format_of(record: Mapping[str, Any]) -> int:
    """Return the format that a record is kept in."""
    return record.format if isinstance(record, Unpacked) else JSON_FORMAT


def time_rule_of(record: Mapping[str, Any]) -> TimeRule:
    """Return the rule by which the standings that a record was decided from are folded."""
    return TIME_RULES[format_of(record)]


def tables_for(release: Release, number: int) -> Tables:
    """Return the tables of a release for one format."""
    return tables_of(release, _WORDINGS_OF_RELEASES.get(release.wording, WORDINGS[number]))


def pack(kept: Kept, release: Release, number: int) -> bytes:
    """Return a record as the bytes of a packed format: one that names it, 32 of the release's hash, and `packing`.

    From format 4 on, the trial's 8 bytes come before `packing`, and from 5 on, after these, what was drawn.
    """
    digest = bytes.fromhex(release.hash.removeprefix(HASH))
    trial = (kept.trial or 0).to_bytes(7, "little")
    more = (trial, _check_byte(trial)) if number >= _FIRST_WITH_TRIAL else ()
    drawn = (pack_drawn(kept, number),) if number >= FIRST_WITH_DRAWN else ()
    return b"".join((bytes((number,)), digest, *more, *drawn, *pack_kept(kept, tables_for(release, number))))


def after_heading(raw: bytes) -> bytes:
    """Return what `packing` made of a packed record: its bytes after all that comes before.

    :raises ValueError: it is cut off
    """
    if raw[0] >= FIRST_WITH_DRAWN:
        return raw[after_drawn(raw, _TRIAL.stop) :]
    return raw[_TRIAL.stop if raw[0] >= _FIRST_WITH_TRIAL else _DIGEST.stop :]


def _check_byte(trial: bytes) -> bytes:
    return bytes((sum(trial) & 0xFF,))


def _trial_of(raw: bytes) -> int | None:
    """Return the trial in which the record's model was drawn; None for none, or if the format does not tell.

    :raises ValueError: its bytes do not add up
    """
    if raw[0] < _FIRST_WITH_TRIAL:
        return None
    trial, check = raw[_TRIAL][:-1], raw[_TRIAL][-1:]
    if _check_byte(trial) != check:
        raise ValueError("the trial's bytes do not add up")
    return int.from_bytes(trial, "little") or None


def is_packed(raw: bytes) -> bool:
    """Tell whether the bytes of a record are packed rather than JSON."""
    return raw[:1] != b"{"


def release_of(raw: bytes) -> str:
    """Return the release, `sha256:<hex>`, that a packed record belongs to.

    :raises Refused: the format is not known here, or there is no whole hash
    """
    if not raw:
        raise Refused("the record is empty")
    if raw[0] not in WORDINGS or raw[0] == JSON_FORMAT:
        raise Refused(f"the record has format {raw[0]}, which only a newer version can read: update the program")
    digest = raw[_DIGEST]
    if len(digest) != _DIGEST.stop - _DIGEST.start:
        raise Refused("the record cannot be read: it is cut off")
    return HASH + digest.hex()


def unpack(raw: bytes, release: Release) -> Unpacked:
    """Return a packed record as JSON types, with the texts that its format makes of it.

    :raises Refused: these bytes are not a record of this release, or the format is not known here
    """
    return Unpacked(unpack_as(record_of, raw, release), raw[0])


def unpack_as(part: Callable[[Kept, Tables], dict[str, Any]], raw: bytes, release: Release) -> dict[str, Any]:
    """Return what `part` makes of what a packed record keeps; it raises as `unpack` does."""
    _check(raw, release)
    tables = tables_for(release, raw[0])
    try:
        kept = unpack_kept(after_heading(raw), tables)
        kept.trial = _trial_of(raw)
        if raw[0] >= FIRST_WITH_DRAWN:
            unpack_drawn(raw, _TRIAL.stop, kept, raw[0])
        return part(kept, tables)
    except _BROKEN as error:
        raise Refused("the record cannot be read: its bytes are not what was written") from error


def heading_in(raw: bytes, release: Release) -> dict[str, Any]:
    """Return `decision_id`, `request`, `decided_us`, `release` and `contacts` of a packed record.

    That is much less work than `unpack`, which raises the same.
    """
    _check(raw, release)
    try:
        tables = tables_for(release, raw[0])
        decision_id, decided_us, channel, picks, request = unpack_heading(after_heading(raw), tables)
        offers = enumerate(pick for pick in picks if pick.row != NOTHING)
        return {
            "decision_id": decision_id,
            "request": request,
            "decided_us": decided_us,
            "release": release.hash,
            "contacts": [contact_of(decision_id, n, pick, channel, decided_us) for n, pick in offers],
        }
    except _BROKEN as error:
        raise Refused("the record cannot be read: its bytes are not what was written") from error


def _check(raw: bytes, release: Release) -> None:
    if release_of(raw) != release.hash:
        raise Refused("the record belongs to another release")
