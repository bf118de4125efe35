"""Checkpoints: what is signed, by which process, at what cost; changes, losses and reordering are found."""

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from decisioning.errors import Unavailable
from decisioning.facts.standing import Link
from features.ledger import Ledger
from features.ledger.chain import genesis_hash, record_hash
from features.ledger.checking.checkpoints import PERIOD_S, CheckpointFile, Checkpoints, _put, newest_checkpoint
from features.ledger.links import link_entries, visitors_now
from tests.features.ledger.builders import NOW_US, consent, contact, decision, in_sql, outcome, past_the_ledger
from tests.features.ledger.corruption import Corruptor
from tests.permits import activate

PERIOD_US = round(PERIOD_S * 1_000_000)


def test_where_no_file_is_there_are_no_lines(tmp_path: Path) -> None:
    assert list(CheckpointFile(tmp_path / "none").lines()) == []


@dataclass
class Clock:
    """A clock that a test moves."""

    at_us: int = NOW_US + 10**9

    def __call__(self) -> int:
        self.at_us += 1000
        return self.at_us

    def later(self, us: int = PERIOD_US) -> None:
        self.at_us += us


@dataclass
class World:
    """A ledger with its clock, and its file of checkpoints."""

    ledger: Ledger
    clock: Clock
    file: Path
    people: list[str] = field(default_factory=list)

    def checkpoint(self) -> int:
        self.clock.later()
        return self.ledger.checkpoint(self.file)


def filled(world: World) -> World:
    """Fill the world: six people, one erased with a linked visitor; two releases; three checkpoints and a tail."""
    ledger = world.ledger
    for content in (b"one", b"two"):
        activate(ledger, "dev", ledger.put_release(content), "test")
    for n in range(6):
        person = ledger.stream_of("person", f"c-{n}")
        world.people.append(person)
        ledger.append([consent(person, key=f"k-{n}")])
        ledger.append([decision(person, f"o-{n}", key=f"request:{n}", aliases=(f"decision:{n}",))])
        if n == 2:
            world.checkpoint()
    visitor = ledger.stream_of("visitor", "v")
    (person,), (now,) = ledger.read(world.people[0]), visitors_now([visitor], ledger.read)
    ledger.append(link_entries(person, now, Link(visitor, "cookie", "login", NOW_US, True), NOW_US))
    ledger.erase(world.people[0])
    world.checkpoint()
    for n, person in enumerate(world.people[1:]):
        ledger.append([contact(person, f"o-{n + 1}", "seen"), outcome(person, key=f"outcome:{n}")])
    world.checkpoint()
    ledger.append([consent(world.people[1], "withdrawn"), decision(world.people[0], "later")])
    return world


