"""Records are packed without losing anything, and read back from their bytes, their release and their own wording."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Decision
from decisioning.errors import Refused
from decisioning.facts.forms import Ask, Known, PlacementAsk, canonical
from decisioning.records import formats, wording_1
from decisioning.records.drawn import FIRST_WITHOUT_ODDS, unpack_drawn
from decisioning.records.formats import (
    JSON_FORMAT,
    NEWEST,
    Unpacked,
    after_heading,
    format_of,
    heading_in,
    pack,
    tables_for,
    unpack,
)
from decisioning.records.kept import ACCOUNT, NOTHING, OWN, Kept, KeptPick, Reason
from decisioning.records.packing import EMPTY
from decisioning.records.pieces import Pieces, PiecesRead
from decisioning.records.unpacking import unpack as unpack_kept
from decisioning.review.drawn_odds import figures_in
from decisioning.review.replaying import replay
from tests import strategies as world
from tests.examples import examples
from tests.oracle import adapter, worlds

EXAMPLES = examples(100)
RELEASES = (world.SMALL, *(adapter.release(worlds.world(seed)) for seed in range(3)))
HEX = st.text("0123456789abcdef", min_size=2, max_size=40).map(lambda digits: digits[: len(digits) // 2 * 2])
WORDS = st.one_of(st.text(max_size=20), HEX, HEX.map("d-".__add__), st.uuids().map(str), st.just("d-"))
IDS = st.one_of(st.text("abc-.:#019", min_size=1), WORDS.filter(bool))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
FIGURES = st.one_of(NUMBERS, st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, 12.34, -0.01, 1e300]))
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**200), 2**200), NUMBERS, WORDS)
JSON = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS)


def column(n: int, values: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """A column of scores; sometimes the same value throughout."""
    every = st.lists(values, min_size=n, max_size=n)
    return st.one_of(every, values.map(lambda v: [v] * n)).map(lambda listed: np.asarray(listed, dtype=np.float64))


@st.composite
def facts(draw: st.DrawFn, release: Release) -> dict[str, Any]:
    """Facts of any type under names that are declared or not; the locale is always known."""
    names = st.one_of(st.sampled_from(sorted(release.schema.features)), st.text(max_size=8))
    found = draw(st.dictionaries(names, VALUES, max_size=20))
    return dict(sorted({**found, "locale": draw(st.sampled_from(["en", "nl", "xx"]))}.items()))


@st.composite
def requests(draw: st.DrawFn, release: Release) -> dict[str, Any]:
    """A request as it is recorded, with fields that no request has today."""
    channel = draw(st.sampled_from(sorted(release.channels)))
    names = draw(st.lists(st.sampled_from(release.channels[channel].placements), min_size=1, unique=True))
    extras = {"limit": st.integers(2, 50), "fallback": WORDS}
    placements = [
        in_order({"name": n, **draw(st.fixed_dictionaries({}, optional=extras))}, PlacementAsk) for n in names
    ]
    ids = draw(st.fixed_dictionaries({}, optional={"visitor_id": IDS, "account_id": IDS, "locale": WORDS}))
    later = {
        "mode": st.just("preview"),
        "machine": st.just(True),
        "context": st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=3),
        "seed": IDS,
        "unheard_of": st.lists(JSON, min_size=1),
    }
    request = {"request_id": draw(IDS), "customer_id": draw(IDS), **ids, "channel": channel, "placements": placements}
    request |= draw(st.fixed_dictionaries({}, optional=later))
    return in_order(request, Ask)


def in_order(form: dict[str, Any], model: type[Ask | PlacementAsk]) -> dict[str, Any]:
    """Return the fields in the order of their model."""
    return {**{name: form[name] for name in model.model_fields if name in form}, **form}


@st.composite
def reasons(draw: st.DrawFn, release: Release) -> list[Reason]:
    """Reasons of every kind, with any figures."""
    names = st.one_of(st.sampled_from(sorted(release.schema.features)), st.text(max_size=8))
    of_kinds = [
        st.sampled_from(["tier.mandatory", "tier.service", "propensity.prior"]).map(Reason),
        st.builds(Reason, st.sampled_from(["propensity", "asserted"]), names),
        st.builds(Reason, st.just("context"), st.lists(names, max_size=3).map(tuple)),
        st.builds(Reason, st.sampled_from(["uplift", "lever", "value.expected"]), FIGURES),
    ]
    return draw(st.lists(st.one_of(of_kinds), max_size=4))


@st.composite
def picks(draw: st.DrawFn, release: Release, rows: list[int], placements: int) -> list[KeptPick]:
    """Offers of scored candidates, and slots that stay empty."""
    drawn = []
    names = st.one_of(st.sampled_from(sorted(release.schema.features)), st.text(max_size=8))
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.sampled_from([NOTHING, *rows]))
        pick = KeptPick(draw(st.integers(0, placements - 1)), draw(st.integers(1, 300)), row, draw(FIGURES))
        if draw(st.booleans()):
            pick.extra, pick.given_up = draw(FIGURES), draw(FIGURES)
            if not (pick.extra or pick.given_up):
                pick.extra = pick.given_up = 0.0
        if row == NOTHING:
            pick.empty = draw(st.sampled_from([None, *EMPTY.numbers]))
        else:
            pick.at, pick.factors = rows.index(row), draw(st.lists(names, max_size=3))
            pick.value_eur, pick.priority = draw(FIGURES), draw(FIGURES)
            pick.reasons = draw(reasons(release))
        if draw(st.booleans()):
            pick.odds = draw(column(len(rows), st.sampled_from([0.0, 0.25, 2.0**-20])))
            pick.drawn_from = pick.odds > 0.0
        drawn.append(pick)
    return drawn


@st.composite
def kept(draw: st.DrawFn, release: Release) -> Kept:
    """What a record may keep, whether a decision could have computed it or not."""
    request = draw(requests(release))
    view, placements = release.view(request["channel"]), len(request["placements"])
    rows = sorted(draw(st.sets(st.sampled_from(range(len(view))))) if len(view) else ())
    if draw(st.booleans()):
        rows = list(range(len(view)))
    n, priors = len(rows), st.sampled_from([0.5, *view.prior.tolist()])
    scores = column(n, st.one_of(st.floats(0, 1, width=32), st.floats(0, 1), priors))
    levels = st.lists(st.integers(1, 5), min_size=n, max_size=n).map(lambda v: np.asarray(v, dtype=np.int8))
    versions = st.dictionaries(st.one_of(HEX, WORDS), st.integers(-1, 2**40), min_size=1, max_size=3)
    cites = st.one_of(
        WORDS,
        st.builds("consent:{}/{}@{}".format, st.sampled_from(sorted(release.purposes)), st.sampled_from("*x"), WORDS),
        st.builds("consent:marketing/{}@{}".format, st.sampled_from(["*", request["channel"]]), st.integers(-1, 999)),
        st.builds("basis:{}".format, WORDS),
    )
    purposes = st.one_of(st.sampled_from([*sorted(release.purposes), "marketing"]), WORDS)
    names = st.lists(st.one_of(st.sampled_from(sorted(release.actions)), WORDS), max_size=3)
    read = {"linked": draw(st.one_of(st.none(), versions)), "signals": draw(st.one_of(st.none(), versions))}
    return Kept(
        decision_id=draw(IDS),
        decided_us=draw(st.integers(0, 2**52)),
        request=request,
        picks=draw(picks(release, rows, placements)),
        read={
            "person": draw(st.integers(0, 2**40)),
            "account": draw(st.one_of(st.none(), st.integers(0, 9))),
            **{name: of for name, of in read.items() if of},
        },
        environment=draw(st.one_of(st.sampled_from(["dev", "prod"]), WORDS)),
        model=draw(WORDS),
        paused=draw(names),
        supersedes=draw(st.one_of(st.none(), IDS)),
        degraded=draw(st.lists(st.one_of(st.just("profile"), WORDS), max_size=2)),
        facts=draw(facts(release)),
        permissions=draw(st.dictionaries(purposes, cites, max_size=3)),
        profiled=draw(st.booleans()),
        arm=draw(st.one_of(st.sampled_from(["nba", "holdout"]), WORDS)),
        empty=draw(st.lists(st.one_of(st.none(), st.just("no_room"), WORDS), min_size=placements, max_size=placements)),
        tone=draw(st.one_of(st.none(), WORDS)),
        handover=draw(st.one_of(st.none(), WORDS)),
        withheld=draw(st.integers(0, 2**30)),
        rows=np.asarray(rows, dtype=np.int64),
        propensity=draw(scores),
        evidence=draw(column(n, st.one_of(st.integers(0, 70_000).map(float), FIGURES))),
        upper=draw(st.one_of(st.none(), scores)),
        uplift=draw(st.one_of(st.none(), column(n, st.one_of(st.floats(-1, 1, width=32), st.just(math.nan))))),
        transparency=draw(st.one_of(st.none(), levels)),
        shadow=draw(st.one_of(st.none(), st.tuples(WORDS, scores))),
        unit=draw(st.one_of(st.none(), st.sampled_from([OWN, ACCOUNT]), HEX)),
        counted=draw(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=3)),
    )


def as_kept(before: Kept, number: int) -> Kept:
    """Return what this format keeps: the odds, or from 7 on what they follow from."""
    if number >= FIRST_WITHOUT_ODDS:
        return replace(before, picks=[replace(pick, odds=None) for pick in before.picks])
    return replace(before, picks=[replace(pick, drawn_from=None) for pick in before.picks], counted=())


def exactly(value: object) -> str:
    """Return a text that differs where values differ in type, in a bit, or in their order."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.tobytes().hex()}"
    if isinstance(value, float):
        return value.hex() if not math.isnan(value) else "nan"
    if isinstance(value, dict):
        return str([(name, exactly(v)) for name, v in value.items()])
    if isinstance(value, list | tuple):
        return str([exactly(v) for v in value])
    if isinstance(value, Kept | KeptPick):
        return str([(f.name, exactly(getattr(value, f.name))) for f in fields(value)])
    return f"{type(value).__name__} {value!r}"


