"""Negotiation in a conversation: alternatives within what is left, each decided, and held until answered or swapped."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest

from decisioning.catalogue.people.selling import version_of
from decisioning.errors import OutOfScope, WrongState
from decisioning.facts.forms import Ask, Negotiation, PlacementAsk
from serving.access.callers import Caller
from serving.access.looks import Doer
from serving.brain import releasing
from serving.brain.explaining import recomputes
from serving.brain.runtime import Brain
from serving.pages.desk.sales.steps import Click, Ticks, must_say, take_step
from serving.people.helping import negotiating
from serving.settings import Workspace
from tests.serving.conftest import NewDatabase
from tests.serving.workspaces import Client, Json, offers, signal, small_workspace, welcome

ANGRY = "Dit is belachelijk, ik ben woedend!!"
NEGOTIATING = Path(__file__).parents[2] / "catalogues" / "negotiating.yaml"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("negotiating") / "shop", NEGOTIATING.read_text(), database()))
    yield Client(brain)
    brain.close()


def talking(client: Client, customer: str, conversation: str = "talk") -> str:
    """Return the handover of a conversation with a known customer."""
    about = {"customer_id": customer, "conversation_id": f"{conversation}-{customer}", "channel": "chat"}
    asked = {"request_id": f"{conversation}-{customer}", "reason": "asks for a person", **about}
    return str(client("POST", "/v1/handovers", asked)[1]["handover_id"])


def negotiate(client: Client, handover: str, request_id: str, take: str | None = None) -> Json:
    body = {"request_id": request_id, "locale": "en", **({"take": take} if take else {})}
    for _ in range(20):
        status, answer = client("POST", f"/v1/handovers/{handover}/negotiation", body)
        if status != 503:  # five others came first: the same request may be sent again
            break
    assert status == 200, answer
    return answer


def accept(client: Client, offer: Json, outcome: str = "accepted") -> int:
    told = {"outcome_id": f"o-{offer['offer_id']}-{outcome}", "offer_id": offer["offer_id"], "outcome": outcome}
    return client("POST", "/v1/outcomes", told)[0]


def actions(answer: Json) -> list[str]:
    return [one["action"] for one in answer["alternatives"]]


@pytest.mark.promise("negotiation.budget")
def test_alternatives_are_swapped_within_what_is_left(client: Client) -> None:
    welcome(client, "c-1")
    handover = talking(client, "c-1")
    shown = negotiate(client, handover, "n-1")
    assert actions(shown) == ["free-month", "lower-price", "smaller-plan"]
    assert (shown["left_eur"], shown["closed"]) == (60, None)
    assert [one["gives_eur"] for one in shown["alternatives"]] == [40, 25.5, 0]
    assert "limit" not in str(shown)
    taken = negotiate(client, handover, "n-2", "free-month")
    assert (taken["is_new"], taken["on_offer"]["action"], taken["left_eur"]) == (True, "free-month", 60)
    swapped = negotiate(client, handover, "n-3", "lower-price")
    assert (swapped["on_offer"]["action"], swapped["left_eur"]) == ("lower-price", 60)
    assert accept(client, taken["on_offer"]) == 409
    assert accept(client, swapped["on_offer"]) == 200
    shown = negotiate(client, handover, "n-4")
    assert shown["left_eur"] == 34.5
    assert actions(shown) == ["smaller-plan"]
    assert list(client.brain.ledger.verify()) == []


@pytest.mark.promise("negotiation.budget", "desk.sales")
def test_a_sale_by_voice_gives_what_was_held_and_makes_room_again_when_it_is_withdrawn(client: Client) -> None:
    welcome(client, "c-voice")
    handover = talking(client, "c-voice")
    offer = negotiate(client, handover, "v-1", "free-month")["on_offer"]["offer_id"]
    texts = must_say(client.brain.snapshot.release, "free-month")
    ticks = Ticks(tuple(one.id for one in texts), version_of(texts))
    left = []
    for step in ("agreed", "confirmed", "withdrawn"):
        click = Click(handover, f"voice-{step}", Doer("person:1", "agent"))
        asyncio.run(take_step(client.brain, offer, step, ticks, click))
        left.append(negotiate(client, handover, f"v-{step}")["left_eur"])
    assert left == [20, 20, 60]
    assert list(client.brain.ledger.verify()) == []


@pytest.mark.promise("negotiation.no-limit-shown", "negotiation.desk")
def test_the_desk_shows_alternatives_side_by_side_and_never_the_limit(client: Client) -> None:
    welcome(client, "c-2")
    handover, agent = talking(client, "c-2"), client.of_scope("agent")
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert agent.raw("POST", f"/desk/{handover}/take", b"", **form)[0] == 303
    shown = agent.raw("GET", f"/desk/{handover}?lang=en")[2].decode()
    assert f"/desk/{handover}?negotiate=1" in shown
    for lang, left in (("en", "Left to give: € 60"), ("nl", "Nog te geven: € 60")):
        page = agent.raw("GET", f"/desk/{handover}?negotiate=1&lang={lang}")[2].decode()
        assert page.count("<meter") == 3
        assert left in page
    took = agent.raw("POST", f"/desk/{handover}/swap", b"once=s-1&take=free-month&lang=en", **form)
    assert took[1]["location"] == f"/desk/{handover}?negotiate=1&done=swapped"
    assert agent.raw("POST", f"/desk/{handover}/swap", b"once=s-1&take=free-month&lang=en", **form)[0] == 303
    page = agent.raw("GET", f"{took[1]['location']}&lang=en")[2].decode()
    assert "on offer now" in page
    notes = [r.body for r in client.brain.ledger.scan(["handover_note"]) if r.body]
    (note,) = [body for body in notes if body["handover_id"] == handover]
    assert (note["did"], note["action"], note["by"]) == ("swapped", "free-month", agent_name(client))


def agent_name(client: Client) -> str:
    shown = client("GET", "/v1/handovers?state=accepted")[1]["handovers"]
    return str(shown[-1]["agent_id"])


LIMIT = 6000
GIVES = {"free-month": 4000, "lower-price": 2550, "smaller-plan": 0}


class Model:
    """What the budget of one customer amounts to: offers by id, each with its cents, its desk and where it stands."""

    def __init__(self) -> None:
        self.offers: dict[str, tuple[int, str, str]] = {}

    @property
    def spent(self) -> int:
        return sum(cents for cents, _, _ in self.offers.values())

    def held_at(self, desk: str) -> dict[str, int]:
        return {name: cents for name, (cents, of, state) in self.offers.items() if (of, state) == (desk, "held")}

    def fits(self, desk: str, cents: int) -> bool:
        return cents <= LIMIT - self.spent + sum(self.held_at(desk).values())

    def swap(self, desk: str, offer_id: str, cents: int) -> None:
        for name in self.held_at(desk):
            del self.offers[name]
        self.offers[offer_id] = (cents, desk, "held")

    def answer(self, offer_id: str, said: str) -> None:
        cents, desk, _ = self.offers.pop(offer_id)
        after = {"accepted": "given", "declined": "", "retracted": "held"}[said]
        if after:
            self.offers[offer_id] = (cents, desk, after)


@pytest.mark.promise("negotiation.budget")
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 40))])
def test_no_sequence_of_swaps_exceeds_the_budget(client: Client, seed: int) -> None:
    random, customer, model = Random(seed), f"c-many-{seed}", Model()
    welcome(client, customer)
    desks = [talking(client, customer, talk) for talk in ("one", "two")]
    for n in range(30):
        desk, act = random.choice(desks), random.choice(("take", "take", "take", "accepted", "declined", "retracted"))
        if act == "take":
            action = random.choice(list(GIVES))
            answer = negotiate(client, desk, f"{seed}-{n}", action)
            fits = model.fits(desk, GIVES[action])
            assert fits or not answer["is_new"], "a swap that does not fit is refused"
            assert answer["is_new"] or not fits or "often" in answer["closed"]
            if answer["is_new"]:
                model.swap(desk, answer["on_offer"]["offer_id"], GIVES[action])
        elif model.offers:
            offer = random.choice(sorted(model.offers))
            said = {"outcome_id": f"o-{offer}", "offer_id": offer, "outcome": act}
            if client("POST", "/v1/outcomes", said)[0] == 200:
                model.answer(offer, act)
        standing = client.brain.ledger.read(client.brain.subject_stream(customer))[0]
        assert sum(one.cents for one in standing.concessions) == model.spent <= LIMIT
    decisions = [r for r in client.brain.ledger.records(client.brain.subject_stream(customer)) if r.kind == "decision"]
    assert all(recomputes(client.brain, record) for record in decisions)


@pytest.mark.promise("negotiation.budget")
def test_two_replicas_that_negotiate_at_once_give_no_more_than_the_budget(client: Client) -> None:
    welcome(client, "c-race")
    other = Client(Brain(client.brain.workspace))
    desks = [talking(client, "c-race", f"desk-{n}") for n in range(6)]

    def take(n: int) -> Json:
        return negotiate((client, other)[n % 2], desks[n], f"race-{n}", ("free-month", "lower-price")[n % 2])

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(take, range(6)))
    held = [answer["on_offer"]["gives_eur"] for answer in answers if answer["is_new"]]
    assert held
    assert sum(held) <= LIMIT / 100
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(lambda one: accept(client, one["on_offer"]), (a for a in answers if a["is_new"])))
    assert set(said) == {200}
    (standing,) = other.brain.ledger.read(other.brain.subject_stream("c-race"))
    assert sum(one.cents for one in standing.concessions if one.given) == 100 * sum(held)
    other.brain.close()


def take_for_all(root: Path, process: int, handovers: list[str]) -> list[tuple[str, str, float]]:
    """Take an alternative in each conversation and accept it; return handover, offer and what was given."""
    client = Client(Brain(Workspace.open(root)))
    given = []
    for n, handover in enumerate(handovers):
        answer = negotiate(client, handover, f"p{process}-{n}", ("free-month", "lower-price")[(n + process) % 2])
        if answer["is_new"] and accept(client, answer["on_offer"]) == 200:
            given.append((handover, answer["on_offer"]["offer_id"], answer["on_offer"]["gives_eur"]))
    client.brain.close()
    return given


@pytest.mark.long
@pytest.mark.promise("negotiation.budget")
def test_processes_that_negotiate_with_the_same_customers_give_no_more_than_the_budget(client: Client) -> None:
    customers = [f"c-process-{n}" for n in range(20)]
    for customer in customers:
        welcome(client, customer)
    handovers = [[talking(client, customer, f"p{process}") for customer in customers] for process in range(3)]
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        root = client.brain.workspace.root
        answers = [pool.submit(take_for_all, root, process, handovers[process]) for process in range(3)]
        given = [one for answer in answers for one in answer.result()]
    for n, customer in enumerate(customers):
        own = [eur for handover, _, eur in given if handover in [of[n] for of in handovers]]
        assert 0 < sum(own) <= LIMIT / 100
        standing = client.brain.ledger.read(client.brain.subject_stream(customer))[0]
        assert sum(one.cents for one in standing.concessions if one.given) == 100 * sum(own)
    assert list(client.brain.ledger.verify()) == []


@pytest.mark.promise("negotiation.closed")
def test_protections_and_moods_close_it_with_a_reason(client: Client) -> None:
    for fact in ("hardship", "vulnerable", "bereaved", "open_complaint"):
        customer = f"c-{fact.replace('_', '-')}"
        welcome(client, customer)
        client("PATCH", f"/v1/customers/{customer}", {"facts": {fact: True}})
        handover = talking(client, customer)
        for take in (None, "free-month"):
            answer = negotiate(client, handover, f"n-{take}", take)
            assert (answer["on_offer"], answer["alternatives"]) == (None, [])
            assert answer["closed"] == "Not offered: a rule of the company."
    welcome(client, "c-angry", purposes=("marketing", "profiling", "emotion"))
    handover = talking(client, "c-angry")
    held = negotiate(client, handover, "n-1", "lower-price")["on_offer"]
    assert client("POST", "/v1/signals", signal("message", "customer:c-angry", text=ANGRY))[0] == 200
    answer = negotiate(client, handover, "n-2", "free-month")
    assert (answer["is_new"], answer["closed"]) == (False, "Nothing is sold at this moment.")
    assert answer["on_offer"]["offer_id"] == held["offer_id"], "what was on offer stays on offer"


@pytest.mark.promise("negotiation.closed")
def test_an_erased_customer_and_a_release_without_budgets(client: Client) -> None:
    welcome(client, "c-gone")
    handover = talking(client, "c-gone")
    negotiate(client, handover, "n-1", "free-month")
    exported = client("GET", "/v1/customers/c-gone/export")[1]
    (record,) = [one for one in exported["records"] if one["kind"] == "concession"]
    assert (record["body"]["cents"], record["body"]["state"]) == (4000, "held")
    assert client("DELETE", "/v1/customers/c-gone")[0] == 200
    body = {"request_id": "n-2", "take": "free-month"}
    assert client("POST", f"/v1/handovers/{handover}/negotiation", body)[0] in (404, 410)
    assert not client.brain.ledger.read(client.brain.subject_stream("c-gone"))[0].concessions
    welcome(client, "c-back")
    handover = talking(client, "c-back")
    assert accept(client, negotiate(client, handover, "n-1", "free-month")["on_offer"]) == 200
    workspace, catalogue = client.brain.workspace, client.brain.workspace.root / "catalogue" / "more.yaml"
    catalogue.write_text("")
    releasing.release(workspace, "test")
    client.brain.refresh_release()
    answer = negotiate(client, handover, "n-2")
    assert (answer["closed"], answer["left_eur"]) == ("Nothing is negotiated here.", 0)
    catalogue.write_text(NEGOTIATING.read_text())
    releasing.release(workspace, "test")
    client.brain.refresh_release()
    assert negotiate(client, handover, "n-3")["left_eur"] == 20


def test_no_system_takes_an_alternative_by_asking_for_a_decision(client: Client) -> None:
    welcome(client, "c-system")
    about = {"customer_id": "c-system", "channel": "agent", "placements": [{"name": "suggestion"}]}
    asked = {"request_id": "r-n", **about, "negotiation": {"take": "free-month"}}
    status, problem = client("POST", "/v1/decisions", asked)
    assert (status, problem["field"]) == (422, "negotiation")
    status, answer = client("POST", "/v1/decisions", {**asked, "mode": "preview"})
    assert (status, [o["action"] for o in answer["placements"][0]["offers"]]) == (200, ["free-month"])


@pytest.mark.promise("negotiation.budget")
def test_an_account_has_one_budget_whoever_of_it_asks(client: Client) -> None:
    taken = []
    for customer, action in (("c-acc-1", "both-months"), ("c-acc-2", "lower-price")):
        welcome(client, customer)
        placement = PlacementAsk(name="suggestion")
        about = {"customer_id": customer, "account_id": "a-both", "channel": "agent", "placements": (placement,)}
        ask = Ask(request_id=f"take-{customer}", **about, negotiation=Negotiation(take=action))
        taken += offers(asyncio.run(client.brain.commit(ask)))
    assert [one["action"] for one in taken] == ["both-months"]


def test_a_swap_that_came_too_late_to_be_answered_holds_nothing(client: Client) -> None:
    welcome(client, "c-late")
    about = {"customer_id": "c-late", "channel": "agent", "placements": (PlacementAsk(name="suggestion"),)}
    ask = Ask(request_id="late", **about, negotiation=Negotiation(take="free-month"))
    made, stream = client.brain.make(ask), client.brain.subject_stream("c-late")
    asyncio.run(client.brain.finish(ask, made))
    assert client.brain.ledger.read(stream)[0].concessions
    client.brain._release(made.known, made.decision)
    client.brain.ledger.append([])
    assert not client.brain.ledger.read(stream)[0].concessions


@pytest.mark.promise("negotiation.desk")
def test_a_person_negotiates_in_their_own_open_conversations_alone(client: Client) -> None:
    welcome(client, "c-own")
    handover = talking(client, "c-own")
    assert client("POST", f"/v1/handovers/{handover}/steps", {"state": "accepted", "agent_id": "person:1"})[0] == 200
    own, other = (Caller("person", n, "agent", "test", frozenset(("agent",)), "agent") for n in "12")
    assert negotiating.row_for(client.brain, handover, own).id == handover
    with pytest.raises(OutOfScope):
        negotiating.row_for(client.brain, handover, other)
    client("POST", f"/v1/handovers/{handover}/steps", {"state": "resolved"})
    with pytest.raises(WrongState):
        negotiating.row_for(client.brain, handover, own)
