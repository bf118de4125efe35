"""What a feature or a count may still be, while the analysis of a rule assumes one condition after another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from decisioning.facts.schema import Feature
from decisioning.rules.interval import ANY, Interval
from decisioning.rules.nodes import CompareOp, HistoryCount, Read


@dataclass(frozen=True, slots=True)
class Domain:
    """`known`, `unknown`: whether it may be so. `numbers`, `truths`, `texts` (None: any): what it is when known.

    Only the one that fits the feature's type is ever narrowed.
    """

    known: bool = True
    unknown: bool = True
    numbers: Interval = ANY
    truths: frozenset[bool] = frozenset((True, False))
    texts: frozenset[str] | None = None
    not_texts: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        return not self.unknown and not self.settled.known

    @property
    def settled(self) -> "Domain":
        """The same, not known where no value is left."""
        none_left = self.numbers.empty or not self.truths or (self.texts is not None and not self.texts)
        return replace(self, known=False) if none_left else self

    def only_known(self) -> "Domain":
        return replace(self, unknown=False).settled

    def only_unknown(self) -> "Domain":
        return replace(self, known=False)

    def within(self, texts: frozenset[str]) -> "Domain":
        """Known, and one of `texts`."""
        allowed = (texts if self.texts is None else self.texts & texts) - self.not_texts
        return replace(self, texts=allowed).only_known()

    def without(self, texts: frozenset[str]) -> "Domain":
        """Known, and none of `texts`."""
        allowed = None if self.texts is None else self.texts - texts
        return replace(self, texts=allowed, not_texts=self.not_texts | texts).only_known()

    def being(self, truth: bool) -> "Domain":
        """Known, and `truth`."""
        return replace(self, truths=self.truths & {truth}).only_known()

    def where(self, op: CompareOp, other: "Domain") -> "Domain":
        """Known, and `x op y` for some known y of `other`: two domains of numbers, or two of texts."""
        if not other.known:
            return replace(self, known=False, unknown=False)
        narrowed = replace(self, numbers=self.numbers.where(op, other.numbers)).only_known()
        if op == "==":
            return narrowed.without(other.not_texts) if other.texts is None else narrowed.within(other.texts)
        one_text = op == "!=" and other.texts is not None and len(other.texts) == 1
        return narrowed.without(other.texts or frozenset()) if one_text else narrowed


DomainKey = str | tuple[str | None, str, int]
"""A feature's name, or what a count counts."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """One set of customers the analysis looks at: what was assumed so far, by key; the schema for the rest."""

    schema: Mapping[str, Feature]
    assumed: Mapping[DomainKey, Domain]

    def __getitem__(self, node: Read | HistoryCount) -> Domain:
        return self.assumed.get(domain_key(node)) or _initial(node, self.schema)

    def assume(self, node: Read | HistoryCount, domain: Domain) -> "list[Assumptions]":
        """This world with that domain; none where nothing is left of it."""
        return [] if domain.empty else [Assumptions(self.schema, {**self.assumed, domain_key(node): domain.settled})]


def domain_key(node: Read | HistoryCount) -> DomainKey:
    return node.name if isinstance(node, Read) else (node.action, node.outcome, node.window_us)


def _initial(node: Read | HistoryCount, schema: Mapping[str, Feature]) -> Domain:
    if isinstance(node, HistoryCount):
        return Domain(unknown=False, numbers=Interval(low=0.0))
    feature = schema[node.name]
    low = ANY.low if feature.min is None else feature.min
    high = ANY.high if feature.max is None else feature.max
    texts = frozenset(feature.values) if feature.dtype == "enum" else None
    return Domain(numbers=Interval(low, high), texts=texts).settled