@pytest.mark.promise("replay.packed-records")
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), st.sampled_from(RELEASES), st.sampled_from([6, NEWEST]))
def test_what_a_record_keeps_comes_out_of_its_bytes_exactly(data: st.DataObject, release: Release, number: int) -> None:
    before = as_kept(data.draw(kept(release)), number)
    packed = pack(before, release, number)
    after = unpack_kept(after_heading(packed), tables_for(release, number))
    unpack_drawn(packed, 41, after, number)  # after the format, the release's hash and the trial
    assert exactly(replace(after, facts=dict(sorted(after.facts.items())))) == exactly(before)


def with_everything(candidate: int, facts: Any) -> float:
    """Scores that 32 bits do not hold."""
    return world.propensity_of(candidate, facts) / 3


def decided(ask: Ask, customer: Known, release: Release = world.SMALL, **more: Any) -> Decision:
    return world.run(ask, customer, release, score=world.CountingScorer(with_everything), **more)


@pytest.mark.promise("replay.packed-records")
@settings(max_examples=EXAMPLES, deadline=None)
@given(world.asks(), world.known(), HEX)
def test_a_decision_is_read_back_as_it_was_answered(ask: Ask, customer: Known, seed: str) -> None:
    decision = decided(ask, customer, seed=f"d-{seed}", paused=frozenset({"tv-bundle", "no-such-action"}))
    record = unpack(decision.to_bytes(), world.SMALL)
    assert canonical(record) == canonical(decision.record)
    assert canonical(record["answer"]) == canonical(decision.answer)
    assert record["contacts"] == decision.contacts == heading_in(decision.to_bytes(), world.SMALL)["contacts"]
    then = Known(record["facts"], customer.person, customer.account, tuple(record["degraded"]))
    assert replay(record, then, world.SMALL).to_bytes() == decision.to_bytes()
    assert len(decision.to_bytes()) < len(canonical(record)) / 2


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_decisions_of_random_releases_are_read_back_as_they_were_answered(seed: int, nth: int) -> None:
    from random import Random

    made = worlds.world(nth)
    release, random = adapter.release(made), Random(seed)
    decision = adapter.decision(release, worlds.ask(made, random))
    assert canonical(unpack(decision.to_bytes(), release)) == canonical(decision.record)


