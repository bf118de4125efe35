"""The command line as a program uses it: one JSON object on stdout, exit codes, one plain line for an error."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import brain
from brain_command import open_workspace
from serving.settings import Workspace
from tests.serving.workspaces import ask, small_workspace

ROOT = Path(__file__).parents[1]
Run = Callable[..., Result]
NEED_RAY = {"serve", "batch", "demo"}
PROFILE = "customer_id,age,monthly_fee_eur,contract\nc-1,40,40.5,monthly\nc-2,51,,yearly\n"
SHOP = """
id: shop
about: A shop's own mailings.
settings: {country_rules: nl}
channels: [{id: email, direction: outbound, medium: email, placements: [mail], counts_on: delivered}]
purposes: [{id: marketing, notice_version: "2026-01"}]
actions: [{id: shoes, issue: grow, group: fashion, title: New shoes, value: 10, window_days: 14}]
assertions:
  - author: A. Jansen
    text: Nobody in the file is in trouble, all of them are adults, and all agreed to e-mail.
    since: 2026-01-01
    consents: [{purpose: marketing, channel: email}]
    features:
      - {name: adult, value: true}
      - {name: hardship, value: false, protects: [hardship, arrears]}
      - {name: vulnerable, value: false, protects: [vulnerability, bereavement]}
      - {name: complaint_open, value: false, protects: [complaint, service-issue]}
policies: [{id: adults-only, level: eligibility, attach: {issue: grow}, permit: adult}]
files:
  - id: mailings
    subject: {column: customer}
    as_of: 2026-01-10
    features: [{column: spent, name: spent_eur, dtype: float, unit: EUR}]
    contact:
      action: {column: what, values: {Shoes: shoes, nothing: none}}
      channel: email
      at: 2026-02-01
      probability: 1/2
      outcomes: [{name: bought, column: bought, positive: yes}]
"""


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words and the command of everything that can be run, including commands of groups."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


COMMANDS = dict(commands(brain.main))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One released workspace for the module; tests that break a workspace copy it."""
    return small_workspace(tmp_path_factory.mktemp("small") / "shop")


@pytest.fixture
def run(small: Workspace) -> Run:
    """Run a command in this process, so that Feast and Ray are imported once."""

    def run_it(*arguments: str, at: Path | None = small.root, stdin: str | None = None) -> Result:
        where = ["--workspace", str(at)] if at else []
        return CliRunner().invoke(brain.main, [*arguments, *where], input=stdin, prog_name="brain")

    return run_it


def answer(result: Result) -> dict[str, Any]:
    """Return the one JSON object of a command that succeeded."""
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert isinstance(content, dict)
    assert result.stdout.count("\n") == 1
    return content


def refused(result: Result) -> str:
    """Return the message of a command that failed: plain lines on stderr, and nothing on stdout."""
    assert result.exit_code == 1, result.output
    assert not result.stdout
    assert "Traceback" not in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stderr.rstrip("\n")


