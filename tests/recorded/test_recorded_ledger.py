"""A ledger of 300 decisions that commit b29a19b made: they come out again byte for byte, and its models load.

`ledger.tar.xz` holds the workspace as that commit wrote it; README.md tells how it was made. A change that turns this
test red has changed what a recorded decision means, which no change may do: do not record the file anew.
"""

import asyncio
import json
import math
import platform
import runpy
import tarfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from decisioning.catalogue.release import Release
from decisioning.facts.forms import Ask, Known, PlacementAsk, Shadow, canonical
from decisioning.review.replaying import decide_as, recomputed, replay
from features.ledger import Record
from features.ledger.as_of_decision import known_at_decision
from serving.brain import releasing
from serving.brain.explaining import explain, inputs_erased, recomputes
from serving.brain.runtime import Brain
from serving.commands.verifying import verify
from serving.settings import Workspace

ARCHIVE, KINDS = (Path(__file__).with_name(name) for name in ("ledger.tar.xz", "kinds.txt"))
PLACE = "@WORKSPACE@"
"""Stands in the archive for the folder that the workspace was in."""
REPLAYED = 300
LOST = 6
"""Decisions about people who were erased since: nothing is left to make them from."""
TOLERANCE = 1e-9
"""How far a propensity may differ on another build; recorded scores are replayed exactly."""
Json = dict[str, Any]


def unpack(folder: Path) -> Workspace:
    """Unpack the recorded workspace into a folder, and say in its files where it is now."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    root = (folder / "recorded").resolve()
    settings = root / "data" / "feature_repo" / "feature_store.yaml"
    settings.write_text(settings.read_text().replace(PLACE, str(root)))
    return Workspace.open(root)


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brain]:
    """Today's brain over the recorded workspace; the tests that use it write nothing."""
    opened = Brain(unpack(tmp_path_factory.mktemp("ledger")))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def decisions(brain: Brain) -> list[Record]:
    """The recorded decisions that can be made again, in their order."""
    return [r for r in brain.ledger.scan(("decision",), 0, 1000) if not inputs_erased(brain, r)]


def body_of(record: Record) -> Json:
    assert record.body is not None
    return record.body


def read_then(brain: Brain, record: Record) -> tuple[Json, Known, Release]:
    """A decision's record, and what it was made from."""
    body = body_of(record)
    return body, known_at_decision(brain.ledger, record.stream, body), brain.release(body["release"])


@pytest.mark.promise("replay.earlier-versions")
def test_every_recorded_decision_comes_out_again_byte_for_byte(brain: Brain, decisions: list[Record]) -> None:
    assert len(decisions) == REPLAYED
    different = []
    for record in decisions:
        body, known, release = read_then(brain, record)
        if replay(body, known, release).to_bytes() != canonical(body):
            different.append(body["decision_id"])
    assert different == []


def test_the_recorded_bytes_are_those_that_the_ledger_keeps(brain: Brain, decisions: list[Record]) -> None:
    """Reading a record and writing it again loses nothing, so that comparing canonical bytes compares all of them."""
    kept = {row.seq: bytes(row.body) for row in brain.ledger.scan_rows(("decision",), 0, 1000) if row.body is not None}
    assert all(kept[record.seq] == canonical(body_of(record)) for record in decisions)


@pytest.mark.promise("replay.earlier-versions")
def test_the_recorded_models_give_the_recorded_propensities(brain: Brain, decisions: list[Record]) -> None:
    """The same bytes on the build that recorded them, and propensities within the tolerance on another."""
    for record in decisions:
        body, known, release = read_then(brain, record)
        shadow = body.get("shadow")
        shadow_model = Shadow(shadow["model"], brain.model_of(release, shadow["model"]).score) if shadow else None
        again = decide_as(body, known, release, brain.model_of(release, body["model"]).score, shadow_model)
        for name in ("propensity", "upper", "uplift"):
            now, then = (numbers(scores.get(name, [])) for scores in (again.record["scores"], body["scores"]))
            assert now == pytest.approx(then, rel=0.0, abs=TOLERANCE, nan_ok=True), body["decision_id"]
        if same_build(brain.workspace):
            assert again.to_bytes() == canonical(body), body["decision_id"]


def numbers(scores: list[float | None]) -> list[float]:
    """The scores with NaN for those that the model did not know."""
    return [math.nan if score is None else score for score in scores]


def same_build(workspace: Workspace) -> bool:
    """Tell whether the libraries that scores are computed with are those of the recording."""
    then = json.loads((workspace.root / "build.json").read_text())
    return bool(then == {"platform": platform.machine(), **{name: installed(name) for name in ("numpy", "lightgbm")}})


@pytest.mark.promise("replay.earlier-versions")
def test_the_recorded_ledger_verifies(brain: Brain) -> None:
    report = verify(brain.workspace, None)
    assert (report["flaws"], report["different"]) == ([], [])
    assert report["checkpoints"] > 0
    assert (report["recomputed"], report["erased"], report["decisions"]) == (REPLAYED, LOST, REPLAYED + LOST)


def test_every_recorded_decision_is_explained(brain: Brain, decisions: list[Record]) -> None:
    """Of some of them, spread over all: each takes its time."""
    explanations = [explain(brain, body_of(record)["decision_id"], contributions=True) for record in decisions[::10]]
    assert all(why["text"] for why in explanations)
    assert any(c.get("contributions") for why in explanations for c in why["candidates"])
    assert any(why["counterfactual"]["found"] for why in explanations)