@pytest.fixture
def world(url: str, secret: bytes, tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    with Ledger.open(url, secret, clock) as ledger:
        yield World(ledger, clock, tmp_path / "checkpoints")


def messages(world: World) -> list[str]:
    return [str(flaw) for flaw in world.ledger.verify(file=world.file)]


def test_verify_passes_after_erasures_and_says_how_many_checkpoints_it_had(world: World) -> None:
    filled(world)
    audit = world.ledger.audit(world.file)
    assert list(audit.flaws()) == []
    assert (audit.checkpoints, len(audit.signed_heads)) == (3, 9)
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600


@pytest.mark.promise("ledger.checkpoints")
def test_a_quiet_ledger_takes_no_checkpoint_and_writes_nothing(world: World) -> None:
    assert world.checkpoint() == 0
    world.ledger.append([consent("0" * 40)])
    assert world.checkpoint() == 1
    claimed = world.ledger.select(sa.text("SELECT until_us FROM claims"))
    assert world.checkpoint() == 0
    assert world.ledger.select(sa.text("SELECT until_us FROM claims")) == claimed
    heads = newest_checkpoint(world.ledger._database)
    assert heads is not None
    assert [head[0] for head in heads.content["heads"]] == ["0" * 40]
    world.ledger.append([consent("1" * 40)])
    assert world.checkpoint() == 1
    newest = newest_checkpoint(world.ledger._database)
    assert newest is not None
    assert [head[0] for head in newest.content["heads"]] == ["1" * 40]


def test_none_is_taken_before_its_time(world: World) -> None:
    world.ledger.append([consent("0" * 40)])
    assert world.checkpoint() == 1
    world.ledger.append([consent("0" * 40)])
    assert world.ledger.checkpoint(world.file) == 0
    assert world.checkpoint() == 1


@pytest.mark.promise("ledger.checkpoints")
def test_of_all_replicas_one_takes_it_and_each_keeps_it(url: str, secret: bytes, tmp_path: Path) -> None:
    clock = Clock()
    replicas = [Ledger.open(url, secret, clock) for _ in range(4)]
    files = [tmp_path / f"kept-{n}" for n in range(4)]
    for at_once in (1, 4, 4):  # a file begins with the first checkpoint that its replica sees
        replicas[0].append([consent("0" * 40)])
        clock.later()
        with ThreadPoolExecutor(at_once) as pool:
            assert sum(pool.map(lambda pair: pair[0].checkpoint(pair[1]), zip(replicas, files, strict=True))) == 1
    for replica, file in zip(replicas, files, strict=True):
        replica.checkpoint(file)
        assert len(file.read_bytes().splitlines()) == 3
        assert list(replica.verify(file=file)) == []
        replica.close()


@pytest.mark.promise("ledger.checkpoints")
def test_a_claim_whose_process_died_lapses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ledger.append([consent("0" * 40)])
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "_next", _killed)
        with pytest.raises(Unavailable):
            world.checkpoint()
    assert world.ledger.checkpoint(world.file) == 0
    assert world.checkpoint() == 1


def _killed(*_: object) -> None:
    raise Unavailable("killed")


def test_who_lost_the_claim_meanwhile_adds_nothing(world: World, secret: bytes, url: str) -> None:
    world.ledger.append([consent("0" * 40)])
    slow = world.ledger._checkpoints
    late = slow._next(None, 10, NOW_US)
    assert late is not None
    world.checkpoint()
    assert not world.ledger.transact(lambda c: _put(c, late)).result()
    assert messages(world) == []


def test_a_backlog_is_signed_in_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.ledger.checking.checkpoints._MAX_RECORDS", 7)
    world.ledger.append_many(consent(f"{n:040x}") for n in range(20))
    assert world.checkpoint() == 3
    assert messages(world) == []


def test_lines_are_on_the_disk_before_anything_counts_on_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(world.file.read_bytes()))
    world.ledger.append([consent("0" * 40)])
    world.checkpoint()
    assert synced == [world.file.read_bytes()]
    assert len(synced[0].splitlines()) == 1


def test_what_a_crash_cut_off_in_the_file_is_mended(world: World) -> None:
    filled(world)
    whole = world.file.read_bytes()
    for size in (len(whole) - 1, whole[:-1].rindex(b"\n") + 1):
        world.file.write_bytes(whole[:size])
        assert messages(world) == []
        world.ledger.checkpoint(world.file)
        assert world.file.read_bytes() == whole


@pytest.mark.promise("ledger.checkpoints-outside")
def test_a_short_file_is_a_flaw_until_a_server_has_mended_it(world: World) -> None:
    filled(world)
    whole = world.file.read_bytes()
    world.file.write_bytes(whole[: whole.index(b"\n") + 1])
    assert messages(world) == ["checkpoints@1: the file that is kept outside the database ends here"]
    world.ledger.checkpoint(world.file)
    assert (world.file.read_bytes(), messages(world)) == (whole, [])


@pytest.mark.promise("ledger.checkpoints-outside")
def test_a_file_that_was_deleted_is_a_flaw_that_no_server_hides(world: World, url: str) -> None:
    filled(world)
    world.file.unlink()
    assert messages(world) == ["checkpoints@3: the file that is kept outside the database is gone or empty"]
    world.ledger.checkpoint(world.file)
    assert len(world.file.read_bytes().splitlines()) == 1
    world.checkpoint()
    late = "checkpoints@3: the file that is kept outside the database begins here: the one before it was deleted"
    assert messages(world) == ([] if "://" in url else [late]), "other machines of one database come later"


