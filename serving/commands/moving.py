"""A workspace that was moved or copied works where it is now: what names its folder is written anew, before all else.

`data/place` holds where the workspace was opened last. MLflow and Feast keep absolute paths, and `data/written.jsonl`
those of exported files. A copy shares nothing with the original: it forgets its exports, and what runs there.
"""

import fcntl
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from decisioning.catalogue.release import Release
from features.files import replace_file
from features.profile.repository import apply, data_folder, online_at, register, separate, settle
from features.views import Layout
from serving.brain.active import open_ledger
from serving.customers import exported_files
from serving.settings import Workspace
from training.registry import Registry


def settle_in(workspace: Workspace) -> None:
    """Make the workspace work where it is now, if it was opened elsewhere before; it must have a data folder.

    Raises OSError if something has to be written anew and the folder can only be read.
    """
    moved = _last_folder(workspace) != workspace.root
    try:
        with (workspace.data / "place.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (last := _last_folder(workspace)) != workspace.root:
                _settle(workspace, last)
            text = json.dumps(asdict(workspace.place))
            replace_file(workspace.place_file, lambda half: half.write_text(text))
    except OSError:
        if moved:
            raise


def _last_folder(workspace: Workspace) -> Path:
    """Return where the workspace was opened last; for one of an earlier version, the folder that Feast was given."""
    if (last := workspace.last_place) is not None:
        return Path(last.folder)
    folder = data_folder(Layout(workspace.data))
    return workspace.root if folder is None else folder.parent


def _settle(workspace: Workspace, last: Path) -> None:
    """Write anew what names the folder in which the workspace was last."""
    layout = Layout(workspace.data)
    if (layout.repo / "schema.json").exists() and settle(layout):
        register(layout)
    Registry(workspace.data).settle()
    if _is_elsewhere(workspace, last):
        exported_files.forget(workspace)
        shutil.rmtree(workspace.run, ignore_errors=True)
        if workspace.settings.database.url is None and (layout.repo / "schema.json").exists():
            _own_keys(workspace, layout)
    else:
        exported_files.move(workspace, last)


def _own_keys(workspace: Workspace, layout: Layout) -> None:
    """Give a copy with a ledger of its own its own keys in Redis; one that shares the ledger shares profiles, too."""
    redis = workspace.settings.online_store.redis
    if redis is None or online_at(layout) is None:
        return
    separate(layout)
    with open_ledger(workspace) as ledger:
        active = ledger.active(workspace.settings.environment)
        if active is not None:
            apply(workspace.data, Release.from_bytes(ledger.get_release(active)).schema, redis=redis)


def _is_elsewhere(workspace: Workspace, last: Path) -> bool:
    """Tell whether the workspace is still in its last folder, too, so that this one is a copy."""
    try:
        original, here = (last / workspace.data.name).stat(), workspace.data.stat()
    except OSError:
        return False
    return (original.st_dev, original.st_ino) != (here.st_dev, here.st_ino)