@pytest.mark.promise("decisions.recomputed-from-ledger", "releases.rollback")
def test_a_workspace_from_nothing_to_a_verified_decision(run: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    assert answer(run("new", str(shop), "--json", at=None))["workspace"] == str(shop)
    assert answer(run("check", "--json", at=shop))["personas"] == 3
    released = answer(run("release", "--json", at=shop))
    assert released["changed"] is True
    assert answer(run("release", "--json", at=shop))["changed"] is False
    body = {"request_id": "r-1", "customer_id": "c-1", "channel": "web", "placements": [{"name": "hero"}]}
    decided = answer(run("decide", "--json", at=shop, stdin=json.dumps(body)))
    assert decided["release"] == released["release"]
    assert answer(run("verify", "--json", at=shop))["recomputed"] == 1
    actions = shop / "catalogue" / "actions.yaml"
    actions.write_text(actions.read_text().replace("prior: 0.3\n", "prior: 0.4\n"))
    second = answer(run("release", "--json", at=shop))["release"]
    assert answer(run("rollback", "--json", at=shop)) == {
        "release": released["release"],
        "environment": "dev",
        "was": second,
    }
    assert answer(run("verify", "--sample", "1", "--json", at=shop))["different"] == []


def test_a_customer_comes_is_decided_for_exported_and_forgotten(run: Run, tmp_path: Path) -> None:
    file, body = tmp_path / "people.csv", tmp_path / "ask.json"
    file.write_text(PROFILE)
    assert answer(run("import", "profile", str(file), "--json"))["rows"] == 2
    body.write_text(json.dumps(ask("r-cli", "c-2")))
    assert answer(run("decide", str(body), "--json"))["customer_id"] == "c-2"
    assert any(r["kind"] == "decision" for r in answer(run("export", "c-2", "--json"))["records"])
    exported = tmp_path / "c-2.json"
    summary = answer(run("export", "c-2", "--out", str(exported), "--json"))
    assert summary["records"] == len(json.loads(exported.read_text())["records"])
    assert "nothing was erased" in run("erase", "c-2", stdin="n\n").stderr
    assert answer(run("erase", "c-2", "--yes", "--json"))
    assert answer(run("verify", "--json"))["erased"] >= 1
    assert {"release", "model", "actions"} <= answer(run("report", "--json")).keys()


@pytest.mark.promise("releases.rollback")
def test_a_release_is_named_by_the_beginning_of_its_hash(run: Run, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    run("new", str(shop), at=None)
    first = answer(run("release", "--json", at=shop))["release"]
    actions = shop / "catalogue" / "actions.yaml"
    actions.write_text(actions.read_text().replace("prior: 0.3\n", "prior: 0.4\n"))
    (change,) = answer(run("policies", "diff", "--json", at=shop))["changes"]
    assert (change["before"], change["after"]) == (0.3, 0.4)
    second = answer(run("release", "--json", at=shop))["release"]
    rows = answer(run("releases", "--json", at=shop))["releases"]
    assert [(r["release"], r["current"]) for r in rows] == [(first, False), (second, True)]
    assert "names no release" in refused(run("rollback", "zzzz", at=shop))
    assert "names no release" in refused(run("rollback", first[7:10], at=shop))
    assert answer(run("rollback", first[7:19], "--json", at=shop))["release"] == first


def test_an_action_is_paused_and_resumed(run: Run) -> None:
    assert answer(run("pause", "tv-bundle", "--json")) == {"action": "tv-bundle", "paused": True}
    assert answer(run("pause", "tv-bundle", "--resume", "--json")) == {"action": "tv-bundle", "paused": False}


def test_a_log_is_imported_learned_from_and_serves(run: Run, tmp_path: Path) -> None:
    shop, mapping, log = tmp_path / "shop", tmp_path / "shop.yaml", tmp_path / "mailings.csv"
    mapping.write_text(SHOP)
    rows = [f"c-{n},{n % 97},{('Shoes', 'nothing')[n % 2]},{('no', 'yes')[n % 97 > 60]}" for n in range(1000)]
    log.write_text("\n".join(["customer,spent,what,bought", *rows, ""]))
    answer(run("new", str(shop), "--bare", "--json", at=None))
    imported = answer(run("import", str(mapping), str(log), "--json", at=shop))
    assert imported["files"] == [
        {"file": "mailings.csv", "rows": 1000, "customers": 1000, "contacts": 500, "read": "read as `,`-separated"}
    ]
    assert imported["outcomes"][0]["happened"] == sum(row.endswith("yes") for row in rows)
    shown = run("import", str(mapping), str(log), at=shop).stdout
    assert all(name in shown for name in ("mailings.csv", "happened", "500", "empty", "spent"))
    trained = answer(run("train", "--json", at=shop))
    assert trained["model"] == "propensity@1"
    assert trained["auc"] > 0.9
    valued = answer(run("evaluate", "--json", at=shop))
    assert valued["logged"]["low"] <= valued["logged"]["value"] <= valued["logged"]["high"]
    assert answer(run("promote", "--json", at=shop))["model"] == "propensity@1"
    assert "needs --outcome and --feature" in refused(run("train", "risk", at=shop))


def test_people_read_the_same_without_json(run: Run) -> None:
    shown = run("check")
    assert shown.exit_code == 0
    assert "release: sha256:" in shown.stdout
    assert not shown.stdout.startswith("{")


@pytest.mark.promise("configuration.mistakes")
@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("actions.yaml", "monthly_fee_eur", "monthly_fe_eur", "monthly_fee_eur"),
        ("actions.yaml", "prior:", "priar:", "prior"),
        ("settings.yaml", "direction: inbound", "direction: sideways", "sideways"),
    ],
)
def test_check_names_file_line_and_what_was_meant(
    run: Run, small: Workspace, tmp_path: Path, file: str, before: str, after: str, message: str
) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(small.root, shop, ignore=shutil.ignore_patterns("data"))
    broken = shop / "catalogue" / file
    text = broken.read_text()
    line = next(n for n, content in enumerate(text.splitlines(), 1) if before in content)
    broken.write_text(text.replace(before, after, 1))
    output = refused(run("check", at=shop))
    first = output.splitlines()[0]
    assert first.startswith(f"catalogue/{file}:{line}: ")
    assert message in first
    as_json = run("check", "--json", at=shop)
    assert as_json.exit_code == 1
    problem = json.loads(as_json.stdout)["problems"][0]
    assert (problem["file"], problem["line"]) == (f"catalogue/{file}", line)
    assert refused(run("release", at=shop)) == output


