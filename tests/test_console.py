"""Results on a terminal: as many whole columns as fit, and the names of the others."""

from io import StringIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from serving.commands import console
from serving.commands.telling import results
from tests.examples import examples
from tests.test_command_line import COMMANDS

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
@example([[[10**27], *"abcdefg"]], 40)
def test_no_cell_is_cut_and_every_column_is_shown_or_named(rows: list[list[object]], width: int) -> None:
    names = [f"column-{n}" for n in range(8)]
    text = printed({"found": [dict(zip(names, row, strict=True)) for row in rows]}, width)
    table = text.partition("and with --json")[0]
    assert "…" not in text
    assert "│\n" in table
    assert all(len(line) <= width for line in table.splitlines())
    assert [name for name in names if name in " ".join(text.split())] == names


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("rate", 0.02245, "2.2%"),
        ("share", 0.5, "50.0%"),
        ("change_eur", -5.0, "−€5.00"),
        ("value_eur", 1234.5, "€1,234"),
        ("price_eur", 9.5, "€9.50"),
        ("rows", 14317, "14,317"),
        ("gates", ("protection:hardship",), "the protection hardship"),
        (
            "gates",
            ["suitability:not-too-new", "consent:marketing"],
            "the suitability rule not-too-new, no consent to marketing",
        ),
        ("at", "2026-11-30T19:47:22.686560Z", "2026-11-30 19:47 UTC"),
        ("release", f"sha256:{'ab' * 32}", "sha256:abababababab"),
        ("hash", f"sha256:{'ab' * 32}", f"sha256:{'ab' * 32}"),
        ("paused", True, "yes"),
        ("features", [f"f{n}" for n in range(13)], "f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, and 3 more"),
    ],
)
def test_people_read_rounded_figures_and_no_codes(key: str, value: object, text: str) -> None:
    assert printed({key: value}, 120) == f"{key.replace('_', ' ')}: {text}\n"


def test_of_a_long_table_people_see_the_first_ten_rows_and_how_many_more_there_are() -> None:
    text = printed({"rows": [{"id": f"row-{n}", "nothing": None} for n in range(14)]}, 80)
    assert text.count("row-") == 10
    assert "and 4 more, with --json" in text
    assert "none: nothing" in text


def test_every_presentation_is_of_a_command() -> None:
    assert results.PRESENTATIONS.keys() <= {" ".join(words) for words in COMMANDS}


def test_records_within_records_are_counted_and_what_is_empty_is_one_line() -> None:
    text = printed({"a": {"b_c": [{"x": 1}, {"x": 2}], "d": 0.123456}, "no_e": [], "no_f": []}, 80)
    assert text.splitlines() == ["a", "  b c: 2, with --json", "  d: 0.123", "none: no e, no f"]
