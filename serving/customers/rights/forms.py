"""The forms of requests about links to a customer's own page, and about what customers ask of people."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from decisioning.facts.ids import SubjectId
from serving.contract import Name, RequestBody


class LinkIn(RequestBody):
    """For how many hours a link to the customer's own page is valid, and in which language the page opens."""

    hours: Annotated[int, Field(ge=1, le=720)] = 72
    locale: Literal["nl", "en"] | None = None


class AnswerIn(RequestBody):
    """That a person looks at a request, or what they answer.

    `changed`: whether the decision that it is about was changed; the answer, which the customer reads, says what holds
    in its place. `offered`: an action that the person offers in place of what was decided, `excluded`: one that nothing
    shows this customer from then on, until a later answer offers it; either changes the decision, and needs a `reason`,
    which the customer finds in their export alone. `reviewer`: the person who looks at it; a person who signed in
    leaves it out.
    """

    state: Literal["in_review", "answered"]
    answer: Annotated[str, Field(max_length=4000)] = ""
    changed: bool = False
    offered: Name | None = None
    excluded: Name | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""
    reviewer: SubjectId | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if (self.state == "answered") != bool(self.answer.strip()):
            raise ValueError("answer: an answered request has an answer, and one in review has none")
        return self

    @model_validator(mode="after")
    def _says_what_changes(self) -> Self:
        changes = self.offered is not None or self.excluded is not None
        if self.state == "in_review" and (changes or self.changed or self.reason):
            raise ValueError("changed: what is in review has not changed yet; tell it with the answer")
        if changes and not self.reason.strip():
            raise ValueError("reason: say why the decision changes")
        if changes and self.offered == self.excluded:
            raise ValueError("excluded: it cannot be offered, too")
        return self


class CodeIn(RequestBody):
    """A one-time code needs nothing but whose it is."""
