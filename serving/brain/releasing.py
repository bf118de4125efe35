"""From files to what serves: check, release, roll back, pause. Editing files changes nothing until a release."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decisioning.catalogue.check.signals import emotions_that_ask
from decisioning.catalogue.files import load, unpack
from decisioning.catalogue.release import Release
from decisioning.errors import NotFound, Refused
from decisioning.review import personas
from decisioning.review.approval import Person
from decisioning.review.removed_gates import removed_gates
from features.approvals.door import Door, is_let_serve
from features.ledger import Ledger, now_us
from features.messages.intents.fitting import confused_examples, intent_model
from features.profile.archive import Archive
from features.profile.repository import apply, online_is
from features.views import Layout, views_of
from serving.access.files import OWNER_ONLY, make_key_files
from serving.brain.active import open_ledger
from serving.brain.releases.files import pack_files, packed_files
from serving.brain.scoring import load_model, lost_inputs, untold_inputs
from serving.machine import check_empty
from serving.settings import CONFIG_NAME, Workspace
from training.registry import PROPENSITY, Registry

if TYPE_CHECKING:
    from features.profile.store import Store

NO_REASONS = (
    "no feature has `because`, so reasons are told without direction: add for example "
    '`because: {use: said, text: "you have {value} mobile {line|lines}"}`'
)
STARTER = Path(__file__).resolve().parents[1] / "starter"


def write_files(workspace: Workspace, files: Mapping[str, str]) -> None:
    """Write catalogue files, by path from the workspace; a file that has the same text already is not touched."""
    for name, text in files.items():
        path = workspace.root / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def open_store(workspace: Workspace) -> "Store":
    """Open the workspace's feature store.

    Raises Refused before the first release, and if `brain.yaml` names another online store than the last release.
    """
    from features.profile.store import Store  # noqa: PLC0415  Feast takes seconds to import

    store = Store(workspace.data)
    if not online_is(workspace.data, workspace.settings.online_store.redis):
        raise Refused("brain.yaml names another online store than the last release: run `brain release`")
    return store


def check(workspace: Workspace) -> dict[str, Any]:
    """Read and cross-check every file, then decide for every persona; raises ConfigError or Refused.

    `reasons`: what each persona's facts would say for an offer.
    """
    compiled = _checked(workspace, packed_files(workspace))
    passed = f"no mistakes, {len(compiled.catalogue.personas)} personas passed"
    reasons = personas.sentences(compiled)
    return {"result": passed, **_summary(compiled, workspace), **({"reasons": reasons} if reasons else {})}


def _checked(workspace: Workspace, packed: bytes) -> Release:
    compiled = Release.of(load(unpack(packed), workspace.settings.environment), packed)
    registry = Registry(workspace.data)
    champion = load_model(registry, compiled, registry.lineup(PROPENSITY).champion)
    if untold := untold_inputs(registry, compiled):
        raise Refused("\n".join(untold))
    verdicts = personas.run(compiled, champion.score, champion.name, now_us())
    if failed := [f"persona {v.persona}: {f}" for v in verdicts for f in v.failures]:
        raise Refused("\n".join(failed))
    return compiled


def _summary(compiled: Release, workspace: Workspace) -> dict[str, Any]:
    """Return the release's hash and counts of what it holds.

    `superseded_and_gone` lists superseded actions that no file has, so that a misspelt one is noticed. `advice`: what
    works and should be changed. `intents_held_out`: the share of examples that are named right without those like them.
    """
    catalogue = compiled.catalogue
    intents = intent_model(catalogue.intents)
    advice = [
        *([NO_REASONS] if compiled.wording == 1 else []),
        *emotions_that_ask(catalogue.signals, catalogue.features),
        *([] if intents is None else confused_examples(intents)),
        *lost_inputs(Registry(workspace.data), compiled),
    ]
    missing = sorted(compiled.with_superseded.keys() - compiled.actions.keys())
    return {
        "release": compiled.hash,
        "actions": len(catalogue.actions),
        "treatments": len(compiled.candidates),
        "features": len(catalogue.features),
        "policies": len(catalogue.policies),
        "personas": len(catalogue.personas),
        **({"intents": len(intents.intents), "intents_held_out": round(intents.held_out, 3)} if intents else {}),
        **({"superseded_and_gone": missing} if missing else {}),
        **({"advice": advice} if advice else {}),
    }


def release(workspace: Workspace, by: Person | str, reason: str = "") -> dict[str, Any]:
    """Check the files, keep their bytes as a release, prepare the feature store, and make the environment serve it.

    :param by: who releases; a name is that of an operating-system user
    :param reason: why approval is gone round where the environment asks for it
    :raises Refused: nobody else approved these very bytes yet; they are proposed, and the text says what to do
    """
    return serve_release(workspace, packed_files(workspace), _person(by), reason)


def serve_release(
    workspace: Workspace, packed: bytes, by: Person, reason: str = "", authors: Sequence[Person] = ()
) -> dict[str, Any]:
    """Do what `release` does for these bytes, made by `authors` in another workspace if there are any."""
    compiled, environment = _checked(workspace, packed), workspace.settings.environment
    workspace.data.mkdir(mode=0o700, exist_ok=True)
    with open_ledger(workspace) as ledger:
        name, serving = ledger.put_release(packed), ledger.active(environment)
        removes = [] if serving in (None, name) else removed_gates(_stored(ledger, serving), compiled)
        door = Door(ledger, environment, by, reason)
        already = serving == name and (not door.is_guarded or is_let_serve(ledger, environment, name))
        permit = None if already else door.for_release(name, removes, authors)
        apply(workspace.data, compiled.schema, redis=workspace.settings.online_store.redis)
        if permit is not None:
            ledger.served.activate(permit)
    summary = {**_summary(compiled, workspace), "environment": environment, "changed": permit is not None}
    return {**summary, **({"removes": removes} if removes else {})}


def propose(
    workspace: Workspace, ledger: Ledger, files: Mapping[str, str], by: Person, *, check_only: bool
) -> dict[str, Any]:
    """Check catalogue files by path from the workspace, and propose the release that they make; it does not serve.

    :raises ConfigError: the files have mistakes
    :raises Refused: a persona fails, or the release serves already
    """
    compiled, environment = _checked(workspace, pack_files(files)), workspace.settings.environment
    summary = {**_summary(compiled, workspace), "environment": environment, "proposed": not check_only}
    serving = ledger.active(environment)
    removes = [] if serving in (None, compiled.hash) else removed_gates(_stored(ledger, serving), compiled)
    if removes:
        summary["removes"] = removes
    if check_only:
        return summary
    if serving == compiled.hash:
        raise Refused("this release serves already")
    ledger.put_release(pack_files(files))
    waits_for = Door(ledger, environment, by).why_not_release(compiled.hash, removes)
    return {**summary, "waits_for": waits_for}


def rollback(workspace: Workspace, by: Person | str, to: str | None = None, reason: str = "") -> dict[str, Any]:
    """Serve the release before the current one, or the one whose hash is `to`.

    It is not refused for values of the profile that do not fit their type in that release: they are unknown under it,
    and `advice` says how many. `removes` lists the gates and caps of the current release that it lacks.

    :param by: as in `release`; so is `reason`
    :raises NotFound: `to` was never released in this environment
    :raises Refused: there is no earlier release, or nobody else approved that it removes gates
    """
    environment = workspace.settings.environment
    with open_ledger(workspace) as ledger:
        history = [a.release for a in ledger.activations(environment)]
        target = ledger.whole_name(to) if to else _before(history)
        if target not in history:
            raise NotFound("release", f"it was never released in {environment}")
        compiled = _stored(ledger, target)
        removes = removed_gates(_stored(ledger, history[-1]), compiled)
        permit = Door(ledger, environment, _person(by), reason).for_release(target, removes)
        apply(workspace.data, compiled.schema, redis=workspace.settings.online_store.redis, keep=True)
        ledger.served.activate(permit)
    advice = [*_unfit(workspace, compiled), *lost_inputs(Registry(workspace.data), compiled)]
    return {
        "release": target,
        "environment": environment,
        "was": history[-1],
        **({"removes": removes} if removes else {}),
        **({"advice": advice} if advice else {}),
    }


def _person(by: Person | str) -> Person:
    return Person("user", (by,)) if isinstance(by, str) else by


def _stored(ledger: Ledger, name: str) -> Release:
    return Release.from_bytes(ledger.get_release(name))


def _unfit(workspace: Workspace, compiled: Release) -> list[str]:
    """Return a line for each feature that is unknown of customers because its value does not fit its type."""
    from features.profile.loading import unfit  # noqa: PLC0415  it needs pyarrow and numpy, which take a while

    counts = unfit(Archive(Layout(workspace.data), views_of(compiled.schema)))
    return [
        f"the newest value of `{name}` does not fit its type for {count} customers: it is unknown for them until a "
        "release has a type that fits"
        for name, count in counts.items()
    ]


def _before(history: list[str]) -> str:
    """Return the newest release in `history` (oldest first) that is not the current one."""
    earlier = [r for r in history if r != history[-1]] if history else []
    if not earlier:
        raise Refused("there is no earlier release to go back to")
    return earlier[-1]


def new(root: Path, catalogue: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make a workspace with a small catalogue to start from, or with these files (path below catalogue/ -> text).

    Raises Refused if the folder has files already.
    """
    check_empty(root)
    files = {str(p.relative_to(STARTER)): p.read_text() for p in sorted(STARTER.rglob("*.yaml"))}
    if catalogue is not None:
        files = {CONFIG_NAME: files[CONFIG_NAME], **{f"catalogue/{name}": text for name, text in catalogue.items()}}
    with _whole_or_nothing(root):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / CONFIG_NAME).touch(mode=OWNER_ONLY)  # passwords of databases are in it
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        workspace = Workspace.open(root)
        workspace.create_secret()
        make_key_files(workspace)
        workspace.data.mkdir(mode=0o700)
    next_command = "import" if catalogue == {} else "check"
    return {"workspace": str(root), "keys": str(workspace.keys), "next": f"brain {next_command} --workspace {root}"}


@contextmanager
def _whole_or_nothing(root: Path) -> Iterator[None]:
    """Remove what was written in a new folder if not all could be, so that the command can be repeated."""
    existed = root.exists()
    try:
        yield
    except OSError:
        for part in root.iterdir() if root.exists() else ():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        if root.exists() and not existed:
            root.rmdir()
        raise
