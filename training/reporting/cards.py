"""The card of a version of the propensity model: what the figures of each action rest on, and their known limits.

A card holds counts, rates and names of features. It holds no row of data, and nothing about a single customer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from decisioning.catalogue.release import Release
from decisioning.errors import Refused
from decisioning.facts.forms import Issue
from decisioning.times import iso
from training.model.exact import shift_logits
from training.model.frame import Bools, Floats, Ints, ModelTerms, TrainingSet, units_with
from training.model.logistic import sigmoid
from training.model.model import PropensityModel
from training.reporting.held_out import HeldOut, held_out_figures, rate_figure

CARD = "card.json"
"""The name of the file that is kept with the model's version."""
Card = dict[str, Any]
"""Plain JSON types."""
INTENDED = (
    "To rank, by expected value, what passed consent and every policy for this customer",
    "To say how likely the declared positive outcome is within its window, with an interval",
)
OF_EVENT = (
    "To say how likely it is that this happens to a customer, so that people may be helped or kept in time",
    "As a feature of rules and values of the catalogue, never as a reason of an offer",
)
REFUSED = (
    "To decide who may have something: eligibility, suitability, credit and price are rules, not scores",
    "For anybody who does not allow profiling, is restricted, or is not known to be an adult",
    "From what somebody feels, or from a special category of data: no such feature reaches a model",
    "For people unlike those whose outcomes it learnt from, which are those of the log's dates and channels",
)
THIN = 20
"""Evidence of fewer customers with a positive outcome than this is called thin."""
_Z = 1.959964
_MOST_FEATURES = 5
_CHUNK = 65_536


def describe(
    model: PropensityModel,
    data: TrainingSet,
    held_out: HeldOut,
    release: Release,
    untold: Mapping[str, float] | None = None,
) -> Card:
    """Return the card of a model that learned from `data`, for each action that the release or the model has.

    :param untold: per action the share of successes whose look was never told, by `monitoring.untold_looks`
    """
    builder = _CardBuilder(model, data, held_out, release, untold or {})
    unknown = [a for a in model.actions if a not in release.actions]
    parts = [builder.action(action) for action in (*release.actions, *unknown)]
    return {**_common(builder), "intended_use": list(INTENDED), "refused_uses": list(REFUSED), "actions": parts}


def describe_event(model: PropensityModel, data: TrainingSet, predicted: Floats, release: Release, event: str) -> Card:
    """Return the card of a model of one event that happens by itself, such as leaving.

    :param predicted: of each row, (n,), by models that did not see it
    """
    builder = _CardBuilder(model, data, HeldOut(data, predicted), release, {})
    part = {**builder.action(model.actions[0]), "action": event}
    held_out = {k: v for k, v in part["held_out"].items() if "prior" not in k}  # no catalogue states one of an event
    limits = [limit for limit in part["known_limits"] if "prior" not in limit]
    event_card = {**part, "held_out": held_out, "known_limits": limits}
    return {**_common(builder), "intended_use": list(OF_EVENT), "refused_uses": list(REFUSED), "actions": [event_card]}


def _common(builder: "_CardBuilder") -> Card:
    """Return what a card says of the whole model."""
    model, data, held_out, release = builder.model, builder.data, builder.held_out, builder.release
    return {
        "release": release.hash,
        "content_hash": model.content_hash,
        "data_hash": data.digest(),
        "said": _said(data, held_out.rows, int((~builder.used).sum())),
        "rows": len(data),
        "customers": data.customers,
        "held_out_rows": len(held_out.rows),
        "held_out_customers": held_out.rows.customers,
        **_window(data.at_us),
        "features": list(model.feature_names),
    }


def overview(card: Mapping[str, Any]) -> list[Card]:
    """Return a row per action, for a table."""
    return [
        {
            "action": a["action"],
            **{name: a["evidence"].get(name) for name in ("rows", "customers", "positives")},
            "rate": a["rate"]["value"],
            "weights_from": ", ".join(f"{name} {part:.0%}" for name, part in a["weights_from"].items() if part),
            "AUC": a["held_out"]["auc"]["value"],
            "transparency": a["transparency"],
            "limits": len(a["known_limits"]),
        }
        for a in card["actions"]
    ]


def of_action(card: Card, action: str) -> Card:
    """Return one action's part of a card; raises Refused if there is none."""
    part = next((a for a in card["actions"] if a["action"] == action), None)
    if part is None:
        raise Refused(f"the card says nothing of {action}: the release it was trained for has no such action")
    return {"model": card["model"], **part}