@pytest.mark.promise("commands.json-and-exit-codes")
@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("pause", "tv-bundel"), None, "the release that serves has no tv-bundel; did you mean tv-bundle?"),
        (("rollback", "sha256:00"), None, "names no release"),
        (("rollback",), None, "no earlier release"),
        (("erase", "stranger", "--yes"), None, "nothing is held"),
        (("promote",), None, "train one"),
        (("promote", "7"), None, "7"),
        (("train",), None, "no contact whose outcome is known"),
        (("evaluate",), None, "too little to learn from"),
        (("decide",), "{", "body"),
        (("decide",), '{"request_id": "r"}', "channel"),
        (("import", "hillstorm", "x.csv"), None, "hillstrom"),
        (("import", "profile", "absent.csv"), None, "absent.csv"),
        (("train", "--outcome", "bougth"), None, "no action declares bougth; they declare accepted"),
        (("evaluate", "--outcome", "bougth"), None, "no action declares bougth; they declare accepted"),
        (("import", "profile", "a.csv", "b.csv"), None, "reads one file"),
        (("import", "profile", __file__, "--separator", "--"), None, "one ASCII character"),
        (("import", "hillstrom", "a.csv", "--separator", ";"), None, "--separator is for `brain import profile`"),
        (("decide",), json.dumps(ask("r"))[:-1] + ', "customer_id": "c-2"}', "customer_id: stands twice"),
        (("decide",), json.dumps(ask("r", mode="preview", as_of="9999-12-31T23:59:59Z")), "as_of: expected a time"),
        (("decide",), json.dumps(ask("r", mode="preview", as_of="0001-01-01")), "as_of: expected a time"),
    ],
)
def test_refusals_are_one_plain_line(run: Run, arguments: tuple[str, ...], stdin: str | None, message: str) -> None:
    text = refused(run(*arguments, stdin=stdin))
    assert message in text
    assert len(text.splitlines()) == 1
    as_json = run(*arguments, "--json", stdin=stdin)
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["error"] == text


