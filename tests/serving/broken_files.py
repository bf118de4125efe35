"""Files of a workspace, ways in which they break, and what the product says of each: the cells of a table."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import delete

import brain as command_line
from decisioning.errors import BrainError
from features.decisions.log import LOG, DecisionLog
from features.ledger import now_us
from features.ledger.tables import CLAIMS
from serving.brain.runtime import Brain
from serving.settings import Workspace
from tests.permits import make_champion
from tests.serving.flipping import PEOPLE, full_workspace
from tests.serving.models import register
from tests.serving.workspaces import Client, ask, consent
from training.registry import Registry

FILES = {
    "secret": "secret",
    "brain.yaml": "brain.yaml",
    "catalogue": "catalogue/actions.yaml",
    "ledger.db": "data/ledger.db",
    "ledger.db-wal": "data/ledger.db-wal",
    "online.db": "data/online.db",
    "spool.db": "data/offline/spool.db",
    "history": "data/offline/profile.parquet",
    "mlflow.db": "data/mlflow.db",
    "sealed model": "data/models/????????????????*/*",
    "pointer": "data/models/propensity@1",
    "checkpoints": "data/checkpoints",
    "identity": "data/identity",
    "place": "data/place",
    "decision log": "data/decisions/rows/*.parquet",
    "log's state": "data/decisions/state.json",
    "repository": "data/feature_repo/feature_store.yaml",
    "views": "data/feature_repo/schema.json",
    "mark": "data/feature_repo/.applied",
    "home": "data/feature_repo/home",
    "registry.db": "data/registry.db",
    "run": "data/run/serve.json",
}
DAMAGES = ("missing", "empty", "half", "read-only", "flipped", "another's")
MOMENTS = ("at start", "serving")


@dataclass
class Seen:
    """What was seen of one broken file. `served`, `after`: facts and consents by person; None where it refused."""

    readiness: str = "not asked"
    start: str = "serves"
    served: Any = None
    verify: list[str] = field(default_factory=list)
    repair: dict[str, Any] = field(default_factory=dict)
    after: Any = None

    @property
    def row(self) -> str:
        """The cells of a line of the table."""
        repaired, cannot = self.repair.get("repaired", []), self.repair.get("cannot", [self.repair.get("error")])
        said = "; ".join([*repaired, *(f"cannot: {line}" for line in cannot)]) or "nothing to do"
        verify = self.verify[0] if self.verify else "fine"
        return " | ".join((self.readiness, self.start, verify, said, "as before" if self.after else "refuses"))


class Breaker:
    """A workspace that is broken in one way at a time, in its own folder, and put back afterwards."""

    def __init__(self, folder: Path) -> None:
        self.workspace, self._kept = _made(folder / "shop", seed=1), folder / "kept"
        self._other = _made(folder / "other", seed=2).root
        brain = Brain(self.workspace)  # it is copied while it is open: what was told last is in its logs
        client = Client(brain)
        assert client("POST", "/v1/consents", consent(PEOPLE[2], "email", "withdrawn"))[0] == 200
        assert client("PATCH", f"/v1/customers/{PEOPLE[0]}", {"facts": {"age": 77}})[0] == 200
        free = delete(CLAIMS).where(CLAIMS.c.name == "checkpoint")
        brain.ledger.transact(lambda connection: connection.execute(free) and None).result()
        brain.ledger.checkpoint(self.workspace.checkpoints_file)
        shutil.copytree(self.workspace.root, self._kept)
        brain.close()
        self.put_back()
        self.before = known(self.workspace)
        self.put_back()

    def put_back(self) -> None:
        """Make the workspace as it was."""
        shutil.rmtree(self.workspace.root)
        shutil.copytree(self._kept, self.workspace.root)

    def see(self, file: str, damage: str, moment: str) -> Seen:
        """Break a file, look at everything, and return what was seen."""
        self.put_back()
        seen = Seen()
        if moment == "serving":
            brain = Brain(self.workspace)
            client = Client(brain)
            undo = self._break(file, damage)
            seen.readiness = _readiness(client)
            brain.close()
        else:
            undo = self._break(file, damage)
        try:
            seen.served = known(self.workspace)
        except BrainError as error:
            seen.start = str(error)
        seen.verify = run(self.workspace, "verify").get("flaws", ["it is refused"])
        undo()
        seen.repair = run(self.workspace, "repair")
        try:
            seen.after = known(self.workspace)
        except BrainError:
            seen.after = None
        return seen

    def _break(self, file: str, damage: str) -> Any:
        """Break a file; return what makes it writable again."""
        path, nothing = self.path(self.workspace.root, file), lambda: None
        if damage == "read-only":
            _immutable(path, on=True)
            return lambda: _immutable(path, on=False)
        if damage == "another's":
            other = self.path(self._other, file)
            if other.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _overwrite(path, other.read_bytes())
        elif path.exists():
            content = path.read_bytes()
            if damage == "missing":
                path.unlink()
            else:
                middle = len(content) // 2
                flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else b""
                _overwrite(path, {"empty": b"", "half": content[:middle], "flipped": flipped}[damage])
        return nothing

    @staticmethod
    def path(root: Path, file: str) -> Path:
        """Return the path of a file in a workspace."""
        pattern = FILES[file]
        return next(iter(sorted(p for p in root.glob(pattern) if p.is_file())), root / pattern.replace("*", "x"))


def _immutable(path: Path, *, on: bool) -> None:
    """Let nobody write the file, root neither, by mounting it read-only over itself."""
    if path.exists():
        words = ["mount", "--bind", str(path), str(path)] if on else ["umount", str(path)]
        subprocess.run(words, check=True)
        if on:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)


def _overwrite(path: Path, content: bytes) -> None:
    if path.exists():
        path.parent.chmod(0o700)
        path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(0o600)


def _made(root: Path, seed: int) -> Workspace:
    """Return a full workspace with a champion, a log of decisions, and a write-ahead log that nobody has emptied."""
    workspace = full_workspace(root)
    brain = Brain(workspace)
    version = register(workspace, brain.snapshot.release, seed, 0.2)
    make_champion(Registry(workspace.data), version)
    DecisionLog(workspace.data / LOG).update(brain.ledger, brain.snapshot.release, now_us())
    brain.compact()
    brain.close()
    workspace.run.mkdir(exist_ok=True)
    (workspace.run / "serve.json").write_text("{}")
    assert run(workspace, "export", PEOPLE[0])["facts"]
    return workspace


def known(workspace: Workspace) -> dict[str, Any]:
    """Open the workspace as a server does, decide once, and return facts and consents by person."""
    brain = Brain(Workspace.open(workspace.root))
    try:
        client = Client(brain)
        people = {person: client("GET", f"/v1/customers/{person}") for person in PEOPLE}
        for status, answer in people.values():
            if status >= 500:
                raise BrainError(str(answer.get("detail")))
        status, answer = client("POST", "/v1/decisions", {**ask("p", PEOPLE[0]), "mode": "preview"})
        if status >= 500:
            raise BrainError(str(answer.get("detail")))
        return {person: (answer.get("facts"), answer.get("consents")) for person, (_, answer) in people.items()}
    finally:
        brain.close()


def _readiness(client: Client) -> str:
    status, answer = client("GET", "/readyz")
    return "ready" if status == 200 else str(answer.get("detail"))


def run(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    """Run a command with `--json`; whatever happens, it prints one JSON object and no traceback."""
    words = [*arguments, "--json", "--workspace", str(workspace.root)]
    result = CliRunner().invoke(command_line.main, words, prog_name="brain")
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    answer: dict[str, Any] = json.loads(result.stdout)
    assert "mistake in the brain" not in result.stdout, answer
    return answer
