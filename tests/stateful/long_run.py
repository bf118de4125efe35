"""A run of many steps, with a new company after some hundred; a difference comes with its shortest replay."""

import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.postgres_server import new_database
from tests.stateful.company import Call, Company
from tests.stateful.persons import Persons, run

COMPANY = 1_000
"""How many steps a company sees: searching every byte of it takes the longer the more it has seen."""
SHORTEN_S = 600
"""For how long a shorter replay is looked for."""


class Difference(AssertionError):
    """The product and the model differ: how, and after which steps of a new company."""


def take(steps: int, number: int, say: Callable[[str], None], server: str | None = None) -> None:
    """Take so many steps, which are always the same for one number; raise Difference at the first difference.

    :param server: the url of a PostgreSQL server for the ledgers, None: they are files
    """
    done, began_s = 0, time.monotonic()
    while done < steps:
        done += _with_a_company(min(COMPANY, steps - done), number * 1_000_000 + done, say, server)
        say(f"{done} steps, {done / (time.monotonic() - began_s) * 60:.0f} a minute")


@contextmanager
def _company(server: str | None) -> Iterator[Company]:
    """Serve a new company until the block ends."""
    with tempfile.TemporaryDirectory(prefix="stateful-") as root:
        database = None if server is None else new_database(server)
        with Company(Path(root), database).open() as company:
            yield company


def _with_a_company(steps: int, number: int, say: Callable[[str], None], server: str | None) -> int:
    """Return how many steps were taken."""
    with _company(server) as company:
        try:
            run(company, steps, number)
            return company.steps
        except Exception as error:  # noqa: BLE001 (it is told, whatever it is)
            first = company.failed or error
    say(f"a difference after {company.steps} steps of run {number}: {told(first)}")
    cases = company.cases[-1:] if company.failed else company.cases
    again = partial(_ends_like, server, first)
    every = [calls for calls in cases if again(calls)] or cases[-1:]
    say(f"the case:\n{lines(every[0])}")
    raise Difference(f"{told(first)}\n{lines(shortest(every[0], again))}") from first


def lines(calls: list[Call]) -> str:
    """Return calls as the lines of a test."""
    each = (f"state.{name}({', '.join(f'{k}={v!r}' for k, v in about.items())})" for name, about in calls)
    return "\n".join(["state = Persons()", *each, "state.teardown()"])


def told(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def replay(calls: list[Call], server: str | None) -> Exception | None:
    """Return the difference that a case of a new company ends in, if any."""
    with _company(server) as company:
        try:
            machine = type("Persons", (Persons,), {"company": company})()
            for name, about in calls:
                getattr(machine, name)(**about)
                machine.agrees()
            machine.teardown()
            company.verify()
        except Exception as error:  # noqa: BLE001 (it is what was looked for)
            return error
    return None


def shortest(calls: list[Call], again: Callable[[list[Call]], bool], within_s: float = SHORTEN_S) -> list[Call]:
    """Return the fewest of the calls that end in the same difference again, as far as they are found in time.

    Steps are left out in ever smaller parts. What depends on when a process was killed may not happen again.
    """
    part, until_s = max(1, len(calls) // 2), time.monotonic() + within_s
    while part:
        at, before = 0, len(calls)
        while at < len(calls) and time.monotonic() < until_s:
            fewer = calls[:at] + calls[at + part :]
            calls, at = (fewer, at) if again(fewer) else (calls, at + part)
        part = part // 2 if part > 1 or len(calls) == before else part
    return calls


def _ends_like(server: str | None, error: Exception, calls: list[Call]) -> bool:
    again = replay(calls, server)
    return again is not None and _place(again) == _place(error)


def _place(error: Exception) -> tuple[str, str, int]:
    """Return where an error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error).__name__, last.filename, last.lineno or 0
