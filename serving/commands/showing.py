"""Decisions on a terminal, as a person would want to read them; asked over HTTP like anybody else's."""

import http.client
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

_CONSOLE = Console(highlight=False)


@dataclass(frozen=True)
class Story:
    """A story, the body of a `POST /v1/decisions` that tells it, and what happens before the same is asked again.

    `happenings`: what it is, the type of its signal and its data.
    """

    story: str
    request: Mapping[str, Any]
    happenings: Sequence[tuple[str, str, Mapping[str, Any]]] = ()


def show_decisions(url: str, cases: Sequence[Story]) -> None:
    """A panel per case: who asks, what was decided, and why; and again after each thing that happens."""
    for case in cases:
        _show(url, case.request, f"[italic]{escape(case.story)}[/italic]")
        for what, type_, data in case.happenings:
            ask(url, "POST", "/v1/signals", _signal(case.request, type_, data))
            said = f": “{escape(data['text'])}”" if "text" in data else ""
            _show(url, case.request, f"[italic]then {what}{said}[/italic]")


def _show(url: str, request: Mapping[str, Any], heading: str) -> None:
    answer = ask(url, "POST", "/v1/decisions", {**request, "request_id": f"demo-{uuid.uuid4().hex}"})
    why = ask(url, "GET", f"/v1/decisions/{answer['decision_id']}")
    lines = [heading, "", *(line for placed in answer["placements"] for line in _placement(placed))]
    if answer["handover"]:
        lines.append(f"[bold]a person takes over[/bold]: {escape(answer['handover']['reason'])}")
    lines += ["", *_withheld(why), f"[dim]decided with {answer['model']} as {answer['decision_id']}[/dim]"]
    title = f"{request['customer_id']} on {request['channel']}"
    _CONSOLE.print(Panel("\n".join(lines), title=title, title_align="left", width=100))


def _signal(request: Mapping[str, Any], type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    about = {"id": uuid.uuid4().hex, "source": "demo", "subject": f"customer:{request['customer_id']}"}
    return {"specversion": "1.0", **about, "type": type_, "data": data}


def show_next(url: str, folder: Path) -> None:
    """Where to go from here."""
    _CONSOLE.print(f"\nserving until Ctrl-C: [bold]{url}/docs[/bold]\n")
    _CONSOLE.print(f"  curl -s {url}/v1/customers/c-1042")
    _CONSOLE.print(f"  brain check --workspace {folder}      then edit {folder}/catalogue/ and `brain release`")
    _CONSOLE.print(f"  brain report --workspace {folder}     what was offered and what came of it")
    _CONSOLE.print(f"  brain verify --workspace {folder}     every decision decided again, byte for byte")


def ask(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON of one request."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _placement(placed: dict[str, Any]) -> list[str]:
    if not placed["offers"]:
        return [f"[bold]{placed['name']}[/bold]  left empty: {placed['empty_reason'].replace('_', ' ')}"]
    return [line for offer in placed["offers"] for line in _offer(placed["name"], offer)]


def _offer(name: str, offer: dict[str, Any]) -> list[str]:
    title = next(iter(offer["content"].values()), offer["content_ref"] or "")
    lines = [
        f"[bold]{name}[/bold]  [green]{offer['action']}[/green] ({offer['issue']}, {offer['tier']})  “{escape(title)}”",
        "      propensity {propensity:.3f} ({confidence} confidence), value {value_eur:.2f} euro,"
        " priority {priority:.2f}, probability {probability:.3f}".format(**offer),
    ]
    return lines + [f"      - {escape(reason['text'])}" for reason in offer["reasons"]]


def _withheld(why: dict[str, Any]) -> list[str]:
    """Which gates stopped how many candidates."""
    gates: dict[str, int] = {}
    for candidate in why["candidates"]:
        if not candidate["passed"]:
            gates[candidate["gate"]] = gates.get(candidate["gate"], 0) + 1
    if not gates:
        return []
    most = sorted(gates.items(), key=lambda g: (-g[1], g[0]))[:5]
    return [f"[dim]withheld {sum(gates.values())}: " + ", ".join(f"{gate} ({n})" for gate, n in most) + "[/dim]"]
