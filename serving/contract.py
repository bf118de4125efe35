"""The HTTP contract: strict request bodies, whose mistakes are named by field."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import from_json, to_json

from decisioning.errors import RequestError
from decisioning.facts.forms import Ask
from decisioning.facts.identity import visitor_id
from decisioning.facts.ids import SubjectId, problem_of
from decisioning.facts.schema import Strict
from decisioning.facts.standing import ALL_CHANNELS, ConsentStatus, LinkKind
from decisioning.nearest import did_you_mean
from decisioning.strict_json import refuse_repeated_keys
from decisioning.times import FUTURE_TIME, IMPLAUSIBLE, TOLERANCE_US, is_plausible, microseconds
from features.ledger import now_us
from features.messages.hearing.corrections import CorrectedField, misfit
from serving.problems import field_name

MAX_ITEMS = 1_000
MAX_FACTS = 1_000
_HASH = re.compile(r"[0-9a-f]{32,128}")

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_-]*$")]
FactName = Annotated[str, Field(min_length=1, max_length=64)]
Fact = Annotated[str, Field(max_length=1000)] | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None
Note = Annotated[str, Field(min_length=1, max_length=2_000)]
Euros = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]


_CatalogueFile = Annotated[
    str,
    Field(
        max_length=200, pattern=r"^catalogue/([A-Za-z0-9_-][A-Za-z0-9._-]*/){0,8}[A-Za-z0-9_-][A-Za-z0-9._-]*\.ya?ml$"
    ),
]


class RequestBody(Strict):
    """A request body: unknown fields are refused, types are not coerced, and times must name their offset."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def check_plausible(name: str, moment: datetime | None) -> None:
    """Raise ValueError, naming the field, for a time that no calendar of people has."""
    if moment is not None and not is_plausible(moment):
        raise ValueError(f"{name}: {IMPLAUSIBLE}")


class ConsentSource(RequestBody):
    """Where a consent comes from (`kind`), and the proof there (`record`), such as a consent platform's TC string.

    A plain text in its place is the `kind`.
    """

    kind: Annotated[str, Field(min_length=1, max_length=128)]
    record: Annotated[str, Field(min_length=1, max_length=16_384, pattern=r"^[\x21-\x7e]+$")] | None = None


def _as_source(raw: object) -> object:
    return {"kind": raw} if isinstance(raw, str) else raw


Source = Annotated[ConsentSource, BeforeValidator(_as_source, json_schema_input_type=str | ConsentSource)]


class ConsentIn(RequestBody):
    """What a customer or a visitor states about a purpose: granted, refused, withdrawn or objected.

    A withdrawal needs no more fields than a grant; channel null means all channels. `undoes`: the source (`message:ID`)
    of an objection that was wrongly heard in a message; with status `granted`, the grant that held before it holds
    again, for as long as it would have held. That is refused if something else was said since.
    """

    customer_id: SubjectId | None = None
    visitor_id: SubjectId | None = None
    purpose: Name
    channel: Name | None = None
    status: ConsentStatus
    source: Source
    notice_version: Annotated[str, Field(max_length=64)] = ""
    occurred_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    undoes: Annotated[str, Field(max_length=600, pattern=r"^message:.+$")] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_plausible("occurred_at", self.occurred_at)
        check_plausible("expires_at", self.expires_at)
        if (self.customer_id is None) == (self.visitor_id is None):
            raise ValueError("customer_id: name either a customer_id or a visitor_id")
        if self.undoes is not None and (self.status != "granted" or self.notice_version or self.expires_at):
            raise ValueError("undoes: write `status: granted`; the notice and the end are those of what held before")
        if self.status == "granted" and not self.notice_version and self.undoes is None:
            raise ValueError("notice_version: a grant names the notice that the customer saw")
        return self

    def body(self) -> dict[str, Any]:
        """Return the body of the ledger's record."""
        return {
            "purpose": self.purpose,
            "channel": self.channel or ALL_CHANNELS,
            "status": self.status,
            "source": self.source.kind,
            **({"source_record": self.source.record} if self.source.record is not None else {}),
            "notice_version": self.notice_version,
            "expires_us": microseconds(self.expires_at) if self.expires_at else None,
            "asserted_by": None,
        }