def test_scores_are_rounded_before_anything_is_computed_from_them() -> None:
    decision = decided(Ask(request_id="r", customer_id="c", channel="web", placements=HERO), world.permissive())
    offers = [o for p in decision.answer["placements"] for o in p["offers"]]
    assert offers
    for offer in offers:
        assert np.float64(np.float32(offer["propensity"])) == offer["propensity"]
    assert decision.record["scores"]["propensity"] != decided_in_json().record["scores"]["propensity"]


HERO = (PlacementAsk(name="hero", limit=2),)
SIDEBAR = (PlacementAsk(name="sidebar", limit=3),)
"""Where three offers are drawn by chance."""


@pytest.mark.promise("trials.drawn")
@pytest.mark.parametrize("number", [JSON_FORMAT, NEWEST])
@pytest.mark.parametrize("trial", [None, 1_770_000_000_000_000])
def test_a_decision_says_in_which_trial_its_model_was_drawn_and_replays(trial: int | None, number: int) -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=HERO)
    decision = decided(ask, world.permissive(), trial=trial, record_format=number)
    raw = decision.to_bytes()
    record = from_json(raw) if number == JSON_FORMAT else unpack(raw, world.SMALL)
    assert record.get("trial") == decision.record.get("trial") == trial
    then = replace(world.permissive(), facts=record["facts"])
    assert replay(record, then, world.SMALL).to_bytes() == raw
    if number != JSON_FORMAT:
        assert figures_in(raw, world.SMALL).get("trial") == trial
        assert heading_in(raw, world.SMALL)["contacts"] == record["contacts"]