@pytest.mark.promise("ledger.checkpoints-outside")
def test_the_copy_elsewhere_tells_of_a_database_put_back_together_with_its_file(tmp_path: Path, secret: bytes) -> None:
    path, clock, kept = tmp_path / "ledger.db", Clock(), tmp_path / "elsewhere" / "last"
    kept.parent.mkdir()
    with Ledger.open(path, secret, clock) as ledger:
        world = filled(World(ledger, clock, tmp_path / "kept"))
        ledger.checkpoint(world.file, kept)
        assert list(ledger.audit(world.file, kept).flaws()) == []
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(tmp_path / "before")) as before:
            db.backup(before)
        lines = world.file.read_bytes()
        world.checkpoint()
        ledger.checkpoint(world.file, kept)
    path.unlink()
    (tmp_path / "before").rename(path)
    world.file.write_bytes(lines)
    with Ledger.open(path, secret, clock) as ledger:
        back = World(ledger, clock, world.file)
        assert messages(back) == [], "nothing in the workspace tells of it"
        for number in (4, 5):
            flaws = [str(flaw) for flaw in ledger.audit(world.file, kept).flaws()]
            assert [flaw.partition(":")[0] for flaw in flaws] == ["checkpoints@4"], number
            ledger.append([consent(ledger.stream_of("person", "new"))])
            clock.later()
            assert ledger.checkpoint(world.file, kept) == 1, "and what comes later does not hide it"
    kept.write_bytes(b"no checkpoint")
    with Ledger.open(path, secret, clock) as ledger:
        assert "is not as it was signed" in str(next(ledger.audit(world.file, kept).flaws()))
        kept.unlink()
        assert "there is no copy" in str(next(ledger.audit(world.file, kept).flaws()))


@pytest.mark.promise("ledger.checkpoints")
def test_an_activation_is_sealed_though_no_record_follows(world: World, url: str) -> None:
    world.ledger.append([consent("0" * 40)])
    assert world.checkpoint() == 1
    for content in (b"one", b"two"):
        activate(world.ledger, "prod", world.ledger.put_release(content), "somebody")
    assert [world.checkpoint() for _ in range(2)] == [1, 0]
    assert messages(world) == []
    one = world.ledger.put_release(b"one")
    past_the_ledger(url, f"UPDATE activations SET release = '{one}', \"by\" = 'another' WHERE seq = 2")
    told = "which release served until then is not what it was"
    assert messages(world) == [f"checkpoints@2: {told}"]
    world.ledger.append([consent("0" * 40)])
    world.checkpoint()
    assert messages(world) == [f"checkpoints@2: {told}"], "it is not signed afterwards"


def test_the_first_release_of_all_is_sealed_before_any_record(world: World) -> None:
    activate(world.ledger, "prod", world.ledger.put_release(b"one"), "somebody")
    assert [world.checkpoint() for _ in range(2)] == [1, 0]
    world.ledger.append([consent("0" * 40)])
    assert world.checkpoint() == 1
    assert messages(world) == []


def test_a_claim_of_a_clock_ahead_holds_up_no_checkpoint(world: World) -> None:
    world.ledger.append([consent("0" * 40)])
    world.clock.later(3600_000_000)
    assert world.checkpoint() == 1
    world.ledger.append([consent("0" * 40)])
    world.clock.later(-3600_000_000)
    assert world.checkpoint() == 1


