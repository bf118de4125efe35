"""`brain demo`: show decisions on a terminal, requested over HTTP like all others."""

import http.client
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from serving.commands.telling.results import WHY_EMPTY, title_of
from serving.pages.figures import euros, percent

_CONSOLE = Console(highlight=False)


@dataclass(frozen=True)
class Story:
    """A story with the body of its `POST /v1/decisions`, and the signals after which the request is repeated.

    `happenings`: (description, type of the signal, data of the signal).
    """

    story: str
    request: Mapping[str, Any]
    happenings: Sequence[tuple[str, str, Mapping[str, Any]]] = ()


def show_decisions(url: str, key: str, stories: Sequence[Story]) -> None:
    """Print a panel per story with the request, the decision and its reasons, and again after each of its signals."""
    server = Requests(url, key)
    for story in stories:
        _show(server, story.request, f"[italic]{escape(story.story)}[/italic]")
        for description, type_, data in story.happenings:
            server("POST", "/v1/signals", _signal(story.request, type_, data))
            quote = f": “{escape(data['text'])}”" if "text" in data else ""
            _show(server, story.request, f"[italic]then {description}{quote}[/italic]")


def _show(server: "Requests", request: Mapping[str, Any], heading: str) -> None:
    answer = server("POST", "/v1/decisions", {**request, "request_id": f"demo-{uuid.uuid4().hex}"})
    explanation = server("GET", f"/v1/decisions/{answer['decision_id']}")
    lines = [heading, "", *(line for placement in answer["placements"] for line in _placement(placement))]
    if answer["handover"]:
        lines.append(f"[bold]a person takes over[/bold]: {escape(answer['handover']['reason'])}")
    lines += ["", *_withheld(explanation), f"[dim]decided with {answer['model']} as {answer['decision_id']}[/dim]"]
    title = f"{request['customer_id']} on {request['channel']}"
    _CONSOLE.print(Panel("\n".join(lines), title=title, title_align="left", width=100))


def _signal(request: Mapping[str, Any], type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    envelope = {"id": uuid.uuid4().hex, "source": "demo", "subject": f"customer:{request['customer_id']}"}
    return {"specversion": "1.0", **envelope, "type": type_, "data": data}


def show_next(url: str, folder: Path, customers: Sequence[str]) -> None:
    """Print where the server is, whom one may ask for, and what a user can try next."""
    key = f'-H "Authorization: Bearer $(cat {folder}/keys/admin)"'
    for line in (
        f"\nserving until Ctrl-C: [bold]{url}/[/bold], requests and answers: [bold]{url}/docs[/bold]",
        f"customers: {', '.join(customers)} are those above, c-2005 and on are generated; accounts such as a-7",
        f"keys: {folder}/keys/, one per scope",
        "",
        f"  curl -s {key} {url}/v1/customers/{customers[0]}",
        f"  brain check --workspace {folder}      then edit {folder}/catalogue/ and `brain release`",
        f"  brain report --workspace {folder}     what was offered and what came of it",
        f"  brain verify --workspace {folder}     every decision decided again, byte for byte",
        "  README.md                      a tour of ten minutes",
    ):
        _CONSOLE.print(line, soft_wrap=True)


class Requests:
    """Sends requests with one key to a server."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON answer to one request."""
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body else None, self._headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer


def _placement(placement: dict[str, Any]) -> list[str]:
    if not placement["offers"]:
        return [f"[bold]{placement['name']}[/bold]  left empty: {WHY_EMPTY[placement['empty_reason']]}"]
    return [line for offer in placement["offers"] for line in _offer(placement["name"], offer)]


def _offer(name: str, offer: dict[str, Any]) -> list[str]:
    title = escape(title_of(offer))
    lines = [
        f"[bold]{name}[/bold]  [green]{offer['action']}[/green] ({offer['issue']}, {offer['tier']})  “{title}”",
        f"      propensity {percent(offer['propensity'])} ({offer['confidence']} confidence), "
        f"value {euros(offer['value_eur'])}, priority {euros(offer['priority'])}, "
        f"chosen with probability {percent(offer['probability'])}",
    ]
    return lines + [f"      - {escape(reason['text'])}" for reason in offer["reasons"]]


def _withheld(explanation: dict[str, Any]) -> list[str]:
    """Return a line that says how many candidates were stopped by what kind of gate; nothing if none was."""
    kinds = Counter(c["gate"].partition(":")[0] for c in explanation["candidates"] if not c["passed"])
    if not kinds:
        return []
    most_first = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    counted = ", ".join(f"{n} {_STOPPED_BY.get(kind, kind)}" for kind, n in most_first)
    return [f"[dim]withheld {kinds.total()}: {counted}[/dim]"]


_STOPPED_BY = {
    "applicability": "do not fit the moment",
    "eligibility": "cannot be had",
    "suitability": "are not in the customer's interest",
    "consent": "lack consent",
    "protection": "would sell to somebody who is protected",
    "contact": "would be one contact too many",
    "cap": "would be one contact too many",
    "suppressed": "were answered before",
    "budget": "would give away more than is left",
    "action": "are paused or not for this channel",
}
