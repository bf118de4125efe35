"""`brain simulate-change`: whose first offer changes, recounted from previews; nothing written, nobody erased shown."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

import brain as command_line
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.times import DAY_US, HOUR_US, iso
from features.ledger import now_us
from features.ledger.tables import RECORDS
from serving.brain.runtime import Brain
from serving.commands.releases.population import name_of
from serving.customers import erasing
from serving.pages.figures import short_hash
from serving.settings import Workspace
from tests.serving.workspaces import Client, ask, small_workspace, welcome
from training.learning.simulated_change import per_day

Json = dict[str, Any]
ACTIONS = Path("catalogue") / "actions.yaml"
N = 12
NOON = iso(now_us() // DAY_US * DAY_US + 36 * HOUR_US)
"""Tomorrow, at an hour that is not quiet."""
STOPPED = """
policies: [{id: no-router, level: eligibility, attach: {action: fix-router}, permit: "age < 1"}]
"""
Run = Callable[..., Json]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A greedy workspace with customers who pay differently, of whom one is restricted, one erased, two are joined."""
    workspace = small_workspace(tmp_path_factory.mktemp("simulated") / "w")
    brain = Brain(workspace)
    client = Client(brain)
    for n in range(N):
        welcome(client, f"c-{n}")
        facts = {"monthly_fee_eur": 2.0 + 6.0 * n, "age": 20 + 4 * n, "has_tv": n % 4 == 3, "contract": "none"}
        assert client("PATCH", f"/v1/customers/c-{n}", {"facts": facts})[0] == 200
    assert client("PATCH", "/v1/customers/c-10", {"facts": {}, "restricted": True})[0] == 200
    assert client("DELETE", "/v1/customers/c-11")[0] == 200
    joined = {"customer_id": "c-1", "identifier": {"kind": "customer", "value": "c-9"}, "status": "linked"}
    assert client("POST", "/v1/identities", {**joined, "source": "login"})[0] == 200
    assert client("POST", "/v1/decisions", ask("known-by-id", "c-8", account_id="a-8"))[0] == 200
    brain.close()
    return workspace


@pytest.fixture
def simulate(workspace: Workspace) -> Iterator[Run]:
    """Return a function that runs the command; the files are put back at the end."""
    actions = workspace.root / ACTIONS
    before = actions.read_text()

    def run(*arguments: str, change: Callable[[str], str] | None = None) -> Json:
        if change is not None:
            actions.write_text(change(before))
        return invoke(workspace, *arguments, *(() if "--as-of" in arguments else ("--as-of", NOON)))

    yield run
    actions.write_text(before)


