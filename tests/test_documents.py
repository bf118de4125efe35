"""What the documents say is so: examples run, links resolve, and PROMISES.md has the promises of the tests."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import brain
import brain_demo
from decisioning.catalogue.files import load
from serving.brain import releasing
from serving.brain.releases.files import read_files
from serving.brain.runtime import Brain
from serving.commands.releases import approving
from serving.settings import Workspace
from tests.promises import document as promises
from tests.serving.workspaces import Client, Json
from training.registry import PROPENSITY, Registry
from training.simulator import telecom

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(p for p in ROOT.glob("*.md"))
README = (ROOT / "README.md").read_text()
HILLSTROM = ROOT.parent / "shared" / "data" / "hillstrom" / "hillstrom.csv"


def blocks(language: str, name: str) -> list[str]:
    """The fenced examples of the README with this mark."""
    matches = re.findall(rf"^```{language} {name}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert matches, f"the README has no example marked {language} {name}"
    return matches


def spoken(name: str) -> list[str]:
    """The bodies that the README sends to this endpoint by curl, but for what answers to an answer."""
    matches = re.findall(rf"/v1/{name} --json (?:'([^']+)'|@- <<'JSON'[^\n]*\n(.*?)JSON\n)", README, re.DOTALL)
    assert matches, f"the README posts nothing to {name}"
    return [inline or typed for inline, typed in matches]


def commands(name: str) -> Iterator[tuple[str, list[str]]]:
    """Standard input and arguments of each `brain` command of the examples, in order."""
    for line in "".join(blocks("sh", name)).splitlines():
        producer, _, piped = line.rpartition(" | ")
        words = shlex.split(piped)
        if words[0] == "brain":
            yield (shlex.split(producer)[1] if producer else ""), words[1:]


def run(at: Path, arguments: list[str], stdin: str = "") -> str:
    """What a command of the README says; it must succeed."""
    where = [] if arguments[0] == "new" else ["--workspace", str(at)]
    result = CliRunner().invoke(brain.main, [*arguments, *where], input=stdin)
    assert result.exit_code == 0, (arguments, result.output)
    return result.stdout


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalogue to start from, released."""
    root = tmp_path_factory.mktemp("starter") / "shop"
    releasing.new(root)
    releasing.release(Workspace.open(root), "test")
    return root


@pytest.mark.promise("documents.readme-runs")
def test_the_catalogue_of_the_readme_is_one_and_its_commands_run(starter: Path) -> None:
    for name in ("action", "policy"):
        (starter / "catalogue" / f"own-{name}.yaml").write_text(blocks("yaml", name)[0])
    files = read_files(Workspace.open(starter))
    assert "winter-plan" in {a.id for a in load(files).actions}
    for stdin, arguments in commands("starter"):
        run(starter, arguments, stdin)


@pytest.mark.promise("documents.readme-runs")
def test_a_person_is_added_and_a_provider_configured_as_the_readme_says(starter: Path) -> None:
    for _, arguments in commands("people"):
        run(starter, arguments, "a password that is long\n")
    (starter / "brain.yaml").write_text(blocks("yaml", "sign-in")[0])
    assert Workspace.open(starter).settings.sign_in.roles["leads"] == ("agent", "lead")


def _typed(value: Any, dtype: str) -> Any:
    """Return a fact of the simulator, which has numbers alone, as a caller sends it."""
    return bool(value) if dtype == "bool" else int(value) if dtype == "int" else value


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The demo's operator, with the customer of the tour, who allows everything."""
    root = tmp_path_factory.mktemp("tour") / "demo"
    releasing.new(root, telecom.catalogue_files())
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    client, features = Client(brain), brain.snapshot.release.schema.features.values()
    profile = {f.name: f for f in features if f.source == "profile" and f.dtype != "timestamp"}
    facts = {
        name: _typed(value, profile[name].dtype) for name, value in telecom.SHOWCASE[0].facts.items() if name in profile
    }
    status, answer = client("PATCH", "/v1/customers/c-1042", {"facts": facts})
    assert status == 200, answer
    for purpose in brain.snapshot.release.catalogue.purposes:
        told = {"customer_id": "c-1042", "purpose": purpose.id, "status": "granted", "source": "test"}
        assert client("POST", "/v1/consents", {**told, "notice_version": purpose.notice_version})[0] == 200
    yield client
    brain.close()