def decide_now(brain: Brain, request_id: str) -> Json:
    """A new decision about somebody in the recorded ledger; it recomputes from its record."""
    placements = tuple(PlacementAsk(name=name) for name in ("hero", "sidebar"))
    ask = Ask(request_id=request_id, customer_id="c-01", account_id="a-1", channel="web", placements=placements)
    answer: Json = from_json(asyncio.run(brain.answer(ask)))
    record = brain.ledger.lookup(f"decision:{answer['decision_id']}")
    assert record is not None
    assert recomputes(brain, record)
    return body_of(record)


@pytest.mark.promise("replay.earlier-versions")
def test_the_recorded_workspace_serves_as_it_is_and_is_released_again(tmp_path: Path) -> None:
    workspace = unpack(tmp_path)
    opened = Brain(workspace)
    record = decide_now(opened, "today-1")
    opened.close()
    assert record["model"] == "propensity@3"
    assert record["facts"]["age"] > 0, "the profile is still read"
    written = releasing.release(workspace, "test")["release"]
    opened = Brain(workspace)
    assert written != record["release"], "the recording ended with a return to an earlier release"
    assert written in {a.release for a in opened.ledger.activations("dev")}, "equal files are the same release"
    assert decide_now(opened, "today-2")["release"] == written
    opened.close()


def test_the_recorded_feature_repository_still_loads(tmp_path: Path) -> None:
    """Feast's own commands import this file, which names a module of ours, until the next release writes it anew."""
    defined = runpy.run_path(str(unpack(tmp_path).data / "feature_repo" / "definitions.py"))
    assert {"subject", "profile", "scores", "signals"} <= defined.keys()


def kinds_of(brain: Brain, record: Record) -> Iterator[str]:
    """What kind of decision it is, in every respect in which decisions differ."""
    body, known, release = read_then(brain, record)
    run = recomputed(body, known, release)
    yield from kinds_of_request(body["request"])
    yield from kinds_of_computing(body)
    yield from kinds_of_answer(body["answer"])
    yield from (f"gate {gate}" for gate in run.screened.gates)
    yield f"release {'by uplift' if release.catalogue.settings.ranking == 'uplift' else 'by propensity'}"
    yield f"locale {body['facts']['locale']}"
    if len(known.person.visitors):
        yield "with a linked visitor"
    if known.person.contacts or known.person.outcomes:
        yield "with a past"


def kinds_of_request(request: Json) -> Iterator[str]:
    yield f"channel {request['channel']}"
    yield "of a visitor" if "visitor_id" in request else "of a person"
    yield f"asked for locale {request.get('locale', 'none')}"
    yield from (f"placement {p['name']} x {p.get('limit', 1)}" for p in request["placements"])
    yield from (name for name in ("account_id", "machine", "consent_platform") if request.get(name))
    if request.get("context", {}).get("gpc"):
        yield "gpc"
    if "moment" in request:
        yield f"moment {request['moment']}"
    if len(request["placements"]) > 1:
        yield "several placements"


def kinds_of_computing(body: Json) -> Iterator[str]:
    scores = body["scores"]
    yield f"model {body['model']}"
    yield from (f"scores with {name}" for name in ("upper", "uplift", "transparency") if name in scores)
    yield from (name for name in ("paused", "supersedes", "shadow") if body.get(name))
    yield from (f"degraded {name}" for name in body["degraded"])
    yield from (f"read {name}" for name in ("linked", "signals") if name in body["read"])
    yield from (f"permitted by {cited.partition(':')[0]}" for cited in body["permissions"].values())
    if "basis:own-customers" in body["permissions"].values():
        yield "permitted by soft opt-in"
    for pick in body["picks"]:
        yield "certain" if pick["probability"] == 1.0 else "drawn"
        if "immature" in pick:
            yield "immature budget" if pick["immature"]["share"] else "launch alone"
    if any(evidence == 0.0 for evidence in scores["evidence"]) and any(scores["evidence"]):
        yield "some actions without evidence"


def kinds_of_answer(answer: Json) -> Iterator[str]:
    yield f"arm {answer['arm']}"
    yield f"scored by {answer['model']}"
    yield from (f"empty {p['empty_reason']}" for p in answer["placements"] if p["empty_reason"])
    yield from (name for name in ("handover", "disclosure") if answer.get(name))
    for offer in (o for p in answer["placements"] for o in p["offers"]):
        yield from (f"{name} {offer[name]}" for name in ("issue", "tier", "tone", "automation", "confidence", "action"))
        yield "content" if offer["content"] else "content_ref"
        yield from (name for name in ("review", "reasons") if offer.get(name))
        yield from ("second rank",) if offer["rank"] > 1 else ()


def test_the_recorded_decisions_are_of_every_kind(brain: Brain, decisions: list[Record]) -> None:
    """As many of each kind as `kinds.txt` says, so that a file that was made poorer is not taken for this one."""
    counted = Counter(kind for record in decisions for kind in set(kinds_of(brain, record)))
    assert [f"{counted[kind]} {kind}" for kind in sorted(counted)] == KINDS.read_text().splitlines()
