"""The links that the demo prints once it serves: each leads to a page that works at once."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

import serving
from serving.commands.demo.asking import sender
from serving.commands.demo.people import AGENT, LEAD, agent_ids, own_link, password_file, state_agents
from serving.settings import Workspace

_CONSOLE: Final = Console(highlight=False)
_PROGRAM: Final = Path(serving.__file__).parents[1] / "brain.py"


def show_links(workspace: Workspace, url: str, folder: Path, customer_id: str) -> None:
    """Print links to the desk, the lead's view, a customer's own page and the report, and how to sign in.

    The report is written by a process of its own, which goes on meanwhile.
    """
    report = write_report(workspace.root)
    send = sender(workspace, url)
    state_agents(send, agent_ids(workspace))
    for line in (
        "",
        "pages (each name in a browser of its own, such as a private window):",
        *(f"  {line}" for line in _pages(workspace, url, folder)),
        f"  {customer_id}'s own page, once:  [bold]{own_link(send, customer_id)}[/bold]",
        f"  the report, in half a minute:  [bold]{report.resolve().as_uri()}[/bold]",
        "",
        f"  brain demo --play --workspace {folder}     in another terminal: an angry customer reaches a person",
    ):
        _CONSOLE.print(line, soft_wrap=True)


def _pages(workspace: Workspace, url: str, folder: Path) -> list[str]:
    about = {AGENT: ("the desk", "desk"), LEAD: ("the lead's view", "lead")}
    return [
        f"{title + ':':<17} [bold]{url}/sign-in?next=/{page}[/bold]   name {name}, password in "
        f"{folder / password_file(workspace, name).relative_to(workspace.root)}"
        for name, (title, page) in about.items()
    ]


def write_report(root: Path) -> Path:
    """Let a process of its own write the workspace's report; return where it will be."""
    command = [sys.executable, str(_PROGRAM), "report", "--workspace", str(root), "--json"]
    none = subprocess.DEVNULL
    subprocess.Popen(command, start_new_session=True, stdin=none, stdout=none, stderr=none)
    return root / "report.html"
