"""What the catalogue's rules, its protections and marketing consent allow, for a column of customers at once.

Outcome history, caps and pauses are left aside: the generated customers have no past but the campaign itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decisioning.catalogue import Catalogue
from decisioning.rules import ColumnHistory, Columns, KleeneColumn, Rule, compile_rule

Bools = NDArray[np.bool_]


class Permits:
    """The gates of a catalogue, compiled once, over its actions in order of id."""

    def __init__(self, catalogue: Catalogue, channels: Sequence[str]) -> None:
        self.actions = tuple(sorted(catalogue.actions, key=lambda a: a.id))
        self.commercial = np.asarray([a.commercial for a in self.actions])
        self.served = np.asarray([[any(t.channel == c for t in a.treatments) for a in self.actions] for c in channels])
        """Bool (n_channels, n_actions): which actions have a treatment there."""
        schema = catalogue.schema_of_features.features
        self._gates: list[tuple[Rule, bool, Bools]] = []
        for protection in catalogue.protections:
            self._gates.append((compile_rule(protection.when, schema), True, self.commercial))
        for policy in catalogue.policies:
            members = np.asarray([policy.attach.covers(a) for a in self.actions])
            self._gates.append((compile_rule(policy.rule, schema), policy.deny is not None, members))

    def on(self, columns: Columns, marketing: Bools, channel: int | NDArray[np.int64]) -> Bools:
        """Bool (n, n_actions) for customers as `columns`; `marketing` bool (n,); `channel` one code or (n,)."""
        allowed = np.broadcast_to(self.served[channel], (len(marketing), len(self.actions))).copy()
        allowed[:, self.commercial] &= marketing[:, None]
        for rule, deny, members in self._gates:
            passed = _passed(rule.truth_column(columns, len(marketing), _no_history(len(marketing)), "any"), deny)
            allowed[:, members] &= passed[:, None]
        return allowed


def _passed(truth: KleeneColumn, deny: bool) -> Bools:
    return truth.false if deny else truth.true


def _no_history(n: int) -> ColumnHistory:
    return lambda _action, _outcome, _window_us: np.zeros(n)
