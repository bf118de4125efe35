"""A card per version of the propensity model: what each action's numbers rest on, and where that ends.

It holds counts, rates and names of features; no row, and nobody of whom a row tells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decisioning.catalogue.actions import Issue
from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.times import iso
from training.evaluation.comparison import auc_gain
from training.evaluation.metrics import calibration_table, wilson
from training.fitting.intervals import ConfidenceInterval, mean_interval
from training.model.frame import Bools, Floats, Ints, ModelTerms, TrainingSet
from training.model.logistic import probability_log_losses, sigmoid
from training.model.model import PropensityModel, shift_logits

CARD = "card.json"
"""Its file beside the model's version."""
Card = dict[str, Any]
"""Plain JSON types."""
INTENDED = (
    "To rank, by expected value, what passed consent and every policy for this customer",
    "To say how likely the declared positive outcome is within its window, with an interval",
)
REFUSED = (
    "To decide who may have something: eligibility, suitability, credit and price are rules, not scores",
    "For anybody who does not allow profiling, is restricted, or is not known to be an adult",
    "From what somebody feels, or from a special category of data: no such feature reaches a model",
    "For people unlike those whose outcomes it learnt from, which are those of the log's dates and channels",
)
THIN = 20
"""Fewer positive outcomes than this are called thin evidence."""
_Z = 1.959964
_MOST_FEATURES = 5
_ROWS_IN_BIN = 30
_MOST_BINS = 5
_FEWEST_TO_RANK = 10
"""Of either outcome, without which the interval of an AUC promises too much."""
_CHUNK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Rows that a twin of the model never saw, and its propensity of each, (n,)."""

    rows: TrainingSet
    predicted: Floats


def describe(model: PropensityModel, data: TrainingSet, judged: HeldOut, release: Release) -> Card:
    """The card of a model that learnt from `data`: of each action that the release has or the model saw."""
    about = _About(model, data, judged, release)
    unknown = [a for a in model.actions if a not in release.actions]
    return {
        "release": release.hash,
        "content_hash": model.content_hash,
        "data_hash": data.digest(),
        "rows": len(data),
        "held_out_rows": len(judged.rows),
        **_window(data.at_us),
        "features": list(model.feature_names),
        "intended_use": list(INTENDED),
        "refused_uses": list(REFUSED),
        "actions": [about.action(action) for action in (*release.actions, *unknown)],
    }


def overview(card: Mapping[str, Any]) -> list[Card]:
    """A row per action, for a table."""
    return [
        {
            "action": a["action"],
            **{name: a["evidence"][name] for name in ("rows", "positives")},
            "rate": a["rate"]["value"],
            "weights_from": ", ".join(f"{name} {part:.0%}" for name, part in a["weights_from"].items() if part),
            "AUC": a["held_out"]["auc"]["value"],
            "transparency": a["transparency"],
            "limits": len(a["known_limits"]),
        }
        for a in card["actions"]
    ]


def of_action(card: Card, action: str) -> Card:
    """One action's part; Refused where there is none."""
    found = next((a for a in card["actions"] if a["action"] == action), None)
    if found is None:
        raise Refused(f"the card says nothing of {action}: the release it was trained for has no such action")
    return {"model": card["model"], **found}


