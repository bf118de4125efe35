"""Who may let what serve: a table written by hand of who, what, which hash and in which environment."""

from dataclasses import replace
from typing import Any

import pytest

from decisioning.review.approval import (
    OWN_PAUSE_US,
    ApprovalStep,
    Asked,
    Permit,
    Person,
    StepKind,
    may_activate,
    was_let_serve,
    why_not_approver,
)
from decisioning.times import SECOND_US

ALICE, BOB, CAROL = (Person("user", (name,)) for name in ("alice", "bob", "carol"))
ALICE_AS_ROOT, BOB_AS_ROOT = Person("user", ("alice", "root")), Person("user", ("bob", "root"))
ALICE_AS_BRAIN, BOB_AS_BRAIN = Person("user", ("alice", "brain")), Person("user", ("bob", "brain"))
SERVICE = Person("user", ("brain",))
DORA, ERIC, FINN = (Person("person", (f"person:{name}",)) for name in ("dora", "eric", "finn"))
KEY, SECOND_KEY, BOBS_KEY, ERICS_KEY = (Person("key", (f"key:{name}",)) for name in ("1", "2", "3", "4"))
MADE_BY = {
    "key:1": "alice",
    "key:2": "alice",
    "key:3": "bob",
    "key:4": "person:eric",
    "person:dora": "https://issuer",
    "person:eric": "alice",
    "person:finn": "person:eric",
}
"""Dora signs in with the company's provider; Alice made a local account for Eric, and he one for Finn."""
A, B, NOW = "sha256:a", "sha256:b", 1_000 * SECOND_US
NOBODY: Any = None


def step(kind: StepKind, by: Person, name: str = A, environment: str = "prod", **more: Any) -> ApprovalStep:
    about = {"what": "release", "item": "", "before": "", "at_us": NOW, **more}
    return ApprovalStep(seq=1, environment=environment, kind=kind, hash=name, by=by, **about)


def asked(by: Person = ALICE, name: str = A, environment: str = "prod", **more: Any) -> Asked:
    about = {"what": "release", "item": "", "now_us": NOW, "guarded": environment == "prod", **more}
    return Asked(environment=environment, hash=name, by=by, **about)


TABLE = [
    # who proposed A in prod, who approved it; who asks, for which hash, where: may it serve?
    ("nobody approved it", ALICE, NOBODY, ALICE, A, "prod", False),
    ("another user approved it", ALICE, BOB, ALICE, A, "prod", True),
    ("whoever asks for what was approved", ALICE, BOB, CAROL, A, "prod", True),
    ("whoever approved it may release it", ALICE, BOB, BOB, A, "prod", True),
    ("a key may release what was approved", ALICE, BOB, KEY, A, "prod", True),
    ("a signed-in person approved it", ALICE, DORA, ALICE, A, "prod", True),
    ("a signed-in person proposed it", DORA, BOB, DORA, A, "prod", True),
    ("two signed-in persons", DORA, ERIC, DORA, A, "prod", True),
    ("another hash than the approved one", ALICE, BOB, ALICE, B, "prod", False),
    ("dev asks for nothing", ALICE, NOBODY, ALICE, A, "dev", True),
    ("test asks for nothing", ALICE, NOBODY, ALICE, A, "test", True),
    ("a key in dev", KEY, NOBODY, KEY, A, "dev", True),
    ("the author approved it", ALICE, ALICE, ALICE, A, "prod", False),
    ("the author approved it, somebody else asks", ALICE, ALICE, BOB, A, "prod", False),
    ("the author as root", ALICE, ALICE_AS_ROOT, ALICE, A, "prod", False),
    ("the author as the service's user", ALICE, ALICE_AS_BRAIN, ALICE, A, "prod", False),
    ("the author, who logged in and became root both times", ALICE_AS_ROOT, ALICE_AS_ROOT, ALICE, A, "prod", False),
    ("two logins, one of them root", ALICE_AS_BRAIN, BOB_AS_ROOT, ALICE, A, "prod", True),
    ("two logins that run as one user prove nothing", ALICE_AS_BRAIN, BOB_AS_BRAIN, ALICE, A, "prod", False),
    ("a service's own proposal, approved as the service", SERVICE, BOB_AS_BRAIN, SERVICE, A, "prod", False),
    ("a service's own proposal, approved by a person", SERVICE, BOB_AS_ROOT, SERVICE, A, "prod", True),
    ("a key never approves", ALICE, BOBS_KEY, ALICE, A, "prod", False),
    ("a key of a person never approves", ALICE, ERICS_KEY, ALICE, A, "prod", False),
    ("the author's key never approves", ALICE, KEY, ALICE, A, "prod", False),
    ("a key proposes, its maker approves", KEY, ALICE, KEY, A, "prod", False),
    ("a key proposes, its maker approves as root", KEY, ALICE_AS_ROOT, KEY, A, "prod", False),
    ("a key proposes, the maker's second key approves", KEY, SECOND_KEY, KEY, A, "prod", False),
    ("a key proposes and approves", KEY, KEY, KEY, A, "prod", False),
    ("a key proposes, somebody else approves", KEY, BOB, KEY, A, "prod", True),
    ("a key proposes, a signed-in person approves", KEY, DORA, KEY, A, "prod", True),
    ("a key proposes, an account of its maker approves", KEY, ERIC, KEY, A, "prod", False),
    ("a key of a local account, its owner approves", ERICS_KEY, ERIC, ERICS_KEY, A, "prod", False),
    ("a key of a local account, the account's maker approves", ERICS_KEY, ALICE, ERICS_KEY, A, "prod", False),
    ("a key of a local account, another person approves", ERICS_KEY, DORA, ERICS_KEY, A, "prod", True),
    ("the author made the approver's account", ALICE, ERIC, ALICE, A, "prod", False),
    ("the author's account made the approver's", ALICE, FINN, ALICE, A, "prod", False),
    ("a local account proposes, its own account approves", ERIC, FINN, ERIC, A, "prod", False),
    ("the approver made the author's account", ERIC, ALICE, ERIC, A, "prod", False),
    ("the approver made the account that made the author's", FINN, ALICE, FINN, A, "prod", False),
    ("a local account proposes, another maker approves", ERIC, BOB, ERIC, A, "prod", True),
    ("one provider's two persons", DORA, Person("person", ("person:gina",)), DORA, A, "prod", True),
    ("an approval of the author's other hash", ALICE, BOB, BOB, B, "prod", False),
]