class _CardBuilder:
    """Describes the actions of a model.

    `used`: bool (n,), the rows of `data` that the fit used. `support`: per place of the hierarchy the share of its
    weights that rows determine, and the number of these rows.
    """

    def __init__(
        self,
        model: PropensityModel,
        data: TrainingSet,
        held_out: HeldOut,
        release: Release,
        untold: Mapping[str, float],
    ) -> None:
        self.model, self.data, self.held_out, self.release = model, data, held_out, release
        self.untold = untold
        self.used = _used_rows(model, data)
        self.support = _support(model, data if self.used.all() else data.take(self.used))

    def action(self, action: str) -> Card:
        """Return the part of one action, whether the model saw it or not."""
        declared = self.release.actions.get(action)
        group = declared.group if declared else self.model.groups[self.model.actions.index(action)]
        at = self.model.resolve(action, group, self.release.superseded(action) if declared else ())
        rows, issue = self._rows(self.data, action), declared.issue if declared else None
        model, index = self.model.scoring_model(at)
        evidence, own = self._evidence(rows), self.data.take(rows)
        card = {
            "action": action,
            "said": _said(own, self.held_out.rows.take(self._rows(self.held_out.rows, action)), evidence["left_out"]),
            "group": group,
            "issue": issue,
            "scored_by": self._scored_by(action, at),
            "evidence": evidence
            | {"inherited": int(self.model.evidence_of(action, at)[1]), "untold_looks": self.untold.get(action)},
            "weights_from": self._weights_from(action, at),
            "rate": rate_figure(own.label, own.unit),
            "propensity_of_the_average_customer": average_propensity(model, index),
            **self._held_out_figures(action),
            "trees": _trees(model, index),
            "calibration": model.calibrations[index].kind,
            "transparency": int(self.model.transparency[at]),
            "asked": self._requirements(at, issue),
            "frozen": self._frozen(at),
            "treatments": self._treatments(action, at, rows),
            "moved_by": _strongest_features(model, index),
            "trees_split_on": _tree_features(model, index),
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
        """Count the rows of an action; `left_out` rows are from before a change, older than `used_from`."""
        used = rows & self.used
        window = _window(self.data.at_us[rows])
        return {
            "rows": int(rows.sum()),
            "positives": int(self.data.label[rows].sum()),
            "customers": units_with(rows, self.data.unit),
            "positive_customers": units_with(rows & self.data.label, self.data.unit),
            **window,
            "left_out": int(rows.sum() - used.sum()),
            "used_from": _window(self.data.at_us[used])["from"],
        }

    def _requirements(self, at: int, issue: Issue | None) -> Card:
        """Return what the catalogue asks of the action's model."""
        floor = self.release.catalogue.settings.transparency.get(issue, 1) if issue else 1
        terms = self.model.terms[at] if at < len(self.model.terms) else ModelTerms(floor=floor)
        directions = {name: "up" if sign > 0 else "down" for name, sign in terms.monotone}
        return {**asdict(terms), "monotone": directions}

    def _frozen(self, at: int) -> Card | None:
        frozen = self.model.frozen.get(at)
        return {"since": iso(frozen.since_us), "from": frozen.source, "reason": frozen.reason} if frozen else None

    def _weights_from(self, action: str, at: int) -> dict[str, float]:
        """Return what determines the action's weights, as shares that add up to 1.

        The sources are its own rows, those of the action that it supersedes, of its group, of all actions, and the
        prior of no effect (`none`); for a frozen action, an earlier version. A level whose only rows are those of the
        level below adds nothing.
        """
        shares, left, below = dict.fromkeys(("own", "superseded", "group", "all", "earlier"), 0.0), 1.0, 0
        if at in self.model.frozen:
            return {**shares, "earlier": 1.0, "none": 0.0}
        for level, node in self._path(action, at):
            share, rows = self.support[node]
            if rows > below or level in ("own", "superseded"):
                shares[level] += left * share
                left *= 1.0 - share
            below = rows
        return {**shares, "none": left}

    def _path(self, action: str, at: int) -> Iterator[tuple[str, int]]:
        """Yield the places in the hierarchy whose rows inform an action that is scored at `at`, from there upwards."""
        k, groups = len(self.model.actions), sorted(set(self.model.groups))
        while at < k:
            yield "own" if self.model.actions[at] == action else "superseded", at
            older = self.model.terms[at].supersedes if self.model.terms else ""
            at = self.model.resolve(older, self.model.groups[at])
        if at < k + len(groups):
            yield "group", at
        yield "all", k + len(groups)

    def _held_out_figures(self, action: str) -> Card:
        """Compare the held-out predictions of an action with its outcomes, and with the catalogue's prior."""
        rows = self._rows(self.held_out.rows, action)
        declared, catalogue = self.release.actions.get(action), self.release.catalogue
        prior = catalogue.prior(declared) if declared else catalogue.settings.priors.default
        return held_out_figures(self.held_out.rows.take(rows), self.held_out.predicted[rows], prior)

    def _treatments(self, action: str, at: int, rows: Bools) -> list[Card]:
        """Return every treatment that the action has or had: its rows, and what it adds to the logit."""
        code = self.data.actions.index(action) if action in self.data.actions else -1
        learned = self.data.treatments[code] if code >= 0 else ()
        model, index = self.model.scoring_model(at)
        declared = [t.id for t in self.release.actions[action].treatments] if action in self.release.actions else []
        return [
            {
                "treatment": name,
                "rows": int((self.data.treatment[rows] == learned.index(name)).sum()) if name in learned else 0,
                "adds": float(model.offsets[index, self.model.treatment_code(at, name)]),
            }
            for name in sorted({*declared, *learned})
        ]


def _said(data: TrainingSet, held_out: TrainingSet, before: int) -> str:
    """Return in one sentence whose rows figures are of, and what was left out and why.

    :param before: number of rows that the fit left out
    """
    return (
        f"Figures are of {len(data)} rows of {data.customers} customers or accounts, which are the unit of every "
        f"interval, and held-out figures of {held_out.customers} of them, of whom a second model saw no row; left out "
        f"are contacts whose window is open or whose look was never told, and of the fit {before} rows from before a "
        "change."
    )


def _used_rows(model: PropensityModel, data: TrainingSet) -> Bools:
    """Return which rows the fit used, bool (n,): the latest of each action, as many as the model's evidence says."""
    used = np.zeros(len(data), dtype=np.bool_)
    for code, name in enumerate(data.actions):
        rows = np.flatnonzero(data.action == code)
        at = model.resolve(name, "")
        count = len(rows) if at in model.frozen else int(model.evidence[at])
        used[rows[np.argsort(data.at_us[rows], kind="stable")][max(len(rows) - count, 0) :]] = True
    return used


def _support(model: PropensityModel, data: TrainingSet) -> list[tuple[float, int]]:
    """Return per place of the hierarchy, as in `model.weights`, the share of a weight that rows determine and their
    number.

    A weight's share is the part of the curvature along it that rows add; the rest is the prior's. A place's share is
    the mean over its weights. The prior's part is what is left of a weight's precision without its rows, which count
    as the fewer the more they are alike.
    """
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
                members = nodes == node
                p = sigmoid(model.weights[node] @ inputs[:, members])
                curvature[node] += inputs[:, members] ** 2 @ (p * (1.0 - p))
                rows[node] += int(members.sum())
    by_prior = np.maximum(1.0 / np.maximum(model.variances, 1e-12) - curvature / model.alike[:, None], 0.0)
    shares = (curvature / np.maximum(curvature + by_prior, 1e-12)).mean(axis=1)
    return list(zip(shares.tolist(), rows.tolist(), strict=True))


def average_propensity(model: PropensityModel, at: int) -> Card:
    """Return the propensity of the average customer with its 95% interval, for a place in the hierarchy."""
    average = model.design.mean[None, :]
    p, spread = model.propensities(average, at), model.logit_deviation(average, at)
    low, high = (float(shift_logits(p, sign * _Z * spread)[0]) for sign in (-1.0, 1.0))
    return {"value": float(p[0]), "low": low, "high": high}


def _strongest_features(model: PropensityModel, at: int) -> list[Card]:
    """Return the features that move the base most, and what one standard deviation more of each adds to the logit."""
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


def _tree_features(model: PropensityModel, at: int) -> list[Card]:
    """Return the features with the largest gain in the trees, which may split on them in either direction."""
    forest = model.forests[at]
    if forest is None:
        return []
    gain: Floats = np.asarray(forest.booster.feature_importance("gain"), dtype=np.float64)
    order = np.argsort(-gain, kind="stable")[:_MOST_FEATURES].tolist()
    return [{"feature": model.feature_names[j], "share": float(gain[j] / gain.sum())} for j in order if gain[j]]


def _limits(card: Card) -> Iterator[str]:
    """Yield what the figures of an action do not support."""
    evidence, own = card["evidence"], card["weights_from"]["own"]
    if not evidence["rows"]:
        yield f"Never tried: scored by {card['scored_by']}"
    elif evidence["positive_customers"] < THIN:
        yield f"Thin evidence: {evidence['positive_customers']} customers with a positive outcome"
    if frozen := card["frozen"]:
        since = frozen["since"]
        yield f"Frozen since {since}: what came after changes nothing; held-out figures are of one that learns"
    elif evidence["rows"] and own < 0.5:
        yield f"Borrowed: its own rows determine {own:.0%} of its weights, other actions and the prior the rest"
    if evidence["rows"] and sum(t["rows"] > 0 for t in card["treatments"]) == 1 < len(card["treatments"]):
        yield "One treatment only: what another one changes is not known"
    if evidence["left_out"]:
        yield f"The truth changed: {evidence['left_out']} rows from before {evidence['used_from']} are left out"
    if evidence["untold_looks"]:
        yield f"Nobody told the look of {evidence['untold_looks']:.0%} of its successes: they are not learned from"
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


def _window(at_us: Ints) -> Card:
    if not len(at_us):
        return {"from": None, "until": None}
    return {"from": iso(int(at_us.min())), "until": iso(int(at_us.max()))}