def steps_of_the_tour() -> Iterator[tuple[str, str]]:
    """Path and body of each request that the tour of the README makes, in its order."""
    tour = README.partition("## A tour")[2].partition("\n## ")[0]
    inline = r"curl [^\n]*?/v1/(\S+) --json '([^']+)'"
    typed = r"curl [^\n]*?/v1/(\S+) --json @- <<'JSON'[^\n]*\n(.*?)JSON\n"
    preview = r"```json (decisions)\n(.*?)```"
    for match in re.finditer("|".join((inline, typed, preview)), tour, re.DOTALL):
        path, body = (group for group in match.groups() if group is not None)
        yield path, body


@pytest.mark.promise("documents.readme-runs")
def test_the_tour_of_the_readme_is_as_it_says(demo: Client) -> None:
    answers: dict[str, Json] = {}
    for path, body in steps_of_the_tour():
        offered = [o for p in answers.get("tour-2", {}).get("placements", ()) for o in p["offers"]]
        sent = json.loads(body.replace("OFFER_ID", offered[0]["offer_id"] if offered else "OFFER_ID"))
        status, answer = demo("POST", f"/v1/{path}", sent)
        assert status == 200, answer
        answers[sent.get("request_id", path)] = answer
    shown = {
        name: [o for p in a["placements"] for o in p["offers"]] for name, a in answers.items() if "placements" in a
    }
    assert list(shown) == [f"tour-{n}" for n in range(1, 7)]
    assert shown["tour-1"] == []
    hero = shown["tour-2"][0]
    assert (hero["action"], hero["issue"]) == ("tv-bundle", "grow")
    assert "Because you looked at paid TV in the last hour." in [r["text"] for r in hero["reasons"]]
    assert demo("GET", f"/v1/decisions/{answers['tour-2']['decision_id']}")[1]["candidates"]
    assert hero["action"] not in [o["action"] for o in shown["tour-3"]]
    assert answers["tour-4"]["handover"] == {"reason": "asks for a person"}
    for name in ("tour-4", "tour-5", "tour-6"):
        assert all(o["tier"] != "commercial" for o in shown[name]), name
    assert not [o for o in shown["tour-6"] if o["issue"] == "grow"]


@pytest.mark.promise("documents.readme-runs")
def test_the_first_offer_of_the_catalogue_to_start_from_comes_as_the_readme_says(tmp_path: Path) -> None:
    plans, (start, told) = tmp_path / "plans", blocks("sh", "first")
    for line in start.splitlines():
        _, *words = shlex.split(line)
        if line.startswith("brain ") and words != ["serve"]:
            run(plans, [str(plans) if word == "plans" else word for word in words])
    brain_of_plans = Brain(Workspace.open(plans))
    client = Client(brain_of_plans)
    for method, path, body in re.findall(r"curl .*?(?:-X (\w+) )?http://127.0.0.1:8000(\S+) --json '(.*)'", told):
        status, answer = client(method or "POST", path, json.loads(body))
        assert status == 200, answer
    brain_of_plans.close()
    assert [o["action"] for p in answer["placements"] for o in p["offers"]] == ["upgrade"]


@pytest.mark.long
def test_the_commands_of_the_tour_run_in_the_demo(tmp_path: Path) -> None:
    """Build the demo as `brain demo` does, without its server."""
    root, lines = tmp_path / "demo", "".join(blocks("sh", "demo")).splitlines()
    brain_demo.build(root, 5000)
    for line in lines:
        if line.startswith("brain "):
            run(root, shlex.split(line)[1:])
        elif not line.startswith("cd "):
            subprocess.run(line, shell=True, cwd=root, check=True)
    workspace = Workspace.open(root)
    assert Registry(workspace.data).lineup(PROPENSITY).champion == 2
    assert "value: 60" in read_files(workspace)["catalogue/actions/tv.yaml"]
    assert len(approving.list_releases(workspace)["releases"]) == 2


def test_json_of_the_readme_is_taken_by_the_endpoint_it_names(demo: Client) -> None:
    shown = [("decisions", text) for text in blocks("json", "decisions")]
    posted = [(name, text) for name in ("signals", "consents", "decisions", "identities") for text in spoken(name)]
    for name, text in shown + posted:
        status, answer = demo("POST", f"/v1/{name}", json.loads(text))
        assert status == 200, answer