def invoke(workspace: Workspace, *arguments: str) -> Json:
    options = ("--json", "--workspace", str(workspace.root))
    result = CliRunner().invoke(command_line.main, ["simulate-change", *arguments, *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def weighed(factor: float, action: str = "sports-channel") -> Callable[[str], str]:
    """Return a change of files that gives an action a lever."""
    return lambda text: text.replace(f"  - id: {action}\n", f"  - id: {action}\n    lever: {factor}\n")


@pytest.mark.promise("simulation.same-people")
def test_a_change_of_nothing_moves_nobody(simulate: Run) -> None:
    figures = simulate()
    assert (figures["moved"]["customers"], figures["flows"], figures["examples"], figures["same_release"]) == (
        0,
        [],
        [],
        True,
    )
    assert figures["summary"][0] == "None of 9 customers gets another first offer."
    assert figures["money"]["change_eur"]["value"] == 0.0
    commented = simulate("--against", "files", change=lambda text: f"# nothing\n{text}")
    assert (commented["same_release"], commented["moved"]["customers"], commented["changes"]) == (False, 0, [])


@pytest.mark.promise("simulation.same-people")
@pytest.mark.parametrize(("factor", "towards"), [(40.0, True), (0.01, False)])
def test_a_weight_moves_customers_only_towards_its_action_or_away_from_it(
    simulate: Run, factor: float, towards: bool
) -> None:
    figures = simulate(change=weighed(factor))
    assert figures["moved"]["customers"] > 0
    assert {flow["to" if towards else "from"] for flow in figures["flows"]} == {"sports-channel"}
    assert figures["moved"]["by_chance"] == 0
    assert [change["item"] for change in figures["changes"]] == ["sports-channel"]
    lever = f"its lever went from 1 to {factor:g}"
    assert any(lever in example["text"] for example in figures["examples"])


@pytest.mark.promise("simulation.same-people")
def test_what_chance_decides_is_decided_alike_under_both_releases(workspace: Workspace, tmp_path: Path) -> None:
    """The same exploring catalogue twice, under two hashes: another draw would move most of these customers."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        for file in (workspace.root / "catalogue").glob("*.yaml"):
            text = file.read_text().replace("gamma: .inf", "gamma: 1")
            (tmp_path / name / file.name).write_text(f"# {name}\n{text}")
    figures = invoke(workspace, str(tmp_path / "one"), "--against", str(tmp_path / "other"), "--as-of", NOON)
    assert figures["before"] != figures["after"]
    assert (figures["moved"]["customers"], figures["money"]["change_eur"]["value"]) == (0, 0.0)
    greedy = invoke(workspace, str(tmp_path / "one"), "--as-of", NOON)
    assert greedy["moved"]["by_chance"] == greedy["moved"]["customers"] > 0, "chance alone moves them"
    assert all("odds" in example["text"] for example in greedy["examples"])


@pytest.mark.promise("simulation.recount")
def test_the_sums_are_those_of_the_same_previews(simulate: Run, workspace: Workspace) -> None:
    """Each customer is previewed by both releases, and the figures are counted again from the answers."""
    as_of = NOON
    figures = simulate("--as-of", as_of, change=weighed(40.0))
    brain = Brain(workspace)
    joined = min(("c-1", "c-9"), key=brain.subject_stream)
    people = [joined, *(f"c-{n}" for n in range(9) if n != 1)]
    previewed = {
        (customer, channel, name): _previewed(brain, customer, channel, name, as_of)
        for customer in people
        for channel in figures["places"]
        for name in ("current", "files")
    }
    brain.close()
    flows: dict[tuple[str, str], set[str]] = {}
    for customer, channel, _ in previewed:
        one, other = (next(iter(previewed[customer, channel, n]), None) for n in ("current", "files"))
        if (one or {}).get("action") != (other or {}).get("action"):
            flow = tuple("nothing" if o is None else o["action"] for o in (one, other))
            flows.setdefault(flow, set()).add(customer)  # type: ignore[arg-type]
    assert {(f["from"], f["to"]): f["customers"] for f in figures["flows"]} == {f: len(w) for f, w in flows.items()}
    assert figures["moved"]["customers"] == len(set().union(*flows.values()))
    costs = {"tv-bundle": 2.0, "loyalty-discount": 30.0}
    for name, release in (("before", "current"), ("after", "files")):
        offers = [o for (_, _, side), own in previewed.items() if side == release for o in own]
        expected = sum(o["propensity"] * o["value_eur"] - costs.get(o["action"], 0.0) for o in offers)
        assert 9 * figures["money"][f"{name}_eur"]["value"] == pytest.approx(expected, abs=0.01 * len(offers))
        served = {customer for (customer, _, side), own in previewed.items() if side == release and own}
        assert figures["nothing"][name] == 9 - len(served)


def _previewed(brain: Brain, customer: str, place: str, release: str, as_of: str) -> list[Json]:
    channel, placement = place.split()
    request = Ask(
        request_id=f"{customer}-{channel}",
        customer_id=customer,
        account_id=f"new-{customer}",
        channel=channel,
        placements=(PlacementAsk(name=placement),),
        mode="preview",
        release=release,
        as_of=as_of,
    )
    return [offer for placed in brain.preview(request).answer["placements"] for offer in placed["offers"]]


@pytest.mark.promise("simulation.same-people")
def test_two_runs_say_the_same(simulate: Run) -> None:
    as_of = NOON
    first, second = (simulate("--as-of", as_of, change=weighed(40.0)) for _ in range(2))
    assert first == second
    assert first["as_of"] == as_of


@pytest.mark.promise("simulation.writes-nothing")
def test_nothing_is_written_but_that_the_examples_were_looked_at(simulate: Run, workspace: Workspace) -> None:
    def kinds() -> Counter[str]:
        brain = Brain(workspace)
        rows = brain.ledger.select(select(RECORDS.c.kind, func.count().label("n")).group_by(RECORDS.c.kind))
        brain.close()
        return Counter({row.kind: row.n for row in rows})

    before = kinds()
    figures = simulate(change=weighed(41.0))
    added = kinds() - before
    assert set(added) <= {"look"}
    assert added.total() <= len(figures["examples"])
    assert len({e["customer"] for e in figures["examples"]}) == len(figures["examples"]) > 1


@pytest.mark.promise("simulation.nobody-erased")
def test_whoever_is_erased_or_restricted_is_not_there_and_joined_customers_are_one(
    simulate: Run, workspace: Workspace
) -> None:
    figures = simulate(change=weighed(40.0))
    assert figures["customers"] == N - 3, "c-10 is restricted, c-11 erased, c-9 is c-1"
    told = json.dumps(figures)
    assert not re.search(r"c-1[01]\b", told)
    assert figures["who"] == "customers"
    named = [e["customer"] for e in figures["examples"] if e["customer"].startswith("c-")]
    assert set(named) <= {"c-8"}, "the only id that a request told"


@pytest.mark.promise("simulation.nobody-erased")
def test_who_loses_help_to_a_sale_is_named_first(simulate: Run, workspace: Workspace) -> None:
    stopped = workspace.root / "catalogue" / "stopped.yaml"
    stopped.write_text(STOPPED)
    try:
        figures = simulate()
    finally:
        stopped.unlink()
    lost = figures["help"]["lost"]
    displaced = [row["displaced_by_a_sale"] for row in lost]
    assert displaced == sorted(displaced, reverse=True)
    assert (figures["help"]["lose"], figures["help"]["gain"], lost[0]["help"]) == (9, 0, "fix-router")
    assert figures["help"]["to_a_sale"] > 0
    assert figures["summary"][1].startswith("9 lose help or service, ")
    assert all(" is stopped now: " in e["text"] for e in figures["examples"])
    gate = next(row for row in figures["withheld"] if row["gate"] == "eligibility:no-router")
    assert (gate["before"], gate["after"], figures["withheld"][0]) == (0, 9, gate)


def test_releases_are_named_by_a_few_characters_by_current_and_by_a_folder(
    simulate: Run, workspace: Workspace, tmp_path: Path
) -> None:
    whole = simulate()["before"]
    assert simulate("current", "--against", whole[:15])["same_release"]
    assert simulate("current", "--against", whole.removeprefix("sha256:")[:8])["same_release"]
    folder = tmp_path / "changed"
    folder.mkdir()
    for file in (workspace.root / "catalogue").glob("*.yaml"):
        (folder / file.name).write_text(weighed(40.0)(file.read_text()))
    by_folder = simulate(str(folder))
    assert by_folder["moved"]["customers"] > 0
    assert by_folder["after"] == simulate(change=weighed(40.0))["after"], "a folder is read like the catalogue"
    for arguments, message in (
        (("current", "--against", "sha256:00"), "no one release of this name is kept here"),
        (("--as-of", "tomorrow"), "as_of"),
    ):
        result = CliRunner().invoke(
            command_line.main, ["simulate-change", *arguments, "--workspace", str(workspace.root)]
        )
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert message in result.stderr


@pytest.mark.promise("simulation.personas")
def test_without_customers_the_personas_stand_in_and_that_is_said(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "w")
    actions = workspace.root / ACTIONS
    actions.write_text(weighed(40.0)(actions.read_text()))
    figures = invoke(workspace)
    assert (figures["who"], figures["customers"]) == ("personas", 2)
    assert "personas" in figures["summary"][0]
    assert "No customers are here yet" in figures["assumed"]
    assert figures["moved"]["share"]["low"] is None, "two tell nothing of others"


@pytest.mark.promise("explanations.policies")
def test_a_diff_of_personas_says_what_gates_cannot_show(workspace: Workspace, simulate: Run) -> None:
    def diff() -> Json:
        options = ["policies", "diff", "current", "files", "--personas", "--json", "--workspace", str(workspace.root)]
        result = CliRunner().invoke(command_line.main, options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)  # type: ignore[no-any-return]

    simulate(change=weighed(40.0))
    shown = diff()
    assert (shown["moved"], len(shown["changes"])) == ([], 1)
    assert [row["after"] for row in shown["first_offers"]] == ["sports-channel"]
    assert (
        f"brain simulate-change {short_hash(shown['after'])} --against {short_hash(shown['before'])}" in shown["advice"]
    )


@pytest.mark.promise("decisions.previews-write-nothing")
def test_a_preview_takes_the_files_of_the_catalogue(workspace: Workspace, simulate: Run) -> None:
    simulate(change=weighed(40.0))
    (workspace.root / "catalogue" / "new.yaml").write_text(
        "features: [{name: shoe_size, dtype: int, unit: size, min: 1, max: 60, description: size of shoes}]\n"
        "policies: [{id: large, level: eligibility, attach: {action: tv-bundle}, permit: 'shoe_size > 40'}]\n"
    )
    brain = Brain(workspace)
    client = Client(brain)
    more = {"mode": "preview", "placements": [{"name": "sidebar", "limit": 5}], "account_id": "a"}
    by_name = {
        name: client("POST", "/v1/decisions", ask("p", "c-5", release=name, **more)) for name in ("current", "files")
    }
    assert [status for status, _ in by_name.values()] == [200, 200], by_name
    actions = {n: [o["action"] for o in a["placements"][0]["offers"]] for n, (_, a) in by_name.items()}
    assert "tv-bundle" not in actions["files"], "nobody's size is known before it was released"
    assert actions["files"][0] != actions["current"][0]
    assert by_name["files"][1]["release"] != by_name["current"][1]["release"] == brain.snapshot.release.hash
    (workspace.root / "catalogue" / "new.yaml").write_text("policies: [{id: broken, level: eligibility}]\n")
    status, problem = client("POST", "/v1/decisions", ask("p", "c-5", release="files", **more))
    assert (status, problem["status"]) == (422, 422)
    (workspace.root / "catalogue" / "new.yaml").unlink()
    brain.close()


@pytest.mark.promise("simulation.nobody-erased")
def test_a_page_of_the_change_goes_with_an_example_who_is_erased(
    workspace: Workspace, simulate: Run, tmp_path: Path
) -> None:
    """This test is the last one, since one of the customers is gone at its end."""
    page = tmp_path / "change.html"
    shown = simulate("--page", str(page), change=weighed(40.0))
    assert page.stat().st_mode & 0o777 == 0o600
    assert shown["page"] == str(page)
    assert all(example["customer"] in page.read_text() for example in shown["examples"])
    brain = Brain(workspace)
    by_name = {f"customer {name_of(brain.subject_stream(c))}": c for c in (f"c-{n}" for n in range(10))}
    first = shown["examples"][0]["customer"]
    erased = by_name.get(first, first)
    assert Client(brain)("DELETE", f"/v1/customers/{erased}")[0] == 200
    while brain.ledger.erasures.listed():
        erasing.clean(brain)
    brain.close()
    assert not page.exists()
    again = simulate(change=weighed(40.0))
    assert first not in {example["customer"] for example in again["examples"]}


CALLED = """
features:
  - {name: worry, dtype: float, source: context, tags: [request], description: how much they worry}
emotion:
  - {id: worries, when: "worry >= 0.9", silence_sales: true, handover: worries, kind: unsolved}
"""


@pytest.mark.promise("simulation.handovers")
def test_a_changed_threshold_tells_how_many_conversations_a_day_are_handed_over(tmp_path: Path) -> None:
    workspace = small_workspace(tmp_path / "w", CALLED)
    brain = Brain(workspace)
    client = Client(brain)
    for n in range(20):
        welcome(client, f"c-{n}")
        for again in range(2):
            context = {"page": "help", "worry": n / 20}
            asked = ask(f"r-{n}-{again}", f"c-{n}", context=context, conversation_id=f"chat-{n}")
            assert client("POST", "/v1/decisions", asked)[0] == 200
    stated = {"languages": ["nl"], "proficiency": {}, "capacity": {"chat": 3, "phone": 1}}
    assert client("PUT", "/v1/agents/a-1", stated)[0] == 200
    brain.close()
    more = workspace.root / "catalogue" / "more.yaml"
    more.write_text(CALLED.replace("0.9", "0.5"))
    figures = invoke(workspace)
    told = figures["handovers"]
    assert (told["conversations"], told["days"]) == (20, 1.0)
    assert (told["before"]["value"], told["after"]["value"], told["change"]["value"]) == (2.0, 10.0, 8.0)
    assert (told["agents"], told["at_once"]) == (1, 3)
    assert told["change"]["low"] is None, "20 customers are too few for an interval"
    sentence = next(line for line in figures["summary"] if "conversations a day" in line)
    assert "2.0 conversations a day before and 10.0 a day after" in sentence
    assert "hold up to 3 conversations at once" in sentence


def test_an_interval_of_handovers_a_day_holds_the_total() -> None:
    drawn = np.random.default_rng(0).random((500, 2)) < (0.1, 0.2)
    told = per_day(drawn.astype(np.float64), 7.0)
    assert told["before"]["low"] < drawn[:, 0].sum() / 7 == pytest.approx(told["before"]["value"])
    assert told["change"]["low"] > 0