@pytest.mark.promise("replay.packed-records")
def test_format_3_which_knew_no_trial_is_read_and_written_as_before() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=HERO)
    raw, with_trial = (decided(ask, world.permissive(), record_format=n).to_bytes() for n in (3, 4))
    assert with_trial == b"\4" + raw[1:33] + bytes(8) + raw[33:]
    record = unpack(raw, world.SMALL)
    assert (format_of(record), "trial" in record) == (3, False)
    then = replace(world.permissive(), facts=record["facts"])
    assert replay(record, then, world.SMALL).to_bytes() == raw


@pytest.mark.promise("replay.packed-records")
def test_format_4_which_did_not_tell_what_was_drawn_is_read_and_written_as_before() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=SIDEBAR)
    decisions = [decided(ask, world.permissive(), record_format=n) for n in (4, NEWEST)]
    raw, newest = (d.to_bytes() for d in decisions)
    assert newest[1:41] == raw[1:41]
    assert newest.endswith(raw[41:])
    record = unpack(raw, world.SMALL)
    assert "unit" not in record
    assert not any("odds" in pick or "drawn_from" in pick for pick in record["picks"])
    assert ["drawn_from" in pick for pick in unpack(newest, world.SMALL)["picks"]] == [True] * 3
    then = replace(world.permissive(), facts=record["facts"])
    assert replay(record, then, world.SMALL).to_bytes() == raw


@pytest.mark.promise("replay.packed-records")
def test_format_6_which_kept_the_odds_is_read_and_written_as_before() -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=SIDEBAR)
    raw, newest = (decided(ask, world.permissive(), record_format=n).to_bytes() for n in (6, NEWEST))
    record = unpack(raw, world.SMALL)
    computed = [np.float32(pick["odds"]).tolist() for pick in figures_in(newest, world.SMALL)["picks"]]
    assert computed == [pick["odds"] for pick in record["picks"]]
    assert len(computed) == len(record["picks"]) == 3
    then = replace(world.permissive(), facts=record["facts"])
    assert replay(record, then, world.SMALL).to_bytes() == raw


def decided_in_json() -> Decision:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=SIDEBAR)
    return decided(ask, world.permissive(), record_format=JSON_FORMAT)


def test_records_written_as_json_are_replayed_as_json_from_their_own_numbers() -> None:
    decision = decided_in_json()
    written = decision.to_bytes()
    record = from_json(written)
    assert (format_of(record), canonical(record)) == (JSON_FORMAT, written)
    again = replay(record, replace(world.permissive(), facts=record["facts"]), world.SMALL)
    assert again.to_bytes() == written


def test_a_format_of_a_newer_version_is_refused() -> None:
    raw = decided(Ask(request_id="r", customer_id="c", channel="web", placements=HERO), world.permissive()).to_bytes()
    for read in (unpack, heading_in):
        with pytest.raises(Refused, match="format 77, which only a newer version can read"):
            read(bytes((77,)) + raw[1:], world.SMALL)
        with pytest.raises(Refused, match="another release"):
            read(raw[:1] + bytes(32) + raw[33:], world.SMALL)
        with pytest.raises(Refused):
            read(b"", world.SMALL)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), world.asks(), world.known())
def test_bytes_that_were_changed_give_a_record_or_a_refusal(data: st.DataObject, ask: Ask, customer: Known) -> None:
    raw = decided(ask, customer).to_bytes()
    for _ in range(20):
        broken = bytearray(raw)
        for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
            broken[at] ^= data.draw(st.integers(1, 255))
        cut = data.draw(st.one_of(st.none(), st.integers(0, len(raw))))
        for read in (unpack, heading_in):
            try:
                read(bytes(broken)[:cut], world.SMALL)
            except Refused:
                continue


