"""What a feature or a count may still be, while the analysis of a rule assumes one condition after another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from decisioning.facts.schema import Feature
from decisioning.rules.interval import ANY, Interval
from decisioning.rules.nodes import CompareOp, HistoryCount, Read


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that remain possible.

    `known`, `unknown`: whether it may be known or UNKNOWN. `numbers`, `truths`, `texts` (None: any text): the values it
    may have when known; only the one that fits the feature's type is ever narrowed.
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
        """The same domain, marked as not known if no value is left."""
        none_left = self.numbers.empty or not self.truths or (self.texts is not None and not self.texts)
        return replace(self, known=False) if none_left else self

    def only_known(self) -> "Domain":
        return replace(self, unknown=False).settled

    def only_unknown(self) -> "Domain":
        return replace(self, known=False)

    def within(self, texts: frozenset[str]) -> "Domain":
        """Return the domain narrowed to known and one of `texts`."""
        allowed = (texts if self.texts is None else self.texts & texts) - self.not_texts
        return replace(self, texts=allowed).only_known()

    def without(self, texts: frozenset[str]) -> "Domain":
        """Return the domain narrowed to known and none of `texts`."""
        allowed = None if self.texts is None else self.texts - texts
        return replace(self, texts=allowed, not_texts=self.not_texts | texts).only_known()

    def where_truth(self, truth: bool) -> "Domain":
        """Return the domain narrowed to known and equal to `truth`."""
        return replace(self, truths=self.truths & {truth}).only_known()

    def where_holds(self, op: CompareOp, other: "Domain") -> "Domain":
        """Return the domain narrowed to known and `x op y` for some known y of `other`.

        Both domains are of numbers, or both of texts.
        """
        if not other.known:
            return replace(self, known=False, unknown=False)
        narrowed = replace(self, numbers=self.numbers.where_holds(op, other.numbers)).only_known()
        if op == "==":
            return narrowed.without(other.not_texts) if other.texts is None else narrowed.within(other.texts)
        one_text = op == "!=" and other.texts is not None and len(other.texts) == 1
        return narrowed.without(other.texts or frozenset()) if one_text else narrowed


DomainKey = str | tuple[str | None, str, int]
"""A feature's name, or (action or None for the candidate's own, outcome, window in microseconds) of a count."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """One set of customers that the analysis considers.

    `assumed`: the domains assumed so far, by key; `schema`: gives the domains of everything else.
    """

    schema: Mapping[str, Feature]
    assumed: Mapping[DomainKey, Domain]

    def __getitem__(self, node: Read | HistoryCount) -> Domain:
        return self.assumed.get(domain_key(node)) or _initial(node, self.schema)

    def assume(self, node: Read | HistoryCount, domain: Domain) -> "list[Assumptions]":
        """Return this world with `node` narrowed to `domain`, as a list of one; an empty list if nothing is left."""
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
