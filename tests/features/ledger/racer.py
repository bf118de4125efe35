"""Two processes race for the same subjects, and some are killed. `test_races.py` starts this program.

Both decide for every subject of a round: they read the standing and, if marketing is granted and the cap of one
contact allows it, append a decision that states the version read. The second process also withdraws the consent of
every other subject. Each acknowledgement of the ledger is written to a file, as one line, before anything else happens.

usage: racer.py URL SECRET_HEX ACKNOWLEDGED_FILE SEED SUBJECTS_PER_ROUND ROUNDS KILLED_ROUNDS
"""

import os
import random
import signal
import sys
import time
from concurrent.futures import Future
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from decisioning.errors import Conflict
from decisioning.facts.standing import Standing
from features.ledger import Entry, Ledger, now_us

AT_ONCE = 16


def may_decide(standing: Standing) -> bool:
    granted = any(c.status == "granted" for c in standing.consents)
    return granted and not any(c.counts_at(now_us()) for c in standing.contacts)


def decide(ledger: Ledger, standing: Standing) -> "Future[tuple[int, ...]]":
    at_us = now_us()
    contact = {
        "offer_id": os.urandom(8).hex(),
        "action": "tv",
        "treatment": "tv.web",
        "group": "tv",
        "issue": "grow",
        "channel": "web",
        "at_us": at_us,
        "reserved_until_us": at_us + 3_600_000_000,
        "counts_on": "decided",
    }
    entry = Entry(standing.stream, "decision", {"contacts": [contact]}, at_us, expected=standing.version)
    return ledger.submit([entry])


def consent(stream: str, status: str) -> Entry:
    body = {"purpose": "marketing", "channel": "*", "status": status, "source": "race", "notice_version": "1"}
    return Entry(stream, "consent", body, now_us())


def race(ledger: Ledger, streams: list[str], acknowledge: int, *, withdraws: bool) -> None:
    for at in range(0, len(streams), AT_ONCE):
        window = streams[at : at + AT_ONCE]
        withdrawn = [(s, ledger.submit([consent(s, "withdrawn")])) for s in window[::2]] if withdraws else []
        while standings := [s for s in ledger.read(*window) if may_decide(s)]:
            for standing, future in [(s, decide(ledger, s)) for s in standings]:
                try:
                    acknowledged(acknowledge, standing.stream, "decision", future.result()[0])
                except Conflict:
                    acknowledged(acknowledge, standing.stream, "conflict", 0)
        for stream, consent_future in withdrawn:
            acknowledged(acknowledge, stream, "consent", consent_future.result()[0])


def acknowledged(file: int, stream: str, kind: str, version: int) -> None:
    os.write(file, f"{stream} {kind} {version}\n".encode())


def start(url: str, secret: bytes, names: list[str], acknowledge: int, *, withdraws: bool) -> int:
    """Fork a racer and return its process id. Forking is safe: this process has neither threads nor connections."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with Ledger.open(url, secret) as ledger:
            race(ledger, [ledger.stream_of("person", n) for n in names], acknowledge, withdraws=withdraws)
        code = 0
    finally:
        os._exit(code)


def grant(url: str, secret: bytes, names: list[str]) -> None:
    """Grant consents in another process, so that this one never has a connection."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            with Ledger.open(url, secret) as ledger:
                ledger.append_many(consent(ledger.stream_of("person", n), "granted") for n in names)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def main(url: str, secret: bytes, file: str, seed: int, per_round: int, rounds: int, killed: int) -> None:
    rng = random.Random(seed)
    acknowledge = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    names = [[f"{seed}.{r}.{i}" for i in range(per_round)] for r in range(rounds)]
    grant(url, secret, [n for round_names in names for n in round_names])
    for number, round_names in enumerate(names):
        before = os.fstat(acknowledge).st_size
        pids = [start(url, secret, round_names, acknowledge, withdraws=w) for w in (False, True)]
        victim = pids[rng.randrange(2)] if number < killed else None
        if victim is not None:
            wait_for_growth(acknowledge, before)
            time.sleep(rng.uniform(0, 0.02))
            os.kill(victim, signal.SIGKILL)
        for pid in pids:
            status = os.waitpid(pid, 0)[1]
            assert status == 0 or (pid == victim and status == signal.SIGKILL), status
            if status:
                acknowledged(acknowledge, "-", "killed", 0)


def wait_for_growth(file: int, size: int) -> None:
    deadline = time.monotonic() + 10
    while os.fstat(file).st_size == size and time.monotonic() < deadline:
        time.sleep(0.001)


if __name__ == "__main__":
    main(sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:8]))
