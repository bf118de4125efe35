"""Agents are ranked for one who waits: requirements first, then seconds of waiting, each with its reason."""

from dataclasses import fields, replace

import pytest

from decisioning.routing.people import Agent, Presence, Roster, Waiting
from decisioning.routing.ranking import RankedAgents, Staff, rank
from decisioning.routing.rules import Ring, RoutingRules

NOW_US = 10**9
ANNA = Agent(
    "anna",
    frozenset(["nl", "en"]),
    {"bill": 0.9, "fault": 0.5},
    frozenset(["vulnerable"]),
    {"chat": 3, "voice": 1},
    0,
    2 * NOW_US,
)
BEN = replace(ANNA, id="ben", proficiency={"bill": 0.6}, trained=frozenset())
WHO = Waiting("w", NOW_US - 10_000_000, "bill", "nl", "chat")
DEFAULT = RoutingRules()
RULES = RoutingRules(rings={"bill": (Ring(0, 0.7), Ring(30, 0.0))}, last_new_s=60)


def ranking(who: Waiting, *presences: Presence, rules: RoutingRules = DEFAULT) -> RankedAgents:
    """Rank these agents, who stand in the roster in their order."""
    return rank(who, Staff(Roster([p.agent for p in presences]), presences, NOW_US, rules))


def idle(agent: Agent, **told: object) -> Presence:
    return Presence(agent, NOW_US, **told)  # type: ignore[arg-type]


@pytest.mark.promise("routing.requirements")
@pytest.mark.parametrize(
    ("changed", "presence", "lacking"),
    [
        ({"skill": "moving"}, {}, "skill"),
        ({"language": "pl"}, {}, "language"),
        ({"needs": frozenset(["complaint"])}, {}, "training"),
        ({"channel": "video"}, {}, "channel"),
        ({"channel": "voice", "cannot_phone": True}, {}, "cannot_phone"),
        ({}, {"available": False}, "room"),
        ({}, {"conversations": {"chat": 3}}, "room"),
        ({}, {"conversations": {"voice": 1}}, "room"),
        ({"channel": "voice"}, {"conversations": {"chat": 1}}, "room"),
    ],
)
def test_who_does_not_meet_a_requirement_is_not_ranked(
    changed: dict[str, object], presence: dict[str, object], lacking: str
) -> None:
    assert ranking(replace(WHO, **changed), idle(ANNA, **presence)).lacking == {"anna": lacking}  # type: ignore[arg-type]


def test_an_agent_has_room_for_as_many_as_their_shares_allow() -> None:
    presence = idle(ANNA)
    assert (presence.room("chat"), presence.room("voice")) == (3, 1)
    presence = idle(ANNA, conversations={"chat": 2})
    assert (presence.room("chat"), presence.room("voice")) == (1, 0)
    for more_than_all in ({"chat": 4}, {"chat": 1, "voice": 2}, {"letter": 1}):
        presence = idle(ANNA, conversations=more_than_all)
        assert (presence.room("chat"), presence.room("voice")) == (0, 0)
        assert ranking(WHO, presence).lacking == {"anna": "room"}


def test_a_ring_relaxes_with_time_and_the_answer_says_when() -> None:
    found = ranking(WHO, idle(ANNA), idle(BEN), rules=RULES)
    assert ([r.agent for r in found.ranked], found.lacking, found.relaxes_in_s) == (
        ["anna"],
        {"ben": "proficiency"},
        20,
    )
    later = ranking(replace(WHO, since_us=NOW_US - 30_000_000), idle(ANNA), idle(BEN), rules=RULES)
    assert ([r.agent for r in later.ranked], later.lacking, later.relaxes_in_s) == (["anna", "ben"], {}, None)


def test_nothing_new_comes_near_the_end_of_a_shift_or_before_it() -> None:
    ending, coming = replace(ANNA, shift_ends_us=NOW_US + 60_000_000), replace(BEN, shift_starts_us=NOW_US + 1)
    assert ranking(replace(WHO, since_us=0), idle(ending), idle(coming), rules=RULES).lacking == {
        "anna": "shift",
        "ben": "shift",
    }


