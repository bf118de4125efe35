"""Handovers that no agent takes in time: what becomes of them, what the customer is told, and what they may choose."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from decisioning.catalogue.calendars import Calendar
from decisioning.catalogue.files import Catalogue
from decisioning.catalogue.people.waiting import Choice
from decisioning.facts.handovers import HandoverState
from decisioning.facts.standing import Consent
from decisioning.times import EPOCH

CHOOSES: Final[frozenset[HandoverState]] = frozenset(("lapsed", "ticket"))
"""States in which the customer may choose something."""
MAX_LAPSES: Final = 3
"""How often the promised time may be over in a row before a handover that goes to and fro becomes a ticket."""
_US: Final = 1_000_000
_REFUSES: Final = frozenset(("refused", "withdrawn", "objected"))
_TICKET_TEXT: Final = {
    "je": "Een medewerker antwoordt je uiterlijk om {time}. Je nummer is {reference}. Je kunt ook kiezen:",
    "u": "Een medewerker antwoordt u uiterlijk om {time}. Uw nummer is {reference}. U kunt ook kiezen:",
    "en": "A colleague answers you by {time} at the latest. Your reference is {reference}. You can also choose:",
}
_LATE_TEXT: Final = {
    "je": "Er is nog geen medewerker vrij. Wij blijven het proberen; uiterlijk om {time} hoor je van ons. "
    "Je nummer is {reference}. Je kunt ook kiezen:",
    "u": "Er is nog geen medewerker vrij. Wij blijven het proberen; uiterlijk om {time} hoort u van ons. "
    "Uw nummer is {reference}. U kunt ook kiezen:",
    "en": "No colleague is free yet. We keep trying; you hear from us by {time} at the latest. "
    "Your reference is {reference}. You can also choose:",
}
_TEXTS: Final = {"lapsed": _LATE_TEXT, "ticket": _TICKET_TEXT}
_CHOICES: Final[Mapping[Choice, Mapping[str, str]]] = {
    "call_back": {"je": "Bel mij terug", "u": "Bel mij terug", "en": "Call me back"},
    "written": {"je": "Schrijf mij een antwoord", "u": "Schrijf mij een antwoord", "en": "Write me an answer"},
    "wait": {"je": "Ik wacht", "u": "Ik wacht", "en": "I will wait"},
}


def promise_us(catalogue: Catalogue, skill: str | None) -> int:
    """Return within which time a person is promised for this skill."""
    stated = catalogue.routing.skill(skill)
    promised_s = None if stated is None else stated.promise_s
    return round((promised_s or catalogue.settings.handover.promise_s) * _US)


def is_late(catalogue: Catalogue, about: Mapping[str, Any], state: str, waits_us: int, now_us: int) -> bool:
    """Tell whether the promised time of a handover that waits is over; one that is offered has the offer's time, too.

    :param about: the body of its first record
    """
    stands_s = catalogue.routing.offer_s if state == "offered" else 0.0
    return now_us >= waits_us + promise_us(catalogue, about.get("skill")) + round(stands_s * _US)


def after_promise(state: str, lapses: int, *, chose: bool) -> HandoverState:
    """Return what becomes of a handover whose time is over.

    :param chose: whether the customer chose to wait when it was over before
    """
    second = state == "lapsed" and not chose
    return "ticket" if second or lapses >= MAX_LAPSES else "lapsed"


def ticket_due_us(catalogue: Catalogue, about: Mapping[str, Any], now_us: int) -> int:
    """Return by when a ticket is answered: within the stated hours, and never later than the law or company asks."""
    stated_us = now_us + round(catalogue.settings.handover.ticket_h * 3600 * _US)
    return min(stated_us, about.get("due_us") or stated_us)


def calendars_for(catalogue: Catalogue, about: Mapping[str, Any], consents: Collection[Consent]) -> list[Calendar]:
    """Return the calendars in which the customer may be called back; none for who cannot hear or phone.

    :param consents: those of the customer; whoever refuses a channel is not called on it
    """
    if about.get("no_voice"):
        return []
    refused = {consent.channel for consent in consents if consent.status in _REFUSES}
    skill, media = about.get("skill"), {channel.id: channel.medium for channel in catalogue.channels}
    return [
        calendar
        for calendar in catalogue.calendars
        if refused.isdisjoint((calendar.channel, media.get(calendar.channel)))
        and (not calendar.skills or skill is None or skill in calendar.skills)
    ]


def choices_in(state: str, *, may_be_called: bool) -> tuple[Choice, ...]:
    """Return what the customer of a handover in this state may choose."""
    called: tuple[Choice, ...] = ("call_back",) if may_be_called and state in CHOOSES else ()
    return (*called, "written", "wait") if state == "lapsed" else called


def choices_text(
    catalogue: Catalogue,
    state: str,
    about: Mapping[str, Any],
    due_us: int,
    reference: str,
    consents: Collection[Consent],
) -> dict[str, Any]:
    """Return what the customer of a handover that lapsed is told: a text, and the choices that they have.

    A ticket leaves them a call-back, if they may be called; in all other states there is nothing to choose.
    """
    offered = choices_in(state, may_be_called=bool(calendars_for(catalogue, about, consents)))
    if not offered:
        return {}
    settings = catalogue.settings
    locale, words = _language(catalogue, about.get("language"))
    text = (settings.handover.text.get(locale) if state == "lapsed" else None) or _TEXTS[state][words]
    text = text.replace("{reference}", reference).replace("{time}", _clock(settings.time_zone, due_us))
    named = settings.handover.choices
    choices = [
        {"choice": choice, "text": named.get(choice, {}).get(locale) or _CHOICES[choice][words]} for choice in offered
    ]
    return {"choices_text": text, "choices": choices}


def _language(catalogue: Catalogue, language: str | None) -> tuple[str, str]:
    """Return the locale of the catalogue that is nearest to a language, and which of our texts it has."""
    locales = catalogue.settings.locales
    same = (locale for locale in locales if language and locale.split("-")[0] == language.split("-")[0])
    locale = language if language in locales else next(same, locales[0])
    return locale, catalogue.settings.address if locale.startswith("nl") else "en"


def _clock(zone: str, at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(zone)).strftime("%H:%M (%d-%m)")
