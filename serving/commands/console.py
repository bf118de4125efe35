"""Show the results of commands on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table

_CONSOLE = Console()
INTERVAL = {"value", "low", "high"}
"""The keys of a figure with its interval."""


def show(result: dict[str, Any]) -> None:
    """Print a line per key and value, lists of records as tables, and the keys of empty lists in one line."""
    for key, value in result.items():
        if _records(value):
            _show_table(key, value)
        elif isinstance(value, dict):
            _CONSOLE.print(f"[bold]{_words(key)}[/bold]")
            for name, entry in value.items():
                _CONSOLE.print(f"  {_words(name)}: {_cell(entry)}", highlight=False, soft_wrap=True)
        elif value != []:
            _CONSOLE.print(f"[bold]{_words(key)}[/bold]: {_cell(value)}", highlight=False, soft_wrap=True)
    if empty := [_words(key) for key, value in result.items() if value == []]:
        _CONSOLE.print(f"[bold]none[/bold]: {', '.join(empty)}", highlight=False)


def _show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print the table with as many columns, from the first, as fit the terminal; name the others."""
    columns = [c for c, value in rows[0].items() if not isinstance(value, dict) or value.keys() == INTERVAL]
    shown = len(columns)
    while shown > 1 and _width(_table(title, rows, columns[:shown])) > _CONSOLE.width:
        shown -= 1
    _CONSOLE.print(_table(title, rows, columns[:shown]))
    if shown < len(columns):
        _CONSOLE.print(f"  [dim]and with --json: {', '.join(map(_words, columns[shown:]))}[/dim]", highlight=False)


def _width(table: Table) -> int:
    """Return the width of the table with nothing cut or wrapped."""
    return _CONSOLE.measure(table, options=_CONSOLE.options.update(max_width=10_000)).maximum


def _table(title: str, rows: list[dict[str, Any]], columns: list[str]) -> Table:
    table = Table(*map(_words, columns), title=_words(title), title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(_cell(row.get(c)) for c in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and value.keys() == INTERVAL:
        figure, low, high = (_cell(v) for v in value.values())
        return figure if value["low"] is None else f"{figure} ({low} to {high})"
    if _records(value):
        return f"{len(value)}, with --json"
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value) or "none"
    return "none" if value is None else str(value).replace("[", "\\[")


def _records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _words(key: str) -> str:
    return key.replace("_", " ")
