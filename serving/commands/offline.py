"""What the command line does with a brain of its own, without a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.errors import NotFound, Refused
from decisioning.facts.forms import Ask
from features.ledger import Record
from serving.brain import explaining
from serving.brain.runtime import Brain
from serving.commands.progress import phases
from serving.contract import parse
from serving.customers import erasing, exported_files, exporting
from serving.settings import Workspace

PAGE = 500


@contextmanager
def open_brain(workspace: Workspace) -> Iterator[Brain]:
    """A brain of this process, closed at the end."""
    brain = Brain(workspace)
    try:
        yield brain
    finally:
        brain.close()


def decide_once(workspace: Workspace, body: bytes) -> dict[str, Any]:
    """The answer to one request body; a live one is committed."""
    ask = parse(Ask, body)
    with open_brain(workspace) as brain:
        answer: dict[str, Any] = from_json(asyncio.run(brain.answer(ask)))
    return answer


def export_customer(workspace: Workspace, customer_id: str, out: Path | None = None) -> dict[str, Any]:
    """Everything that is held about a customer, all pages; written to `out`, how much that was."""
    with open_brain(workspace) as brain:
        pages = [exporting.export(brain, "person", customer_id)]
        while (after := pages[-1]["next"]) is not None:
            pages.append(exporting.export(brain, "person", customer_id, after))
        logs = {log: [one for page in pages for one in page[log]] for log in ("records", "events")}
        found = {**pages[0], **logs, "next": None}
        if out is None:
            return found
        out.write_bytes(to_json(found))
        exported_files.register(workspace, out, "export", found["subject"])
    return {"customer_id": customer_id, "written": str(out), "records": len(found["records"])}


def erase_customer(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    """Forgets a customer, and takes what was left of anybody out of every file; NotFound for one never heard of."""
    with open_brain(workspace) as brain:
        _heard_of(brain, customer_id)
        asyncio.run(erasing.erase(brain, "person", customer_id))
        erasing.clean(brain)
    return {"customer_id": customer_id, "erased": True}


def restrict_customer(workspace: Workspace, customer_id: str, *, restricted: bool) -> dict[str, Any]:
    """Nothing but keeping is done with what is known of a customer, or all of it again; NotFound likewise."""
    with open_brain(workspace) as brain:
        _heard_of(brain, customer_id)
        asyncio.run(erasing.restrict(brain, "person", customer_id, restricted=restricted))
    return {"customer_id": customer_id, "restricted": restricted}


def _heard_of(brain: Brain, customer_id: str) -> None:
    if not brain.ledger.read(brain.ledger.stream_of("person", customer_id))[0].version:
        raise NotFound("customer_id", "nothing is held about this customer")


def verify(workspace: Workspace, sample: int | None) -> dict[str, Any]:
    """Checkpoints and chains checked, decisions recomputed; what is wrong is named by stream and version, or by
    decision id, never by customer."""
    with open_brain(workspace) as brain:
        audit = brain.ledger.audit(workspace.checkpoints_file)
        flaws = [str(flaw) for flaw in audit.flaws()]
        decisions = [(r.stream, r.version) for r in _decisions(brain)]
        step = 1 if sample is None else max(1, len(decisions) // sample)
        chosen = set(decisions[::step][:sample])
        different, checked, erased = [], 0, 0
        with phases() as tell:
            for record in _decisions(brain):
                if (record.stream, record.version) not in chosen:
                    continue
                tell(checked + erased, len(chosen), "recomputing decisions")
                if record.body is None or explaining.erased(brain, record):
                    erased += 1
                    continue
                checked += 1
                if not _recomputes(brain, record):
                    different.append(str(record.body["decision_id"]))
    return {
        "flaws": flaws,
        "checkpoints": audit.checkpoints,
        "decisions": len(decisions),
        "recomputed": checked,
        "erased": erased,
        "different": different,
    }


def _recomputes(brain: Brain, record: Record) -> bool:
    try:
        return explaining.recomputes(brain, record)
    except (Refused, NotFound):
        return False


def _decisions(brain: Brain) -> Iterator[Record]:
    after = 0
    while page := brain.ledger.scan(("decision",), after, PAGE):
        yield from page
        after = page[-1].seq