TOLD_AT_ONCE = [
    ("pause", "tv-bundle", "--workspace", "{absent}"),
    ("report", "--workspace", "{absent}"),
    ("new", "{}"),
    ("import", "profile", "absent.csv", "--workspace", "{}"),
    ("import-signals", "absent.csv", "--workspace", "{}"),
    ("decide", "absent.json", "--workspace", "{}"),
    ("train", "risk", "--workspace", "{}"),
    ("train", "sentiment", "--workspace", "{}"),
    ("evaluate", "--reward", "nosuch", "--workspace", "{}"),
    ("trial", "--share", "2", "--workspace", "{}"),
    ("promote", "x@y", "--workspace", "{}"),
    ("export", "--workspace", "{}"),
    ("erase", "c-1", "--account", "a-1", "--yes", "--workspace", "{}"),
    ("restrict", "--workspace", "{}"),
    ("export", "c-1", "--out", "{absent}/c-1.json", "--workspace", "{}"),
    ("simulate-change", "--page", "{absent}/page.html", "--workspace", "{}"),
    ("batch", __file__, "--channel", "web", "--placement", "hero", "--out", "{absent}/x.parquet", "--workspace", "{}"),
    ("train", "risk", "--customers", __file__, "--scores", "{absent}/x.parquet", "--workspace", "{}"),
    ("looks", "c-1", "--account", "a-1", "--workspace", "{}"),
    ("key", "create", "--scope", "nosuch", "--workspace", "{}"),
    ("user", "add", "ann", "--scope", "nosuch", "--workspace", "{}"),
    ("user", "change", "ann", "--scope", "nosuch", "--workspace", "{}"),
]
"""Commands whose first error needs nothing but their words and `brain.yaml`."""

LIBRARIES_AFTER = (
    "import json, sys, brain\n"
    "told = []\n"
    "for words in json.loads(sys.argv[1]):\n"
    "    try: brain.main(words)\n"
    "    except SystemExit as exit: told.append((words, exit.code, [n for n in sys.modules if '.' not in n]))\n"
    "print(json.dumps(told))\n"
)
"""Runs commands in one process, and prints their exit codes and the libraries that were loaded after each."""
LIBRARIES = {"duckdb", "fastapi", "feast", "lightgbm", "mlflow", "pandas", "pyarrow", "ray", "sklearn"}


