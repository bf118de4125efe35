"""Commands that open a brain of their own, without a server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from decisioning.errors import NotFound, RequestError
from decisioning.facts.forms import Ask
from decisioning.facts.ids import check_id, problem_of
from decisioning.facts.standing_rules import NO_PAST
from features.ledger import SubjectKind
from serving.access.looks import looker_here
from serving.brain.runtime import Brain
from serving.commands.releases.naming import release_named
from serving.contract import parse
from serving.customers import erasing, exported_files, exporting, looking
from serving.customers.erasing import ID_FIELDS
from serving.customers.holdings import holdings
from serving.settings import Workspace


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


def preview_once(workspace: Workspace, body: bytes, release: str) -> dict[str, Any]:
    """Return the answer to one preview by the release that is named so, which may be a folder with a catalogue.

    Raises RequestError for a request that is no preview.
    """
    ask = parse(Ask, body)
    if ask.mode != "preview":
        raise RequestError("mode", "--release is for previews: send mode preview")
    with open_brain(workspace) as brain:
        answer: dict[str, Any] = from_json(brain.previewed(ask, release=release_named(brain, release)))
    return answer


def export_customer(
    workspace: Workspace,
    subject_id: str,
    out: Path | None = None,
    kind: SubjectKind = "person",
    purpose: str | None = None,
) -> dict[str, Any]:
    """Return everything that is held about a customer or an account; with `out`, write it there, and return a summary.

    It is recorded that the user of this process looked. Raises RequestError for what is no id, or no purpose.
    """
    looker = looker_here("export", purpose)
    with open_brain(workspace) as brain:
        _check_id(brain, kind, subject_id)
        whom = looking.seen_by_id(brain, looker, kind, subject_id)
        export = looking.shown(brain, looker, partial(_whole_export, brain, kind, subject_id), whom)
        if out is None:
            return export
        with exported_files.written(workspace, out, "export", exporting.subjects_of(export)) as half:
            half.write_bytes(to_json({**export, "words": []}))  # no file keeps the words of a conversation
    return {ID_FIELDS[kind]: subject_id, "written": str(out), "records": len(export["records"])}


def _whole_export(brain: Brain, kind: SubjectKind, subject_id: str) -> dict[str, Any]:
    pages = [exporting.export(brain, kind, subject_id)]
    while (after := pages[-1]["next"]) is not None:
        pages.append(exporting.export(brain, kind, subject_id, after))
    logs = {log.name: [entry for page in pages for entry in page[log.name]] for log in exporting.LOGS}
    return {**pages[0], **logs, "next": None}


def list_looks(
    workspace: Workspace, subject: tuple[SubjectKind, str] | None, who: str | None, after: int
) -> dict[str, Any]:
    """Return a page of looks at customers: of everybody or one subject, by everybody or one caller."""
    with open_brain(workspace) as brain:
        return looking.listed(brain, after, who=who, subject=subject)


def erase_customer(workspace: Workspace, subject_id: str, kind: SubjectKind = "person") -> dict[str, Any]:
    """Erase a customer or an account, and clean every file of earlier erasures; say how much was held, by kind of data.

    Raises NotFound if nothing is held.
    """
    with open_brain(workspace) as brain:
        _check_id(brain, kind, subject_id)
        held = _held(brain, kind, subject_id)
        asyncio.run(erasing.erase(brain, kind, subject_id))
        while brain.ledger.erasures.listed():
            erasing.clean(brain)
    return {ID_FIELDS[kind]: subject_id, "erased": True, "held": held}


def restrict_customer(
    workspace: Workspace, subject_id: str, *, restricted: bool, kind: SubjectKind = "person"
) -> dict[str, Any]:
    """Restrict the use of a customer's or an account's data to keeping it, or lift the restriction.

    Raises NotFound if none is held.
    """
    with open_brain(workspace) as brain:
        _check_id(brain, kind, subject_id)
        _held(brain, kind, subject_id)
        asyncio.run(erasing.restrict(brain, kind, subject_id, restricted=restricted))
    return {ID_FIELDS[kind]: subject_id, "restricted": restricted}


def _check_id(brain: Brain, kind: SubjectKind, subject_id: str) -> None:
    """Raise RequestError for what is no id, unless something is held under it.

    Earlier versions took texts for ids that are refused today; whoever is known by one keeps their rights.
    """
    if problem_of(subject_id) and not any(holdings(brain, kind, subject_id).values()):
        check_id(ID_FIELDS[kind], subject_id)


def _held(brain: Brain, kind: SubjectKind, subject_id: str) -> dict[str, int]:
    """Return how much is held about a subject, by kind of data; raises NotFound if nothing is, and never was."""
    held = holdings(brain, kind, subject_id)
    stream = brain.ledger.stream_of(kind, subject_id)
    if not any(held.values()) and not brain.ledger.read(stream, rules=NO_PAST)[0].version:
        whom = "account" if kind == "account" else "customer"
        raise NotFound(ID_FIELDS[kind], f"nothing is held about this {whom}")
    return held
