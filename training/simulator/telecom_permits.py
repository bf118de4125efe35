"""What the catalogue's policies, its protections and marketing consent allow, for many customers at once.

Outcome history, caps and pauses are ignored: the generated customers have no past but the campaign itself. Their
emotions were not known at the time, so actions that only an emotion lets through were offered to nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from decisioning.catalogue.actions import Action
from decisioning.catalogue.files import Catalogue
from decisioning.rules import ColumnHistory, Columns, Rule, compile_rule
from training.model.frame import Bools, Ints

MOMENT = frozenset({"now", "channel", "locale", "page", "contact_reason"})
"""The facts that change from one contact to the next; all others belong to the customer."""


@dataclass(frozen=True)
class PermitRule:
    """A rule and the actions that it applies to, `members`: bool (n_actions,). `deny`: it must be false to pass."""

    rule: Rule
    deny: bool
    members: Bools


class Permits:
    """The compiled gates of a catalogue, over its actions in order of id."""

    def __init__(self, catalogue: Catalogue, channels: Sequence[str]) -> None:
        self.actions = tuple(sorted(catalogue.actions, key=lambda a: a.id))
        self.commercial = np.asarray([a.commercial for a in self.actions])
        needs_emotion = frozenset().union(*(rule.let_through for rule in catalogue.emotion))
        self._open = np.asarray([a.id not in needs_emotion for a in self.actions])
        self._served = np.asarray([[any(t.channel == c for t in a.treatments) for a in self.actions] for c in channels])
        gates = tuple(_gates(catalogue, self.actions, self.commercial))
        self._lasting = tuple(g for g in gates if not g.rule.reads & MOMENT)
        self._momentary = tuple(g for g in gates if g.rule.reads & MOMENT)

    def lasting(self, customers: Columns, n: int) -> Bools:
        """Return what the gates that read customer facts alone allow each of n customers: bool (n, n_actions)."""
        return self._through(self._lasting, np.tile(self._open, (n, 1)), customers)

    def at(self, lasting: Bools, moment: Columns, marketing: Bools, channel: Ints) -> Bools:
        """Return what is allowed at m moments: bool (m, n_actions).

        :param lasting: (m, n_actions), the customers' rows of `lasting()`
        :param moment: the columns (m,) of customer and context that momentary rules read
        :param marketing: (m,), whether the customer may be sold something on the channel
        :param channel: (m,), codes
        """
        allowed = lasting & self._served[channel]
        allowed[:, self.commercial] &= marketing[:, None]
        return self._through(self._momentary, allowed, moment)

    @cached_property
    def momentary_columns(self) -> frozenset[str]:
        """The columns that rules about the moment read."""
        return frozenset().union(*(g.rule.reads for g in self._momentary))

    @staticmethod
    def _through(gates: Sequence[PermitRule], allowed: Bools, columns: Columns) -> Bools:
        n = len(allowed)
        for gate in gates:
            truth = gate.rule.truth_column(columns, n, _no_history(n), "any")
            allowed[:, gate.members] &= (truth.false if gate.deny else truth.true)[:, None]
        return allowed


def _gates(catalogue: Catalogue, actions: Sequence[Action], commercial: Bools) -> Iterator[PermitRule]:
    schema = catalogue.schema_of_features.features
    for protection in catalogue.protections:
        yield PermitRule(compile_rule(protection.when, schema), True, commercial)
    for policy in catalogue.policies:
        members = np.asarray([policy.attach.covers(a) for a in actions])
        yield PermitRule(compile_rule(policy.rule, schema), policy.deny is not None, members)


def _no_history(n: int) -> ColumnHistory:
    return lambda _action, _outcome, _window_us: np.zeros(n)
