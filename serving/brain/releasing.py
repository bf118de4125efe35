"""From files to what serves: check, release, roll back. Editing files changes nothing until they are released."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.catalogue.source import decode
from decisioning.errors import ConfigError, Mistake, NotFound, Refused
from decisioning.facts.forms import PRIOR_MODEL, Scorer
from decisioning.review import personas
from features.ledger import Ledger, now_us
from features.profile.repository import apply, online_is
from serving.brain.scoring import model_scorer, prior_scorer
from serving.settings import CONFIG_NAME, Workspace

if TYPE_CHECKING:
    from features.profile.store import Store


def read_files(workspace: Workspace) -> dict[str, str]:
    """Path from the workspace -> text of every YAML file of the catalogue; raises ConfigError where there is none."""
    files = existing_files(workspace)
    if not files:
        raise ConfigError([Mistake("catalogue", 1, "there is no YAML file here", "make one with: brain new DIR")])
    return files


def existing_files(workspace: Workspace) -> dict[str, str]:
    """The same, and nothing where there is none."""
    files = sorted(p for p in workspace.catalogue.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file())
    names = {str(p.relative_to(workspace.root)): p for p in files}
    return {name: decode(name, path.read_bytes()) for name, path in names.items()}


def write_files(workspace: Workspace, files: Mapping[str, str]) -> None:
    """Writes catalogue files by their path from the workspace; a file that says the same already is left alone."""
    for name, text in files.items():
        path = workspace.root / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@contextmanager
def open_ledger(workspace: Workspace) -> Iterator[Ledger]:
    """The workspace's ledger, closed at the end."""
    workspace.data.mkdir(mode=0o700, exist_ok=True)
    with Ledger.open(workspace.database_url, workspace.secret()) as ledger:
        yield ledger


def open_store(workspace: Workspace) -> "Store":
    """The workspace's feature store; raises Refused before the first release, and after `brain.yaml` named another
    online store, until that was released too."""
    from features.profile.store import Store  # noqa: PLC0415  Feast takes seconds to import

    store = Store(workspace.data)
    if not online_is(workspace.data, workspace.settings.online_store.redis):
        raise Refused("brain.yaml names another online store than the last release: run `brain release`")
    return store


def check(workspace: Workspace) -> dict[str, Any]:
    """Reads and cross-checks every file, then decides for every persona; raises ConfigError or Refused."""
    return _counted(_checked(workspace)[0])


def _checked(workspace: Workspace) -> tuple[Release, bytes]:
    files = with_country_rules(read_files(workspace))
    packed = pack(files)
    compiled = Release.of(load(files, workspace.settings.environment), packed)
    verdicts = personas.run(compiled, *_scorer(workspace, compiled), now_us())
    if failed := [f"persona {v.persona}: {f}" for v in verdicts for f in v.failures]:
        raise Refused("\n".join(failed))
    return compiled, packed


def _counted(compiled: Release) -> dict[str, Any]:
    """What there is; and what actions supersede that is in no file, as it should be gone and not misspelt."""
    catalogue = compiled.catalogue
    gone = sorted(compiled.with_superseded.keys() - compiled.actions.keys())
    return {
        "release": compiled.hash,
        "actions": len(catalogue.actions),
        "treatments": len(compiled.candidates),
        "features": len(catalogue.features),
        "policies": len(catalogue.policies),
        "personas": len(catalogue.personas),
        **({"superseded_and_gone": gone} if gone else {}),
    }


def release(workspace: Workspace, by: str) -> dict[str, Any]:
    """Checks, keeps the bytes, prepares the feature store, and makes the environment serve them."""
    compiled, packed = _checked(workspace)
    workspace.data.mkdir(mode=0o700, exist_ok=True)
    apply(workspace.data, compiled.schema, workspace.root.name, workspace.settings.online_store.redis)
    with open_ledger(workspace) as ledger:
        name = ledger.put_release(packed)
        already = ledger.active(workspace.settings.environment) == name
        if not already:
            ledger.activate(workspace.settings.environment, name, by)
    return {**_counted(compiled), "environment": workspace.settings.environment, "changed": not already}


def rollback(workspace: Workspace, by: str, to: str | None = None) -> dict[str, Any]:
    """Serves the release before the one that serves now, or the one named; its bytes were kept."""
    environment = workspace.settings.environment
    with open_ledger(workspace) as ledger:
        served = [a.release for a in ledger.activations(environment)]
        target = to or _before(served)
        if target not in served:
            raise NotFound("release", f"it was never released in {environment}")
        compiled = Release.from_bytes(ledger.get_release(target))
        apply(workspace.data, compiled.schema, workspace.root.name, workspace.settings.online_store.redis)
        ledger.activate(environment, target, by)
    return {"release": target, "environment": environment, "was": served[-1]}


def pause(workspace: Workspace, action: str, *, resume: bool = False) -> dict[str, Any]:
    """Takes an action out of, or back into, every decision from at most two seconds on; no release."""
    with open_ledger(workspace) as ledger:
        active = ledger.active(workspace.settings.environment)
        if active is None or action not in Release.from_bytes(ledger.get_release(active)).actions:
            raise NotFound("action", "the release that serves has no such action")
        (ledger.resume if resume else ledger.pause)(action)
        return {"action": action, "paused": not resume}


def _before(served: list[str]) -> str:
    """The newest release that is not the one that serves."""
    earlier = [r for r in served if r != served[-1]] if served else []
    if not earlier:
        raise Refused("there is no earlier release to go back to")
    return earlier[-1]


def _scorer(workspace: Workspace, compiled: Release) -> tuple[Scorer, str]:
    if not workspace.mlflow_file.exists():
        return prior_scorer(compiled), PRIOR_MODEL
    from training.registry import Registry  # noqa: PLC0415 - only where there is a model

    registry = Registry(workspace.data)
    version = registry.aliased("propensity", "champion")
    if version is None:
        return prior_scorer(compiled), PRIOR_MODEL
    return model_scorer(compiled, registry.load("propensity", version)), f"propensity@{version}"


def new(root: Path, catalogue: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A workspace with a small catalogue to start from, or with these files (path below catalogue/ -> text).

    Raises Refused where there are files already.
    """
    if root.exists() and any(root.iterdir()):
        raise Refused(f"{root} is not empty; name a new folder")
    files = {str(p.relative_to(STARTER)): p.read_text() for p in sorted(STARTER.rglob("*.yaml"))}
    if catalogue is not None:
        own = {f"catalogue/{name}": text for name, text in catalogue.items()}
        files = {CONFIG_NAME: files[CONFIG_NAME], **own}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    workspace = Workspace.open(root)
    workspace.create_secret()
    workspace.data.mkdir(mode=0o700)
    following = "import" if catalogue == {} else "check"
    return {"workspace": str(root), "next": f"brain {following} --workspace {root}"}


STARTER = Path(__file__).resolve().parents[1] / "starter"
