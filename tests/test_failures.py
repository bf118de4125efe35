"""Whatever goes wrong, a command ends in one line that says what to do, with nothing of the data, and never worse."""

import ctypes
import gc
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import brain
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.features.odd_files import REFUSED
from tests.serving.workspaces import Client, ask, small_workspace, welcome

ROOT = Path(__file__).parents[1]
NAME = "jan@example.org"
Damage = Callable[[Path], Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a customer, a decision and an exported file, opened by a command."""
    workspace = small_workspace(tmp_path_factory.mktemp("failures") / "shop")
    served = Brain(workspace)
    client = Client(served)
    welcome(client, "c-1")
    assert client("POST", "/v1/decisions", ask("r-1"))[0] == 200
    served.close()
    export = ["export", "c-1", "--out", str(workspace.root / "c-1.json")]
    assert CliRunner().invoke(brain.main, [*export, "--workspace", str(workspace.root)]).exit_code == 0
    shutil.copytree(workspace.root, workspace.root.with_name("kept"))
    return workspace.root


@pytest.fixture
def shop(original: Path) -> Iterator[Path]:
    """The workspace, which the test may damage: in its own folder, so that it is no copy that has to be settled."""
    gc.freeze()  # the collection below walks only what this test made, not what hundreds of tests before it left
    yield original
    for folder, _, _ in os.walk(original):
        os.chmod(folder, 0o700)
    gc.collect()  # a connection that a failed command left would remove the log of the files that come now
    shutil.rmtree(original)
    shutil.copytree(original.with_name("kept"), original)


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(brain.main, [*arguments, "--workspace", str(root)], prog_name="brain")


def line(result: Result) -> str:
    """Return the line in which a command ended; one that says what to do, and is no mistake of the brain."""
    assert result.exit_code == 1, result.output + repr(result.exception)
    assert isinstance(result.exception, SystemExit)
    assert not result.stdout
    assert "Traceback" not in result.stderr
    assert "mistake in the brain" not in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def request(root: Path) -> str:
    body = root.parent / "ask.json"
    body.write_text(json.dumps(ask("r-2")))
    return str(body)


def arguments(root: Path, command: str) -> list[str]:
    """Return a command with what it needs; `import` and `decide` read files beside the workspace."""
    people = root.parent / "people.csv"
    people.write_text("customer_id,age\nc-1,41\n")
    return {
        "decide": ["decide", request(root)],
        "import": ["import", "profile", str(people)],
        "export": ["export", "c-1", "--out", str(root / "c-1.json")],
        "erase": ["erase", "c-1", "--yes"],
        "pause": ["pause", "tv-bundle"],
        "report": ["report"],
        "diff": ["policies", "diff", "files", "files"],
    }.get(command, [command])


def removed(part: str) -> Damage:
    return lambda root: shutil.rmtree(root / part) if (root / part).is_dir() else (root / part).unlink()


def swapped(part: str) -> Damage:
    """A file where a folder belongs, and a folder where a file does."""

    def swap(root: Path) -> None:
        is_folder = (root / part).is_dir()
        if (root / part).exists():
            removed(part)(root)
        (root / part).write_text("x") if is_folder else (root / part).mkdir(parents=True)

    return swap


def garbage(part: str) -> Damage:
    def overwrite(root: Path) -> None:
        (root / f"{part}-wal").unlink(missing_ok=True)  # SQLite would restore the file from it
        (root / part).write_bytes(b"\x00\xff no such thing \n" * 50)

    return overwrite


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "no settings": (removed("brain.yaml"), "check", "brain new"),
    "no secret": (removed("secret"), "decide", "restore it from your backup"),
    "no catalogue": (removed("catalogue"), "release", "brain new"),
    "no data": (removed("data"), "export", "cannot be opened"),
    "no ledger": (removed("data/ledger.db"), "decide", "this workspace had a ledger: put it back from your backup"),
    "serving without a ledger": (removed("data/ledger.db"), "serve", "put it back from your backup"),
    "serving without an online store": (removed("data/online.db"), "serve", "run `brain repair`"),
    "serving with a history of nothing": (garbage("data/offline/profile.parquet"), "serve", "run `brain repair`"),
    "no feature repository": (removed("data/feature_repo"), "decide", "brain release"),
    "no repository's file": (removed("data/feature_repo/feature_store.yaml"), "import", "brain release"),
    "no history": (removed("data/offline"), "import", "brain repair"),
    "a file of the history": (removed("data/offline/profile.parquet"), "decide", "brain repair"),
    "no online store": (removed("data/online.db"), "import", "online feature store is gone: run `brain repair`"),
    "settings are a folder": (swapped("brain.yaml"), "check", "brain.yaml"),
    "secret is a folder": (swapped("secret"), "decide", "secret"),
    "data is a file": (swapped("data"), "release", "data"),
    "ledger is a folder": (swapped("data/ledger.db"), "decide", "Is a directory"),
    "online store is a folder": (swapped("data/online.db"), "import", "move the folder away"),
    "repository is a file": (swapped("data/feature_repo"), "release", "move it away"),
    "history is a file": (swapped("data/offline"), "decide", "move the file away"),
    "a history is a folder": (swapped("data/offline/profile.parquet"), "decide", "it is damaged or of another kind"),
    "spool is a folder": (swapped("data/offline/spool.db"), "decide", "move the folder away"),
    "models are a folder": (swapped("data/mlflow.db"), "check", "registry of models cannot be read"),
    "exports are a folder": (swapped("data/written.jsonl"), "export", "move the folder away"),
    "checkpoints are a folder": (swapped("data/checkpoints"), "verify", "1 flaws"),
    "settings are garbage": (garbage("brain.yaml"), "check", "UTF-8"),
    "secret is garbage": (garbage("secret"), "decide", "restore it from your backup"),
    "catalogue is garbage": (garbage("catalogue/x.yaml"), "check", "UTF-8"),
    "ledger is garbage": (garbage("data/ledger.db"), "decide", "it is no database, or it is damaged"),
    "online store is garbage": (garbage("data/online.db"), "import", "it is no database, or it is damaged"),
    "spool is garbage": (garbage("data/offline/spool.db"), "import", "it is no database, or it is damaged"),
    "a history is garbage": (garbage("data/offline/profile.parquet"), "decide", "it is damaged or of another kind"),
    "repository is garbage": (garbage("data/feature_repo/feature_store.yaml"), "decide", "damaged or of another kind"),
    "models are garbage": (garbage("data/mlflow.db"), "check", "it is no database, or it is damaged"),
    "exports are garbage": (garbage("data/written.jsonl"), "export", "it is damaged or of another kind"),
}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("case", DAMAGES)
def test_a_missing_or_damaged_part_ends_in_one_line(shop: Path, case: str) -> None:
    damage, command, says = DAMAGES[case]
    damage(shop)
    assert says in line(run(shop, *arguments(shop, command)))


@contextmanager
def full_disk(_: Path) -> Iterator[None]:
    """Let no file grow, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class _Capabilities(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def read_only(root: Path) -> Iterator[None]:
    """Take away every permission to write in the folder, and from root what it may do nevertheless."""
    for folder, _, files in os.walk(root):
        for file in files:
            os.chmod(Path(folder) / file, 0o400)
        os.chmod(folder, 0o500)
    if os.geteuid():
        yield
        return
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, fewer = (_Capabilities * 2)(), (_Capabilities * 2)()
    assert libc.capget(header, held) == 0
    ctypes.memmove(fewer, held, ctypes.sizeof(held))
    fewer[0].effective &= ~0b1110  # DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


COMMANDS = ("release", "decide", "import", "export", "erase", "pause", "verify", "report", "diff")
PLACES: dict[str, tuple[Callable[[Path], AbstractContextManager[None]], str]] = {
    "full disk": (full_disk, "the disk is full, or a limit stops the file from growing"),
    "read-only folder": (read_only, "ermission"),
}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize(
    "command", ["release", "decide", "import", "export", "erase", "pause", "verify", "report", "diff"]
)
@pytest.mark.parametrize("place", PLACES)
def test_where_nothing_can_be_written_a_command_ends_in_one_line(shop: Path, place: str, command: str) -> None:
    where, says = PLACES[place]
    words = arguments(shop, command)
    with where(shop):
        result = run(shop, *words)
    assert says in line(result)


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("place", PLACES)
def test_a_new_workspace_that_cannot_be_written_ends_in_one_line(tmp_path: Path, place: str) -> None:
    with PLACES[place][0](tmp_path):
        result = CliRunner().invoke(brain.main, ["new", str(tmp_path / "shop")], prog_name="brain")
    assert PLACES[place][1] in line(result)
    os.chmod(tmp_path, 0o700)


@pytest.mark.promise("commands.no-traceback")
def test_a_read_only_workspace_is_checked(shop: Path) -> None:
    with read_only(shop):
        assert run(shop, "check").exit_code == 0


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("out", ["/dev/full", "no/such/folder/x", "catalogue", "brain.yaml/x"])
def test_an_output_that_cannot_be_written_ends_in_one_line(shop: Path, out: str) -> None:
    result = run(shop, "export", "c-1", "--out", str(shop / out))
    if result.exit_code == 2:
        assert "is a directory" in result.stderr, "Click refuses a folder by itself"
    else:
        assert (str(shop / out) in line(result)) != (out == "/dev/full")


@pytest.mark.promise("commands.no-traceback")
def test_a_result_that_cannot_be_printed_is_a_failure(original: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "brain", "check", "--json", "--workspace", str(original)]
        result = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "a file: No space left on device; make room on the disk, and run the command again\n",
    )


YAML = [
    "false: []",
    "[]",
    "5: 3",
    "null: {}",
    "false",
    "- a",
    "a: [",
    "http: []",
    "actions: {false: []}",
    "\x00",
    "? [a]",
]


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("text", YAML)
@pytest.mark.parametrize("file", ["brain.yaml", "catalogue/x.yaml", "mapping.yaml"])
def test_yaml_of_another_kind_is_refused_by_file_and_line(shop: Path, file: str, text: str) -> None:
    (shop / file).write_text(f"{text}\n")
    words = arguments(shop, "import")
    result = run(shop, "import", str(shop / file), words[2]) if file == "mapping.yaml" else run(shop, "check")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    for each in result.stderr.splitlines():
        assert each.startswith(f"{file}:1: "), result.stderr


COLUMNS = {
    "lists": pa.array([[1, 2]]),
    "records": pa.array([{"a": 1}]),
    "maps": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "bytes": pa.array([b"\xff\xfe"]),
}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("column", ["customer_id", "age"])
def test_a_column_of_lists_or_bytes_is_refused_by_its_name(shop: Path, column: str, kind: str) -> None:
    file = shop / "people.parquet"
    plain = {"customer_id": pa.array(["c-1"]), "age": pa.array([40])}
    pq.write_table(pa.table(plain | {column: COLUMNS[kind]}), file)
    result = run(shop, "import", "profile", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"people.parquet: row 1, column {column}: " in result.stderr


FILES = {
    "a folder": lambda file: file.mkdir(),
    "an image": lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
    "nothing": lambda file: file.write_bytes(b""),
    "a header alone": lambda file: file.write_text("customer_id,age\n"),
    "a link to itself": lambda file: file.symlink_to(file),
}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "csv.gz"])
def test_an_import_of_another_kind_of_file_ends_in_one_line(shop: Path, suffix: str, kind: str) -> None:
    file = shop / f"people.{suffix}"
    FILES[kind](file)
    assert file.name in line(run(shop, "import", "profile", str(file)))


