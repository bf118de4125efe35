"""The table of broken files: what readiness, a start, `verify` and `repair` say; nothing is lost or invented.

`make test` runs a few cells; more of them are in test_opening.py, test_readiness.py, test_repair.py and
tests/test_failures.py.
"""

import pytest

from tests.serving.broken_files import DAMAGES, FILES, MOMENTS, Breaker, Seen

KEPT_BY_HAND = {"brain.yaml", "catalogue"}
"""What a person writes: the product cannot know what it should hold."""
NEVER_REFUSED = {"catalogue", "checkpoints", "identity", "place", "decision log", "log's state", "registry.db", "run"}
"""What can be made anew, or does itself: it stops no start, whatever becomes of it."""


@pytest.fixture(scope="module")
def breaker(tmp_path_factory: pytest.TempPathFactory) -> Breaker:
    return Breaker(tmp_path_factory.mktemp("broken"))


def check(breaker: Breaker, file: str, damage: str, seen: Seen) -> None:
    """Check what holds for every cell of the table."""
    if seen.served is not None:
        assert seen.served == breaker.before or seen.verify, "what is not as before is named"
    else:
        assert "\n" not in seen.start
        advice = ("can be written",) if damage == "read-only" else ("backup", "repair", "train again", "remove it")
        assert any(words in seen.start for words in advice), seen.start
        assert file not in NEVER_REFUSED
    if seen.after is None:
        assert seen.repair.get("cannot") or seen.repair.get("error"), "what cannot be repaired is named"
    else:
        assert seen.after == breaker.before, "nothing that was told is lost, and nothing is invented"
    if seen.served is None and seen.after is None:
        assert file in {*KEPT_BY_HAND, "secret", "ledger.db", "ledger.db-wal", "mlflow.db"}, (file, damage)


@pytest.mark.promise("workspace.broken-files")
@pytest.mark.parametrize(
    ("file", "damage", "moment"),
    [
        ("ledger.db", "empty", "at start"),
        ("online.db", "missing", "serving"),
        ("online.db", "half", "at start"),
        ("history", "half", "at start"),
        ("checkpoints", "flipped", "serving"),
        ("spool.db", "missing", "at start"),
    ],
)
def test_a_few_broken_files(breaker: Breaker, file: str, damage: str, moment: str) -> None:
    check(breaker, file, damage, breaker.see(file, damage, moment))


@pytest.mark.long
@pytest.mark.promise("workspace.broken-files")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_broken_file(breaker: Breaker, file: str, damage: str, moment: str) -> None:
    seen = breaker.see(file, damage, moment)
    print(f"{moment} | {file} | {damage} | {seen.row}")  # noqa: T201 (the table, shown by `pytest -s`)
    check(breaker, file, damage, seen)
