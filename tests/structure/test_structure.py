"""The table of the structure: every limit is noticed when it is passed, and a tidy tree passes."""

from pathlib import Path

import pytest

from tests.structure.__main__ import main
from tests.structure.measures import MAX_ARCHITECTURE_BYTES, MAX_FLOORS, MAX_MODULES, floors

TIDY = {
    "decisioning/__init__.py": "",
    "decisioning/low/__init__.py": "",
    "decisioning/low/one.py": "class Thing:\n    def act(self, a, b, c, d, e, f, g): ...\n",
    "decisioning/high/__init__.py": "",
    "decisioning/high/two.py": "from decisioning.low.one import Thing\n\nmade = Thing()\n",
    "ARCHITECTURE.md": "short",
}
CHAIN = {
    f"features/floor{n}.py": f"from features.floor{n - 1} import x\n" if n else "x = 1\n" for n in range(MAX_FLOORS + 1)
}
UNTIDY = {
    "modules per folder": {f"features/room/m{n}.py": "" for n in range(MAX_MODULES + 1)},
    "floors of features": CHAIN,
    "floors inside a room": {
        f.replace("features", "features/room"): t.replace("features", "features.room") for f, t in CHAIN.items()
    },
    "functions over 50 lines": {"serving/long.py": "def long():\n" + "    x = 1\n" * 50},
    "functions with more than 7 parameters": {"serving/wide.py": "def wide(a, b, c, d, e, f, *, g, h): ...\n"},
    "values built from more than 7": {"serving/built.py": "Thing(1, 2, 3, 4, 5, 6, 7, 8)\n"},
    "class names that mean two things": {"training/again.py": "class Thing: ...\n"},
    "names that say nothing": {"training/poem.py": "def judge(told): ...\n"},
    "bytes of ARCHITECTURE.md": {"ARCHITECTURE.md": "x" * (MAX_ARCHITECTURE_BYTES + 1)},
}


def _check(root: Path, files: dict[str, str]) -> int:
    for name, text in (TIDY | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return main(["--root", str(root), "--check"])


def test_a_tidy_tree_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(tmp_path, {}) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("line", UNTIDY)
def test_what_is_over_a_limit_is_named(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(tmp_path, UNTIDY[line]) == 1
    report = capsys.readouterr().err.splitlines()
    assert [text for text in report if not text.startswith(line)] == []
    assert report


def test_a_floor_is_the_longest_chain_of_imports_below() -> None:
    assert floors({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}
