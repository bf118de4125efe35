"""What the check of a key costs a request: a right key, a wrong one, and one that is unknown."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.access_keys import add_key
from features.ledger import Ledger, now_us
from serving.access.doors import Access, Doors
from serving.access.keys import kept_key, new_key_text
from tests.benchmarks.measures import Figures, Line, Measure, Suite, timed

KEYS = 200
CHECKS = 20_000
SCOPE = "decide"


@contextmanager
def _world() -> Iterator[tuple[Doors, str]]:
    """Yield the doors of a workspace with many keys, and one of the keys."""
    with tempfile.TemporaryDirectory(prefix="bench-doors-") as folder:
        texts = [new_key_text() for _ in range(KEYS)]
        with Ledger.open(Path(folder) / "ledger.db", bytes(32)) as ledger:
            for text in texts:
                add_key(ledger, kept_key(text, SCOPE, SCOPE, "bench", now_us()))
            yield Doors(Access(ledger), ("127.0.0.1",)), texts[-1]


def _checks(world: tuple[Doors, str]) -> Figures:
    doors, right = world
    changed = "a" if right[20] != "a" else "b"
    shown = {"right": right, "wrong": right[:20] + changed + right[21:], "unknown": new_key_text()}
    figures: Figures = {}
    for name, text in shown.items():
        times = timed(f"{name}_key", lambda _, text=text: doors.refusal(_request(text)), CHECKS)
        figures.update({key.replace("_ms", "_us"): 1000 * value for key, value in times.items()})
    return figures


def _request(text: str) -> dict[str, object]:
    headers = {"host": "127.0.0.1:8000", "content-type": "application/json", "authorization": f"Bearer {text}"}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/v1/decisions", "headers": encoded}


DOORS = Suite(
    _world,
    (Measure("checks of keys", _checks),),
    (
        Line("check of a right key, median, us", "right_key_median_us", None, 30.0),
        Line("  a wrong key, to that", "wrong_key_median_us", "right_key_median_us", 1.25),
        Line("  an unknown key, to that", "unknown_key_median_us", "right_key_median_us", 1.25),
    ),
)