@pytest.mark.promise("approvals.second-person")
@pytest.mark.parametrize(
    ("author", "approver", "by", "name", "environment", "allowed"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
@pytest.mark.parametrize("what", ["release", "model"])
def test_a_second_person_approved_the_very_hash(
    what: Any, author: Person, approver: Person | None, by: Person, name: str, environment: str, allowed: bool
) -> None:
    steps = [step("proposed", author, what=what)] + [step("approved", p, what=what) for p in (approver,) if p]
    answer = may_activate(asked(by, name, environment, what=what), steps, MADE_BY)
    assert isinstance(answer, Permit) == allowed, answer
    if name == A and environment == "prod" and approver is not None:
        assert (why_not_approver(approver, [author], MADE_BY) is None) == allowed


ELSEWHERE = [
    ("approved in test alone", [step("approved", BOB, environment="test")], asked()),
    ("approved in dev alone", [step("approved", BOB, environment="dev")], asked()),
    ("a model of this hash was approved", [step("approved", BOB, what="model")], asked()),
    ("a release of this hash was approved", [step("approved", BOB)], asked(what="model")),
    ("two authors, one of them approved", [step("proposed", BOB), step("approved", BOB)], asked()),
    ("gone round once is no approval", [step("went round", ALICE, reason="urgent")], asked()),
    ("proposed is no approval", [step("proposed", BOB)], asked()),
    ("a release does not go back from harm by itself", [], asked(from_harm=True)),
    ("a key goes round", [], asked(KEY, reason="urgent")),
]


@pytest.mark.promise("approvals.second-person")
@pytest.mark.parametrize(("steps", "question"), [r[1:] for r in ELSEWHERE], ids=[r[0] for r in ELSEWHERE])
def test_what_is_about_something_else_approves_nothing(steps: list[ApprovalStep], question: Asked) -> None:
    assert isinstance(may_activate(question, [step("proposed", ALICE), *steps], MADE_BY), str)


def test_a_guard_goes_back_from_harm_and_a_person_goes_round_with_a_reason() -> None:
    assert may_activate(asked(SERVICE, what="model", from_harm=True), [], {}) == Permit(
        asked(SERVICE, what="model", from_harm=True)
    )
    round_ = may_activate(asked(reason="the site is down"), [], {})
    assert isinstance(round_, Permit)
    assert round_.went_round
    approved = may_activate(asked(reason="?"), [step("proposed", ALICE), step("approved", BOB)], {})
    assert isinstance(approved, Permit)
    assert not approved.went_round, "a reason for nothing is no record"


REMOVES = ("cap:weekly",)
GOING_BACK = [
    # served when it was approved; serves now; what it removes; more steps: may it serve?
    ("", "", (), [], True),
    ("", B, (), [], True),
    ("", B, REMOVES, [], False),
    (B, B, REMOVES, [], True),
    ("", B, REMOVES, [step("approved", BOB, before="sha256:c")], False),
    ("", B, REMOVES, [step("proposed", BOB, before=B), step("approved", BOB, before=B)], False),
    ("", B, REMOVES, [step("proposed", BOB, before=B), step("approved", CAROL, before=B)], True),
    ("", B, REMOVES, [step("proposed", BOB, before=B), step("approved", ALICE, before=B)], True),
    ("", B, REMOVES, [step("approved", BOB, before=B)], True),
    ("", B, REMOVES, [step("approved", ALICE, before=B)], False),
]


@pytest.mark.promise("approvals.rollback")
@pytest.mark.parametrize(("before", "serves", "removes", "more", "allowed"), GOING_BACK)
def test_what_comes_back_and_removes_something_is_approved_again(
    before: str, serves: str, removes: tuple[str, ...], more: list[ApprovalStep], allowed: bool
) -> None:
    steps = [step("proposed", ALICE, before=before), step("approved", BOB, before=before), *more]
    answer = may_activate(asked(CAROL, before=serves, removes=removes), steps, MADE_BY)
    assert isinstance(answer, Permit) == allowed, answer


def test_the_author_of_what_nobody_approved_does_not_approve_it_later_either() -> None:
    """Somebody else asks for it once another release serves; it is the author's all the same."""
    steps = [step("proposed", ALICE), step("proposed", CAROL, before=B), step("approved", ALICE, before=B)]
    assert isinstance(may_activate(asked(CAROL, before=B), steps, {}), str)


def test_what_served_prod_before_approvals_comes_back_where_it_removes_nothing() -> None:
    earlier = [step("served before", Person("user", ("an earlier version",)))]
    assert isinstance(may_activate(asked(before=B), earlier, {}), Permit)
    assert isinstance(may_activate(asked(before=B, removes=REMOVES), earlier, {}), str)
    assert was_let_serve("prod", A, earlier, {})
    assert not was_let_serve("prod", B, earlier, {})


MINUTE_US = 60 * SECOND_US
PAUSES = [
    # who paused how many minutes ago; who resumes: may they alone?
    ([(ALICE, 1)], ALICE, True),
    ([(ALICE, 9.9)], ALICE, True),
    ([(ALICE, 10.1)], ALICE, False),
    ([(ALICE, 1)], BOB, False),
    ([(ALICE, 1)], ALICE_AS_ROOT, False),
    ([(ALICE_AS_BRAIN, 1)], BOB_AS_BRAIN, False),
    ([(ALICE, 1)], KEY, False),
    ([(ALICE, 1), (BOB, 0.5)], ALICE, False),
    ([(ALICE, 1), (BOB, 0.5)], BOB, False),
    ([(ALICE, 11), (ALICE, 1)], ALICE, False),
    ([(ALICE, -60)], ALICE, False),
    ([(ALICE, -0.05)], ALICE, True),
    ([], ALICE, False),
]


@pytest.mark.promise("approvals.pauses")
@pytest.mark.parametrize(("pauses", "by", "allowed"), PAUSES)
def test_one_person_undoes_their_own_pause_within_ten_minutes(
    pauses: list[tuple[Person, float]], by: Person, allowed: bool
) -> None:
    about = {"what": "resume", "item": "tv"}
    steps = [step("paused", who, "", at_us=NOW - round(ago * MINUTE_US), **about) for who, ago in pauses]
    question = replace(asked(by), **about)  # type: ignore[arg-type]
    assert isinstance(may_activate(question, steps, MADE_BY), Permit) == allowed
    assert isinstance(may_activate(replace(question, environment="dev", guarded=False), steps, MADE_BY), Permit)
    approved = [*steps, step("proposed", ALICE, **about), step("approved", CAROL, **about)]
    assert isinstance(may_activate(question, approved, MADE_BY), Permit), "or with a second person"


def test_pauses_that_were_undone_do_not_count() -> None:
    about = {"what": "resume", "item": "tv"}
    early = {"at_us": NOW - 2 * OWN_PAUSE_US, **about}
    steps = [step("paused", BOB, "", **early), step("resumed", BOB, "", **early), step("paused", ALICE, "", **about)]
    assert isinstance(may_activate(replace(asked(), **about), steps, {}), Permit)  # type: ignore[arg-type]
    other = replace(asked(), what="resume", item="sim")
    assert isinstance(may_activate(other, steps, {}), str)