@pytest.mark.promise("ledger.corruption-is-located")
def test_a_database_put_back_to_an_earlier_day_is_told_by_the_file(world: World, url: str) -> None:
    """The whole database is as it was then, so that no check of the database alone could notice."""
    filled(world)
    earlier = {"upto": str(newest_checkpoint(world.ledger._database).content["after"])}  # type: ignore[union-attr]
    past_the_ledger(
        url,
        "DELETE FROM checkpoints WHERE upto > CAST(:upto AS INTEGER)",
        "DELETE FROM ledger_records WHERE seq > CAST(:upto AS INTEGER)",
        **earlier,
    )
    flaws = messages(world)
    assert any(f"{world.people[1]}@4: a checkpoint saw the stream up to here, and it ends at 2" in m for m in flaws)
    assert any(m.startswith("checkpoints@3: it is kept outside") for m in flaws)
    world.ledger.append([consent(world.people[3])])
    world.checkpoint()
    assert any(
        m.startswith("checkpoints@3: the one that is kept outside the database is another") for m in messages(world)
    )
    lines = world.file.read_bytes()
    world.ledger.append([consent(world.people[3])])
    assert world.checkpoint() == 1
    assert world.file.read_bytes() == lines, "what does not follow is not appended"


@pytest.mark.promise("ledger.corruption-is-located")
def test_streams_that_change_places_are_found(world: World, url: str) -> None:
    filled(world)
    one, two = world.people[2:4]
    swaps = [
        f"UPDATE {table} SET stream = {in_sql(url, to)} WHERE stream = {in_sql(url, of)}"
        for table in ("ledger_records", "ledger_standings", "ledger_keys")
        for of, to in ((one, 40 * "f"), (two, one), (40 * "f", two))
    ]
    past_the_ledger(url, *swaps)
    assert {f.stream for f in world.ledger.verify(file=world.file)} == {one, two}


def test_another_secret_signed_none_of_it(world: World, url: str) -> None:
    filled(world)
    past_the_ledger(url, "DELETE FROM checkpoints", "DELETE FROM claims")
    with Ledger.open(url, b"another") as other:
        assert sum("not the one that was signed" in f.message for f in other.verify(file=world.file)) == 3


def test_records_from_before_the_chain_covered_keys_still_verify(world: World, url: str) -> None:
    """The record is as an earlier schema left it: without keys in its row and in its hash."""
    person = world.ledger.stream_of("person", "old")
    world.ledger.append([consent(person, key="old")])
    row = world.ledger.select(sa.text("SELECT * FROM ledger_records"))[0]
    digest = record_hash(genesis_hash(person), row.kind, row.at_us, row.occurred_us, bytes(row.body_hash)).hex()
    of_records = f"UPDATE ledger_records SET own_keys = NULL, hash = {in_sql(url, digest)}"
    past_the_ledger(url, of_records, f"UPDATE ledger_standings SET head_hash = {in_sql(url, digest)}")
    world.ledger.append([consent(person, key="new")])
    world.checkpoint()
    assert messages(world) == []


def all_found(path: Path, secret: bytes, file: Path, seed: int, times: int) -> list[str]:
    """Make random corruptions, and return those that verification did not find."""
    clock = Clock()
    with Ledger.open(path, secret, clock) as ledger:
        world = filled(World(ledger, clock, file))
        last = newest_checkpoint(ledger._database)
        assert last is not None
        corruptor, missed = Corruptor(path, file, last.content["upto"], seed), []
        for _ in range(times):
            with corruptor.corrupted() as change:
                if next(ledger.verify(file=file), None) is None:
                    missed.append(change)
        assert messages(world) == []
        corruptor.db.close()
    return missed


@pytest.mark.promise("ledger.corruption-is-located")
def test_three_hundred_random_corruptions_are_all_found(migrated_sqlite: Path, tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    assert all_found(path, secret, tmp_path / "kept", seed=4, times=300) == []


@pytest.mark.promise("ledger.corruption-is-located")
@pytest.mark.long
def test_ten_thousand_random_corruptions_are_all_found(tmp_path: Path, secret: bytes) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = [(tmp_path / f"{n}.db", secret, tmp_path / f"kept-{n}", n, 2500) for n in range(4)]
        assert [missed for part in pool.starmap(all_found, parts) for missed in part] == []
