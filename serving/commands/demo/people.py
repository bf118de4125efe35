"""The people of the demo: who signs in at the desk and the lead's view, and which agents there are."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from features.people import LOCAL, find_person
from serving.access.files import OWNER_ONLY
from serving.access.users import operating_system_user
from serving.brain.active import open_ledger
from serving.commands.access import people
from serving.commands.demo.asking import Send
from serving.settings import Workspace

AGENT: Final = "agent"
LEAD: Final = "lead"
COLLEAGUE: Final = "noor"
"""An agent of the demo who speaks Dutch alone; nobody signs in as her."""
_SKILLS: Final = ("billing", "payment-arrangements", "technical", "moving", "orders", "mobile", "retention", "sales")
_ABLE: Final[Mapping[str, Any]] = {"proficiency": dict.fromkeys(_SKILLS, 0.9), "capacity": {"web": 1}}
_STATED: Final[Mapping[str, Mapping[str, Any]]] = {
    AGENT: {**_ABLE, "languages": ["en", "nl"], "trained": ["vulnerable"]},
    COLLEAGUE: {**_ABLE, "languages": ["nl"]},
}


def password_file(workspace: Workspace, name: str) -> Path:
    """Return the file that holds the password of a person of the demo."""
    return workspace.keys / f"{name}-password"


def make_people(workspace: Workspace) -> None:
    """Let an agent and a lead sign in, each with a generated password that lies beside the keys, readable by the owner.

    Does nothing for a person whose file is there.
    """
    owner = operating_system_user().name
    for name in (AGENT, LEAD):
        file = password_file(workspace, name)
        if file.exists():
            continue
        password = secrets.token_urlsafe(12)
        if _id_of(workspace, name) is None:
            people.add(workspace, name, [name], password, owner)
        else:
            people.set_password(workspace, name, password)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as opened:
            opened.write(password + "\n")


def agent_ids(workspace: Workspace) -> dict[str, str]:
    """Return name -> the id by which the ledger names each agent of the demo."""
    return {AGENT: f"person:{_id_of(workspace, AGENT)}", COLLEAGUE: COLLEAGUE}


def state_agents(send: Send, ids: Mapping[str, str]) -> None:
    """State what the agents of the demo can do."""
    for name, agent_id in ids.items():
        send(LEAD, "PUT", f"/v1/agents/{agent_id}", dict(_STATED[name]))


def own_link(send: Send, customer_id: str) -> str:
    """Return a new link to a customer's own page."""
    return str(send("privacy", "POST", f"/v1/customers/{customer_id}/links", {"hours": 24, "locale": "en"})["url"])


def _id_of(workspace: Workspace, name: str) -> str | None:
    with open_ledger(workspace) as ledger:
        person = find_person(ledger, LOCAL, name)
    return None if person is None else person.id
