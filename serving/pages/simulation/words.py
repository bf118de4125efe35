"""The figures of a simulated change in a few sentences, for people who decide whether to release it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from serving.pages.languages import Language, texts_of
from serving.pages.wording import Wording

Result = Mapping[str, Any]
_QUIET = "contact:quiet-hours"
LITTLE_TRIED = 0.1
"""The share of the money from which on it is told that it rests on little."""
_PER = 1000
"""Money is told per this many customers."""
_FILE: Final = Path(__file__).with_name("words.yaml")


@cache
def simulation_wording(lang: Language) -> Wording:
    """Return the texts of a simulated change in a language."""
    return Wording(lang, texts_of(_FILE, lang))


def sentences(figures: Result, wording: Wording) -> dict[str, str]:
    """Return subject -> the sentence about it, in the order in which they are read."""
    return {
        "first offers": _moved(figures, wording),
        "help": _help(figures["help"], wording),
        "money": _money(figures, wording),
        "nothing": _nothing(figures, wording),
        "caps": _caps(figures, wording),
        "fairness": _fairness(figures["fairness"], wording),
        **({"handovers": _handovers(figures["handovers"], wording)} if "handovers" in figures else {}),
    }


def _handovers(people: Result, wording: Wording) -> str:
    """Return how many conversations a day would be handed to a person, and how many the agents hold at once."""
    if not people["conversations"]:
        return wording.text("handovers-unknown")
    before, after = (wording.number(people[side]["value"], 1) for side in ("before", "after"))
    held = map(wording.count, (people["agents"], people["at_once"]))
    agents = wording.text("agents", *held) if people["agents"] else wording.text("agents-none")
    period = wording.count(people["conversations"]), wording.number(people["days"], 1)
    return wording.text("handovers", *period, before, after, _a_day_more(people["change"], wording), agents)


def _a_day_more(change: Result, wording: Wording) -> str:
    """Return by how many a day it changes, with its interval over customers."""
    known = [wording.number(change[at], 1) for at in ("value", "low", "high") if change[at] is not None]
    return wording.text("a-day-more" if len(known) == 3 else "a-day-more-unsure", *known)


def _moved(figures: Result, wording: Wording) -> str:
    moved, of = figures["moved"], (wording.count(figures["customers"]), wording.named("who", figures["who"]))
    if not moved["customers"]:
        return wording.text("moved-none", *of, _at_most(moved["share"], wording))
    most, part = figures["flows"][0], share(moved["share"], wording)
    of_most = most["to"], most["from"], wording.count(most["customers"])
    text = wording.text("moved", wording.count(moved["customers"]), *of, part, *of_most)
    return text + (wording.text("by-chance", wording.count(moved["by_chance"])) if moved["by_chance"] else "")


def _at_most(part: Result, wording: Wording) -> str:
    return "" if part["high"] is None else wording.text("at-most", wording.percent(part["high"]))


def _help(helped: Result, wording: Wording) -> str:
    gain = wording.text("help-gained", wording.count(helped["gain"])) if helped["gain"] else ""
    if not helped["lose"]:
        return wording.text("help-kept") + gain
    most = helped["lost"][0]
    sale = wording.text("to-a-sale", wording.count(helped["to_a_sale"])) if helped["to_a_sale"] else ""
    of_most = most["help"], most["instead"], wording.count(most["customers"])
    return wording.text("help-lost", wording.count(helped["lose"]), sale, *of_most) + gain


def _money(figures: Result, wording: Wording) -> str:
    money, places = figures["money"], len(figures["places"])
    sides = (eur(_PER * money[f"{side}_eur"]["value"], wording) for side in ("before", "after"))
    each = wording.text("once") if places == 1 else wording.text("once-each", places)
    text = wording.text("money", wording.count(_PER), each, *sides, _change(figures, wording))
    if abs(money["revalued_eur"]["value"]) * _PER >= 1.0:
        names = ("other_offers_eur", "revalued_eur")
        text += wording.text("money-parts", *(eur(_PER * money[name]["value"], wording, sign=True) for name in names))
    if money["little_tried"] >= LITTLE_TRIED:
        text += wording.text("money-unsure", wording.percent(money["little_tried"], 0))
    return text


def _change(figures: Result, wording: Wording) -> str:
    interval = figures["money"]["change_eur"]
    known = [
        eur(_PER * (interval[name] or 0.0), wording, sign=True)
        for name in ("value", "low", "high")
        if name == "value" or interval[name] is not None
    ]
    if len(known) < 3:
        return wording.text("change-unsure", known[0], wording.count(figures["needed_customers"]))
    return wording.text("between", *known)


def _nothing(figures: Result, wording: Wording) -> str:
    nothing = figures["nothing"]
    return wording.text("nothing", *map(wording.count, (nothing["after"], figures["customers"], nothing["before"])))


def _caps(figures: Result, wording: Wording) -> str:
    contacts = figures["contacts"]
    names = ("week", "offers_before", "offers_after")
    counts = (wording.number(contacts[name]["value"], 1) for name in names)
    return wording.text("caps", _at_caps(figures["caps"], wording), *counts, _quiet(figures, wording))


def _at_caps(rows: Any, wording: Wording) -> str:
    moved = [row for row in rows if row["capped_before"] != row["capped_after"]]
    if not moved:
        at_cap = max((row["capped_after"] for row in rows), default=0)
        return wording.text("caps-same", wording.count(at_cap)) if at_cap else wording.text("caps-none")
    most = max(moved, key=lambda row: abs(row["capped_after"] - row["capped_before"]))
    counts = map(wording.count, (most["capped_after"], most["capped_before"]))
    return wording.text("caps-moved", most["place"], *counts)


def _quiet(figures: Result, wording: Wording) -> str:
    """Return that it is a quiet hour, as the simulation then shows little of messages."""
    quiet = sum(max(row["before"], row["after"]) for row in figures["withheld"] if row["gate"] == _QUIET)
    return "" if quiet < figures["customers"] / 10 else wording.text("quiet", wording.count(quiet))


def _fairness(rows: Any, wording: Wording) -> str:
    if not rows:
        return wording.text("fair-unknown")
    breached = [row for row in rows if _breached(row, "after")]
    new = [row for row in breached if not _breached(row, "before")]
    if not breached:
        return wording.text("fair", len(rows))
    since = wording.text("only-after", len(new)) if new else wording.text("as-before")
    groups = "; ".join(group_name(row, wording) for row in (new or breached)[:3])
    return wording.text("unfair", len(breached), len(rows), since, groups)


def _breached(row: Result, when: str) -> bool:
    guard = row[f"guard_{when}"]
    return guard is not None and guard["state"] == "breached"


def group_name(row: Result, wording: Wording) -> str:
    """Return the name of a protected group, and of the goal for which it is sold something."""
    return f"{row['feature'].replace('_', ' ')} {row['group']}, {wording.named('issue', row['issue'])}"


def eur(amount: float, wording: Wording, *, sign: bool = False) -> str:
    """Return an amount in euros, with a plus before a gain if `sign`."""
    return f"+{wording.euros(amount)}" if sign and amount > 0.0 else wording.euros(amount)


def share(figure: Result, wording: Wording) -> str:
    """Return a share with its interval, if it has one."""
    if figure["low"] is None:
        return wording.percent(figure["value"])
    return wording.between(figure["value"], figure["low"], figure["high"], "share")