@pytest.mark.promise("documents.readme-runs")
@pytest.mark.skipif(not HILLSTROM.exists(), reason="needs the reference data in ../shared")
def test_a_company_file_becomes_decisions_by_the_commands_of_the_readme(tmp_path: Path) -> None:
    shop, few = tmp_path / "shop", tmp_path / "hillstrom.csv"
    lines = HILLSTROM.read_text().splitlines(keepends=True)
    few.write_text("".join([lines[0], *lines[1::16]]))
    output = ""
    for stdin, arguments in commands("hillstrom"):
        output = run(shop, [{"PATH": str(few), "shop": str(shop)}.get(a, a) for a in arguments], stdin)
    assert "hillstrom-1" in output


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_between_documents_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        assert target.startswith(("http://127.0.0.1", "https://")) or (document.parent / target).exists(), target


def test_commands_that_need_a_server_are_spelt_as_they_are() -> None:
    for words in re.findall(r"^brain ([a-z]+.*)$", README, re.MULTILINE):
        name, *rest = shlex.split(words)
        command = brain.main.commands[name]
        if isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {o for p in command.params for o in p.opts}
        assert {w for w in rest if w.startswith("--")} <= known, words


def test_promises_are_those_of_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert promises.main(ROOT, check=True) == 0, capsys.readouterr().err


SENTENCES = """
- title: Caps, and more
  intro: Of contacts.
  promises:
  - caps.exact: Caps are exact.
  - caps.freed: A contact that failed frees its cap.
"""
HELD = """
import pytest

pytestmark = [pytest.mark.server, pytest.mark.promise("caps.exact")]


@pytest.mark.long
@pytest.mark.promise("caps.freed", "caps.exact")
def test_slow(): ...


@pytest.mark.promise("caps.freed")
def test_quick(): ...


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.long)])
def test_more(n): ...
"""
PAGE = """
## Caps, and more

Of contacts.

- Caps are exact.
  - `tests/caps/test_caps.py::test_slow` *long* *server*
  - `tests/caps/test_caps.py::test_quick` *server*
  - `tests/caps/test_caps.py::test_more` *more when long* *server*
- A contact that failed frees its cap.
  - `tests/caps/test_caps.py::test_slow` *long* *server*
  - `tests/caps/test_caps.py::test_quick` *server*
"""


NOT_IN_TEST = "no test of `make test` holds caps.freed"


@pytest.fixture
def promised(tmp_path: Path) -> Path:
    """Two promises, the three tests that hold them, and the page of both."""
    for name, text in {promises.SENTENCES: SENTENCES, "tests/caps/test_caps.py": HELD}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert promises.main(tmp_path, check=False) == 0
    return tmp_path


def test_a_page_of_promises_has_sentences_and_tests_with_how_they_run(promised: Path) -> None:
    page = (promised / promises.DOCUMENT).read_text()
    assert page.endswith(PAGE)
    assert "[Caps, and more](#caps-and-more)" in page
    assert promises.main(promised, check=True) == 0


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        (promises.DOCUMENT, "Caps are exact", "Caps are nearly exact", "PROMISES.md is older"),
        (promises.SENTENCES, "Caps are exact", "Caps are nearly exact", "PROMISES.md is older"),
        ("tests/caps/test_caps.py", "test_more", "test_others", "PROMISES.md is older"),
        ("tests/caps/test_caps.py", '"caps.freed", ', '"caps.fred", "caps.freed", ', "no promise has the id caps.fred"),
        ("tests/caps/test_caps.py", '"caps.freed"', '"caps.exact"', "no test holds caps.freed"),
        ("tests/caps/test_caps.py", "def test_quick", "@pytest.mark.long\ndef test_quick", NOT_IN_TEST),
        ("tests/caps/test_caps.py", '"caps.freed", ', "FREED, ", "test_caps.py:8: a promise is marked above a test"),
        ("tests/caps/test_caps.py", "def test_slow", "def slow", "test_caps.py:8: a promise is marked above a test"),
        (promises.SENTENCES, "caps.freed", "caps.exact", "an id is there twice"),
    ],
)
def test_a_page_that_is_old_and_markers_that_are_wrong_are_told(
    promised: Path, capsys: pytest.CaptureFixture[str], file: str, before: str, after: str, message: str
) -> None:
    text = (promised / file).read_text()
    assert before in text
    (promised / file).write_text(text.replace(before, after))
    assert promises.main(promised, check=True) == 1
    assert message in capsys.readouterr().err.splitlines()[0]
