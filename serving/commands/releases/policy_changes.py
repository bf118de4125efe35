"""`brain policies`: what a change of policies does to a workspace's customers, and which policies are wrong."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import load, pack, with_wording
from decisioning.catalogue.release import Release
from decisioning.errors import Unavailable
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Standing
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
from features.ledger import now_us
from features.ledger.driver import in_chunks
from serving.brain.reading import Subjects
from serving.brain.releasing import read_files
from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.commands.progress import phases
from serving.settings import Workspace

FILES, CURRENT = "files", "current"
"""The names of what is in the catalogue folder, released or not, and of the release that serves."""
SAMPLE = 1000


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
    return {
        "before": old.hash,
        "after": new.hash,
        "population": len(members),
        "changes": [{**asdict(c), "before": _plain(c.before), "after": _plain(c.after)} for c in changes],
        "moved": [asdict(m) for m in compared(moves)],
    }


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


def _plain(value: object) -> object:
    """Return a value of a catalogue as one that a table and JSON can hold; parts of it become JSON text."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def release_named(brain: Brain, name: str) -> Release:
    """Return the release whose hash begins so, the one that serves for `current`, or what is in the folder for `files`.

    Raises NotFound or ConfigError.
    """
    if name == CURRENT:
        return brain.snapshot.release
    if name != FILES:
        return brain.release(brain.ledger.whole_name(name))
    files = with_wording(with_country_rules(read_files(brain.workspace)))
    return Release.of(load(files, brain.environment), pack(files))


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
    asks = tuple(_ask(release, channel) for channel in release.channels if release.channels[channel].placements)
    for some in in_chunks(chosen):
        for stream, known in zip(some, _known(brain, some, at_us), strict=True):
            yield SampledCustomer(hashlib.sha256(stream.encode()).hexdigest()[:12], asks, known)


def _ask(release: Release, channel: str) -> Ask:
    """Return a request for every placement of a channel."""
    placements = tuple(PlacementAsk(name=name) for name in release.channels[channel].placements)
    return Ask(request_id="policies", customer_id="policies", channel=channel, mode="preview", placements=placements)


def _known(brain: Brain, streams: Sequence[str], at_us: int) -> list[Known]:
    """Return what a decision would know of customers, with a new account; raises Unavailable without a profile."""
    every = brain.customers.read([Subjects((stream,)) for stream in streams], brain.snapshot, at_us, whole=True)
    if any(known.degraded for known in every):
        raise Unavailable("the profiles of customers cannot be read now; try again")
    return [replace(known, account=Standing("account")) for known in every]