class OtherWords(wording_1.Words):
    """The words of a later version."""

    def reason(self, reason: Reason, locale: str, _facts: Any) -> dict[str, Any]:
        return {"code": reason.kind, "text": "in other words"}

    def content(self, treatment: str, tone: str | None, locale: str, facts: Any) -> tuple[dict[str, str], str]:
        return {"title": "another title"}, "plain"


def test_a_record_keeps_its_words_when_those_of_today_change(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=HERO)
    before = decided(ask, world.permissive())
    written = canonical(before.answer)
    monkeypatch.setitem(formats.WORDINGS, NEWEST + 1, OtherWords)
    after = decided(ask, world.permissive(), record_format=NEWEST + 1)
    assert b"another title" in canonical(after.answer)
    assert b"in other words" in canonical(after.answer)
    for decision in (before, after):
        record = unpack(decision.to_bytes(), world.SMALL)
        assert canonical(record["answer"]) == canonical(decision.answer)
        then = replace(world.permissive(), facts=record["facts"])
        assert replay(record, then, world.SMALL).to_bytes() == decision.to_bytes()
    assert canonical(unpack(before.to_bytes(), world.SMALL)["answer"]) == written


@given(st.lists(FIGURES), st.lists(st.one_of(st.none(), WORDS)), st.lists(VALUES))
def test_pieces_give_back_what_they_were_given(floats: list[float], ids: list[str | None], values: list[Any]) -> None:
    pieces = Pieces()
    pieces.floats += floats
    packed = pieces.to_bytes([[pieces.id(text) for text in ids], values])
    read = PiecesRead(packed + b"rest")
    codes, listed = read.listed
    assert exactly(read.figures(len(floats))) == exactly(floats)
    assert [read.id(code) for code in codes] == ids
    assert exactly(listed) == exactly(values)
    assert read.rest() == b"rest"


def test_priors_among_scores_are_not_written_out() -> None:
    """A decision of which some scores are the release's priors."""
    release = RELEASES[0]
    view = release.view("web")
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=HERO)
    decision = decided(ask, world.permissive())
    mixed = decision.kept.propensity.copy()
    mixed[::2] = view.prior[decision.kept.rows][::2]
    changed = replace(decision.kept, propensity=mixed)
    raw = pack(changed, release, NEWEST)
    assert unpack(raw, release)["scores"]["propensity"] == mixed.tolist()
    assert len(raw) <= len(decision.to_bytes()) + 2


def test_all_nan_are_the_same_bytes() -> None:
    """What is not known has no sign, and a record that is read back has the same bytes again."""
    decision = decided(Ask(request_id="r", customer_id="c", channel="web", placements=HERO), world.permissive())
    raws = []
    for sign in (1.0, -1.0):
        uplift = np.full(len(decision.kept.rows), math.copysign(math.nan, sign))
        raws.append(pack(replace(decision.kept, uplift=uplift), world.SMALL, NEWEST))
    assert raws[0] == raws[1]


def test_unpacked_records_know_their_format() -> None:
    assert format_of(Unpacked({"a": 1}, 2)) == 2
    assert format_of({"a": 1}) == JSON_FORMAT


@pytest.mark.parametrize(
    ("evidence", "confidence"), [(0.0, "low"), (99.9, "low"), (100.0, "medium"), (999.0, "medium"), (1000.0, "high")]
)
def test_the_words_for_evidence_do_not_change(evidence: float, confidence: str) -> None:
    decision = decided(Ask(request_id="r", customer_id="c", channel="web", placements=HERO), world.permissive())
    counts = np.full(len(decision.kept.rows), evidence)
    record = unpack(pack(replace(decision.kept, evidence=counts), world.SMALL, 2), world.SMALL)
    assert {o["confidence"] for p in record["answer"]["placements"] for o in p["offers"]} == {confidence}


@pytest.mark.parametrize(
    ("name", "en", "nl"),
    [
        ("channel", "the request's channel", "het kanaal van de vraag"),
        ("locale", "the request's locale", "de taal van de vraag"),
        ("now", "the time of the decision", "het moment van de beslissing"),
        ("gpc", "Global Privacy Control of the browser", "Global Privacy Control van de browser"),
        ("has_account", "whether the request named an account", "of de vraag een account noemde"),
    ],
)
def test_the_words_for_built_in_facts_do_not_change(name: str, en: str, nl: str) -> None:
    words = tables_for(world.SMALL, 2).words
    for locale, expected in (("en", f"It fits what is happening now ({en})."), ("nl", f"nu gebeurt ({nl}).")):
        assert words.reason(Reason("context", (name,)), locale, {})["text"].endswith(expected)
