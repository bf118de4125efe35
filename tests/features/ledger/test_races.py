"""Caps and withdrawals hold across processes, also if one is killed; nothing that was acknowledged is lost."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from features.ledger import Ledger
from tests.features.ledger import racer


def run_races(
    url: str, secret: bytes, tmp_path: Path, *, per_round: int, rounds: int, killed: int, seed: int = 1
) -> Counter[str]:
    """Run races, check all that was written, and count the acknowledgements by kind."""
    file = tmp_path / "acknowledged"
    command = [
        sys.executable,
        racer.__file__,
        url,
        secret.hex(),
        str(file),
        str(seed),
        str(per_round),
        str(rounds),
        str(killed),
    ]
    subprocess.run(command, check=True, timeout=3000)
    with Ledger.open(url, secret) as ledger:
        names = [f"{seed}.{r}.{i}" for r in range(rounds) for i in range(per_round)]
        written = {stream: check_stream(ledger, stream) for stream in (ledger.stream_of("person", n) for n in names)}
        assert list(ledger.verify()) == []
    lines = [line.split() for line in file.read_text().splitlines()]
    for stream, kind, version in lines:
        assert kind in ("conflict", "killed") or written[stream][int(version) - 1] == kind
    return Counter(kind for _, kind, _ in lines)


def check_stream(ledger: Ledger, stream: str) -> list[str]:
    """Return the kinds of a subject's records, and check that earlier records allowed every decision."""
    kinds, allowed, decisions = [], False, 0
    for record in ledger.records(stream):
        kinds.append(record.kind)
        assert record.body is not None
        if record.kind == "consent":
            allowed = record.body["status"] == "granted"
        else:
            decisions += 1
            assert allowed, "decided after a withdrawal"
            assert decisions == 1, "decided past the cap"
    return kinds


@pytest.mark.promise("caps.exact-in-races")
def test_two_processes_race_on_caps_and_withdrawals(url: str, secret: bytes, tmp_path: Path) -> None:
    rounds, killed = (10, 7) if "://" not in url else (4, 3)
    counts = run_races(url, secret, tmp_path, per_round=100, rounds=rounds, killed=killed)
    assert counts["conflict"] > 0, "they never met"
    assert counts["decision"] > 0
    assert counts["consent"] > 0
    assert counts["killed"] >= killed // 2


@pytest.mark.promise("caps.exact-in-races")
@pytest.mark.long
def test_a_hundred_thousand_races_a_thousand_of_them_with_a_kill(url: str, secret: bytes, tmp_path: Path) -> None:
    counts = run_races(url, secret, tmp_path, per_round=50, rounds=1050, killed=1050)
    (tmp_path / "more").mkdir()
    counts += run_races(url, secret, tmp_path / "more", seed=2, per_round=500, rounds=100, killed=0)
    assert counts["conflict"] > 1000
    assert counts["killed"] >= 900
