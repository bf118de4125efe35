"""What a customer does and says changes the next decision: the demo world over its HTTP routes."""

import math
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from brain_learning import learning_context
from features.ledger import now_us
from features.ledger.tables import METADATA
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.serving import workspaces
from tests.serving.workspaces import Client, Json, offers
from training.fitting.propensity import Recipe
from training.learning import workflow
from training.learning.promotion import promote
from training.simulator import loading, telecom

STORY = next(s for s in telecom.SHOWCASE if s.happenings)


@pytest.fixture(
    scope="module",
    params=[Recipe(growth=None, forget=False), pytest.param(Recipe(), marks=pytest.mark.long)],
    ids=["plain", "whole"],
)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of a small demo world, with a model that learned from its past."""
    root = tmp_path_factory.mktemp("demo") / "polder"
    releasing.new(root, telecom.catalogue_files())
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    at_us = now_us()
    with learning_context(workspace) as context:
        loading.load(telecom.generate(0, 2_500, at_us), context.ledger, context.history, lambda *_: None)
        workflow.train(context, now_us=at_us, recipe=request.param)
        promote(context, at_us)
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


signal = partial(workspaces.signal, subject=f"customer:{STORY.customer_id}")


def ask(client: Client, **more: Any) -> Json:
    status, answer = client("POST", "/v1/decisions", {**STORY.request, "request_id": uuid.uuid4().hex, **more})
    assert status == 200, answer
    return answer


def suggested(answer: Json) -> list[str]:
    return [o["action"] for o in offers(answer)]


@pytest.mark.promise("signals.demo")
def test_a_look_at_paid_tv_and_an_angry_message_change_the_very_next_suggestion(client: Client) -> None:
    before = suggested(ask(client))
    assert before[0] != "tv-bundle"
    assert "tv-bundle" in before
    (_, view, data), (_, message, message_data) = STORY.happenings

    assert client("POST", "/v1/signals", signal(view, **data))[0] == 200
    after = ask(client)
    assert suggested(after)[0] == "tv-bundle"
    reasons = [r["text"] for r in offers(after)[0]["reasons"]]
    assert any("looked at paid TV" in reason for reason in reasons), reasons

    assert client("POST", "/v1/signals", signal(message, **message_data))[0] == 200
    upset = ask(client)
    assert suggested(upset)[0] == "call-back"
    assert all(o["tier"] != "commercial" for o in offers(upset))
    assert upset["handover"] is not None
    for channel, placement in (("web", "hero"), ("app", "card")):
        elsewhere = ask(client, channel=channel, placements=[{"name": placement, "limit": 2}], context={})
        assert suggested(elsewhere)[0] == "call-back"
        assert all(o["tone"] == "calm" for o in offers(elsewhere) if channel == "web")


@pytest.mark.promise("messages.heard")
@pytest.mark.parametrize(
    ("customer", "words", "handover"),
    [
        ("c-2005", "It might be easier if I explained this over the phone", "asks for a person"),
        ("c-2006", "Mijn man is vorige week overleden", "needs care"),
        ("c-2007", "Graag een kopie van al mijn gegevens", "asks for a copy of their data"),
        ("c-2008", "Bel me alstublieft niet meer", None),
    ],
)
def test_what_is_heard_silences_sales_and_calls_a_person(
    client: Client, customer: str, words: str, handover: Any
) -> None:
    said = workspaces.signal("message", f"customer:{customer}", text=words)
    assert client("POST", "/v1/signals", said)[0] == 200
    answer = ask(client, customer_id=customer, account_id=f"a-{customer}")
    assert all(o["tier"] != "commercial" for o in offers(answer))
    assert (answer["handover"] or {}).get("reason") == handover


@pytest.mark.promise("messages.text-is-gone")
def test_what_was_said_is_gone_once_it_is_scored(client: Client) -> None:
    words = f"schandalig, kenmerk {uuid.uuid4().hex}"
    status, _ = client("POST", "/v1/signals", signal("message", text=words, conversation_id="k-9"))
    assert status == 200
    assert ask(client)["placements"]
    root = client.brain.workspace.root
    files = [p for p in root.rglob("*") if p.is_file() and words.rpartition(" ")[2].encode() in p.read_bytes()]
    assert files == []


def test_a_window_that_has_emptied_reads_as_empty(client: Client) -> None:
    """The window ends without another signal, as previews of later times show."""
    customer = {"customer_id": "c-1042", "account_id": "a-7", "context": {}}
    assert client("POST", "/v1/signals", signal("page-view", subject="customer:c-1042", page="paid-tv"))[0] == 200
    for later_s, visible in ((1, True), (3_000, True), (3_720, False)):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + later_s))
        previewed = ask(client, mode="preview", as_of=at, **customer)
        (tv,) = [o for o in offers(previewed) if o["action"] == "tv-bundle"]
        assert any("looked at paid TV" in reason["text"] for reason in tv["reasons"]) is visible


TABLES = tuple(METADATA.tables)
EVERY = {
    "unknown type": ({"type": "nope"}, "type"),
    "year 9999": ({"time": "9999-12-31T23:59:59Z"}, "time"),
    "year 0001": ({"time": "0001-01-01T00:00:00Z"}, "time"),
    "no offset": ({"time": "2026-11-01T08:00:00"}, "time"),
    "not a time": ({"time": 5}, "time"),
    "negative duration": ({"data": {"page": "home", "seconds": -1}}, "data.seconds"),
    "unknown field": ({"data": {"page": "home", "colour": "red"}}, "data.colour"),
    "missing field": ({"data": {}}, "data.page"),
    "wrong type": ({"data": {"page": 7}}, "data.page"),
    "data is a list": ({"data": [1]}, "data"),
    "binary": ({"data_base64": "AA=="}, "data_base64"),
    "another version": ({"specversion": "0.3"}, "specversion"),
    "no subject": ({"subject": None}, "subject"),
    "unknown kind": ({"subject": "planet:mars"}, "subject"),
    "address in clear": ({"subject": "email:jan@example.nl"}, "subject"),
    "long id": ({"id": "x" * 10_000}, "id"),
    "empty source": ({"source": ""}, "source"),
    "upper-case attribute": ({"Trace": "1"}, "event"),
}


@pytest.mark.promise("signals.errors-by-index-and-field")
@pytest.mark.parametrize("name", EVERY)
def test_what_is_wrong_is_told_by_index_and_field_and_the_good_are_kept(client: Client, name: str) -> None:
    change, field = EVERY[name]
    good = [signal("page-view", page="home", seconds=1.5) for _ in range(2)]
    status, result = client("POST", "/v1/signals", [good[0], {**signal("page-view", page="home"), **change}, good[1]])
    assert (status, result["accepted"], result["refused"]) == (200, 2, 1)
    assert [r["index"] for r in result["results"]] == [0, 1, 2]
    wrong = result["results"][1]
    assert (wrong["status"], wrong["field"]) == ("refused", field)
    assert "example.nl" not in str(result)
    status, again = client("POST", "/v1/signals", good)
    assert (status, again["duplicate"]) == (200, 2)


@pytest.mark.promise("signals.errors-by-index-and-field")
@pytest.mark.parametrize(
    "message_text",
    [
        "😀" * 500,
        "\u202eשלום עולם مرحبا",
        "a" * 100_000,
        "! " * 50_000,
        "\x00\x01",
        "",
        "𝕬𝖓𝖌𝖗𝖞 " * 1000,
        "é\u0301" * 999,
    ],
    ids=["emoji", "right-to-left", "100,000 characters", "50,000 marks", "control", "empty", "astral", "combining"],
)
def test_any_text_is_a_message_or_refused_by_its_field(client: Client, message_text: str) -> None:
    status, body = client("POST", "/v1/signals", signal("message", text=message_text, subject="customer:c-1045"))
    assert status in (200, 422)
    (result,) = body["results"]
    assert result["status"] == "accepted" or result["field"].startswith("data"), result
    assert ask(client, customer_id="c-1045", account_id="a-10")["placements"]


def test_a_body_that_is_no_list_of_signals_is_a_problem_document(client: Client) -> None:
    many = [signal("page-view", page="home") for _ in range(5_000)]
    for body, status in (
        (many, 413),
        (many[:1001], 422),
        ([], 422),
        (b"{", 422),
        (b"[NaN]", 422),
        (b'"\xff"', 422),
        (b" " * 10_000_000, 413),
        (5, 422),
    ):
        actual, problem = client("POST", "/v1/signals", body)
        assert actual == status
        assert problem.get("field") == "body" or problem["results"][0]["field"] == "event"
    status_of_many, result = client("POST", "/v1/signals", many[:1000])
    assert (status_of_many, result["accepted"], len(result["results"])) == (200, 1000, 1000)


def test_all_refused_is_422_and_nothing_is_written(client: Client) -> None:
    ledger = client.brain.ledger
    before = [ledger.select(text(f"SELECT count(*) FROM {table}"), {})[0][0] for table in TABLES]
    status, result = client("POST", "/v1/signals", [signal("nope"), 7])
    assert (status, result["accepted"], result["refused"]) == (422, 0, 2)
    assert before == [ledger.select(text(f"SELECT count(*) FROM {table}"), {})[0][0] for table in TABLES]


IN_32_BITS = 2.0**-24 + 1e-12
"""How far a propensity may be from the 32 bits that are recorded, and the rounding of its computation."""


def test_contributions_on_demand_add_up_to_the_score_that_decided(client: Client) -> None:
    why = client("GET", f"/v1/decisions/{ask(client)['decision_id']}?contributions=true")[1]
    candidates = [c for c in why["candidates"] if c["passed"] and c["contributions"]]
    assert candidates
    for candidate in candidates:
        parts = candidate["contributions"]
        added = math.fsum((parts["base"], parts["treatment"], *parts["features"].values()))
        assert math.isclose(added, parts["logit"], abs_tol=1e-12)
        assert math.isclose(parts["propensity"], candidate["propensity"], rel_tol=IN_32_BITS)
