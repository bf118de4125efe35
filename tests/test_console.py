"""Results on a terminal: as many whole columns as fit, and the names of the others."""

from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from serving.commands import console
from tests.examples import examples

CELLS = st.text("ab", min_size=1, max_size=15) | st.integers() | st.none() | st.lists(st.integers(), max_size=3)
ROWS = st.lists(st.lists(CELLS, min_size=8, max_size=8), min_size=1, max_size=4)


def printed(result: dict[str, object], width: int) -> str:
    out = StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(console, "_CONSOLE", Console(file=out, width=width))
        console.show(result)
    return out.getvalue()


@settings(max_examples=examples(50))
@given(ROWS, st.integers(40, 120))
def test_no_cell_is_cut_and_every_column_is_shown_or_named(rows: list[list[object]], width: int) -> None:
    names = [f"column-{n}" for n in range(8)]
    text = printed({"found": [dict(zip(names, row, strict=True)) for row in rows]}, width)
    table = text.partition("and with --json")[0]
    assert "…" not in text
    assert "│\n" in table
    assert all(len(line) <= width for line in table.splitlines())
    assert [name for name in names if name in " ".join(text.split())] == names


def test_records_within_records_are_counted_and_what_is_empty_is_one_line() -> None:
    text = printed({"a": {"b_c": [{"x": 1}, {"x": 2}], "d": 0.123456}, "no_e": [], "no_f": []}, 80)
    assert text.splitlines() == ["a", "  b c: 2, with --json", "  d: 0.1235", "none: no e, no f"]