@pytest.mark.promise("imports.odd-files")
def test_files_as_people_have_them_are_imported_or_change_nothing(shop: Path) -> None:
    """What cannot be read is refused without a traceback, and leaves no file of the workspace behind or changed."""
    folder = shop / "files"
    folder.mkdir()
    line(run(shop, "import", "profile", str(shop / "files")))  # the first command of a copied workspace settles in it
    for odd in [odd for odd in REFUSED if odd.name in SOME]:
        odd.write(folder / odd.name)
        before = contents(shop)
        result = run(shop, "import", "profile", str(folder / odd.name))
        assert (result.exit_code, result.stdout) == (1, ""), odd.name
        assert odd.name in result.stderr
        assert contents(shop).keys() == before.keys(), odd.name
        assert [k for k, v in contents(shop).items() if before[k] != v] == [], odd.name
    file = folder / "people.csv.gz"
    file.write_bytes(gzip.compress("sep=;\r\ncustomer_id;age\r\n00101;41\r\n;\r\n".encode("utf-16")))
    told = json.loads(run(shop, "import", "profile", str(file), "--json").stdout)
    assert (told["rows"], told["read"]) == (1, "read as `;`-separated (by `sep=`), utf-16-le, gzip")
    assert "leave it out" in line(run(shop, "import", "profile", str(file), "--separator", ","))


