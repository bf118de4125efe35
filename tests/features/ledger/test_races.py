"""Caps and withdrawals hold between processes, also when one is killed in the middle; nothing acknowledged is lost."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from features.ledger import Ledger
from tests.features.ledger import racer


def run_races(url: str, secret: bytes, tmp_path: Path, *, per_round: int, rounds: int, killed: int) -> Counter[str]:
    """What was acknowledged, by kind, after checking all that was written."""
    file = tmp_path / "acknowledged"
    command = [
        sys.executable,
        racer.__file__,
        url,
        secret.hex(),
        str(file),
        "1",
        str(per_round),
        str(rounds),
        str(killed),
    ]
    subprocess.run(command, check=True, timeout=3000)
    with Ledger.open(url, secret) as ledger:
        names = [f"1.{r}.{i}" for r in range(rounds) for i in range(per_round)]
        written = {stream: check_stream(ledger, stream) for stream in (ledger.stream_of("person", n) for n in names)}
        assert list(ledger.verify()) == []
    told = [line.split() for line in file.read_text().splitlines()]
    for stream, kind, version in told:
        assert kind in ("conflict", "killed") or written[stream][int(version) - 1] == kind
    return Counter(kind for _, kind, _ in told)


def check_stream(ledger: Ledger, stream: str) -> list[str]:
    """The kinds of a subject's records; every decision was allowed by what came before it."""
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
    rounds, killed = (20, 15) if "://" not in url else (4, 3)
    told = run_races(url, secret, tmp_path, per_round=100, rounds=rounds, killed=killed)
    assert told["conflict"] > 0, "they never met"
    assert told["decision"] > 0
    assert told["consent"] > 0
    assert told["killed"] >= killed // 2


@pytest.mark.promise("caps.exact-in-races")
@pytest.mark.long
def test_a_hundred_thousand_races_a_thousand_of_them_with_a_kill(url: str, secret: bytes, tmp_path: Path) -> None:
    told = run_races(url, secret, tmp_path, per_round=50, rounds=1050, killed=1050)
    (tmp_path / "more").mkdir()
    told += run_races(url, secret[::-1], tmp_path / "more", per_round=500, rounds=100, killed=0)
    assert told["conflict"] > 1000
    assert told["killed"] >= 900
