"""Drafts a mapping for files: each guess with its evidence, and a blank where only a person can say what is true."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from decisioning.errors import Refused
from features.importing.drafting import names
from features.importing.drafting.actions import action_ids, action_lines
from features.importing.drafting.channels import ChannelGuess, channel_lines, channels_of
from features.importing.drafting.columns import Column
from features.importing.drafting.evidence import columns_of
from features.importing.drafting.reasons import Language, because, language_of
from features.importing.drafting.roles import Roles, roles_of
from features.importing.drafting.text import blank, folded, guess, item, line
from features.importing.opening import OpenedTable, Stated, open_table
from features.importing.opening.separators import shown
from features.importing.reading import BLANK
from features.importing.tables.marks import Decimal

_TROUBLE: Final = (
    ("hardship", ["hardship", "arrears"], "false only if you know that nobody in these files is in trouble or in debt"),
    ("vulnerable", ["vulnerability", "bereavement"], "false only if you know that nobody is vulnerable or in mourning"),
    (
        "open_complaint",
        ["complaint", "service-issue"],
        "false only if you know that nobody waits for help or an answer",
    ),
)
_ADULT: Final = "true only if you know that all are adults: no column says it"
_LATER: Final = "true if it is known only after the contact, else false: alone it tells the outcome with an AUC of"
_AS_OF: Final = "the day on which these rows were true, such as 2026-11-01: no column says it"


@dataclass(frozen=True)
class DraftedMapping:
    """A drafted mapping: its text, and how many blanks and guesses it holds. `how`: how each file was read."""

    text: str
    blanks: int
    guesses: int
    how: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """One of the files, with what its columns are."""

    id: str
    path: Path
    how: str
    decimal: Decimal | None
    columns: Sequence[Column]
    roles: Roles
    channels: tuple[ChannelGuess, ...]


def draft_mapping(
    name: str,
    paths: Sequence[Path],
    folder: Path,
    now_us: int,
    outcome: str | None = None,
    event: str | None = None,
    stated: Stated | None = None,
) -> DraftedMapping:
    """Return a draft of a mapping for files.

    :param name: the id of the mapping
    :param folder: where the mapping will lie; paths are written relative to it where they are below it
    :param outcome: the column with what came of a contact
    :param event: the column with what customers did by themselves, such as leaving
    :raises Refused: a file cannot be read for certain, or has no such column
    """
    files: list[_File] = []
    for path in paths:
        files.append(_file(path, [f.id for f in files], now_us, outcome, event, stated))
    _refuse_unknown(files, outcome, event)
    language = language_of([c for f in files for c in f.columns])
    lines = [*_head(name, files), *_catalogue(files, language), *_assertions(files), *_files(files, folder, language)]
    text = "\n".join(lines) + "\n"
    return DraftedMapping(
        text, text.count(BLANK) - 1, text.count("# guess"), tuple(f"{f.path.name}: {f.how}" for f in files)
    )


def _file(
    path: Path, used: Sequence[str], now_us: int, outcome: str | None, event: str | None, stated: Stated | None
) -> _File:
    table, decimal = _opened(path, stated or Stated())
    columns = columns_of(table, now_us)
    roles = roles_of(columns, outcome, event)
    id_ = names.slug(path.name.partition(".")[0], "file")
    id_ = id_ if id_ not in used else f"{id_}-{len(used) + 1}"
    return _File(id_, path, table.how, decimal, columns, roles, channels_of(path.name, columns, roles))


def _refuse_unknown(files: Sequence[_File], *stated: str | None) -> None:
    """Raise Refused for a column that a person stated and no file has."""
    columns = [c.name for f in files for c in f.columns]
    if unknown := [name for name in stated if name is not None and name not in columns]:
        raise Refused(f"no file has a column `{unknown[0]}`: the columns are {shown(', '.join(columns))}")


def _opened(path: Path, stated: Stated) -> tuple[OpenedTable, Decimal | None]:
    """Return a table, and the decimal mark to state: that of the other columns, where one could be of thousands."""
    table = open_table(path, stated)
    seen = [marks for marks in table.seen.marks.values() if marks.numeric]
    certain = {marks.decimal for marks in seen if marks.decimal}
    if len(certain) != 1 or not any(marks.doubtful and marks.decimal is None for marks in seen):
        return table, None
    decimal = certain.pop()
    return open_table(path, replace(stated, decimal=decimal)), decimal


def _head(name: str, files: Sequence[_File]) -> Iterator[str]:
    yield f"# Drafted from {', '.join(f.path.name for f in files)}. Write what is true in place of each {BLANK}:"
    yield "# only a person can know it. Lines with `guess` say what they rest on; change what is wrong."
    yield f"id: {name}"
    yield f"about: Drafted from {', '.join(names.slug(f.path.name.partition('.')[0], 'file') for f in files)}."


def _catalogue(files: Sequence[_File], language: Language) -> Iterator[str]:
    contacts = [f for f in files if f.roles.story == "contacts"]
    channels = list({c.id: c for f in files for c in f.channels}.values())
    yield "settings:"
    yield guess(2, "locales", [language], "the language of the files")
    if contacts:
        yield from _selling(files, channels)
    yield "purposes:"
    for purpose in ("marketing", "profiling") if contacts else ("profiling",):
        yield f'  - {{id: {purpose}, notice_version: "1"}}  # guess: the version of your privacy notice'
    yield from channel_lines(channels)
    if contacts:
        yield from action_lines([f.roles for f in contacts])
    events = [c for f in files if f.roles.story == "events" for c in f.roles.outcomes]
    if events:
        yield "scores:"
        for column in events:
            yield f"  - {{name: {_score_name(column)}, outcome: {_outcome_name(column)}}}"


def _selling(files: Sequence[_File], channels: Sequence[ChannelGuess]) -> Iterator[str]:
    if any(c.medium for c in channels):
        yield guess(2, "country_rules", "eu", "what holds all over the European Union; `nl` has more")
    age = next((f.roles.age for f in files if f.roles.age is not None), None)
    if age is None:
        yield "  age_feature: adult"
    else:
        yield guess(2, "age_feature", names.feature_name(age.name, ()), age.evidence)


def _assertions(files: Sequence[_File]) -> Iterator[str]:
    """Yield what nobody reads from a file: who may be contacted and profiled, who is an adult, who is in trouble."""
    sells = any(f.roles.story == "contacts" for f in files)
    if not sells and not any(f.roles.outcomes for f in files):
        return
    channel = next((c.id for f in files for c in f.channels), "agent")
    consent = f"{{purpose: {'marketing' if sells else 'profiling'}, channel: {channel}}}"
    basis = f"{{id: choosing, purpose: profiling, basis: legitimate-interests, channels: [{channel}]}}"
    yield "assertions:"
    yield "  - author: " + BLANK + "  # your name: who answers for what follows; every explanation shows it"
    yield blank(4, "text", "in your words why these people may be contacted and profiled; no file can say it")
    if not any(_fixed_time(f) for f in files):
        yield blank(4, "since", "since when that holds, such as 2026-01-01")
    yield blank(4, "consents", f"what they all agreed to, such as [{consent}], or []: no file is used to say it")
    yield blank(4, "bases", f"what else permits it, such as [{basis}], or []: a lawyer knows, no file")
    if sells:
        yield "    features:"
        if not any(f.roles.age for f in files):
            yield f"      - {{name: adult, value: {BLANK}}}  # {_ADULT}"
        for name, protects, why in _TROUBLE:
            yield f"      - {{name: {name}, value: {BLANK}, protects: [{', '.join(protects)}]}}  # {why}"


def _fixed_time(file: _File) -> bool:
    return file.roles.time is None


def _files(files: Sequence[_File], folder: Path, language: Language) -> Iterator[str]:
    yield "files:"
    for file in files:
        yield f"  # {file.how}"
        yield line(2, "- id", file.id)
        yield line(4, "path", _path(file.path, folder))
        if file.decimal is not None:
            yield guess(
                4, "decimal", file.decimal, "other columns are written so, and this decides numbers such as 1.234"
            )
        yield from _rows(file)
        yield from _features(file, language)
        yield from _contact(file)


def _path(path: Path, folder: Path) -> str:
    whole = path.resolve()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _rows(file: _File) -> Iterator[str]:
    roles = file.roles
    if roles.subject is None:
        yield guess(4, "subject", {"row": f"{file.id}-"}, "no column names a customer, so every row is one")
    else:
        yield guess(4, "subject", {"column": roles.subject.name}, f"its name, and {roles.subject.evidence}")
    if roles.account is not None:
        yield guess(4, "account", roles.account.name, roles.account.evidence)
    if roles.time is None:
        yield blank(4, "as_of", _AS_OF)
    else:
        yield guess(4, "as_of", {"column": roles.time.name}, roles.time.evidence)
    for column, why in roles.left_out.items():
        yield f"    # left out: {column}: {why}"


def _features(file: _File, language: Language) -> Iterator[str]:
    if file.roles.features:
        yield "    features:"
    used: list[str] = []
    for column in file.roles.features:
        name = names.feature_name(column.name, used)
        used.append(name)
        area = file.roles.later.get(column.name)
        yield f"      # guess: {column.evidence}"
        why = f"{_LATER} {area:.2f}" if area is not None else ""
        for text in item(6, _feature(column, name, language, later=area is not None)):
            yield f"{text}  # {why}" if BLANK in text else text


def _feature(column: Column, name: str, language: Language, *, later: bool) -> dict[str, Any]:
    dtype = column.kind
    record: dict[str, Any] = {"column": column.name, "name": name, "dtype": dtype}
    if (measure := names.unit(column.name)) and dtype in ("int", "float"):
        record["unit"] = measure
    if column.missing:
        record["missing"] = list(column.missing)
    if dtype == "bool":
        record |= _answers(column)
    if tag := names.tag(column.name):
        record["tags"] = [tag]
    if later:
        record["after_outcome"] = BLANK
    return {**record, "because": because(column, language)}


def _answers(column: Column) -> dict[str, Any]:
    """Return the texts of a column that mean true and false, where they are not those that are known."""
    known = {"true", "yes", "y", "1", "false", "no", "n", "0"}
    texts = sorted(column.values)
    if {text.lower() for text in texts} <= known:
        return {}
    yes = [text for text in texts if text.lower() in ("ja", "j", "waar")]
    return {"true": yes, "false": [text for text in texts if text not in yes]}


def _contact(file: _File) -> Iterator[str]:
    roles = file.roles
    if roles.story == "facts":
        return
    yield "    contact:"
    if roles.contact is not None:
        yield guess(6, "id", roles.contact.name, "every row has another")
    yield from _action(file)
    yield from _channel(file)
    if roles.chance is not None:
        yield guess(6, "probability", {"column": roles.chance.name}, roles.chance.evidence)
    yield "      outcomes:"
    if not roles.outcomes:
        two = ", ".join(c.name for c in file.columns if c.is_two_valued) or "none"
        yield f"        - name: {BLANK}  # what came of a contact, such as accepted"
        yield blank(10, "column", f"the column that says it; those with two different texts are: {two}")
        yield blank(10, "positive", "the text that means yes")
    for column in roles.outcomes:
        yield guess(8, "- name", _outcome_name(column), f"the column's name; {column.evidence}")
        yield line(10, "column", column.name)
        yield blank(10, "positive", f"which of {_texts(column)} is what you hope for, or count: only you know")


def _texts(column: Column) -> str:
    return ", ".join(f'"{text}" ({n:,} rows)' for text, n in sorted(column.values.items()))


def _action(file: _File) -> Iterator[str]:
    roles = file.roles
    if roles.story == "events":
        yield guess(6, "action", "none", "it happens by itself; draft with --outcome if it follows a contact")
    elif roles.action is None:
        yield guess(6, "action", "offer", "no column says what was offered, so all rows are of one offer")
    else:
        yield f"      action:  # guess: the column's name; {roles.action.evidence}"
        yield line(8, "column", roles.action.name)
        yield from folded(8, "values", action_ids(roles.action))


def _channel(file: _File) -> Iterator[str]:
    column = file.roles.channel
    if column is None:
        yield line(6, "channel", file.channels[0].id)
        return
    yield f"      channel:  # guess: the column's name; {column.evidence}"
    yield line(8, "column", column.name)
    yield from folded(8, "values", {text: channel.id for channel in file.channels for text in channel.texts})


def _outcome_name(column: Column) -> str:
    return names.slug(column.name, "outcome")


def _score_name(column: Column) -> str:
    return f"{names.feature_name(column.name, ())}_risk"
