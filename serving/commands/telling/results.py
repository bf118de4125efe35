"""Sentences about the results of commands, and what to do next, by the words of the command."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serving.commands.telling.cells import cell, folded, number
from serving.pages.figures import euros, percent

Json = dict[str, Any]
_NEEDED = ("needed_customers", "needed_effective_rows", "rows", "held_out_rows", "decisions", "customers")
_OF_SCORES = ("outcome", "feature", "scored", "left_out")
_HASHES = frozenset({"release", "data_hash", "content_hash"})


def _nothing(_: Json) -> list[str]:
    return []


def _no_step(_: Json) -> str:
    return ""


def _itself(result: Json) -> Json:
    return result


@dataclass(frozen=True)
class Presentation:
    """How people are told the result of a command.

    `lines` begin it. `without`: keys that these sentences say already, or that programs alone need; they are in the
    JSON object. `rest` returns what else is shown. `then` says what to do next, if there is something.
    """

    lines: Callable[[Json], list[str]] = _nothing
    without: frozenset[str] = frozenset()
    then: Callable[[Json], str] = _no_step
    rest: Callable[[Json], Json] = _itself


def next_step(step: str) -> Callable[[Json], str]:
    """Return a function of results that names the same step after each."""
    return lambda _: step


_COUNTS = ("actions", "treatments", "features", "policies", "personas")
_INTENTS = ("intents", "intents_held_out")


def _counts(result: Json) -> str:
    counts = ", ".join(f"{result[name]} {name}" for name in _COUNTS)
    if "intents" not in result:
        return counts
    return f"{counts}, {result['intents']} intents ({percent(result['intents_held_out'])} of held-out examples named)"


def _checked(result: Json) -> list[str]:
    return [f"{result['result']}: {_counts(result)}"]


def _released(result: Json) -> list[str]:
    name = cell(result["release"])
    if not result.get("changed", True):
        return [f"{name} serves already: no file of the catalogue has changed since"]
    return [f"{name} serves {result['environment']} from now on: {_counts(result)}"]


def _rolled_back(result: Json) -> list[str]:
    return [f"{cell(result['release'])} serves {result['environment']} again, in place of {cell(result['was'])}"]


def _paused(result: Json) -> list[str]:
    if result["paused"]:
        return [f"{result['action']} is offered nowhere, from two seconds from now on"]
    return [f"{result['action']} may be offered again"]


def _resuming(result: Json) -> str:
    return f"brain pause {result['action']} --resume, once it may be offered again" if result["paused"] else ""


def _trained(result: Json) -> list[str]:
    seen = f"{number(result['rows'])} rows of {number(result['customers'])} customers"
    does = "and is a challenger: it decides nothing yet"
    if "feature" in result:
        does = f"and scored {number(result['scored'])} customers in {result['feature']}"
        does += f"; {number(result['left_out'])} may not be profiled" if result["left_out"] else ""
    lines = [f"{result['model']} learned from {seen}, {does}"]
    if result.get("auc") is not None:
        lines.append(f"AUC {result['auc']:.3f} and log loss {result['log_loss']:.3f} on customers it had not seen")
    return [*lines, f"it reads {folded(list(result['features']))}"]


def _after_training(result: Json) -> str:
    if "feature" in result:
        return f"brain card --model {result['name']} --out card.html"
    return "brain evaluate says what it would earn; brain trial --share 0.5 tries it beside the model that decides"


def _evaluated(result: Json) -> list[str]:
    if "policies" not in result:
        return []
    lines = [_earned(result["reward"], result["logged"])]
    if unsure := [p for p in result["policies"] if p["value"] is None]:
        names = folded([p["policy"] for p in unsure], 3)
        lines += [f"{len(unsure)} of {len(result['policies'])} policies cannot be valued yet: {names}"]
        lines += [f"  why, of {unsure[0]['policy']}: {unsure[0]['refused'].removeprefix('off-policy value: ')}"]
    winner = result["winner"]
    return [*lines, f"the winner is {winner}" if winner else f"no policy is shown to be better: {result['why']}"]


def _earned(reward: str, logged: Json) -> str:
    in_euros = reward == "value_eur"
    value, low, high = (
        None if part is None else euros(part) if in_euros else percent(part) for part in logged.values()
    )
    between = f", between {low} and {high}" if low else ""
    return (
        f"what was done brought {value} a decision{between}"
        if in_euros
        else f"what was done succeeded in {value} of decisions{between}"
    )


def _only_valued(result: Json) -> Json:
    """Return the result without what could not be valued."""
    tables = {name: [row for row in result.get(name, ()) if row.get(figure) is not None] for name, figure in _FIGURES}
    return {key: value for key, value in result.items() if key not in tables} | {k: v for k, v in tables.items() if v}


_FIGURES = (("policies", "value"), ("rankings", "worth"), ("uplift", "value"))


def _of_trial(result: Json) -> list[str]:
    if "verdict" not in result:
        return (
            [f"{result['model']} makes {percent(result['share'])} of decisions from now on"]
            if result.get("share")
            else []
        )
    open_ = f", of which {number(result['open'])} are still open" if result["open"] else ""
    share, made = percent(result["share"]), number(result["decisions"])
    lines = [f"{result['model']} makes {share} of decisions: {made} so far{open_}"]
    if result["customers"]:
        value, more = result["value"], "more a decision than the champion, between"
        shown = [euros(v) if result["reward"] == "value_eur" else percent(v) for v in value.values()]
        lines += [f"it brings {shown[0]} {more} {shown[1]} and {shown[2]}"]
    return [*lines, f"verdict: {result['verdict']}, as {result['why']}"]


def _guards(result: Json) -> Json:
    """Return the guards of a trial; all, if there is none."""
    return {"guards": result["guards"]} if "guards" in result else {} if result.get("share") else result


def _promoted(result: Json) -> list[str]:
    before = f", in place of version {result['before']}" if result.get("before") else ""
    return [f"{result['model']} decides from now on, in running servers too{before}"]


def _verified(result: Json) -> list[str]:
    erased = f", {number(result['erased'])} are of erased customers" if result["erased"] else ""
    return [
        f"nothing is wrong: {number(result['recomputed'])} of {number(result['decisions'])} decisions were made again "
        f"and came out the same, byte for byte{erased}; {number(result['checkpoints'])} checkpoints hold"
    ]


def _imported(result: Json) -> list[str]:
    if not _is_of_profile(result):
        return []
    rows, customers = number(result["rows"]), number(result["customers"])
    return [f"{rows} rows set facts of {customers} customers: {cell(result['features'])}"]


def _is_of_profile(result: Json) -> bool:
    """Tell whether it is the result of `brain import profile`: neither of a mapping, nor of a draft or a check."""
    return "mapping" not in result and "rows" in result


def _not_of_a_profile(result: Json) -> Json:
    return only("erased")(result) if _is_of_profile(result) else result


def _after_import(result: Json) -> str:
    if score := next(iter(result.get("scores", ())), None):
        return f"brain train risk --outcome {score['outcome']} --feature {score['feature']}"
    return "brain train learns from these contacts" if "mapping" in result else ""


def _secrets(result: Json) -> list[str]:
    return [f"{secret['name']}: {secret['how']}" for secret in result["secrets"]]


def _deliveries(result: Json) -> list[str]:
    sent = [f"{result['retried']} are sent again"] if result["retried"] else []
    return sent + ([] if result["dead"] else ["no delivery of a moment waits that was given up"])


def _batched(result: Json) -> list[str]:
    return [f"{number(result['offers'])} offers for {number(result['customers'])} customers, in {result['written']}"]


def _key_made(result: Json) -> list[str]:
    return [f"the key, which is shown this once: {result['key']}"]


def _reported(result: Json) -> list[str]:
    findings = [f"{finding['kind']}: {finding['said']}" for finding in result["look_at"]]
    lines = [*result["first_screen"], *findings, result["cannot_tell"]]
    return [*filter(None, lines), f"the report is {result['page']}: open it in a browser"]


def _erased(result: Json) -> list[str]:
    held = {name.replace("_", " "): count for name, count in result["held"].items() if count}
    kinds = folded([f"{number(count)} {name}" for name, count in held.items()])
    return [f"{_whom(result)} is erased for good; what was held: {kinds}"]


def _restricted(result: Json) -> list[str]:
    if result["restricted"]:
        return [f"what is held about {_whom(result)} is kept, and used for nothing"]
    return [f"what is held about {_whom(result)} is used again"]


def _whom(result: Json) -> str:
    return str(result.get("customer_id") or result.get("account_id"))


def _exported(result: Json) -> list[str]:
    return [f"{number(result['records'])} records are in {result['written']}"] if "written" in result else []


def _after_export(result: Json) -> Json:
    return {} if "written" in result else result


def _repaired(result: Json) -> list[str]:
    return [] if result["repaired"] else ["nothing had to be made anew"]


def _looked(result: Json) -> list[str]:
    return [] if result["looks"] else ["nobody looked"]


def _with_customers(result: Json) -> Json:
    """Return looks without the hashes of streams, but for those whose customer is not known any more."""
    known = [{**look, "subject": look.get("customer_id") or look["subject"]} for look in result["looks"]]
    return (
        {**result, "looks": [{k: v for k, v in look.items() if k != "customer_id"} for look in known]} if known else {}
    )


def _decided(result: Json) -> list[str]:
    whom = result.get("customer_id") or result.get("visitor_id") or "somebody"
    lines = [f"decision {result['decision_id']} for {whom}, by {result['model']}"]
    for placement in result["placements"]:
        if not placement["offers"]:
            lines.append(f"{placement['name']}: nothing, as {WHY_EMPTY[placement['empty_reason']]}")
        for offer in placement["offers"]:
            lines += _offered(placement["name"], offer)
    lines.append(f"{result['withheld']} candidates were withheld")
    return [*lines, *([f"a person takes over: {result['handover']['reason']}"] if result["handover"] else [])]


WHY_EMPTY = {
    "silenced": "the customer's mood or words silence what would sell",
    "no_candidates": "no action has a form for it",
    "all_withheld": "every action is withheld",
    "nothing_is_better": "nothing is better than what could be shown",
    "explored_nothing": "it was tried what comes of showing nothing",
    "no_room": "limits of contacts leave no room, or what is left is kept for who asks for help",
}


def title_of(offer: Json) -> str:
    """Return what an offer says first, or where its content is."""
    return str(next(iter(offer["content"].values()), offer["content_ref"] or ""))


def _offered(placement: str, offer: Json) -> list[str]:
    figures = "propensity {}, value {}, priority {}, chosen with probability {}".format(
        percent(offer["propensity"]),
        euros(offer["value_eur"]),
        euros(offer["priority"]),
        percent(offer["probability"]),
    )
    reasons = [f"  - {reason['text']}" for reason in offer["reasons"]]
    return [f"{placement}: {offer['action']} “{title_of(offer)}”", f"  {figures}", *reasons]


def _newest_first(result: Json) -> Json:
    waits = set() if result["environment"] == "prod" else {"proposed"}  # only there anybody is asked
    newest_first = {**result, "releases": result["releases"][::-1]}
    return {key: value for key, value in newest_first.items() if key not in waits}


def only(*keys: str) -> Callable[[Json], Json]:
    """Return a function that leaves these keys of a result."""
    return lambda result: {key: result[key] for key in keys if result.get(key)}


def _simulated(result: Json) -> list[str]:
    lines = list(result["summary"])
    if result["same_release"]:
        lines.insert(0, "Both are the same release: change the files of the catalogue, or name another one.")
    if result["examples"]:
        lines += ["For example:", *(f"  - {example['text']}" for example in result["examples"])]
    return lines


PRESENTATIONS: Mapping[str, Presentation] = {
    "check": Presentation(
        _checked, frozenset({"result", *_COUNTS, *_INTENTS}), next_step("brain release makes these files serve")
    ),
    "release": Presentation(
        _released,
        frozenset({"release", "environment", "changed", *_COUNTS, *_INTENTS}),
        next_step("brain serve, unless a server runs: it takes the release up within two seconds"),
    ),
    "releases": Presentation(rest=_newest_first, then=next_step("brain rollback RELEASE serves an earlier one again")),
    "decide": Presentation(_decided, rest=only("hints", "degraded", "supersedes")),
    "rollback": Presentation(_rolled_back, frozenset({"release", "environment", "was"})),
    "pause": Presentation(_paused, frozenset({"action", "paused"}), _resuming),
    "import": Presentation(_imported, then=_after_import, rest=_not_of_a_profile),
    "secret list": Presentation(_secrets, frozenset({"secrets"})),
    "moments": Presentation(_deliveries, rest=only("dead", "secret")),
    "train": Presentation(
        _trained,
        frozenset(
            {"model", "name", "version", "rows", "customers", "features", "auc", "log_loss", *_OF_SCORES, *_HASHES}
        ),
        _after_training,
    ),
    "evaluate": Presentation(
        _evaluated,
        frozenset({"winner", "why", "logged", "reward", "left_out", *_NEEDED, *_HASHES}),
        next_step("brain trial --share 0.5 tries the challenger beside the champion; brain promote lets it decide"),
        _only_valued,
    ),
    "simulate-change": Presentation(
        _simulated,
        rest=only("changes", "flows", "by_place", "withheld", "unknown_features", "assumed", "page"),
        then=next_step("brain evaluate --against files asks the log what they earn; brain release makes them serve"),
    ),
    "trial": Presentation(_of_trial, rest=_guards),
    "retrain": Presentation(_of_trial, rest=_guards),
    "promote": Presentation(_promoted, frozenset({"model", "name", "version", "before"}), next_step("brain report")),
    "card": Presentation(without=_HASHES | {"features"}),
    "verify": Presentation(
        _verified, frozenset({"checkpoints", "decisions", "recomputed", "erased", "flaws", "different"})
    ),
    "batch": Presentation(_batched, frozenset({"offers", "customers", "written", "failed"})),
    "key create": Presentation(
        _key_made, frozenset({"key"}), next_step("send it with every request: Authorization: Bearer KEY")
    ),
    "erase": Presentation(_erased, rest=only()),
    "restrict": Presentation(_restricted, rest=only()),
    "export": Presentation(_exported, rest=_after_export),
    "repair": Presentation(_repaired, rest=only("repaired")),
    "looks": Presentation(_looked, rest=_with_customers),
    "report": Presentation(_reported, rest=only("release", "model", "imported", "pdstools")),
}
"""By the words of the command, without `brain`."""
