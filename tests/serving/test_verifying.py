"""`brain verify` names every flaw, whatever byte of the ledger is flipped, and hides none behind another."""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import brain
from features.ledger.tables import (
    ACCESS_KEYS,
    AGENTS,
    CONVERSATION_WORDS,
    CUSTOMER_CODES,
    CUSTOMER_SESSIONS,
    EMPTIED,
    PEOPLE,
    QUEUE_STATES,
    SECRET_ROTATIONS,
    SECURITY_EVENTS,
    SESSIONS,
    SIGN_INS,
    WRONG_PASSWORDS,
)
from serving.commands.verifying import add_ledger_flaws, folded, verify
from serving.settings import Workspace
from tests.serving.flipping import TABLES, Cell, columns, flip, full_workspace

UNCOVERED: Mapping[str, set[str]] = {
    "claims": {"name", "until_us"},  # who does a piece of work now; given up by itself after a while
    "access_keys": set(ACCESS_KEYS.c.keys()),  # no chain covers keys: revoke those that nobody made
    "secret_rotations": set(SECRET_ROTATIONS.c.keys()),  # no secret is in it: rotate it once more
    **{table.name: set(table.c.keys()) for table in (PEOPLE, SESSIONS, SIGN_INS, WRONG_PASSWORDS)},  # as keys
    **{table.name: set(table.c.keys()) for table in (CUSTOMER_CODES, CUSTOMER_SESSIONS)},  # as keys
    "queue_states": set(QUEUE_STATES.c.keys()),  # what a telephone system tells: it tells it again
    "agents": set(AGENTS.c.keys()),  # what a company states of its people: it states it once more
    "ledger_conversation_words": set(CONVERSATION_WORDS.c.keys()),  # overwritten hours after their conversation
    "ledger_handovers": {"opened_us", "waits_us", "body"},  # copies of what the records say, for the queue alone
    "security_events": set(SECURITY_EVENTS.c.keys()),  # the oldest are removed
    "rewrites": {"name", "pass_us", "after"},  # how far a cleaning has come
    "ledger_erasures": {"at_us", "emptied", "pass_us"},  # how far an erasure has come
    "pauses": {"paused", "at_us"},  # what it is set to now: either is right
    "ledger_fired": {"moment", "at_us"},  # when a moment happened last
    "ledger_watches": {"moment", "due_us", "claimed_us", "event_us", "body"},  # when to look for a moment
    "ledger_privacy_controls": {"type", "until_us"},
    "ledger_deliveries": {"seq", "attempts", "due_us", "at_us", "body"},  # copies of decisions, and how often they left
    "ledger_signals": {"seq", "key", "version", "occurred_us", "recorded_us", "body"},
    "ledger_signal_states": {"version", "at_us", "body"},
    "standing_rules": {"body"},  # which rules standings are made for: a release that they do not cover adds its own
}
"""What no chain covers by design, since it changes or is deleted as time passes. A flip there may be named or not."""

EXAMPLES = settings().max_examples // 3
"""Fewer than elsewhere, as each verifies twice."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return full_workspace(tmp_path_factory.mktemp("verified") / "shop")


@pytest.fixture(scope="module")
def kept(original: Workspace) -> Path:
    """The ledger's file, which each test puts back."""
    return Path(shutil.copy(original.ledger_file, original.root.with_name("kept")))


