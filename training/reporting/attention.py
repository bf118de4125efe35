"""What a reader of the report is to look at first, and in one sentence what cannot be told yet and what that takes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.evaluation.lift import MIN_BUYING
from training.evaluation.localized import LocalText, fields, joined, localized
from training.reporting.customers.effort import FEWEST_CUSTOMERS
from training.reporting.customers.first_screen import compared_arm
from training.reporting.monitoring import FEWEST, FEWEST_POSITIVE

Report = Mapping[str, Any]
Finding = dict[str, str]


def look_at(report: Report) -> list[Finding]:
    """Return what to look at, harm to people first: its `kind`, the section that tells more, and a sentence."""
    return [*_unfair(report), *_rises(report), *_annoyed(report), *_wrong(report), *_drift(report)]


def _finding(kind: str, section: str, text: LocalText) -> Finding:
    return {"kind": kind, "section": section, **fields("said", text)}


def _unfair(report: Report) -> Iterator[Finding]:
    for guard in report["fairness"]:
        if guard["state"] == "breached":
            issue, rate, group = told_guard(guard["name"])
            text = localized(f"unfair-{rate}", issue=issue, group=group, value=guard["value"])
            yield _finding("unfair", "fairness", text)


def told_guard(name: str) -> tuple[str, str, str]:
    """Return the goal, what is compared, and the group of a guard of fairness."""
    _, issue, rate, feature = name.split(".", 3)
    return issue, rate, feature.replace("=", " ").replace("_", " ")


def _rises(report: Report) -> Iterator[Finding]:
    for row in report["rises"]:
        one = "-one" if row["now"] == 1 else ""
        what, customers = (
            localized(f"rise-{row['kind']}{one}", name=row["name"]),
            localized(f"customers{one}", n=row["now"]),
        )
        usual = localized("usual", n=row["usual"]) if row["usual"] >= 0.05 else localized("usual-none")
        yield _finding("rise", "effort", localized("rise", customers=customers, what=what, usual=usual))


def _annoyed(report: Report) -> Iterator[Finding]:
    """Yield that complaints and objections rose, if the intervals of both periods lie apart."""
    now, before = (report["people"][period]["annoyed_rate"] for period in ("now", "before"))
    if now and before and now["low"] > before["high"]:
        yield _finding("rise", "annoyed", localized("annoyed-more", now=now["value"], before=before["value"]))


def _wrong(report: Report) -> Iterator[Finding]:
    """Yield what makes figures of the report wrong, or decisions of the company unchecked."""
    if names := report["mismatched_arms"]:
        yield _finding("wrong", "value", localized("wrong-sizes", names=", ".join(names)))
    untold, every = (sum(a[name] for a in report["actions"]) for name in ("succeeded_untold", "succeeded"))
    if untold:
        yield _finding("wrong", "actions", localized("wrong-untold", n=untold, every=every))
    if rows := report.get("without_approval"):
        yield _finding("wrong", "approval", localized("wrong-approval", n=len(rows)))


def _drift(report: Report) -> Iterator[Finding]:
    moved = [row["column"].replace("_", " ") for row in report["drift"] if row["drifted"]]
    if moved:
        more = localized("and-more", n=len(moved) - 5) if len(moved) > 5 else localized("nothing")
        yield _finding("drift", "drift", localized("drifted", names=", ".join(moved[:5]), more=more))


def cannot_tell(report: Report) -> LocalText:
    """Return in one sentence everything that cannot be told yet, and what it takes; empty if there is nothing."""
    missing = [*_value_missing(report), *_rates_missing(report), *_rest_missing(report)]
    return localized("not-yet", missing=joined(missing, "; ")) if missing else localized("nothing")


def _value_missing(report: Report) -> Iterator[LocalText]:
    arm = compared_arm(report["arms"])
    if arm is None:
        yield localized("missing-control")
    elif arm["lift_eur"] is None:
        no_sales = "without an offer" in (arm["why"] or "")
        takes = localized("takes-sales") if no_sales else localized("takes-buyers", n=MIN_BUYING)
        yield localized("missing-value", arm=arm["arm"], takes=takes)


def _rates_missing(report: Report) -> Iterator[LocalText]:
    young = [a["action"] for a in report["actions"] if not a["mature"]]
    if young or not report["actions"]:
        which = _listed(young, "actions") if young else localized("any-action")
        yield localized("missing-rates", which=which, few=FEWEST, positive=FEWEST_POSITIVE)
    if not report["calibration"]:
        yield localized("missing-calibration", few=FEWEST)
    reasons = {row["why"] for row in (*report["rankings"], *report["uplift"]) if row["why"]}
    unknown = [row.get("policy", row.get("action")) for row in (*report["rankings"], *report["uplift"]) if row["why"]]
    if reasons:
        which = _listed(unknown, "policies-and-actions")
        yield localized("missing-worth", which=which, why=shortest(reasons))


def shortest(reasons: set[str]) -> str:
    """Return the shortest of some reasons, without the name of the method before it."""
    return min(reasons, key=lambda why: (len(why), why)).split(": ", 1)[-1]


def _rest_missing(report: Report) -> Iterator[LocalText]:
    if not report["drift"]:
        yield localized("missing-drift", few=FEWEST)
    few = [guard for guard in report["fairness"] if guard["low"] is None]
    if few:
        yield localized("missing-fairness", which=_listed([told_guard(g["name"])[2] for g in few], "groups"))
    if any(report["effort"][name] is None for name in ("contacts_until_solved", "repeats", "asked_again")):
        yield localized("missing-effort", few=FEWEST_CUSTOMERS)
    if report["rises_said"].startswith("Nothing"):
        yield localized("missing-rises")


def _listed(names: Sequence[str], many: str) -> LocalText:
    """Return up to three names, or how many there are of what `many` names."""
    distinct = sorted(set(names))
    return localized("names", names=", ".join(distinct)) if len(distinct) <= 3 else localized(many, n=len(distinct))