def test_a_customer_waits_for_the_agent_whom_they_know_for_a_while_even_if_that_agent_is_busy() -> None:
    known = replace(WHO, knows="ben")
    found = ranking(known, idle(ANNA), idle(BEN, conversations={"voice": 1}))
    assert (found.ranked, found.lacking) == ((), {"anna": "known_agent", "ben": "room"})
    assert found.relaxes_in_s == pytest.approx(155)
    sale = replace(known, helps=False)
    assert ranking(sale, idle(ANNA), idle(BEN, conversations={"voice": 1})).relaxes_in_s == pytest.approx(310)
    late = ranking(replace(known, since_us=NOW_US - 200_000_000), idle(ANNA), idle(BEN))
    assert [r.agent for r in late.ranked] == ["ben", "anna"]
    assert [r.agent for r in ranking(replace(known, skill="fault"), idle(ANNA), idle(BEN)).ranked] == ["anna"]


def test_nobody_gets_a_fifth_upset_customer_in_a_row_while_somebody_else_may_help() -> None:
    upset, tired = replace(WHO, upset=True), idle(ANNA, upset_in_a_row=4)
    assert ranking(upset, tired, idle(BEN, conversations={"voice": 1})).lacking["anna"] == "upset_in_a_row"
    assert [r.agent for r in ranking(upset, tired).ranked] == ["anna"]
    assert [r.agent for r in ranking(WHO, tired).ranked] == ["anna"]


def test_the_longest_idle_comes_first_among_equals_and_then_the_name() -> None:
    twin = replace(ANNA, id="aart")
    rested = Presence(ANNA, NOW_US - 60_000_000)
    assert [r.agent for r in ranking(WHO, rested, idle(twin)).ranked] == ["anna", "aart"]
    assert [r.agent for r in ranking(WHO, idle(ANNA), idle(twin)).ranked] == ["aart", "anna"]


def test_a_score_is_the_sum_of_its_reasons() -> None:
    found = ranking(replace(WHO, knows="anna", needs=frozenset(["vulnerable"])), idle(ANNA)).ranked[0]
    assert found.parts == {
        "wait": pytest.approx(1.6 * 10 + 60),
        "proficiency": pytest.approx(99),
        "known_agent": 300,
        "idle": 0,
        "keep_free": -80,
        "fill": 0,
        "capacity": 40,
        "versatile": -20,
        "upset_in_a_row": 0,
    }
    assert found.score_s == pytest.approx(415)


def test_a_chat_comes_to_who_can_hold_several_and_a_call_to_who_can_not() -> None:
    one_chat = replace(ANNA, id="zoe", capacity={"chat": 1, "voice": 1})
    assert [r.agent for r in ranking(WHO, idle(ANNA), idle(one_chat)).ranked] == ["anna", "zoe"]
    call = replace(WHO, channel="voice")
    assert [r.agent for r in ranking(call, idle(ANNA), idle(one_chat)).ranked] == ["zoe", "anna"]


def test_chats_gather_at_who_holds_some() -> None:
    one, two, none = (replace(ANNA, id=name) for name in ("anna", "ben", "ada"))
    found = ranking(WHO, idle(one, conversations={"chat": 1}), idle(two, conversations={"chat": 2}), idle(none))
    assert [r.agent for r in found.ranked] == ["ben", "anna", "ada"]


def test_who_can_do_what_this_customer_does_not_need_is_kept_free() -> None:
    plain = replace(ANNA, id="zoe", languages=frozenset(["nl"]), trained=frozenset())
    assert [r.agent for r in ranking(WHO, idle(ANNA), idle(plain)).ranked] == ["zoe", "anna"]
    needed = replace(WHO, language="en", needs=frozenset(["vulnerable"]))
    assert [r.agent for r in ranking(needed, idle(ANNA), idle(replace(plain, id="a"))).ranked] == ["anna"]


@pytest.mark.promise("routing.no-value")
def test_nothing_is_known_of_what_a_customer_is_worth() -> None:
    """Who waits is described by these fields alone, so that no one is placed by their value."""
    assert {f.name for f in fields(Waiting)} == {
        "id", "since_us", "skill", "language", "channel", "helps", "upset", "needs", "knows", "cannot_phone", "first",
    }  # fmt: skip