SOME = ("doubt.csv", "cut.csv.gz", "rubbish.xlsx", "cut.json")


def contents(root: Path) -> dict[str, bytes]:
    """Return the profile's and the ledger's files with their bytes, without notes of SQLite."""
    files = (
        file for file in (root / "data").rglob("*") if file.is_file() and file.suffix not in (".db-shm", ".db-wal")
    )
    return {str(file): file.read_bytes() for file in files if "lock" not in file.name}


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "signals.jsonl is a picture"),
        (b"[]\n1\nnull\n", "rows of signals.jsonl were refused: row 1: "),
        (gzip.compress(b"{}\n"), "rows of signals.jsonl were refused: row 1: "),
        (gzip.compress(b"{}\n" * 9)[:-9], "signals.jsonl is a damaged gzip file"),
    ],
    ids=["picture", "rows", "packed rows", "cut"],
)
def test_a_file_that_holds_no_signal_fails(shop: Path, content: bytes, message: str) -> None:
    file = shop / "signals.jsonl"
    file.write_bytes(content)
    assert message in line(run(shop, "import-signals", str(file)))


@pytest.mark.promise("commands.no-traceback")
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("error", [ValueError(NAME), RecursionError(NAME), KeyError(NAME), AssertionError(NAME)])
def test_a_mistake_of_our_own_ends_in_one_line_without_its_values(
    original: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, as_json: bool
) -> None:
    def fail(_: Workspace) -> None:
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        raise error

    monkeypatch.setattr("serving.brain.releasing.check", fail)
    result = run(original, "check", *(["--json"] if as_json else []))
    text = json.loads(result.stdout)["error"] if as_json else result.stderr
    assert result.exit_code == 1
    assert text.startswith("this is a mistake in the brain (")
    assert f"not yours: {type(error).__name__} at tests/test_failures.py:" in text
    assert NAME not in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.promise("commands.no-traceback")
def test_too_little_memory_ends_in_one_line(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.brain.releasing.check", lambda _: bytearray(1 << 62))
    assert "not enough memory" in line(run(original, "check"))


@pytest.mark.promise("profile.lost-online-store")
def test_an_online_store_that_is_gone_is_filled_from_the_history_by_a_release(shop: Path) -> None:
    (shop / "data/online.db").unlink()
    assert "online feature store is gone: run `brain repair`" in line(run(shop, "decide", request(shop)))
    assert run(shop, "release").exit_code == 0
    assert json.loads(run(shop, "export", "c-1", "--json").stdout)["facts"]["age"] == 40
