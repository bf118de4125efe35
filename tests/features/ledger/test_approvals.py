"""Approvals in a real ledger: kept, sealed, verified, and asked for by everything that lets something serve."""

from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from decisioning.errors import NotFound, Refused
from decisioning.review.approval import Person
from features.access_keys import AccessKey, add_key
from features.approvals.door import Door, gone_round, unapproved
from features.ledger import Ledger
from tests.features.ledger.builders import NOW_US, past_the_ledger
from tests.features.ledger.earlier_tables import drops_since
from tests.features.processes import child
from tests.permits import free_permit

ALICE, BOB, CAROL = (Person("user", (name,)) for name in ("alice", "bob", "carol"))
MINUTE_US = 60_000_000


def door(ledger: Ledger, by: Person, environment: str = "prod", reason: str = "") -> Door:
    return Door(ledger, environment, by, reason)


def serve(ledger: Ledger, content: bytes, removes: tuple[str, ...] = (), reason: str = "") -> str:
    """Release in prod as Alice; raises Refused if that is not approved."""
    name = ledger.put_release(content)
    ledger.served.activate(door(ledger, ALICE, reason=reason).for_release(name, removes))
    return name


def approved(ledger: Ledger, content: bytes) -> str:
    """Let Alice propose and release, and Bob approve."""
    with pytest.raises(Refused, match="brain approve sha256:"):
        serve(ledger, content)
    door(ledger, BOB).approve(ledger.put_release(content))
    return serve(ledger, content)


@pytest.mark.promise("approvals.second-person")
def test_one_byte_changed_after_approval_is_refused(ledger: Ledger) -> None:
    name = approved(ledger, b"a release")
    assert ledger.active("prod") == name
    with pytest.raises(Refused, match="needs the approval of a second person"):
        serve(ledger, b"a releasf")
    assert ledger.active("prod") == name
    assert [s.kind for s in ledger.served.steps()] == ["proposed", "approved", "proposed"]


def test_what_nobody_proposed_is_not_approved_and_dev_asks_for_nothing(ledger: Ledger) -> None:
    name = ledger.put_release(b"a release")
    with pytest.raises(NotFound, match="nothing with this hash is proposed in prod"):
        door(ledger, BOB).approve(name)
    ledger.served.activate(door(ledger, ALICE, "dev").for_release(name))
    with pytest.raises(Refused, match="dev asks for no approval"):
        door(ledger, BOB, "dev").approve(name)
    with pytest.raises(NotFound):
        door(ledger, BOB).approve(name)


def test_the_author_and_whom_they_made_approve_nothing_and_leave_no_step(ledger: Ledger) -> None:
    add_key(ledger, AccessKey("1", "publish", "ci", "alice", b"", b"", created_us=NOW_US))
    name = ledger.put_release(b"a release")
    with pytest.raises(Refused):
        door(ledger, Person("key", ("key:1",))).for_release(name)
    for by, why in ((ALICE, "alice made key:1, which proposed it"), (Person("key", ("key:2",)), "keys propose")):
        with pytest.raises(Refused, match=why):
            door(ledger, by).approve(name)
    assert [s.kind for s in ledger.served.steps()] == ["proposed"]
    for _ in range(2):
        assert door(ledger, BOB).approve(name).by == BOB
    assert [s.kind for s in ledger.served.steps()] == ["proposed", "approved"], "approving again changes nothing"


@pytest.mark.promise("approvals.permits")
def test_a_permit_is_for_what_it_says(ledger: Ledger) -> None:
    first = approved(ledger, b"one")
    ledger.served.pause("prod", "tv", ALICE)
    resume = door(ledger, ALICE).for_resuming("tv")
    late = door(ledger, ALICE).for_release(first)
    with pytest.raises(Refused, match="about a resume"):
        ledger.served.activate(resume)
    with pytest.raises(Refused, match="about a release"):
        ledger.served.resume(late)
    ledger.served.pause("prod", "tv", BOB)
    with pytest.raises(Refused, match="something else came first"):
        ledger.served.resume(resume)
    assert ledger.paused() == {"tv"}
    approved(ledger, b"two")
    with pytest.raises(Refused, match="something else came first"):
        ledger.served.activate(late)


@pytest.mark.promise("approvals.going-round")
def test_going_round_is_a_record(ledger: Ledger) -> None:
    name = serve(ledger, b"urgent", reason="the site is down")
    (step,) = gone_round(ledger, "prod")
    assert (step["hash"], step["by"], step["reason"]) == (name, "alice", "the site is down")
    assert list(unapproved(ledger)) == []
    serve(ledger, b"a second one", reason="again")
    with pytest.raises(Refused):
        serve(ledger, b"urgent")


@pytest.mark.promise("approvals.going-round")
def test_another_name_of_the_environment_goes_round_nothing(ledger: Ledger) -> None:
    ledger.served.activate(door(ledger, ALICE, "dev").for_release(ledger.put_release(b"trying")))
    approved(ledger, b"one")
    with pytest.raises(Refused, match="in dev it needs the approval"):
        door(ledger, ALICE, "dev").for_release(ledger.put_release(b"two"))


