"""`brain policies`: what a change of policies does to a workspace's customers, and which policies are wrong."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from decisioning.catalogue.release import Release
from decisioning.review.catalogue_changes import catalogue_changes
from decisioning.review.personas import ask_of, known_of
from decisioning.review.policy_changes import (
    Finding,
    SampledCustomer,
    audited,
    compared,
    contradictions,
    counted,
    moves_of,
)
from decisioning.review.simulated.outcomes import NOTHING, compared_for
from features.ledger import now_us
from features.ledger.driver import in_chunks
from serving.brain.releases.named import FILES
from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.commands.progress import phases
from serving.commands.releases.naming import release_named
from serving.commands.releases.persona_decisions import personas_decided
from serving.commands.releases.population import SAMPLE, ask_for, known_of_streams, name_of
from serving.pages.figures import short_hash
from serving.settings import Workspace


def diff(
    workspace: Workspace, before: str, after: str, sample: int = SAMPLE, *, personas: bool = False
) -> dict[str, Any]:
    """Compare two releases: what differs in their catalogues, and which customers gain or lose actions, by gate.

    :param before: a release's hash, or the beginning of one, `current` or `files`; so is `after`
    :param sample: how many customers to compare at most, spread evenly over all
    :param personas: compare the catalogue's personas instead of customers
    """
    with open_brain(workspace) as brain, phases() as progress:
        old, new, at_us = release_named(brain, before), release_named(brain, after), now_us()
        members = list(_personas(new, at_us) if personas else _customers(brain, new, sample, at_us))
        counting = _counting(members, lambda n: progress(n, len(members), "comparing"))
        moves = moves_of(old, new, counting, at_us)
        changes = catalogue_changes(old, new, {key: who.keys() for key, who in moves.items()})
        first = _first_offers(brain, (old, new), at_us) if personas else None
    return {
        "before": old.hash,
        "after": new.hash,
        "population": len(members),
        "changes": [{**asdict(c), "before": plain(c.before), "after": plain(c.after)} for c in changes],
        "moved": [asdict(m) for m in compared(moves)],
        **({} if first is None else {"first_offers": first}),
        **({"advice": _advice(old, new, personas=personas)} if changes and not moves else {}),
    }


def _first_offers(brain: Brain, releases: tuple[Release, Release], at_us: int) -> list[dict[str, Any]]:
    """Return the personas whose first offer is another, with both."""
    decided = [compared_for(*twice) for twice in personas_decided(brain, releases, at_us)]
    moved = [row for row in decided if row.moved]
    return [
        {"persona": row.customer, "before": row.before.first or NOTHING, "after": row.after.first or NOTHING}
        for row in moved
    ]


def _advice(old: Release, new: Release, *, personas: bool) -> str:
    """Return what to do where no gate moves anybody although the catalogues differ."""
    who = "these personas, who are few," if personas else "these customers"
    compare = f"brain simulate-change {short_hash(new.hash)} --against {short_hash(old.hash)}"
    return f"no gate moves any of {who}; ranking, prices and odds may still change what customers get: {compare}"


def audit(
    workspace: Workspace, release: str = FILES, sample: int = SAMPLE, *, personas: bool = False
) -> dict[str, Any]:
    """Find rules that stop nobody, never decide, let nobody through, or contradict each other.

    Parameters as in `diff`.
    """
    with open_brain(workspace) as brain, phases() as progress:
        audited_release, at_us = release_named(brain, release), now_us()
        members = list(
            _personas(audited_release, at_us) if personas else _customers(brain, audited_release, sample, at_us)
        )
        progress(0, 2, "looking for contradictions")
        findings: list[Finding] = contradictions(audited_release)
        progress(1, 2, "rules over the population")
        if members:
            findings += audited(audited_release, [m.known for m in members], members[0].asks[0], at_us)
    summary = {"release": audited_release.hash, "population": len(members), "counts": counted(findings)}
    return {**summary, "findings": [asdict(f) for f in findings]}


def plain(value: object) -> object:
    """Return a value of a catalogue as one that a table and JSON can hold; parts of it become JSON text."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _counting(members: Sequence[SampledCustomer], progress: Callable[[int], None]) -> Iterator[SampledCustomer]:
    for n, member in enumerate(members):
        progress(n)
        yield member


def _personas(release: Release, at_us: int) -> Iterator[SampledCustomer]:
    for persona in release.catalogue.personas:
        yield SampledCustomer(persona.id, (ask_of(persona),), known_of(persona, release, at_us))


def _customers(brain: Brain, release: Release, sample: int, at_us: int) -> Iterator[SampledCustomer]:
    """Sample customers, each with a new account, so that account-scoped actions are compared too. Ids are hashes."""
    streams = brain.snapshot.profiles.archive.subjects()
    chosen = streams[:: max(1, len(streams) // sample)][:sample]
    asks = tuple(
        ask_for(channel, *release.channels[channel].placements)
        for channel in release.channels
        if release.channels[channel].placements
    )
    for some in in_chunks(chosen):
        for stream, known in zip(some, known_of_streams(brain, brain.snapshot, some, at_us), strict=True):
            yield SampledCustomer(name_of(stream), asks, known)
