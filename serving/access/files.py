"""The key files of a workspace: `keys/SCOPE` holds one key of that scope, readable by its owner only."""

import os
import re
import stat
from pathlib import Path
from typing import Final

from decisioning.errors import Refused
from features.access_keys import add_first_keys, any_key
from features.ledger import Ledger, now_us
from serving.access.keys import is_key_text, kept_key, new_key_text
from serving.access.table import ADMIN, TABLE
from serving.settings import CONFIG_NAME, Workspace

OWNER_ONLY: Final = 0o600
_PASSWORDS: Final = re.compile(r"//[^/@\s]*:[^/@\s]+@|\bpassword=(?!\$\{)")
"""A password in the address of a store; `${NAME}` is one that the environment holds."""


def make_key_files(workspace: Workspace) -> None:
    """Make a key file per scope that has none; in `prod` none for `admin`."""
    workspace.keys.mkdir(mode=0o700, exist_ok=True)
    for scope in _scopes_with_files(workspace):
        file = workspace.keys / scope
        if not file.exists():
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            with os.fdopen(handle, "w") as opened:
                opened.write(new_key_text() + "\n")


def ensure_keys(workspace: Workspace, ledger: Ledger, owner: str) -> bool:
    """Let the keys of the key files be accepted, if the workspace never had a key; return whether it had none.

    Makes the files that are missing. Raises Refused as `read_key_file` does, and if `prod` has a file for `admin`.
    """
    if workspace.settings.environment == "prod" and (workspace.keys / ADMIN).exists():
        raise Refused(f"in prod no admin key lies in a file: revoke it, and remove {workspace.keys / ADMIN}")
    if any_key(ledger):
        return False
    make_key_files(workspace)
    texts = {scope: read_key_file(workspace, scope) for scope in _scopes_with_files(workspace)}
    return add_first_keys(ledger, [kept_key(text, scope, scope, owner, now_us()) for scope, text in texts.items()])


def read_key_file(workspace: Workspace, scope: str) -> str:
    """Return the key in `keys/SCOPE`; raises Refused if there is none, or if others may read it."""
    return read_key(workspace.keys / scope, scope)


def read_key(file: Path, scope: str) -> str:
    """Return the key in a file; raises Refused, naming the scope to make one of, as `read_key_file` does."""
    if not file.exists():
        raise Refused(f"there is no key in {file}: make one with `brain key create --scope {scope}`")
    text = read_private(file)
    if not is_key_text(text):
        raise Refused(f"{file} holds no key: make one with `brain key create --scope {scope}`")
    return text


def advice(workspace: Workspace) -> str:
    """Return what to do if others may read a password in `brain.yaml`; empty if nothing is to be done."""
    file, settings = workspace.root / CONFIG_NAME, workspace.settings
    addresses = (settings.database.url, settings.online_store.redis, settings.moments.webhook)
    is_open = stat.S_IMODE(file.stat().st_mode) & 0o044
    if not is_open or not any(_PASSWORDS.search(address or "") for address in addresses):
        return ""
    return f"others may read {file}, in which there is a password; run: chmod 600 '{file}'"


def read_private(file: Path) -> str:
    """Return the text of a file with a secret; raises Refused if it cannot be read, or others may read it."""
    try:
        mode, text = file.stat().st_mode, file.read_text("utf-8", "replace").strip()
    except OSError:
        raise Refused(f"cannot read {file}: it holds a secret, and is to be there with mode 600") from None
    if stat.S_IMODE(mode) & 0o077:
        raise Refused(f"others may read {file}; run: chmod 600 '{file}'")
    return text


def _scopes_with_files(workspace: Workspace) -> list[str]:
    return [scope for scope in TABLE.scopes if scope != ADMIN or workspace.settings.environment != "prod"]