@pytest.mark.promise("approvals.pauses")
def test_a_pause_is_undone_by_whoever_made_it_or_with_a_second_person(url: str, secret: bytes) -> None:
    clock = [NOW_US]
    with Ledger.open(url, secret, lambda: clock[0]) as ledger:
        approved(ledger, b"one")
        ledger.served.pause("prod", "tv", ALICE)
        with pytest.raises(Refused) as refused:
            door(ledger, BOB).for_resuming("tv")
        clock[0] += 9 * MINUTE_US
        ledger.served.resume(door(ledger, ALICE).for_resuming("tv"))
        ledger.served.pause("prod", "tv", ALICE)
        clock[0] += 11 * MINUTE_US
        with pytest.raises(Refused, match="brain approve") as late:
            door(ledger, ALICE).for_resuming("tv")
        with pytest.raises(NotFound):
            door(ledger, BOB).approve("sha256:" + "0" * 64)
        name = str(late.value).rpartition(" ")[2]
        assert name != str(refused.value).rpartition(" ")[2], "an approval is about one pause"
        door(ledger, BOB).approve(name)
        ledger.served.resume(door(ledger, ALICE).for_resuming("tv"))
        assert ledger.paused() == frozenset()


def test_a_pause_that_a_clock_ahead_recorded_is_undone_by_nobody_alone(url: str, secret: bytes) -> None:
    clock = [NOW_US]
    with Ledger.open(url, secret, lambda: clock[0]) as ledger:
        approved(ledger, b"one")
        clock[0] += 60 * MINUTE_US
        ledger.served.pause("prod", "tv", ALICE)
        clock[0] -= 60 * MINUTE_US
        with pytest.raises(Refused):
            door(ledger, ALICE).for_resuming("tv")


@pytest.mark.promise("approvals.sealed")
@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DELETE FROM approvals WHERE kind = 'approved'", True),
        ('UPDATE approvals SET "by" = \'{"kind":"user","ids":["carol"]}\' WHERE kind = \'approved\'', False),
        ('UPDATE approvals SET "by" = \'{"kind":"user","ids":["bob"]}\' WHERE kind = \'proposed\'', True),
        ("UPDATE approvals SET hash = 'sha256:0' WHERE kind = 'approved'", True),
        ("DELETE FROM approvals", True),
    ],
)
def test_verify_sees_a_removed_and_a_changed_approval(
    ledger: Ledger, url: str, tmp_path: Path, statement: str, missing: bool
) -> None:
    approved(ledger, b"one")
    assert ledger.checkpoint(tmp_path / "checkpoints") == 1
    assert list(ledger.verify(file=tmp_path / "checkpoints")) == []
    past_the_ledger(url, statement)
    told = [str(flaw) for flaw in ledger.verify(file=tmp_path / "checkpoints")]
    assert told == ["checkpoints@1: who proposed, approved and paused what until then is not what it was"]
    assert bool(list(unapproved(ledger))) == missing


@pytest.mark.promise("approvals.sealed")
def test_verify_sees_a_release_that_serves_without_approval(ledger: Ledger, url: str) -> None:
    name = approved(ledger, b"one")
    other = ledger.put_release(b"other")
    past_the_ledger(url, f"UPDATE activations SET release = '{other}' WHERE release = '{name}'")
    assert list(unapproved(ledger)) == [f"releases: {other} served in prod, and nobody approved it or said why not"]


def test_a_checkpoint_of_before_approvals_is_right_as_it_is(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints"
    ledger.served.activate(free_permit("release", ledger.put_release(b"one")))
    ledger.checkpoint(file)
    assert b'"approvals":[0,' in file.read_bytes()


def test_what_served_prod_before_the_upgrade_may_serve_again(url: str, secret: bytes, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints"
    with Ledger.open(url, secret, lambda: NOW_US) as ledger:
        for content in (b"one", b"two"):
            ledger.served.activate(free_permit("release", ledger.put_release(content), "prod"))
        ledger.checkpoint(file)
        assert len(list(unapproved(ledger))) == 2
    earlier = (
        *drops_since("ledger_0015"),
        "UPDATE ledger_schema SET version_num = 'ledger_0015'",
    )
    past_the_ledger(url, *earlier)
    with Ledger.open(url, secret, lambda: NOW_US + MINUTE_US) as ledger:
        assert list(unapproved(ledger)) == []
        assert ledger.checkpoint(file) == 1
        assert list(ledger.verify(file=file)) == []
        with pytest.raises(Refused, match="it removes cap:weekly"):
            serve(ledger, b"one", ("cap:weekly",))
        assert serve(ledger, b"one") == ledger.active("prod")
        with pytest.raises(Refused, match="needs the approval"):
            serve(ledger, b"three")


def _at_once(pipe: Connection, path: str, secret: bytes, who: str, name: str) -> None:
    """Approve, ask for a permit, and release once told to; send whether that was done."""
    with Ledger.open(path, secret) as ledger:
        own = door(ledger, Person("user", (who,)))
        own.approve(name)
        permit = own.for_release(name)
        pipe.send("ready")
        pipe.recv()
        try:
            ledger.served.activate(permit)
        except Refused as refused:
            pipe.send(str(refused))
        else:
            pipe.send("done")


@pytest.mark.promise("approvals.permits")
def test_two_processes_approve_and_release_at_once_and_one_of_them_does(tmp_path: Path, secret: bytes) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, secret) as ledger:
        approved(ledger, b"one")
        name = ledger.put_release(b"two")
        with pytest.raises(Refused):
            door(ledger, ALICE).for_release(name)
        arguments = (str(path), secret)
        with child(_at_once, *arguments, "bob", name) as one, child(_at_once, *arguments, "carol", name) as other:
            assert [c.pipe.recv() for c in (one, other)] == ["ready", "ready"]
            for c in (one, other):
                c.pipe.send("go")
            answers = sorted(c.pipe.recv() for c in (one, other))
        assert (answers[0], "came first" in answers[1]) == ("done", True)
        assert [a.release for a in ledger.activations("prod")].count(name) == 1
        assert {s.by for s in ledger.served.steps() if (s.kind, s.hash) == ("approved", name)} == {BOB, CAROL}
