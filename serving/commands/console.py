"""Show the results of commands on a terminal."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.commands.telling.cells import INTERVAL, MOST, cell, is_records
from serving.commands.telling.results import Presentation

_CONSOLE = Console()


def show(result: dict[str, Any], presentation: Presentation | None = None) -> None:
    """Print sentences about the result, then the rest of it: a line per key, tables of records, and what is empty.

    The last line says what to do next, if there is something.
    """
    presentation = presentation or Presentation()
    for line in presentation.lines(result):
        _print(escape(line))
    hidden = presentation.without | {name for name in ("next",) if result.get(name) is None}
    rest = {key: value for key, value in presentation.rest(result).items() if key not in hidden}
    for key, value in rest.items():
        if is_records(value):
            _show_table(key, list(value))
        elif isinstance(value, dict) and value and value.keys() != INTERVAL:
            _show_record(key, value)
        elif not _is_empty(value):
            _print(f"[bold]{_words(key)}[/bold]: {_cell(value, key)}")
    if empty := [_words(key) for key, value in rest.items() if _is_empty(value)]:
        _CONSOLE.print(f"[bold]none[/bold]: {', '.join(empty)}", highlight=False)
    if then := presentation.then(result):
        _print(f"[bold]next[/bold]: {escape(then)}")


def _is_empty(value: Any) -> bool:
    return value is None or value in ([], (), {})


def _print(line: str) -> None:
    _CONSOLE.print(line, highlight=False, soft_wrap=True)


def _show_record(title: str, record: dict[str, Any]) -> None:
    _CONSOLE.print(f"[bold]{_words(title)}[/bold]")
    for name, entry in list(record.items())[:MOST]:
        _print(f"  {_words(name)}: {_cell(entry, name)}")
    _say_more(len(record), "")


def _show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the first rows, with as many columns, from the first, as fit the terminal; say what else there is."""
    columns = [c for c, value in rows[0].items() if not isinstance(value, dict) or value.keys() == INTERVAL]
    empty = [c for c in columns if all(row.get(c) in (None, "", []) for row in rows)]
    columns = [c for c in columns if c not in empty] or columns[:1]
    shown = len(columns)
    while shown > 1 and _width(_table(title, rows, columns[:shown])) > _CONSOLE.width:
        shown -= 1
    _CONSOLE.print(_table(title, rows, columns[:shown]))
    _say_more(len(rows), ", with --json")
    if shown < len(columns):
        _say("and with --json", columns[shown:])
    if empty := [c for c in empty if c not in columns]:
        _say("none", empty)


def _say(what: str, keys: list[str]) -> None:
    _CONSOLE.print(f"  [dim]{what}: {', '.join(map(_words, keys))}[/dim]", highlight=False)


def _say_more(count: int, where: str) -> None:
    if count > MOST:
        _CONSOLE.print(f"  [dim]and {count - MOST} more{where}[/dim]", highlight=False)


def _width(table: Table) -> int:
    """Return the width of the table with nothing cut or wrapped."""
    return _CONSOLE.measure(table, options=_CONSOLE.options.update(max_width=10_000)).maximum


def _table(title: str, rows: list[dict[str, Any]], columns: list[str]) -> Table:
    table = Table(title=_words(title), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(_words(column), overflow="fold")
    for row in rows[:MOST]:
        table.add_row(*(_cell(row.get(c), c) for c in columns))
    return table


def _cell(value: Any, key: str) -> str:
    return escape(cell(value, key))


def _words(key: str) -> str:
    return key.replace("_", " ")