def told_by(*commands: tuple[str, ...]) -> list[tuple[list[str], int, set[str]]]:
    """Return each command with its exit code and the libraries that were loaded after it."""
    code = [sys.executable, "-c", LIBRARIES_AFTER, json.dumps(commands)]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
    return [(words, exit_code, set(names)) for words, exit_code, names in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.promise("commands.short-of-time")
def test_a_first_error_is_told_before_any_library_that_works_is_loaded(small: Workspace, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    open_workspace(small.root)  # a copy is settled by the first command in it
    told = told_by(*(tuple(w.format(small.root, absent=absent) for w in words) for words in TOLD_AT_ONCE))
    assert len(told) == len(TOLD_AT_ONCE)
    for words, exit_code, loaded in told:
        assert exit_code in (1, 2), words
        assert not (LIBRARIES | {"sqlalchemy", "numpy"}) & loaded, words


@pytest.mark.promise("commands.short-of-time")
def test_an_unknown_action_or_key_is_told_without_tables_and_models(small: Workspace) -> None:
    open_workspace(small.root)
    where = ("--workspace", str(small.root))
    for words, exit_code, loaded in told_by(("pause", "nosuch", *where), ("key", "revoke", "nosuch", *where)):
        assert exit_code == 1, words
        assert not LIBRARIES & loaded, words


def test_signals_that_were_all_refused_do_not_end_well(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text("[]\nnothing\n")
    told = (
        "all 2 rows of s.jsonl were refused: row 1: event: must be a JSON object; row 2: event: must be a JSON object"
    )
    assert refused(run("import-signals", str(tmp_path / "s.jsonl"))) == told


def test_a_folder_that_is_no_workspace_says_how_to_make_one(run: Run, small: Workspace, tmp_path: Path) -> None:
    for words, command in COMMANDS.items():
        if words[0] in NEED_RAY | {"new"}:
            continue
        required = [__file__ for p in command.params if p.param_type_name == "argument" and p.required]
        needs = {
            ("import",): ["profile", "x.csv"],
            ("erase",): ["c", "--yes"],
            ("key", "create"): ["--scope", "agent"],
            ("user", "add"): ["ann", "--scope", "agent"],
        }
        text = refused(run(*words, *needs.get(words, required), at=tmp_path, stdin="{}"))
        assert text.startswith("brain.yaml:1: ")
        assert "brain new" in text
    assert "is not empty" in refused(run("new", str(small.root), at=None))


@pytest.mark.promise("commands.json-and-exit-codes")
@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check", "--nonsense"], ["pause"], ["train", "nonsense"], ["verify", "--sample", "0"]]
)
def test_wrong_usage_is_exit_code_two(run: Run, arguments: list[str]) -> None:
    result = run(*arguments, at=None)
    assert result.exit_code == 2
    assert not result.stdout
    assert "Usage: brain" in result.stderr


def test_every_command_has_json_a_workspace_and_one_line_of_help() -> None:
    for words, command in COMMANDS.items():
        options = {o for p in command.params for o in p.opts}
        assert {"--json", "folder" if words == ("new",) else "--workspace"} <= options
        first, _, _ = (command.help or "").strip().partition("\n\n")
        assert first.count("\n") == 0
        assert first.endswith(".")


@pytest.mark.promise("commands.json-and-exit-codes")
def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, brain\n"
        "try: brain.main(['--help'])\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'feast', 'ray', 'mlflow', 'lightgbm', 'pandas', 'sklearn', 'fastapi'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in brain.main.commands)


@pytest.mark.promise("commands.short-of-time")
def test_checking_imports_no_library_that_learns_or_serves(small: Workspace) -> None:
    code = (
        "import sys, brain\n"
        "try: brain.main(['check', '--workspace', sys.argv[1]])\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'feast', 'ray', 'mlflow', 'lightgbm', 'scipy', 'pandas', 'sklearn', 'fastapi'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", code, str(small.root)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


BUSY = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"  # no signal interrupts it, as with much of what libraries do

DUCK = (
    "import duckdb; duckdb.sql('SELECT count(*) FROM range(10000000) a, range(10000000) b').fetchall()"  # RuntimeError
)


@pytest.mark.promise("commands.short-of-time")
@pytest.mark.parametrize("work", [BUSY, DUCK], ids=["a library", "DuckDB"])
def test_ctrl_c_ends_a_command_within_two_seconds_and_says_how_to_go_on(work: str) -> None:
    code = (
        "import hashlib, time, brain_command\n"
        "@brain_command.command(workspace=False, stopped='all of it is kept; run it again')\n"
        "def work():\n"
        "    print('begun', flush=True)\n"
        f"    {work}\n"
        "brain_command.main(['work'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began_s = time.monotonic()
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, "stopped: all of it is kept; run it again\n")
    assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("way", ["command", pytest.param("library", marks=pytest.mark.long)])
def test_a_command_imports_lightgbm_and_feast_without_what_nobody_uses(way: str) -> None:
    """They find scikit-learn, pandas and typeguard as ever where no command runs, and so do all others."""
    code = (
        "import sys\n"
        "if sys.argv[1] == 'command':\n"
        "    import brain\n"
        "    try: brain.main(['check', '--workspace', '/nowhere'])\n"
        "    except SystemExit: pass\n"
        "import lightgbm\n"
        "assert lightgbm.compat.SKLEARN_INSTALLED == lightgbm.compat.PANDAS_INSTALLED == (sys.argv[1] != 'command')\n"
        "import pandas, sklearn.linear_model, typeguard\n"
        "from features.feast_library import import_feast\n"
        "checked = typeguard.typechecked\n"
        "feast = import_feast()\n"
        "feast.Entity(name=1)\n"
        "assert typeguard.typechecked is checked\n"
    )
    result = subprocess.run([sys.executable, "-c", code, way], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
