"""The tools that programs get: for each the request that it sends, the fields that it takes, and what it answers."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel

from decisioning.facts.forms import Ask as Request
from decisioning.facts.ids import SubjectId
from decisioning.facts.schema import Strict
from decisioning.nearest import did_you_mean
from serving.answers import decisions, held, operating
from serving.answers.decisions import SignalIn
from serving.answers.form import Answer
from serving.contract import ConsentIn, OutcomeIn
from serving.programs.untrusted import Json, separated_schema

Ask = Callable[[str, str, Json | None], Awaitable[tuple[int, Json]]]
"""Sends the server one request of a program: method, path, and body or None -> status and JSON of the answer."""
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


class DecisionNamed(Strict):
    """A decision, by the id that its answer has."""

    decision_id: SubjectId


class Nothing(Strict):
    """A request without fields."""


@dataclass(frozen=True)
class Tool:
    """A tool. `route` is the request that it sends; `takes` the form of its arguments.

    `fields` are the only ones of that form that a program may send, by default all. `only` narrows the values of a
    field. `reads`: it writes nothing. `cannot_undo`: a program cannot take back what it did with it.
    """

    name: str
    title: str
    about: str
    route: str
    takes: type[BaseModel]
    answers: type[Answer]
    fields: Sequence[str] = ()
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reads: bool = False
    cannot_undo: bool = False

    @cached_property
    def takes_schema(self) -> Json:
        """The JSON schema of its arguments."""
        schema = self.takes.model_json_schema()
        schema.pop("description", None)
        if self.fields:
            schema["properties"] = {name: schema["properties"][name] for name in self.fields}
        schema["required"] = [name for name in schema.get("required", ()) if name in schema["properties"]]
        for name, values in self.only.items():
            schema["properties"][name] = {"type": "string", "enum": list(values)}
        return schema

    @cached_property
    def answers_schema(self) -> Json:
        """The JSON schema of what it answers."""
        return separated_schema(self.answers)

    def problem(self, arguments: Json) -> str | None:
        """Return what is wrong with the names of the arguments, or with a narrowed one; the route judges the rest."""
        known = self.takes_schema["properties"]
        missing = next((name for name in self.takes_schema["required"] if name not in arguments), None)
        if missing is not None:
            return f"{missing}: Field required"
        for name, values in self.only.items():
            if arguments.get(name) not in values:
                return f"{name}: a program may send {', '.join(values)} only"
        if self.takes_schema.get("additionalProperties", False):
            return None
        unknown = next((name for name in arguments if name not in known), None)
        return None if unknown is None else f"there is no such field{did_you_mean(unknown, known)}: see the schema"

    def request(self, arguments: Json) -> tuple[str, str, Json | None]:
        """Return method, path and body of the request for these arguments."""
        method, _, template = self.route.partition(" ")
        path = _PARAMETER.sub(lambda name: quote(str(arguments[name[1]]), safe=""), template)
        return method, path, None if method == "GET" else arguments


_REFUSALS: Final = ("refused", "withdrawn", "objected")
TOOLS: Final = {
    tool.name: tool
    for tool in (
        Tool(
            "get_suggestions",
            "Get suggestions",
            "Decide what to do next for a customer: which offers or help to give in each placement, or nothing. "
            "Offers are reserved for the customer. The same request_id gives the same decision. Tell the customer the "
            "`disclosure`. `list_channels` names channels and placements.",
            "POST /v1/decisions",
            Request,
            decisions.DecisionAnswer,
            fields=(
                *("request_id", "customer_id", "visitor_id", "account_id", "channel", "locale", "placements"),
                *("context", "issues"),
            ),
        ),
        Tool(
            "explain_decision",
            "Explain a decision",
            "Tell why a decision was made: every candidate with its figures, or with the gate that stopped it.",
            "GET /v1/decisions/{decision_id}",
            DecisionNamed,
            decisions.Explanation,
            reads=True,
        ),
        Tool(
            "record_outcome",
            "Record an outcome",
            "Tell what a customer did with an offer, or how far it got. The record says that a program told it. Send "
            "an outcome_id of your own; the same id again is a repeat.",
            "POST /v1/outcomes",
            OutcomeIn,
            held.Recorded,
        ),
        Tool(
            "send_signal",
            "Send a signal",
            "Tell what a customer does now, as a CloudEvent. The next decision sees it.",
            "POST /v1/signals",
            SignalIn,
            held.SignalsRecorded,
        ),
        Tool(
            "refuse_consent",
            "Refuse, withdraw or object for a customer",
            "Record that a customer refuses, withdraws or objects to a purpose. It binds every later decision. A "
            "program never grants: only the customer can allow it again.",
            "POST /v1/consents",
            ConsentIn,
            held.Recorded,
            fields=("customer_id", "visitor_id", "purpose", "channel", "status", "source", "occurred_at"),
            only={"status": _REFUSALS},
            cannot_undo=True,
        ),
        Tool(
            "list_channels",
            "List channels",
            "List channels, their placements, and the purposes that consents are about.",
            "GET /v1/channels",
            Nothing,
            operating.Channels,
            reads=True,
        ),
        Tool(
            "list_actions",
            "List actions",
            "List the actions and the outcomes that each of them declares.",
            "GET /v1/actions",
            Nothing,
            operating.Actions,
            reads=True,
        ),
    )
}
"""The tools by their names, in the order in which they are listed."""
