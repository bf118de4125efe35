"""The forms of requests about links to a customer's own page, and about what customers ask of people."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from decisioning.facts.ids import SubjectId
from serving.contract import RequestBody


class LinkIn(RequestBody):
    """For how many hours a link to the customer's own page is valid, and in which language the page opens."""

    hours: Annotated[int, Field(ge=1, le=720)] = 72
    locale: Literal["nl", "en"] | None = None


class AnswerIn(RequestBody):
    """That a person looks at a request, or what they answer.

    `changed`: whether the decision that it is about was changed. `reviewer`: the person who looks at it; a person who
    signed in leaves it out.
    """

    state: Literal["in_review", "answered"]
    answer: Annotated[str, Field(max_length=4000)] = ""
    changed: bool = False
    reviewer: SubjectId | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if (self.state == "answered") != bool(self.answer.strip()):
            raise ValueError("answer: an answered request has an answer, and one in review has none")
        return self


class CodeIn(RequestBody):
    """A one-time code needs nothing but whose it is."""
