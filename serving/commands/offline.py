"""Commands that open a brain of their own, without a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.errors import NotFound
from decisioning.facts.forms import Ask
from decisioning.facts.ids import check_id, problem_of
from decisioning.facts.standing_rules import NO_PAST
from serving.brain.runtime import Brain
from serving.commands.recomputing import recompute
from serving.contract import parse
from serving.customers import erasing, exported_files, exporting
from serving.customers.holdings import holdings
from serving.settings import Workspace

PAGE = 500


@contextmanager
def open_brain(workspace: Workspace) -> Iterator[Brain]:
    """Open a brain in this process, and close it at the end."""
    brain = Brain(workspace)
    try:
        yield brain
    finally:
        brain.close()


def decide_once(workspace: Workspace, body: bytes) -> dict[str, Any]:
    """Return the answer to one request body; a live decision is committed."""
    ask = parse(Ask, body)
    with open_brain(workspace) as brain:
        answer: dict[str, Any] = from_json(asyncio.run(brain.answer(ask)))
    return answer


def export_customer(workspace: Workspace, customer_id: str, out: Path | None = None) -> dict[str, Any]:
    """Return everything that is held about a customer; with `out`, write it there and return a summary."""
    with open_brain(workspace) as brain:
        _check_id(brain, customer_id)
        pages = [exporting.export(brain, "person", customer_id)]
        while (after := pages[-1]["next"]) is not None:
            pages.append(exporting.export(brain, "person", customer_id, after))
        logs = {log: [entry for page in pages for entry in page[log]] for log in ("records", "events")}
        export = {**pages[0], **logs, "next": None}
        if out is None:
            return export
        with exported_files.written(workspace, out, "export", exporting.subjects_of(export)) as half:
            half.write_bytes(to_json(export))
    return {"customer_id": customer_id, "written": str(out), "records": len(export["records"])}


def erase_customer(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    """Erase a customer, and clean every file of earlier erasures; say how much was held about them, by kind of data.

    Raises NotFound if nothing is held.
    """
    with open_brain(workspace) as brain:
        _check_id(brain, customer_id)
        held = _held(brain, customer_id)
        asyncio.run(erasing.erase(brain, "person", customer_id))
        while brain.ledger.erasures.listed():
            erasing.clean(brain)
    return {"customer_id": customer_id, "erased": True, "held": held}


def restrict_customer(workspace: Workspace, customer_id: str, *, restricted: bool) -> dict[str, Any]:
    """Restrict the use of a customer's data to keeping it, or lift the restriction; raises NotFound if none is held."""
    with open_brain(workspace) as brain:
        _check_id(brain, customer_id)
        _held(brain, customer_id)
        asyncio.run(erasing.restrict(brain, "person", customer_id, restricted=restricted))
    return {"customer_id": customer_id, "restricted": restricted}


def _check_id(brain: Brain, customer_id: str) -> None:
    """Raise RequestError for what is no id, unless something is held under it.

    Earlier versions took texts for ids that are refused today; whoever is known by one keeps their rights.
    """
    if problem_of(customer_id) and not any(holdings(brain, "person", customer_id).values()):
        check_id("customer_id", customer_id)


def _held(brain: Brain, customer_id: str) -> dict[str, int]:
    """Return how much is held about a customer, by kind of data; raises NotFound if nothing is, and never was."""
    held = holdings(brain, "person", customer_id)
    if not any(held.values()) and not brain.ledger.read(brain.subject_stream(customer_id), rules=NO_PAST)[0].version:
        raise NotFound("customer_id", "nothing is held about this customer")
    return held


def verify(workspace: Workspace, sample: int | None) -> dict[str, Any]:
    """Check the ledger's checkpoints and chains, and recompute `sample` decisions, by default all.

    What is wrong is named by stream and version, or by decision id, never by customer.
    """
    with open_brain(workspace) as brain:
        audit = brain.ledger.audit(workspace.checkpoints_file, workspace.checkpoints_mirror)
        flaws = [str(flaw) for flaw in audit.flaws()]
        decisions = list(_decisions(brain))
        step = 1 if sample is None else max(1, len(decisions) // sample)
        results = recompute(brain, set(decisions[::step][:sample]))
    return {"flaws": flaws, "checkpoints": audit.checkpoints, "decisions": len(decisions), **results}


def _decisions(brain: Brain) -> Iterator[tuple[str, int]]:
    """Yield stream and version of every decision, in the order of the ledger."""
    after = 0
    while page := brain.ledger.scan_rows(("decision",), after, PAGE):
        yield from ((row.stream, row.version) for row in page)
        after = page[-1].seq
