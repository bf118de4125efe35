"""Links on two streams: at most one person per visitor, also in races; erasing follows links in both directions."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Conflict, Erased, LinkedElsewhere, Refused
from decisioning.facts.standing import Link, Standing
from decisioning.facts.stretches import stretch_of
from decisioning.times import TOLERANCE_US
from features.ledger import Entry, Fold, Ledger, PackedBody, apply
from features.ledger.links import MAX_LINKED, join_entries, link_entries, visitors_now, with_identities
from features.ledger.snapshot import decode, encode
from tests.examples import examples
from tests.features.ledger.builders import NOW_US, consent, kinds_of, outcome
from tests.features.ledger.folding import fold
from tests.features.ledger.test_standing import S, backfills, public

PEOPLE, VISITORS = ("a", "b"), ("x", "y")
WORD = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(VISITORS),
    st.booleans(),
    st.integers(0, 9).map(lambda n: n * TOLERANCE_US // 3),
)
LATER_US = NOW_US + 100 * TOLERANCE_US


def word(visitor: str, at: int = 0, *, linked: bool = True) -> Link:
    return Link(visitor, "cookie", "login", NOW_US + at, linked)


def append_link(ledger: Ledger, person: str, visitor: str, at: int = 0, *, linked: bool = True) -> None:
    (standing,), (now,) = ledger.read(person), visitors_now([visitor], ledger.read)
    ledger.append(link_entries(standing, now, word(visitor, at, linked=linked), LATER_US))


@pytest.fixture
def person(ledger: Ledger) -> str:
    return ledger.stream_of("person", "c-1")


@pytest.fixture
def other(ledger: Ledger) -> str:
    return ledger.stream_of("person", "c-2")


@pytest.fixture
def visitor(ledger: Ledger) -> str:
    return ledger.stream_of("visitor", "cookie:abc")


def linking_entries() -> st.SearchStrategy[Entry]:
    """Statements about a person's visitors and about a visitor's person, all on one stream."""

    def build(visitor: str, at: int, kind: str) -> Entry:
        if kind.startswith("linked_to"):
            return Entry(S, "linked_to", {"person": visitor, "linked": kind.endswith("yes")}, NOW_US + at)
        return Entry(S, kind, {"visitor": visitor, "kind": "cookie", "source": "login"}, NOW_US + at)

    kinds = st.sampled_from(["link", "unlink", "linked_to yes", "linked_to no"])
    return st.builds(build, st.sampled_from(VISITORS), st.integers(0, 2), kinds)


@settings(max_examples=examples(60), deadline=None)
@given(backfills(), st.lists(linking_entries(), max_size=6), st.data())
def test_links_in_any_order_of_a_backfill_give_one_standing(
    others: list[Entry], words: list[Entry], data: st.DataObject
) -> None:
    one, two = fold(others + words), fold(data.draw(st.permutations(others + words)))
    assert public(one) == public(two)
    assert (one.links, one.linked) == (two.links, two.linked)
    told = [e.occurred_us for e in words if e.kind == "linked_to"]
    if told.count(max(told, default=0)) < 2:  # of the same time the later recorded holds
        assert one.holder == two.holder
    kinds = kinds_of(())
    assert decode(S, one.version, NOW_US, encode(one.light, 0, kinds), kinds) == (one.light, 0)


@pytest.mark.parametrize(("at", "linked"), [(-TOLERANCE_US, True), (1 - TOLERANCE_US, False), (0, False), (1, False)])
def test_the_latest_word_holds_and_of_two_at_once_the_unlinking(at: int, linked: bool) -> None:
    body = {"visitor": "x", "kind": "cookie", "source": "login"}
    words = [Entry(S, "link", body, NOW_US), Entry(S, "unlink", body, NOW_US + at)]
    assert fold(words).linked == fold(words[::-1]).linked == (("x",) if linked else ())


def test_a_body_that_tells_no_kind_of_identifier_is_refused(ledger: Ledger, person: str) -> None:
    with pytest.raises(Refused):
        ledger.append([Entry(person, "link", {"visitor": "x", "kind": "shoe", "source": "login"}, NOW_US)])


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(WORD, max_size=12))
def test_a_visitor_is_one_persons_whatever_is_told_in_whatever_order(words: list[tuple[str, str, bool, int]]) -> None:
    """Both streams always agree on who is linked to whom."""
    world = {name: Fold(name) for name in PEOPLE}

    def read(*streams: str) -> list[Fold]:
        return [world.get(stream) or Fold(stream) for stream in streams]

    for person, visitor, linked, at in words:
        try:
            (now,) = visitors_now([visitor], read)
            appended = link_entries(world[person], now, word(visitor, at, linked=linked), LATER_US)
        except LinkedElsewhere:
            continue
        for entry in appended:
            (before,) = read(entry.stream)
            assert entry.expected == before.version
            world[entry.stream] = _after(before, entry)
        for one in visitors_now(VISITORS, read):
            holder = one.stretch.holder
            holders = [holder.person] if holder is not None and holder.linked else []
            assert [p for p in PEOPLE if one.stretch.stream in world[p].linked] == holders
        owned = [stream for p in PEOPLE for link in world[p].links for stream in link.streams]
        assert len(owned) == len(set(owned))


def _after(standing: Fold, entry: Entry) -> Fold:
    assert not isinstance(entry.body, PackedBody)
    at_us = LATER_US if entry.occurred_us is None else entry.occurred_us
    return apply(standing, entry.kind, entry.body, standing.version + 1, at_us)


def test_linked_to_another_it_must_be_unlinked_first(ledger: Ledger, person: str, other: str, visitor: str) -> None:
    append_link(ledger, person, visitor)
    with pytest.raises(LinkedElsewhere, match="identifier"):
        append_link(ledger, other, visitor, 1)
    append_link(ledger, person, visitor, 5, linked=False)
    with pytest.raises(LinkedElsewhere, match="occurred_at"):
        append_link(ledger, other, visitor, 5 - TOLERANCE_US)
    append_link(ledger, other, visitor, 6 - TOLERANCE_US)
    assert [s.linked for s in ledger.read(person, other)] == [(), (stretch_of(visitor, 1),)]
    assert list(ledger.verify()) == []


JOIN = st.tuples(st.permutations(("a", "b", "c")), st.booleans(), st.integers(0, 5).map(lambda n: n * TOLERANCE_US))


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(JOIN, max_size=12))
def test_customers_who_are_joined_agree_on_it_whatever_is_told_in_whatever_order(
    words: list[tuple[list[str], bool, int]],
) -> None:
    """Of two words for the same time the one that parts them holds; and all who are reached are one person."""
    world = {name: Fold(name) for name in ("a", "b", "c")}
    latest: dict[frozenset[str], tuple[int, bool]] = {}
    for (one, other, _), joined, at in words:
        link = Link(other, "customer", "test", NOW_US + at, joined)
        for entry in join_entries(world[one], world[other], link, LATER_US):
            assert entry.expected == world[entry.stream].version
            world[entry.stream] = _after(world[entry.stream], entry)
        pair = frozenset((one, other))
        latest[pair] = max(latest.get(pair, (at, not joined)), (at, not joined))
    pairs = {pair for pair, (_, parted) in latest.items() if not parted}
    assert {frozenset((one, other)) for one in world for other in world[one].joined} == pairs
    for name, standing in world.items():
        reached = {name}
        for _ in world:
            reached |= {n for pair in pairs if pair & reached for n in pair}
        (merged,) = with_identities([standing], lambda *streams: [world[s] for s in streams])
        assert {v.stream for v in merged.visitors} == reached - {name}
        assert merged.person_stream == (min(reached) if len(reached) > 1 else None)


def test_the_same_word_twice_is_kept_once(ledger: Ledger, person: str, visitor: str) -> None:
    append_link(ledger, person, visitor)
    append_link(ledger, person, visitor)
    assert [s.version for s in ledger.read(person, visitor)] == [1, 1]


def test_of_two_who_link_at_once_one_wins(url: str, secret: bytes) -> None:
    """Two ledgers, as of two processes, both read that the visitor is free before either of them appends."""
    with Ledger.open(url, secret) as one, Ledger.open(url, secret) as two:
        for n in range(20):
            visitor, people = one.stream_of("visitor", f"{n}"), [one.stream_of("person", f"{n}.{i}") for i in (0, 1)]
            ready = [
                (x, link_entries(x.read(p)[0], visitors_now([visitor], x.read)[0], word(visitor), LATER_US))
                for x, p in zip((one, two), people, strict=True)
            ]
            with ThreadPoolExecutor(2) as pool:
                ended = list(pool.map(_append, ready))
            assert sorted(ended) == ["conflict", "won"]
            linked = [p for s, p in zip(one.read(*people), people, strict=True) if s.linked]
            holder = one.read(visitor)[0].holder
            assert holder is not None
            assert linked == [holder.person] == [people[ended.index("won")]]


def _append(ready: tuple[Ledger, Sequence[Entry]]) -> str:
    ledger, records = ready
    try:
        ledger.append(records)
    except Conflict:
        return "conflict"
    return "won"


def test_reading_goes_back_to_the_ledger_once_and_only_where_there_are_links(
    ledger: Ledger, person: str, other: str, visitor: str
) -> None:
    reads: list[tuple[str, ...]] = []

    def read(*streams: str) -> tuple[Standing, ...]:
        reads.append(streams)
        return ledger.read(*streams)

    assert with_identities(ledger.read(other, visitor), read) == ledger.read(other, visitor)
    assert reads == []
    append_link(ledger, person, visitor)
    ledger.append([outcome(visitor)])
    one, two = with_identities(ledger.read(person, other), read)
    assert (len(reads), one.history("tv", "accepted", 0), two) == (1, 1, ledger.read(other)[0])
    assert [(v.stream, v.version) for v in one.visitors] == [(visitor, 2)]
    append_link(ledger, person, visitor, 1, linked=False)
    (alone,) = with_identities(ledger.read(person), read)
    assert (alone.outcomes, alone.visitors) == ({}, ())


def test_erasing_a_person_erases_the_visitors_that_are_theirs(ledger: Ledger, person: str, visitor: str) -> None:
    unlinked = ledger.stream_of("visitor", "device:gone")
    for one in (visitor, unlinked):
        append_link(ledger, person, one)
        ledger.append([consent(one)])
    append_link(ledger, person, unlinked, 1, linked=False)
    ledger.append([consent(stretch_of(unlinked, 1))])
    assert set(ledger.erase(person)) == {person, visitor, unlinked}
    assert [s.erased for s in ledger.read(person, visitor, unlinked)] == [True] * 3
    assert not ledger.read(stretch_of(unlinked, 1))[0].erased
    assert {r.body is None or r.kind == "tombstone" for r in ledger.records(visitor)} == {True}
    assert list(ledger.verify()) == []
    with pytest.raises(Erased):
        append_link(ledger, person, unlinked, 2)
    with pytest.raises(Erased, match="erased"):
        append_link(ledger, ledger.stream_of("person", "c-3"), visitor, 2)
    assert ledger.erase(person) == (person,)


def test_erasing_a_visitor_unlinks_it(ledger: Ledger, person: str, visitor: str) -> None:
    ledger.append([consent(person)])
    before = ledger.read(person)[0]
    append_link(ledger, person, visitor, 60_000_000)
    assert ledger.erase(visitor) == (visitor,)
    after = ledger.read(person)[0]
    assert (after.linked, after.consents, after.erased) == ((), before.consents, False)
    assert after.links[0].source == "erasure"
    assert list(ledger.verify()) == []


def test_a_person_has_so_many_visitors_and_no_more(ledger: Ledger, person: str) -> None:
    visitors = [ledger.stream_of("visitor", f"v-{n}") for n in range(MAX_LINKED)]
    about = {"kind": "cookie", "source": "login"}
    ledger.append([Entry(person, "link", {"visitor": visitor, **about}, NOW_US) for visitor in visitors])
    with pytest.raises(Refused, match="unlink"):
        append_link(ledger, person, ledger.stream_of("visitor", "one more"))
    append_link(ledger, person, visitors[0], 1)
