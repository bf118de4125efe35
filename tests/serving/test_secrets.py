"""Secrets of a workspace: rotated without a gap, and told to nobody who should not know them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

import brain as command_line
from features.access_keys import Generation, Rotation, generations
from features.moments import Moments
from features.people import User, keep_signed_in
from serving.access.files import advice
from serving.access.people.sign_in import SignIn
from serving.brain.active import open_ledger
from serving.settings import Workspace
from tests.serving.test_webhooks import Receiver, impatient, moments, send, workspace
from tests.serving.workspaces import Json, small_workspace

__all__ = ["impatient", "moments", "workspace"]
Got = tuple[dict[str, str], bytes]


def run(workspace: Workspace, *arguments: str, expect: int = 0) -> Json:
    """Return what a command answers."""
    where = ("--workspace", str(workspace.root), "--json")
    result = CliRunner().invoke(command_line.main, [*arguments, *where])
    assert result.exit_code == expect, result.output
    answer: Json = json.loads(result.output)
    return answer


def accepts(secret: str, got: Got) -> bool:
    """Tell whether a receiver that knows this secret accepts what it got."""
    headers, body = got
    try:
        return bool(Webhook(secret).verify(body, headers))
    except WebhookVerificationError:
        return False


@pytest.mark.promise("moments.webhook-rotation")
def test_during_the_overlap_receivers_of_the_old_and_of_the_new_secret_accept(
    workspace: Workspace, moments: Moments
) -> None:
    """The first attempt is made before the rotation. A secret that has leaked is replaced without an overlap."""
    receiver = Receiver([500])
    old = run(workspace, "moments", "--secret")["secret"]
    send(workspace, moments, receiver.url, times=1, attempts=9)
    rotated = run(workspace, "secret", "rotate", "webhook", "--overlap-hours", "2")
    send(workspace, moments, receiver.url, times=1, attempts=9)
    last = run(workspace, "secret", "rotate", "webhook", "--overlap-hours", "0")
    send(workspace, moments, receiver.url, times=1, attempts=9)
    receiver.close()
    assert [[accepts(s, got) for s in (old, rotated["secret"], last["secret"])] for got in receiver.got] == [
        [True, False, False],
        [True, True, False],
        [False, False, True],
    ]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert [rotated["generation"], last["generation"], last["earlier_until"]] == [2, 3, None]
    assert run(workspace, "moments", "--secret")["secret"] == last["secret"]


def test_every_secret_is_listed_without_its_value_and_only_what_can_be_is_rotated(
    workspace: Workspace, moments: Moments
) -> None:
    made = run(workspace, "secret", "rotate", "webhook")
    listed = run(workspace, "secret", "list")["secrets"]
    assert [listed[0]["generation"], listed[0]["earlier_until"]] == [2, [made["earlier_until"]]]
    assert made["secret"] not in json.dumps(listed)
    assert [secret["name"] for secret in listed[:2]] == ["webhook", "sessions"]
    for secret in listed[2:]:
        refused = run(workspace, "secret", "rotate", secret["name"], expect=1)
        assert refused["error"] == f"{secret['name']}: {secret['how']}"
    assert "there is no such secret" in run(workspace, "secret", "rotate", "x", expect=1)["error"]


@given(steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), max_size=6), later=st.integers(0, 120))
def test_a_generation_counts_from_its_beginning_to_the_earliest_end_that_a_later_one_set(
    steps: list[tuple[int, int]], later: int
) -> None:
    rotations, at_us = [], 0
    for generation, (pause, overlap_us) in enumerate(steps, start=2):
        at_us += pause
        rotations.append(Rotation("webhook", generation, at_us, overlap_us))
    now_us = at_us + later
    ends = {n: min((r.at_us + r.overlap_us for r in rotations if r.generation > n), default=None) for n in range(1, 8)}
    newest = len(steps) + 1
    expected = [Generation(n, ends[n]) for n in range(newest, 0, -1) if n == newest or now_us < (ends[n] or 0)]
    assert generations(rotations, now_us) == expected


@pytest.mark.parametrize(
    ("settings", "holds_one"),
    [
        ("database: {url: 'postgresql://brain:p4ss@db.example/brain'}", True),
        ("database: {url: 'postgresql://brain@db.example/brain'}", False),
        ("online_store: {redis: 'db.example:6379,password=p4ss'}", True),
        ("online_store: {redis: 'db.example:6379,password=${REDIS_PASSWORD}'}", False),
        ("moments: {webhook: 'https://brain:p4ss@hooks.example/in'}", True),
        ("moments: {webhook: 'https://hooks.example:8443/in'}", False),
    ],
)
def test_a_password_that_others_may_read_is_told_without_it(tmp_path: Path, settings: str, holds_one: bool) -> None:
    file = tmp_path / "brain.yaml"
    file.write_text(settings)
    file.chmod(0o644)
    told = advice(Workspace.open(tmp_path))
    assert told == (
        f"others may read {file}, in which there is a password; run: chmod 600 '{file}'" if holds_one else ""
    )
    file.chmod(0o600)
    assert advice(Workspace.open(tmp_path)) == ""


def test_what_commands_write_is_for_their_user_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        root = tmp_path / "shop"
        answer = CliRunner().invoke(command_line.main, ["new", str(root)])
        assert answer.exit_code == 0, answer.output
    finally:
        os.umask(before)
    assert [path for path in (root, *root.rglob("*")) if path.stat().st_mode & 0o077] == []


@pytest.mark.promise("people.sessions-rotation")
def test_a_rotation_of_sessions_signs_everybody_out_on_every_replica(tmp_path: Path) -> None:
    """Cookies keep their names, so that those who sign in again are known to every replica."""
    shop = small_workspace(tmp_path / "shop")
    person = User("p-1", "local", "u-1", "Ann", "agent", "north", "Ghent", "local", 1)
    with open_ledger(shop) as ledger:
        keep_signed_in(ledger, person)
        one, other = (SignIn(shop, ledger) for _ in range(2))
        cookie = one.sessions.start(person).cookie
        assert other.sessions.find(cookie) is not None
        assert "secret" not in run(shop, "secret", "rotate", "sessions")
        one.refresh()
        other.refresh()
        assert [replica.sessions.find(cookie) for replica in (one, other)] == [None, None]
        again = one.sessions.start(person).cookie
        assert other.sessions.find(again) is not None
        later = SignIn(shop, ledger)
        assert later.sessions.find(again) is not None, "a replica that starts later"
        assert later.signer.place == one.signer.place
