"""The actions of a drafted mapping: one per text of the column that says what was offered."""

from collections.abc import Iterator, Sequence
from typing import Final

from features.importing.drafting import names
from features.importing.drafting.columns import Column, shown
from features.importing.drafting.roles import Roles
from features.importing.drafting.text import blank, item, line
from features.importing.mapping import NONE

ONE_ACTION: Final = "offer"
"""The action of a file that does not say what was offered."""
_NOTHING: Final = frozenset(
    {"none", "nothing", "control", "holdout", "geen", "niets", "controle", "no offer", "no action", "no contact"}
    | {"no e-mail", "no email", "no mail", "no call", "geen aanbod", "geen actie", "no treatment"}
)


def action_ids(column: Column) -> dict[str, str]:
    """Return text of the file -> id of the action; texts that mean nothing get `none`."""
    ids: dict[str, str] = {}
    prefix = names.tokens(column.name)[0]
    for text in sorted(column.values, key=lambda t: (len(t), t)):
        name = NONE if text.lower() in _NOTHING else names.slug(text, prefix)
        used = name != NONE and name in ids.values()
        ids[text] = f"{name}-{len(ids)}" if used else name
    return ids


def action_lines(files: Sequence[Roles]) -> Iterator[str]:
    """Yield what all actions share, with its blanks, and a line for each action."""
    yield "every_action:"
    yield blank(
        2, "issue", "grow, retain or nurture if these actions sell; service or hardship (and `purposes:`) if not"
    )
    yield blank(2, "value", "euros that a positive outcome is worth to you")
    yield line(2, "group", "offers", "guess: at most one of a group is shown at a time")
    yield line(2, "window_days", 30, "guess: the days in which an outcome counts")
    yield "actions:"
    columns = [roles.action for roles in files if roles.action is not None]
    if len(columns) < len(files):
        yield f"  - id: {ONE_ACTION}"
        yield blank(4, "title", "what customers read, in their language")
    titles = {id_: shown(text) for column in columns for text, id_ in action_ids(column).items() if id_ != NONE}
    if titles:
        yield "  # guess: titles are what the file calls each; customers read them"
    for id_, text in titles.items():
        yield from item(2, {"id": id_, "title": text if not text.isdigit() else id_.replace("-", " ").capitalize()})