class _About:
    """A model, its rows, and what of its weights they determined."""

    def __init__(self, model: PropensityModel, data: TrainingSet, judged: HeldOut, release: Release) -> None:
        self.model, self.data, self.judged, self.release = model, data, judged, release
        self.kept = _kept(model, data)
        self.support = _support(model, data if self.kept.all() else data.take(self.kept))

    def action(self, action: str) -> Card:
        """Of one action, whether the model saw it or not."""
        known = self.release.actions.get(action)
        group = known.group if known else self.model.groups[self.model.actions.index(action)]
        at = self.model.resolve(action, group, self.release.superseded(action) if known else ())
        rows, issue = self._rows(self.data, action), known.issue if known else None
        model, index = self.model.scoring_model(at)
        card = {
            "action": action,
            "group": group,
            "issue": issue,
            "scored_by": self._scored_by(action, at),
            "evidence": self._evidence(rows) | {"inherited": int(self.model.evidence_of(action, at)[1])},
            "weights_from": self._weights_from(action, at),
            "rate": _share(self.data.label[rows]),
            "propensity_of_the_average_customer": _typical(model, index),
            **self._held_out(action),
            "trees": _trees(model, index),
            "calibration": model.calibrations[index].kind,
            "transparency": int(self.model.transparency[at]),
            "asked": self._asked(at, issue),
            "frozen": self._frozen(at),
            "treatments": self._treatments(action, at, rows),
            "moved_by": _moved_by(model, index),
            "trees_split_on": _split_on(model, index),
        }
        return {**card, "known_limits": list(_limits(card))}

    def _rows(self, data: TrainingSet, action: str) -> Bools:
        code = data.actions.index(action) if action in data.actions else -1
        return np.asarray(data.action == code, dtype=np.bool_)

    def _scored_by(self, action: str, at: int) -> str:
        above = at - len(self.model.actions)
        if above < 0:
            return "its own weights" if self.model.actions[at] == action else f"the weights of {self.model.actions[at]}"
        return "its group's weights" if above < len(set(self.model.groups)) else "the weights of all actions"

    def _evidence(self, rows: Bools) -> Card:
        """`left_out` rows are from before a change of the truth, at or before `used_from`."""
        used = rows & self.kept
        window = _window(self.data.at_us[rows])
        return {
            "rows": int(rows.sum()),
            "positives": int(self.data.label[rows].sum()),
            **window,
            "left_out": int(rows.sum() - used.sum()),
            "used_from": _window(self.data.at_us[used])["from"],
        }

    def _asked(self, at: int, issue: Issue | None) -> Card:
        """What the catalogue asks of its model."""
        floor = self.release.catalogue.settings.transparency.get(issue, 1) if issue else 1
        terms = self.model.terms[at] if at < len(self.model.terms) else ModelTerms(floor=floor)
        directions = {name: "up" if sign > 0 else "down" for name, sign in terms.monotone}
        return {**asdict(terms), "monotone": directions}

    def _frozen(self, at: int) -> Card | None:
        kept = self.model.frozen.get(at)
        return {"since": iso(kept.since_us), "from": kept.source, "reason": kept.reason} if kept else None

    def _weights_from(self, action: str, at: int) -> dict[str, float]:
        """Shares that add up to 1: of the action's own rows, of those of what it supersedes, of its group's, of all,
        and of the prior of no effect; of an earlier version, where it is frozen.

        Where a level has no rows but those of the level below, it adds nothing.
        """
        found, left, below = dict.fromkeys(("own", "superseded", "group", "all", "earlier"), 0.0), 1.0, 0
        if at in self.model.frozen:
            return {**found, "earlier": 1.0, "none": 0.0}
        for level, node in self._path(action, at):
            share, rows = self.support[node]
            if rows > below or level in ("own", "superseded"):
                found[level] += left * share
                left *= 1.0 - share
            below = rows
        return {**found, "none": left}

    def _path(self, action: str, at: int) -> Iterator[tuple[str, int]]:
        """The places in the hierarchy whose rows speak for an action that is scored at one, from its own upwards."""
        k, groups = len(self.model.actions), sorted(set(self.model.groups))
        while at < k:
            yield "own" if self.model.actions[at] == action else "superseded", at
            older = self.model.terms[at].supersedes if self.model.terms else ""
            at = self.model.resolve(older, self.model.groups[at])
        if at < k + len(groups):
            yield "group", at
        yield "all", k + len(groups)

    def _held_out(self, action: str) -> Card:
        rows = self._rows(self.judged.rows, action)
        label, predicted = self.judged.rows.label[rows], self.judged.predicted[rows]
        known = self.release.actions.get(action)
        prior = self.release.catalogue.prior(known) if known else self.release.catalogue.settings.priors.default
        mine, of_prior = (
            probability_log_losses(label, predicted),
            probability_log_losses(label, np.full(len(label), prior)),
        )
        bins = min(_MOST_BINS, len(label) // _ROWS_IN_BIN)
        return {
            "held_out": {
                "rows": len(label),
                "positives": int(label.sum()),
                "auc": _auc(label, predicted),
                "log_loss": float(mine.mean()) if len(label) else None,
                "log_loss_of_the_prior": float(of_prior.mean()) if len(label) else None,
                "gain_over_the_prior": _mean(of_prior - mine),
            },
            "reliability": [asdict(b) for b in calibration_table(label, predicted, bins)] if bins else [],
        }

    def _treatments(self, action: str, at: int, rows: Bools) -> list[Card]:
        """Every treatment that the action has, or had: rows, and what it adds to the logit."""
        code = self.data.actions.index(action) if action in self.data.actions else -1
        seen = self.data.treatments[code] if code >= 0 else ()
        known, (model, index) = self.release.actions.get(action), self.model.scoring_model(at)
        declared = [t.id for t in known.treatments] if known else []
        return [
            {
                "treatment": name,
                "rows": int((self.data.treatment[rows] == seen.index(name)).sum()) if name in seen else 0,
                "adds": float(model.offsets[index, self.model.treatment_code(at, name)]),
            }
            for name in sorted({*declared, *seen})
        ]


def _kept(model: PropensityModel, data: TrainingSet) -> Bools:
    """Which rows the fit used, (n,): of each action the latest, as many as its evidence says."""
    kept = np.zeros(len(data), dtype=np.bool_)
    for code, name in enumerate(data.actions):
        rows = np.flatnonzero(data.action == code)
        at = model.resolve(name, "")
        used = len(rows) if at in model.frozen else int(model.evidence[at])
        kept[rows[np.argsort(data.at_us[rows], kind="stable")][max(len(rows) - used, 0) :]] = True
    return kept


def _support(model: PropensityModel, data: TrainingSet) -> list[tuple[float, int]]:
    """Per place of the hierarchy, as in `model.weights`: the share of a weight that its rows determine, and their
    number. A weight's share is what rows add to the curvature along it, of all the curvature there is (the rest is the
    prior's); the place's share is the mean over its weights."""
    k, names = len(model.actions), sorted(set(model.groups))
    of_action = np.array([model.resolve(a, "") for a in data.actions], dtype=np.int64)
    of_group = np.array([k + names.index(g) for g in data.groups], dtype=np.int64)
    curvature = np.zeros_like(model.weights)
    rows = np.zeros(len(model.weights), dtype=np.int64)
    for at in range(0, len(data), _CHUNK):
        part = slice(at, at + _CHUNK)
        inputs, action = model.design.columns(data.x[part]), data.action[part]
        for nodes in (of_action[action], of_group[action], np.full(len(action), len(model.weights) - 1)):
            for node in np.unique(nodes).tolist():
                mine = nodes == node
                p = sigmoid(model.weights[node] @ inputs[:, mine])
                curvature[node] += inputs[:, mine] ** 2 @ (p * (1.0 - p))
                rows[node] += int(mine.sum())
    shares = np.minimum(curvature * model.variances, 1.0).mean(axis=1)
    return list(zip(shares.tolist(), rows.tolist(), strict=True))


def _typical(model: PropensityModel, at: int) -> Card:
    average = model.design.mean[None, :]
    p, spread = model.propensities(average, at), model.logit_deviation(average, at)
    low, high = (float(shift_logits(p, sign * _Z * spread)[0]) for sign in (-1.0, 1.0))
    return {"value": float(p[0]), "low": low, "high": high}


def _moved_by(model: PropensityModel, at: int) -> list[Card]:
    """The features that move the base most, with what one standard deviation more of them adds to the logit."""
    n = len(model.feature_names)
    weights, errors = model.weights[at, 1 : 1 + n], _Z * np.sqrt(model.variances[at, 1 : 1 + n])
    return [
        {
            "feature": model.feature_names[j],
            "direction": "up" if weights[j] > 0 else "down",
            "adds": float(weights[j]),
            "low": float(weights[j] - errors[j]),
            "high": float(weights[j] + errors[j]),
        }
        for j in np.argsort(-np.abs(weights), kind="stable")[:_MOST_FEATURES].tolist()
        if weights[j]
    ]


def _trees(model: PropensityModel, at: int) -> int:
    forest = model.forests[at]
    return forest.booster.num_trees() if forest else 0


def _split_on(model: PropensityModel, at: int) -> list[Card]:
    """The features that explain most of what the trees explain; in both directions, as trees may."""
    forest = model.forests[at]
    if forest is None:
        return []
    gain: Floats = np.asarray(forest.booster.feature_importance("gain"), dtype=np.float64)
    order = np.argsort(-gain, kind="stable")[:_MOST_FEATURES].tolist()
    return [{"feature": model.feature_names[j], "share": float(gain[j] / gain.sum())} for j in order if gain[j]]


def _limits(card: Card) -> Iterator[str]:
    """What its own numbers say that it cannot be trusted with."""
    evidence, own = card["evidence"], card["weights_from"]["own"]
    if not evidence["rows"]:
        yield f"Never tried: scored by {card['scored_by']}"
    elif evidence["positives"] < THIN:
        yield f"Thin evidence: {evidence['positives']} positive outcomes"
    if frozen := card["frozen"]:
        since = frozen["since"]
        yield f"Frozen since {since}: what came after changes nothing; held-out figures are of one that learns"
    elif evidence["rows"] and own < 0.5:
        yield f"Borrowed: its own rows determine {own:.0%} of its weights, other actions and the prior the rest"
    if evidence["rows"] and sum(t["rows"] > 0 for t in card["treatments"]) == 1 < len(card["treatments"]):
        yield "One treatment only: what another one changes is not known"
    if evidence["left_out"]:
        yield f"The truth changed: {evidence['left_out']} rows from before {evidence['used_from']} are left out"
    auc = card["held_out"]["auc"]
    if auc["value"] is not None and auc["low"] <= 0.5:
        yield "Not shown to rank customers better than chance"
    gain = card["held_out"]["gain_over_the_prior"]
    if gain["value"] is not None and gain["low"] <= 0.0:
        yield "Not shown to predict better than the catalogue's prior"
    if card["trees"]:
        yield "Intervals are of the base: what the trees add is not in them"
    if card["transparency"] < card["asked"]["floor"]:
        yield "Less transparent than its issue asks for: the catalogue's prior is used in its place"


def _auc(label: Bools, predicted: Floats) -> Card:
    """With its interval by DeLong: the gain over a score that is the same for all."""
    if min(label.sum(), (~label).sum()) < _FEWEST_TO_RANK:
        return {"value": None, "low": None, "high": None}
    gain = auc_gain(label, predicted, np.zeros(len(label)))
    return asdict(ConfidenceInterval(*(0.5 + v for v in (gain.value, gain.low, gain.high))))


def _mean(per_row: Floats) -> Card:
    if len(per_row) < 2:
        return {"value": None, "low": None, "high": None}
    return asdict(mean_interval(per_row))


def _share(label: Bools) -> Card:
    if not len(label):
        return {"value": None, "low": None, "high": None}
    low, high = wilson(int(label.sum()), len(label))
    return {"value": float(label.mean()), "low": low, "high": high}


def _window(at_us: Ints) -> Card:
    if not len(at_us):
        return {"from": None, "until": None}
    return {"from": iso(int(at_us.min())), "until": iso(int(at_us.max()))}
