"""The figures of a simulated change in a few sentences, for people who decide whether to release it."""

from collections.abc import Mapping
from typing import Any

from serving.pages.figures import between, count, euros, number, percent

Result = Mapping[str, Any]
_QUIET = "contact:quiet-hours"
LITTLE_TRIED = 0.1
"""The share of the money from which on it is told that it rests on little."""
_PER = 1000
"""Money is told per this many customers."""


def sentences(figures: Result) -> dict[str, str]:
    """Return subject -> the sentence about it, in the order in which they are read."""
    return {
        "first offers": _moved(figures),
        "help": _help(figures),
        "money": _money(figures),
        "nothing": _nothing(figures),
        "caps": _caps(figures),
        "fairness": _fairness(figures),
        **({"handovers": _handovers(figures["handovers"])} if "handovers" in figures else {}),
    }


def _handovers(people: Result) -> str:
    """Return how many conversations a day would be handed to a person, and how many the agents hold at once."""
    if not people["conversations"]:
        return "No decision of the last days named its conversation, so handovers a day cannot be told."
    before, after = (number(people[side]["value"], 1) for side in ("before", "after"))
    agents = (
        f"Stated agents: {count(people['agents'])}, who hold up to {count(people['at_once'])} conversations at once."
        if people["agents"]
        else "No agents are stated, so nothing is said of who could take them."
    )
    period = f"In {count(people['conversations'])} conversations of the last {number(people['days'], 1)} days"
    return (
        f"{period}, a person would be called in {before} conversations a day before and {after} a day after: "
        f"{_a_day_more(people['change'])}. {agents}"
    )


def _a_day_more(change: Result) -> str:
    """Return by how many a day it changes, with its interval over customers."""
    value, low, high = (None if change[at] is None else number(change[at], 1) for at in ("value", "low", "high"))
    between_them = "without an interval" if low is None or high is None else f"between {low} and {high}"
    return f"a change of {value} a day, {between_them}"


def _moved(figures: Result) -> str:
    moved, n = figures["moved"], figures["customers"]
    if not moved["customers"]:
        return f"None of {count(n)} {figures['who']} gets another first offer{_at_most(moved['share'])}."
    most, part = figures["flows"][0], share(moved["share"])
    chance = f" For {count(moved['by_chance'])} of them only the odds of a draw changed." if moved["by_chance"] else ""
    return (
        f"{count(moved['customers'])} of {count(n)} {figures['who']} ({part}) get another first offer; "
        f"most often {most['to']} instead of {most['from']} ({count(most['customers'])}).{chance}"
    )


def _at_most(part: Result) -> str:
    return "" if part["high"] is None else f", so at most {percent(part['high'])} of others like them would"


def _help(figures: Result) -> str:
    helped = figures["help"]
    gain = f" {count(helped['gain'])} get help that they did not get before." if helped["gain"] else ""
    if not helped["lose"]:
        return f"Nobody loses help or service.{gain}"
    most = helped["lost"][0]
    sale = f", {count(helped['to_a_sale'])} of them to a sale" if helped["to_a_sale"] else ""
    return (
        f"{count(helped['lose'])} lose help or service{sale}: most often {most['help']}, and get {most['instead']} "
        f"({count(most['customers'])}).{gain}"
    )


def _money(figures: Result) -> str:
    money, places = figures["money"], figures["places"]
    before, after = (_PER * money[f"{side}_eur"]["value"] for side in ("before", "after"))
    each = "once" if len(places) == 1 else f"once to each of {len(places)} places"
    text = (
        f"Per {count(_PER)} customers, who come {each}, offers are expected to bring {eur(before)} before and "
        f"{eur(after)} after: {_change(figures)}."
    )
    if abs(money["revalued_eur"]["value"]) * _PER >= 1.0:
        parts = [eur(_PER * money[name]["value"], sign=True) for name in ("other_offers_eur", "revalued_eur")]
        text += f" Of that, {parts[0]} comes from other offers and {parts[1]} from other values of what is offered."
    if money["little_tried"] >= LITTLE_TRIED:
        part = percent(money["little_tried"], 0)
        text += f" {part} of it rests on offers that were hardly tried, so it may be far off."
    return text


def _change(figures: Result) -> str:
    interval = figures["money"]["change_eur"]
    value, low, high = (None if interval[name] is None else _PER * interval[name] for name in ("value", "low", "high"))
    change = eur(value or 0.0, sign=True)
    if low is None or high is None:
        return f"{change}, without an interval, which takes {count(figures['needed_customers'])} customers"
    return f"{change}, between {eur(low, sign=True)} and {eur(high, sign=True)}"


def _nothing(figures: Result) -> str:
    nothing, n = figures["nothing"], figures["customers"]
    return f"{count(nothing['after'])} of {count(n)} get nothing at all; before, it was {count(nothing['before'])}."


def _caps(figures: Result) -> str:
    contacts = figures["contacts"]
    offers = [number(contacts[f"offers_{side}"]["value"], 1) for side in ("before", "after")]
    week = (
        f"A customer had {number(contacts['week']['value'], 1)} contacts in the week before, and is offered "
        f"{offers[0]} things before and {offers[1]} after, over all places."
    )
    return f"{_at_caps(figures)} {week}{_quiet(figures)}"


def _at_caps(figures: Result) -> str:
    rows = figures["caps"]
    moved = [row for row in rows if row["capped_before"] != row["capped_after"]]
    if not moved:
        at_cap = max((row["capped_after"] for row in rows), default=0)
        same = f"A cap stops something for as many customers as before, at most {count(at_cap)} in one place."
        return same if at_cap else "No cap stops anything."
    most = max(moved, key=lambda row: abs(row["capped_after"] - row["capped_before"]))
    return (
        f"In {most['place']}, a cap stops something for {count(most['capped_after'])} customers instead of "
        f"{count(most['capped_before'])}."
    )


def _quiet(figures: Result) -> str:
    """Return that it is a quiet hour, as the simulation then shows little of messages."""
    quiet = sum(max(row["before"], row["after"]) for row in figures["withheld"] if row["gate"] == _QUIET)
    if quiet < figures["customers"] / 10:
        return ""
    return f" It is a quiet hour for {count(quiet)}, who get no messages: --as-of takes another hour."


def _fairness(figures: Result) -> str:
    rows = figures["fairness"]
    if not rows:
        return "No group can be compared: no protected feature is known of these customers."
    breached = [row for row in rows if _breached(row, "after")]
    new = [row for row in breached if not _breached(row, "before")]
    if not breached:
        return f"In {len(rows)} comparisons, no protected group is sold to much more or less often than the others."
    since = "as before" if not new else f"{len(new)} of them only after the change"
    return (
        f"In {len(breached)} of {len(rows)} comparisons, a protected group is sold to much more or less often than the "
        f"others, {since}: {'; '.join(group_name(row) for row in (new or breached)[:3])}."
    )


def _breached(row: Result, when: str) -> bool:
    guard = row[f"guard_{when}"]
    return guard is not None and guard["state"] == "breached"


def group_name(row: Result) -> str:
    """Return the name of a protected group, and of the goal for which it is sold something."""
    return f"{row['feature'].replace('_', ' ')} {row['group']}, {row['issue']}"


def eur(amount: float, *, sign: bool = False) -> str:
    """Return an amount in euros, with a plus before a gain if `sign`."""
    return f"+{euros(amount)}" if sign and amount > 0.0 else euros(amount)


def share(figure: Result) -> str:
    """Return a share with its interval, if it has one."""
    if figure["low"] is None:
        return percent(figure["value"])
    return between(figure["value"], figure["low"], figure["high"], "share")