class OutcomeIn(RequestBody):
    """What became of an offer, or of an action for a customer.

    An `outcome_id` means one thing told: the same content is a repeat, other content of the same customer corrects it.
    `account_id`: whose account it was, for an action of account scope.
    """

    outcome_id: SubjectId
    offer_id: SubjectId | None = None
    customer_id: SubjectId | None = None
    account_id: SubjectId | None = None
    action: Name | None = None
    outcome: Name
    occurred_at: AwareDatetime | None = None
    value_eur: Euros | None = None

    @model_validator(mode="after")
    def _subject(self) -> Self:
        check_plausible("occurred_at", self.occurred_at)
        if self.offer_id is None and (self.customer_id is None or self.action is None):
            raise ValueError("offer_id: name an offer_id, or both customer_id and action")
        if self.offer_id is not None and (self.customer_id, self.account_id, self.action) != (None, None, None):
            raise ValueError("offer_id: an offer says whose it is; leave customer_id, account_id and action out")
        return self


_Said = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 64}, {"type": "null"}]})
]


class OverrideIn(RequestBody):
    """What a person did about a suggestion, named by its offer or, of a decision, by its action.

    `accepted_suggestion`: they followed it. `overridden`: they did something else, perhaps another action (`instead`).
    `regretted`: they followed it, and would not again. `reason`: one of the catalogue's `override_reasons`.
    """

    override_id: SubjectId
    decision_id: SubjectId
    offer_id: SubjectId | None = None
    action: Name | None = None
    kind: Literal["accepted_suggestion", "overridden", "regretted"]
    instead: Name | None = None
    reason: Name | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.offer_id is None) == (self.action is None):
            raise ValueError("offer_id: name either an offer_id or an action of the decision")
        if self.reason is None and self.kind != "accepted_suggestion":
            raise ValueError("reason: is missing: why was it not done, or regretted?")
        if self.instead is not None and self.kind != "overridden":
            raise ValueError("instead: only what was overridden has something in its place")
        return self


class CorrectionIn(RequestBody):
    """What a person says of a customer's message that was scored wrong.

    `event_source` and `event_id`: the source and id of the message's event. `was`, `is`: what was told of the field,
    and what is right: a sentiment (`negative`, `neutral`, `positive`), the id of an intent, whether there is a `wish`
    for a person, an `objection` (perhaps its channel) or a `complaint`, or which data were requested (`access`,
    `erasure`); null: nothing.
    """

    correction_id: SubjectId
    event_id: Annotated[str, Field(min_length=1, max_length=512)]
    event_source: Annotated[str, Field(min_length=1, max_length=512)]
    field: CorrectedField
    was: _Said
    is_: _Said = Field(alias="is")
    note: Note | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, value in (("was", self.was), ("is", self.is_)):
            if problem := misfit(self.field, value):
                raise ValueError(f"{name}: {problem}")
        if self.is_ is self.was or (isinstance(self.is_, str) and self.is_ == self.was):
            raise ValueError("is: says what was told already; a correction tells something else")
        return self


class IdentifierIn(RequestBody):
    """An identifier of a visitor, or (`customer`) the id of another customer who is the same person.

    An e-mail address is given as its hash, never as the address.
    """

    kind: LinkKind
    value: SubjectId

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "email" and not _HASH.fullmatch(self.value):
            raise ValueError("value: expected a hash of the address, in lower-case hexadecimal digits")
        if self.visitor_id is not None and (problem := problem_of(self.visitor_id)):
            raise ValueError(f"value: with its kind it {problem}")
        return self

    @property
    def visitor_id(self) -> str | None:
        """The id by which requests, consents and signals name this visitor; None for a customer."""
        return None if self.kind == "customer" else visitor_id(self.kind, self.value)


class IdentityIn(RequestBody):
    """Whether an identifier is this customer's: `linked` at login, `unlinked` when they leave a shared device.

    With the id of another customer, both are one person from then on, until they are unlinked: what either refused
    binds both, and caps and suppressions count them together.
    """

    customer_id: SubjectId
    identifier: IdentifierIn
    status: Literal["linked", "unlinked"]
    source: Annotated[str, Field(min_length=1, max_length=128)]
    occurred_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _times(self) -> Self:
        check_plausible("occurred_at", self.occurred_at)
        if self.identifier.kind == "customer" and self.identifier.value == self.customer_id:
            raise ValueError("identifier: this is the customer themselves; name another id of theirs")
        return self


class ProfilePatch(RequestBody):
    """Facts to set on a customer's profile; null makes a fact unknown.

    `as_of` is when they were true, by default now. `restricted`: whether the customer's data may only be kept, and not
    used (Art. 18 GDPR).
    """

    facts: Annotated[dict[FactName, Fact], Field(max_length=MAX_FACTS)] = {}
    as_of: AwareDatetime | None = None
    restricted: bool | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        check_plausible("as_of", self.as_of)
        if not self.facts and self.restricted is None:
            raise ValueError("facts: name facts, or whether they are restricted")
        return self