def put_back(workspace: Workspace, kept: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{workspace.ledger_file}{suffix}").unlink(missing_ok=True)
    shutil.copy(kept, workspace.ledger_file)


def flaws_of(workspace: Workspace) -> set[str]:
    flaws: list[str] = []
    add_ledger_flaws(workspace, flaws)
    return set(flaws)


def cells(workspace: Workspace) -> st.SearchStrategy[Cell]:
    """Return a strategy of values that are covered; tables are as likely as they have columns."""
    places = [
        (table, column)
        for table, names in columns(workspace.ledger_file).items()
        for column in names
        if column not in UNCOVERED.get(table, ())
    ]
    return st.builds(lambda place, row: Cell(*place, row), st.sampled_from(places), st.integers(0, 20))


def test_every_table_has_rows_and_no_flaw(original: Workspace, kept: Path) -> None:
    put_back(original, kept)
    assert set(columns(original.ledger_file)) == set(TABLES)
    result = verify(original, None)
    assert (result["flaws"], result["different"], result["recomputed"] > 3) == ([], [], True)


Flip = tuple[Cell, int, int]
"""A value, and byte and bit that are flipped in it."""


def is_covered(workspace: Workspace, cell: Cell) -> bool:
    """Tell whether a flip of the cell is to be named: when the key of an erased event goes, nothing else tells."""
    with closing(sqlite3.connect(workspace.ledger_file)) as db:
        types = [row[0] for row in db.execute("SELECT type FROM ledger_signals ORDER BY seq")]
    return cell[:2] != ("ledger_signals", "expires_us") or types[cell.row % len(types)] != EMPTIED


def may_agree(one: Cell, other: Cell) -> bool:
    """Tell whether one value names a row by the other, so that both flipped may fit together again."""
    return {one.table, other.table} <= {"ledger_records", "ledger_looks", "ledger_requests"} and (
        {one.column, other.column} <= {"seq", "record"}
    )


def place_of(flaw: str) -> str:
    """Return the stream, the table or the part of the ledger that a flaw is of."""
    return flaw.partition("@")[0]


def hidden(workspace: Workspace, kept: Path, first: Flip, second: Flip) -> list[str]:
    """Return what is named of one flip alone, and with the other one neither so nor by its place.

    Each flip alone must be named. Both is more than either: what is read through damaged values cannot be checked, such
    as contacts of a damaged kind, so what both make wrong of one stream may be told in the words of one.
    """
    alone: list[set[str]] = []
    for flips in ((first,), (second,), (first, second)):
        put_back(workspace, kept)
        if not all(flip(workspace.ledger_file, *one) for one in flips):
            return []
        alone.append(flaws_of(workspace))
        assert alone[-1], flips
    *singles, both = alone
    places = set(map(place_of, both))
    return sorted(flaw for flaw in set().union(*singles) - both if place_of(flaw) not in places)


@pytest.mark.promise("ledger.corruption-is-located")
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_two_flipped_bytes_are_both_named(original: Workspace, kept: Path, data: st.DataObject) -> None:
    put_back(original, kept)
    flips = st.tuples(cells(original), st.integers(0, 200), st.integers(0, 7))
    first, second = data.draw(flips), data.draw(flips)
    covered = all(is_covered(original, one[0]) for one in (first, second))
    if first[0].table != second[0].table and covered and not may_agree(first[0], second[0]):
        assert hidden(original, kept, first, second) == []


UNREADABLE_RELEASE: Flip = (Cell("releases", "bytes", 0), 3, 7)
PAIRS: dict[str, tuple[Flip, Flip]] = {
    "a kind of contact, and a contact of it": (
        (Cell("contact_kinds", "body", 4), 78, 1),
        (Cell("ledger_contacts", "at_us", 10), 181, 4),
    ),
    "the rules of standings, and a contact": (
        (Cell("standing_rules", "number", 0), 0, 1),
        (Cell("ledger_contacts", "offers", 17), 182, 3),
    ),
    "a release, and an event that only it describes": (
        UNREADABLE_RELEASE,
        (Cell("ledger_signals", "expires_us", 0), 4, 4),
    ),
    "a key that is no text, and what pauses": (
        (Cell("pauses", "action", 0), 0, 7),
        (Cell("ledger_keys", "version", 0), 0, 1),
    ),
}


@pytest.mark.promise("ledger.corruption-is-located")
@pytest.mark.parametrize("pair", PAIRS)
def test_a_flaw_by_which_others_are_read_hides_none(original: Workspace, kept: Path, pair: str) -> None:
    assert hidden(original, kept, *PAIRS[pair]) == []


@pytest.mark.long
@pytest.mark.promise("ledger.corruption-is-located")
@settings(max_examples=3000, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_flipped_byte_of_the_file_ends_no_verification(original: Workspace, kept: Path, data: st.DataObject) -> None:
    put_back(original, kept)
    content = bytearray(kept.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    original.ledger_file.write_bytes(content)
    flaws_of(original)


LIKELY = "a body that is no JSON"
FLIPS = {
    LIKELY: Cell("ledger_records", "body", 2),
    "a kind": Cell("ledger_records", "kind", 1),
    "a standing": Cell("ledger_standings", "body", 1),
    "a release": Cell("releases", "bytes", 0),
    "the version of the tables": Cell("ledger_schema", "version_num", 0),
    "what serves": Cell("activations", "release", 0),
}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("case", [LIKELY, *(pytest.param(c, marks=pytest.mark.long) for c in FLIPS if c != LIKELY)])
def test_the_command_names_all_flaws_of_a_run(original: Workspace, kept: Path, case: str) -> None:
    put_back(original, kept)
    assert flip(original.ledger_file, FLIPS[case], 0, 7)
    assert flip(original.ledger_file, Cell("ledger_keys", "version", 0), 0, 1)
    words = ["verify", "--workspace", str(original.root)]
    result = CliRunner().invoke(brain.main, [*words, "--json"], prog_name="brain")
    flaws = json.loads(result.stdout)["flaws"]
    assert result.exit_code == 1
    assert any("key" in flaw for flaw in flaws)
    assert len(flaws) >= 2
    result = CliRunner().invoke(brain.main, words, prog_name="brain")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert f"{len(flaws)} flaws" in result.stderr


def test_long_lists_are_folded_with_their_count() -> None:
    lines = [f"{n}@1: the body is not the one that was appended" for n in range(2000)]
    assert folded([*lines, "online.db: it is gone"]) == [
        "0@1: the body is not the one that was appended (and 1,999 more like this)",
        "online.db: it is gone",
    ]
    assert folded([f"{n}: other {n}" for n in range(9)])[-1] == "and 4 other kinds of flaws"


def test_a_ledger_that_is_gone_is_named_and_no_other_made(original: Workspace, kept: Path) -> None:
    put_back(original, kept)
    original.ledger_file.unlink()
    result = verify(original, None)
    assert "this workspace had a ledger: put it back" in result["flaws"][0]
    assert not original.ledger_file.exists()
