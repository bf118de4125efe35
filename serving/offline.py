"""What the command line does with a brain of its own, without a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic_core import from_json

from decisioning.decision import Ask
from decisioning.errors import NotFound, Refused
from features.ledger import Record
from serving import explaining, recording
from serving.contract import parse
from serving.progress import phases
from serving.runtime import Brain
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


def export_customer(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    """Everything that is held about a customer, all pages."""
    with open_brain(workspace) as brain:
        page = recording.export(brain, customer_id, 0)
        records = page["records"]
        while page["next"] is not None:
            page = recording.export(brain, customer_id, page["next"])
            records = [*records, *page["records"]]
    return {**page, "records": records}


def erase_customer(workspace: Workspace, customer_id: str) -> dict[str, Any]:
    """Forgets a customer; raises NotFound for one never heard of."""
    with open_brain(workspace) as brain:
        if not brain.ledger.read(brain.ledger.stream_of("person", customer_id))[0].version:
            raise NotFound("customer_id", "nothing is held about this customer")
        return asyncio.run(recording.erase(brain, customer_id))


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