class VisitorPatch(RequestBody):
    """`restricted`: whether the visitor's data may only be kept, and not used (Art. 18 GDPR)."""

    restricted: bool


class ApprovalIn(RequestBody):
    """`hash`: what is approved, as the refusal of a release, a promotion or the end of a pause names it."""

    hash: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[\x21-\x7e]+$")]


class ReleaseIn(RequestBody):
    """`files`: all files of the catalogue, by path from the workspace. `propose`: whether they are not only checked."""

    files: Annotated[dict[_CatalogueFile, str], Field(min_length=1, max_length=200)]
    propose: bool = False


class AccountPatch(RequestBody):
    """`restricted`: whether the account's data may only be kept, and not used (Art. 18 GDPR)."""

    restricted: bool


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], body: bytes) -> Model:
    """Return the body as `model`; raises RequestError naming the first field that is wrong."""
    try:
        content = model.model_validate_json(body)
    except ValidationError as error:
        raise request_error(_errors_of(error), model) from None
    refuse_repeated_keys(body)
    return content


def parse_many(model: type[Model], body: bytes) -> list[Model | RequestError]:
    """Return the objects of a body that is an array of up to MAX_ITEMS, each or what is wrong with it.

    Raises RequestError if it is no such array.
    """
    try:
        items: list[Model | RequestError] = TypeAdapter(list[model]).validate_json(body, strict=True)  # type: ignore[valid-type]
    except ValidationError:
        items = [_parsed(model, item) for item in _array(body)]
    if not 1 <= len(items) <= MAX_ITEMS:
        raise RequestError("body", f"expected 1 to {MAX_ITEMS} items")
    refuse_repeated_keys(body)
    return items


def is_array(body: bytes) -> bool:
    """Tell whether a body is an array of objects, not one object."""
    return body.lstrip().startswith(b"[")


def _array(body: bytes) -> list[Any]:
    try:
        items = from_json(body)
    except ValueError:
        raise RequestError("body", "is not JSON") from None
    return items if isinstance(items, list) else []


def _parsed(model: type[Model], item: Any) -> Model | RequestError:
    try:
        return parse(model, to_json(item, inf_nan_mode="constants"))
    except RequestError as error:
        return error


def told_time(moment: datetime | None, field: str) -> int | None:
    """Return a time of a request in microseconds, None if it was not told.

    Raises RequestError, naming the field, if it lies further ahead than clocks may differ.
    """
    if moment is None:
        return None
    told_us = microseconds(moment)
    if told_us > now_us() + TOLERANCE_US:
        raise RequestError(field, FUTURE_TIME)
    return told_us


def request_error(errors: Sequence[Mapping[str, Any]], model: type[BaseModel] | None = None) -> RequestError:
    """Return the first of pydantic's errors, with a field and a message that never repeat what was sent.

    A field of another name than the `model` has comes before one that is missing, as one is often meant by the other.
    """
    first = next((e for e in errors if e["type"] == "extra_forbidden" and _meant(e, model)), errors[0])
    message = first["msg"].removeprefix("Value error, ")
    parts = [part for part in first["loc"] if not str(part).startswith(("list[", "function-"))]
    path = ".".join(map(field_name, parts))
    named, _, rest = message.partition(": ")
    if first["type"] == "value_error" and rest and " " not in named:
        return RequestError(f"{path}.{named}" if path else named, rest)
    if first["type"] == "extra_forbidden":
        return RequestError(path, f"there is no such field{_meant(first, model)}")
    return RequestError(path or "body", message)


def _meant(error: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    """Return which field of the model was probably meant by one that it does not have, to end a sentence with."""
    return "" if model is None else did_you_mean(str(error["loc"][-1]), _fields_of(model))


@lru_cache(maxsize=32)
def _fields_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the fields of a model and of the models within it."""
    schema = model.model_json_schema()
    parts = (schema, *schema.get("$defs", {}).values())
    return tuple({name for part in parts for name in part.get("properties", {})})


def _errors_of(error: ValidationError) -> list[Any]:
    return error.errors(include_input=False, include_url=False, include_context=False)


__all__ = ["Ask", "ConsentIn", "IdentityIn", "OutcomeIn", "ProfilePatch", "parse", "parse_many", "request_error"]
