"""A workspace with what tests of outcomes need: an account's action, and one that is over once it was seen."""

from collections.abc import Sequence
from pathlib import Path

from pydantic_core import to_json

from decisioning.deciding.screening import Stop, screened_for
from decisioning.facts.forms import Ask
from features.ledger import now_us
from serving.brain import releasing
from serving.settings import Workspace
from tests.serving.workspaces import Client, Json, ask, offers, small_workspace, welcome

WEB = ("hero", "sidebar")
_OF_ACCOUNT = "    suppress: [{after: accepted}, {after: declined, days: 60}]\n"
_SEEN = """    outcomes: {positive: [seen, accepted], negative: [declined], window_days: 30}
    suppress: [{after: seen, days: 7}]
"""


def telling_workspace(root: Path) -> Workspace:
    """Return the small workspace; `family-data` is suppressed for accounts, `fix-router` once it was seen."""
    workspace = small_workspace(root)
    file = root / "catalogue" / "actions.yaml"
    text = file.read_text().replace("    supersedes: null\n", _OF_ACCOUNT)
    before = "    value: 1\n    purposes: [service]\n"
    assert before in text
    assert _OF_ACCOUNT in text
    file.write_text(text.replace(before, before + _SEEN, 1))
    releasing.release(workspace, "test")
    return workspace


def offered(client: Client, customer: str, action: str, **more: object) -> str:
    """Return the offer of this action that a new customer gets."""
    welcome(client, customer)
    shown = shown_to(client, customer, f"first-{customer}", **more)
    return str(shown[action])


def shown_to(client: Client, customer: str, request_id: str, **more: object) -> dict[str, str]:
    """Return the offers of a decision by action."""
    body = ask(request_id, customer, **{"placements": [{"name": "hero", "limit": 5}], **more})
    status, answer = client("POST", "/v1/decisions", body)
    assert status == 200, answer
    return {o["action"]: o["offer_id"] for o in offers(answer)}


def gates(client: Client, customer: str, **more: object) -> dict[str, str]:
    """Return what stops each action on the web for a customer now, by action; nothing for those that pass."""
    body = ask("gates", customer, placements=[{"name": n, "limit": 5} for n in WEB], **more)
    asked = Ask.model_validate_json(to_json(body))
    snapshot, at_us = client.brain.snapshot, now_us()
    found = screened_for(asked, client.brain.known(asked, snapshot, at_us), snapshot.release, now_us=at_us)
    rows = found.view.rows_by_action
    return {action: _gate(found.stops, sum(1 << row for row in rows[action])) for action in rows}


def _gate(stops: Sequence[Stop], candidates: int) -> str:
    return next((stop.gate for stop in stops if stop.candidates & candidates), "")


def told(client: Client, customer: str) -> list[str]:
    """Return the outcomes that hold for a customer."""
    return [f"{o['action']}:{o['outcome']}" for o in client("GET", f"/v1/customers/{customer}")[1]["outcomes"]]


def states(client: Client, customer: str) -> dict[str, str]:
    """Return how far the customer's contacts got, by action."""
    return {c["action"]: c["state"] for c in client("GET", f"/v1/customers/{customer}")[1]["contacts"]}


def tell(client: Client, outcome_id: str, outcome: str, **about: object) -> tuple[int, Json]:
    """Return the answer to one outcome."""
    return client("POST", "/v1/outcomes", {"outcome_id": outcome_id, "outcome": outcome, **about})
