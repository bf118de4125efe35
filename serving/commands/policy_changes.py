"""`brain policies`: what a change of policies does to the customers of a workspace, and what is wrong with them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from decisioning.catalogue.countries import with_country_rules
from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.schema import Facts
from decisioning.facts.standing import Standing
from decisioning.review.personas import ask_of, known_of
from decisioning.review.policy_changes import Finding, SampledCustomer, audited, compared, contradictions, counted
from features.ledger import now_us
from features.ledger.links import united
from features.profile.online import Stored
from serving.brain.releasing import read_files
from serving.brain.runtime import Brain
from serving.commands.offline import open_brain
from serving.commands.progress import phases
from serving.settings import Workspace

FILES = "files"
"""Names what is in the folder, released or not."""
SAMPLE = 1000
_READ = 200


def diff(
    workspace: Workspace, before: str, after: str, sample: int = SAMPLE, *, personas: bool = False
) -> dict[str, Any]:
    """Customers who gain or lose actions from one release to the other, by action and gate.

    :param before: a release's hash, or `files`; so is `after`
    :param sample: of at most so many customers, spread evenly over all; `personas`: of the catalogue's instead
    """
    with open_brain(workspace) as brain, phases() as tell:
        one, other, at_us = named(brain, workspace, before), named(brain, workspace, after), now_us()
        members = list(_personas(other, at_us) if personas else _customers(brain, other, sample, at_us))
        watched = _watched(members, lambda done: tell(done, len(members), "comparing"))
        moved = compared(one, other, watched, at_us)
    return {"before": one.hash, "after": other.hash, "population": len(members), "moved": [asdict(m) for m in moved]}


def audit(
    workspace: Workspace, release: str = FILES, sample: int = SAMPLE, *, personas: bool = False
) -> dict[str, Any]:
    """Rules that stop nobody, never decide, let nobody through, or contradict each other."""
    with open_brain(workspace) as brain, phases() as tell:
        found, at_us = named(brain, workspace, release), now_us()
        members = list(_personas(found, at_us) if personas else _customers(brain, found, sample, at_us))
        tell(0, 2, "looking for contradictions")
        findings: list[Finding] = contradictions(found)
        tell(1, 2, "rules over the population")
        if members:
            findings += audited(found, [m.known for m in members], members[0].asks[0], at_us)
    about = {"release": found.hash, "population": len(members), "counts": counted(findings)}
    return {**about, "findings": [asdict(f) for f in findings]}


def named(brain: Brain, workspace: Workspace, name: str) -> Release:
    """The release of a hash, or `files`: what is in the folder; raises NotFound, ConfigError."""
    if name != FILES:
        return brain.release(name)
    files = with_country_rules(read_files(workspace))
    return Release.of(load(files, workspace.settings.environment), pack(files))


def _watched(members: Sequence[SampledCustomer], tell: Callable[[int], None]) -> Iterator[SampledCustomer]:
    for done, member in enumerate(members):
        tell(done)
        yield member


def _personas(release: Release, at_us: int) -> Iterator[SampledCustomer]:
    for persona in release.catalogue.personas:
        yield SampledCustomer(persona.id, (ask_of(persona),), known_of(persona, release, at_us))


def _customers(brain: Brain, release: Release, sample: int, at_us: int) -> Iterator[SampledCustomer]:
    """Customers with an account of no past: actions of account scope are compared, too. Named by a hash."""
    streams = brain.snapshot.profiles.archive.subjects()
    chosen = streams[:: max(1, len(streams) // sample)][:sample]
    asks = tuple(_everything(release, channel) for channel in release.channels if release.channels[channel].placements)
    for at in range(0, len(chosen), _READ):
        for stream, known in _known(brain, chosen[at : at + _READ], at_us):
            name = hashlib.sha256(stream.encode()).hexdigest()[:12]
            yield SampledCustomer(name, asks, known)


def _everything(release: Release, channel: str) -> Ask:
    placements = tuple(PlacementAsk(name=name) for name in release.channels[channel].placements)
    return Ask(request_id="policies", customer_id="policies", channel=channel, mode="preview", placements=placements)


def _known(brain: Brain, streams: Sequence[str], at_us: int) -> Iterator[tuple[str, Known]]:
    standings = united(brain.ledger.read(*streams), brain.ledger.read)
    stored = brain.snapshot.profiles.read(streams, now_us=at_us)
    for stream, standing, one in zip(streams, standings, stored, strict=True):
        silent = standing.erased or standing.restricted
        yield stream, Known({} if silent else _facts(brain, stream, one, at_us), standing, Standing("account"))


def _facts(brain: Brain, stream: str, stored: Stored, at_us: int) -> Facts:
    _, versions = brain.ledger.read_with_signals(stream)
    seen = brain.snapshot.signals.seen([stream], [v or 0 for v in versions], [stored.signals], at_us, keep=False)
    return {**seen.facts, **stored.facts}
