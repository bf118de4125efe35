"""The OpenAPI document: what `operations` says of each route, forms of requests and answers, keys and webhooks."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.access.table import ADMIN, TABLE
from serving.answers.decisions import DecisionAnswer
from serving.answers.package import PackageAnswer
from serving.contract import MAX_ITEMS
from serving.http.document.operations import OPERATIONS, TAGS, Operation
from serving.problems import (
    BUG,
    BUSY,
    INVALID,
    MALFORMED,
    NO_KEY,
    OUT_OF_SCOPE,
    PROBLEM,
    TOO_LARGE,
    TOO_MANY,
    TOO_SLOW,
    UNSUPPORTED_MEDIA,
    WRONG_HOST,
    Problem,
)

_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key: `brn_` and 48 letters and digits"}
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = (
    "One place decides what to do next for a customer, on every channel, within what they allowed.\n\n"
    "Every request needs a key: `Authorization: Bearer KEY`. `brain serve` says where keys are. Errors are problem "
    "documents (RFC 9457), whose `type` this server describes."
)
_MOMENT = {
    "type": "object",
    "required": ["moment", "decision"],
    "properties": {
        "moment": {"type": "string", "description": "The moment's name in the catalogue"},
        "decision": {"$ref": _REFERENCE.format(model=DecisionAnswer.__name__)},
    },
}
_HANDOVER = {
    "type": "object",
    "required": ["event", "handover_id", "step", "occurred_at", "package"],
    "properties": {
        "event": {"type": "string", "description": "`handover.` and the state that it came to"},
        "handover_id": {"type": "string"},
        "step": {"type": "integer", "description": "Its number among the steps of the handover, from 0"},
        "occurred_at": {"type": "string", "format": "date-time"},
        "package": {"$ref": _REFERENCE.format(model=PackageAnswer.__name__)},
    },
}
_CONSENT = {
    "type": "object",
    "required": ["event", "purpose", "channel", "notice_version", "occurred_at", "handover_id", "language", "text"],
    "properties": {
        "event": {"type": "string", "enum": ["consent.granted"]},
        **{name: {"type": "string"} for name in ("customer_id", "visitor_id", "purpose", "channel", "notice_version")},
        "occurred_at": {"type": "string", "format": "date-time"},
        "handover_id": {"type": "string", "description": "The conversation in which the customer said yes"},
        "language": {"type": "string", "enum": ["nl", "en"]},
        "text": {"type": "string", "description": "What to send to the customer"},
    },
}
Document = dict[str, Any]
_MOMENTS = (
    *("receive_moment", "Moments", "Receive the decision that a moment opened"),
    *("Sent to the routes of `moments` in the catalogue", _MOMENT),
)
_HANDOVERS = (
    *("receive_handover", "Handovers", "Receive the context package of a handover"),
    *("Sent when a handover comes to a state of `settings.handover.deliver` in the catalogue", _HANDOVER),
)
_CONSENTS = (
    *("receive_consent", "Handovers", "Receive the confirmation of a consent that was given in a conversation"),
    *("Sent for each one if `settings.handover.confirm_consents` of the catalogue says so", _CONSENT),
)
_ALWAYS = (MALFORMED, TOO_SLOW, WRONG_HOST, INVALID, TOO_MANY, BUG, BUSY)
_WITH_KEY, _WITH_BODY = (NO_KEY, OUT_OF_SCOPE), (TOO_LARGE, UNSUPPORTED_MEDIA)


def describe_routes(app: FastAPI) -> None:
    """Let the application's OpenAPI document say what `operations` and the table of scopes say."""
    made = app.openapi

    def openapi() -> Document:
        """Return the document, which is made once."""
        if app.openapi_schema is None or "tags" not in app.openapi_schema:
            app.openapi_schema = _described(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _described(document: Document) -> Document:
    document["info"]["description"] = _ABOUT
    document["tags"] = [{"name": name, "description": about} for name, about in TAGS.items()]
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": _SCHEME}
    components.setdefault("schemas", {}).update(_forms())
    for route, operation in _operations(document):
        _describe_key(operation, route)
        if route in OPERATIONS:
            _describe(operation, OPERATIONS[route])
        _describe_problems(operation)
    webhooks = {"moment": _MOMENTS, "handover": _HANDOVERS, "consent": _CONSENTS}
    document["webhooks"] = {name: {"post": _webhook(*about)} for name, about in webhooks.items()}
    return document


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def _forms() -> dict[str, Any]:
    """Return the JSON schemas of all requests and answers, by name. An answer may get more fields later."""
    answers = _schemas([DecisionAnswer, *(o.answer for o in OPERATIONS.values() if o.answer is not None)])
    for form in answers.values():
        form.pop("additionalProperties", None)
    bodies = _schemas([o.body for o in OPERATIONS.values() if o.body is not None])
    return {**answers, **bodies, **{o.many: _one_or_more(o.body) for o in OPERATIONS.values() if o.many and o.body}}


def _schemas(forms: Iterable[type[BaseModel]]) -> dict[str, Any]:
    named = {form.__name__: form for form in forms}
    _, schemas = models_json_schema([(named[name], "validation") for name in sorted(named)], ref_template=_REFERENCE)
    defined: dict[str, Any] = schemas["$defs"]
    return defined


def _one_or_more(form: type[BaseModel]) -> Document:
    item = _reference(form.__name__)
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_ITEMS}]}


def _reference(name: str) -> Document:
    return {"$ref": _REFERENCE.format(model=name)}


def _describe(operation: Document, about: Operation) -> None:
    operation |= {"tags": [about.tag], "summary": about.summary, "operationId": about.name}
    answer = {"type": "string"} if about.answer is None else _reference(about.answer.__name__)
    operation["responses"]["200"] = {"description": about.summary, "content": {about.media: {"schema": answer}}}
    if about.body is not None:
        content = {"schema": _reference(about.many or about.body.__name__), "examples": _examples(about)}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}


def _examples(about: Operation) -> Document:
    return {re.sub(r"\W+", "-", name): {"summary": name, "value": value} for name, value in about.examples.items()}


def _describe_key(operation: Document, route: str) -> None:
    scopes = TABLE.routes.get(route)
    operation["security"] = [] if scopes is None else [{"key": []}]
    if scopes is not None:
        operation["description"] = f"{operation.get('description', '')}\n\nScopes: {', '.join((*scopes, ADMIN))}."


def _describe_problems(operation: Document) -> None:
    """Name every status that a request may be answered with, each a problem document; generators know no `default`."""
    responses = operation["responses"]
    responses.pop("default", None)
    keyed, with_body = bool(operation["security"]), "requestBody" in operation
    for kind in (*_ALWAYS, *(_WITH_KEY if keyed else ()), *(_WITH_BODY if with_body else ())):
        responses.setdefault(str(kind.status), {"description": kind.title})
    for status, response in responses.items():
        if status != "200":
            response["content"] = {PROBLEM: {"schema": _reference(Problem.__name__)}}


def _webhook(name: str, tag: str, summary: str, sent: str, schema: Document) -> Document:
    """Return what a receiver of webhooks gets, signed as Standard Webhooks has it."""
    headers = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "operationId": name,
        "security": [],
        "tags": [tag],
        "summary": summary,
        "description": f"{sent}, signed as Standard Webhooks has it; "
        "`brain moments --secret` shows the secret. It is sent again, with the same id, until it is answered 2xx.",
        "parameters": [{"name": n, "in": "header", "required": True, "schema": {"type": "string"}} for n in headers],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"2XX": {"description": "It was received"}},
    }
