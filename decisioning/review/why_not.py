"""Why a candidate was not chosen, in one sentence: what ranked above it, what the customer answered, or the gate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.deciding.record import Computation
from decisioning.deciding.screening import rule_is_unknown
from decisioning.facts.forms import Withheld
from decisioning.times import datetime_at

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "below": "Ranked below “{0}”.",
        "by chance": "Chance chose “{0}” this time.",
        "same": "Shown already in another form.",
        "nothing": "Showing nothing was worth more.",
        "nothing by chance": "Chance chose to show nothing this time.",
        "silenced": "Nothing is sold at this moment.",
        "no room": "There was no room for it.",
        "no": "You said no in {0}.",
        "yes": "You said yes in {0}.",
        "answered": "It is not offered again yet.",
        "account_id": "The request names no account.",
        "issues": "The request is about something else.",
        "person": "It needs a person to talk to.",
        "negotiation": "It is not what is negotiated about.",
        "gate": "Not offered: {0}.",
        "gate unknown": "Not offered, as it is not known whether this is so: {0}.",
        "not shown": "{0} Not shown: the customer asked so.",
    },
    "nl": {
        "below": "Stond lager dan “{0}”.",
        "by chance": "Het toeval koos deze keer “{0}”.",
        "same": "Staat er al in een andere vorm.",
        "nothing": "Niets tonen was meer waard.",
        "nothing by chance": "Het toeval koos deze keer om niets te tonen.",
        "silenced": "Op dit moment wordt er niets verkocht.",
        "no room": "Er was geen plaats voor.",
        "no": "Het antwoord in {0} was nee.",
        "yes": "Het antwoord in {0} was ja.",
        "answered": "Het wordt nog niet opnieuw aangeboden.",
        "account_id": "De aanvraag noemt geen account.",
        "issues": "De aanvraag gaat over iets anders.",
        "person": "Daarvoor is een gesprek met een mens nodig.",
        "negotiation": "Daar wordt niet over onderhandeld.",
        "gate": "Niet aangeboden: {0}.",
        "gate unknown": "Niet aangeboden, omdat niet bekend is of dit zo is: {0}.",
        "not shown": "{0} Niet getoond: de klant vroeg daarom.",
    },
}
_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
_OF_THE_REQUEST: Final = {
    "action:account": "account_id",
    "request:issues": "issues",
    "request:negotiation": "negotiation",
    "action:automation": "person",
}
"""Gate -> the sentence for it."""


def why_withheld(
    computed: Computation, withheld: Withheld, locale: str, in_words: Callable[[Release, str, str], str]
) -> str:
    """Return why a candidate did not pass; where its gate reads what may not be read, that it is not shown.

    :param in_words: release, gate and locale -> the gate in words
    """
    words, gate = _WORDS[locale], withheld.gate
    if gate in _OF_THE_REQUEST:
        return words[_OF_THE_REQUEST[gate]]
    kind, _, outcome = gate.partition(":")
    if kind == "suppressed":
        return _answered(computed, withheld.treatment.partition(".")[0], outcome, locale)
    form = "gate unknown" if rule_is_unknown(withheld) else "gate"
    text = words[form].format(in_words(computed.release, gate, locale))
    reads_nothing_hidden = computed.case.unreadable.isdisjoint(withheld.facts)
    return text if reads_nothing_hidden else words["not shown"].format(text)


def _answered(computed: Computation, action: str, outcome: str, locale: str) -> str:
    """Return what the customer answered, and when; on an account or another device, somebody else may have."""
    words, declared = _WORDS[locale], computed.release.actions[action]
    person = computed.case.known.person
    own = [of.at_us for of in person.outcomes.get(action, ()) if of.outcome == outcome]
    said = "yes" if outcome in declared.outcomes.positive else "no" if outcome == "declined" else "answered"
    if not own or said == "answered" or declared.scope == "account":
        return words["answered"]
    return words[said].format(_month(max(own), computed.case.now_us, locale))


def _month(at_us: int, now_us: int, locale: str) -> str:
    """Return a month by its name, with its year if it is another than now's."""
    at, now = (datetime_at(us) for us in (at_us, now_us))
    name = _MONTHS[locale].split()[at.month - 1]
    return name if at.year == now.year else f"{name} {at.year}"


def why_not_chosen(
    computed: Computation, i: int, placed: Sequence[Mapping[str, Any]], locale: str, title: Callable[[int], str]
) -> str:
    """Return why candidate `i` of the view, which passed, was not chosen.

    :param placed: the placements of the answer
    :param title: candidate -> its name for readers
    """
    words, view = _WORDS[locale], computed.view
    if any(offer["action"] == view.actions[i].id for placement in placed for offer in placement["offers"]):
        return words["same"]
    if computed.mood.silence_sales and view.actions[i].commercial:
        return words["silenced"]
    here = [placement for placement in placed if view.placements[placement["name"]].mask[i]]
    first = next((offer for placement in here for offer in placement["offers"]), None)
    if first is None:
        return words[_why_nothing({placement["empty_reason"] for placement in here})]
    row = view.ids.index(first["treatment"])
    if _rank(computed, row) >= _rank(computed, i):
        return words["below"].format(title(row))
    return words["no room"] if first["probability"] == 1.0 else words["by chance"].format(title(row))


def _why_nothing(why: set[str]) -> str:
    """Return the key of the sentence for a candidate where nothing is shown for these reasons."""
    if "explored_nothing" in why:
        return "nothing by chance"
    return "no room" if "no_room" in why else "nothing"


def _rank(computed: Computation, i: int) -> tuple[int, float]:
    """Return the tier, the highest first, and the priority of a candidate that was scored."""
    return -int(computed.view.tier[i]), float(computed.ranking.field.priority[i])
