"""What the forms of answers have in common.

Routes write their answers in bytes; the OpenAPI document and programs get these forms, and tests hold answers to them.
A field that another release, audience or request leaves out has a default.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Fact = bool | int | float | str | None
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Answer(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid")
