"""Results on a terminal, as a person would want to read them."""

from typing import Any

from rich.console import Console
from rich.table import Table

_CONSOLE = Console()
INTERVAL = {"value", "low", "high"}
"""What a figure with its interval consists of."""


def show(result: dict[str, Any]) -> None:
    """Key and value a line; lists of records as tables."""
    for key, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            _CONSOLE.print(_table(key, value))
        elif isinstance(value, dict):
            _CONSOLE.print(f"[bold]{_words(key)}[/bold]")
            for name, one in value.items():
                _CONSOLE.print(f"  {name}: {_cell(one)}", highlight=False)
        else:
            _CONSOLE.print(f"[bold]{_words(key)}[/bold]: {_cell(value)}", highlight=False)


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = [c for c, value in rows[0].items() if not isinstance(value, dict) or value.keys() == INTERVAL]
    table = Table(*columns, title=_words(title), title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*(_cell(row.get(c)) for c in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and value.keys() == INTERVAL:
        found, low, high = (_cell(v) for v in value.values())
        return found if value["low"] is None else f"{found} ({low} to {high})"
    if isinstance(value, list):
        return ", ".join(_cell(v) for v in value) or "none"
    return "none" if value is None else str(value).replace("[", "\\[")


def _words(key: str) -> str:
    return key.replace("_", " ")
