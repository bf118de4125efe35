"""A decision in plain words, Dutch and English: what was decided and why, what stopped the rest, what would change."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from decisioning.catalogue.policies import Cap
from decisioning.catalogue.release import Release
from decisioning.deciding.record import Computation, reasons_for
from decisioning.facts.schema import Value, worded
from decisioning.records.audiences import Audience, on_request
from decisioning.records.formats import NEWEST, tables_for
from decisioning.review.counterfactual import Change, Counterfactual
from decisioning.review.hints import hints
from decisioning.review.why_not import why_not_chosen, why_withheld

LOCALES = ("nl", "en")
MAX_GATES = 4

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "decided": "Decided on {0}.",
        "offer": "In “{0}” came “{1}”.",
        "nothing": "Nothing is shown in “{0}”.",
        "why": "Why: {0}",
        "withheld": "{0} other possibilities were left out: {1}.",
        "not shown": "Not shown, as the customer asked so: what was collected for {0}.",
        "withheld one": "One other possibility was left out: {1}.",
        "changed": "Had {0}, then {1}.",
        "unchanged": "Nothing was found that you could change for another outcome.",
        "first": "“{0}” would have come first",
        "no first": "nothing would have been offered",
        "rule": "a rule of the company",
        "strong": "strongly",
        "moderate": "clearly",
        "weak": "slightly",
        "and": " and ",
        "fact": "{0} been {1} instead of {2}",
        "given": "you allowed {0}",
        "withdrawn": "you not allowed {0}",
        "true": "yes",
        "false": "no",
        "consent": "no permission for {0}",
        "action": "not now, or not here",
        "subject": "your data is not used",
        "cap": "shown as often as it may be",
        "cap in days": "shown as often as it may be ({0} in any {1} days)",
        "cap per day": "shown as often as it may be in a day ({0})",
        "cap per week": "shown as often as it may be in a week ({0})",
        "cap per month": "shown as often as it may be in a month ({0})",
        "suppressed": "you answered it before",
        "contact": "it is late where you are",
        "contest": "a person decided so, as you asked",
        "placeholder": "a fact that the text needs is not known",
        "claim": "the text would claim what is not so",
        "arm": "one group is offered nothing, to compare with",
        "budget": "there is no room for it in what may be given",
    },
    "nl": {
        "decided": "Besloten op {0}.",
        "offer": "Op “{0}” kwam “{1}”.",
        "nothing": "Op “{0}” staat niets.",
        "why": "Waarom: {0}",
        "withheld": "{0} andere mogelijkheden vielen af: {1}.",
        "not shown": "Niet getoond, want de klant vroeg daarom: wat is verzameld voor {0}.",
        "withheld one": "Eén andere mogelijkheid viel af: {1}.",
        "changed": "Als {0}, dan {1}.",
        "unchanged": "Er is niets te veranderen gevonden dat tot een andere uitkomst leidt.",
        "first": "was “{0}” als eerste gekomen",
        "no first": "was er niets aangeboden",
        "rule": "een regel van het bedrijf",
        "strong": "sterk",
        "moderate": "duidelijk",
        "weak": "licht",
        "and": " en ",
        "fact": "{0} {1} was geweest in plaats van {2}",
        "given": "er toestemming was geweest voor {0}",
        "withdrawn": "er geen toestemming was geweest voor {0}",
        "true": "ja",
        "false": "nee",
        "consent": "geen toestemming voor {0}",
        "action": "niet nu, of niet hier",
        "subject": "de gegevens worden niet gebruikt",
        "cap": "al zo vaak getoond als mag",
        "cap in days": "al zo vaak getoond als mag ({0} in {1} dagen)",
        "cap per day": "al zo vaak getoond als op een dag mag ({0})",
        "cap per week": "al zo vaak getoond als in een week mag ({0})",
        "cap per month": "al zo vaak getoond als in een maand mag ({0})",
        "suppressed": "er is al op geantwoord",
        "contact": "het is daar nu te laat voor een bericht",
        "contest": "een mens heeft dat besloten, omdat de klant daarom vroeg",
        "placeholder": "een gegeven dat de tekst nodig heeft is niet bekend",
        "claim": "de tekst zou iets beweren dat niet zo is",
        "arm": "een groep krijgt ter vergelijking niets aangeboden",
        "budget": "er is geen ruimte voor binnen wat gegeven mag worden",
    },
}


def narrative(
    computed: Computation,
    answer: Mapping[str, list[dict[str, object]]],
    instead: Counterfactual | None,
    audience: Audience = "company",
) -> dict[str, str]:
    """Return locale -> the story for an audience; `answer` is what was given, `instead` what would have changed it."""
    return {locale: " ".join(_sentences(computed, answer, instead, locale, audience)) for locale in LOCALES}


def whys_not(computed: Computation, placed: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return treatment -> locale -> why it was not chosen, of every candidate that `placed`, the answer, leaves out."""
    shown = {offer["treatment"] for placement in placed for offer in placement["offers"]}
    texts = {
        withheld.treatment: {locale: why_withheld(computed, withheld, locale, gate_in_words) for locale in LOCALES}
        for withheld in computed.screened.withheld
    }
    for i in computed.screened.rows.tolist():
        if (treatment := computed.view.ids[i]) not in shown:
            texts[treatment] = {
                locale: why_not_chosen(computed, i, placed, locale, partial(title_of, computed, locale=locale))
                for locale in LOCALES
            }
    return texts


def _sentences(
    computed: Computation,
    answer: Mapping[str, list[dict[str, object]]],
    instead: Counterfactual | None,
    locale: str,
    audience: Audience,
) -> Iterator[str]:
    texts = _WORDS[locale]
    yield texts["decided"].format(
        datetime.fromtimestamp(computed.case.now_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    )
    for placed in answer["placements"]:
        offers = placed["offers"]
        if not isinstance(offers, list) or not offers:
            yield texts["nothing"].format(placed["name"])
            continue
        for offer in offers:
            yield from _offer(computed, str(placed["name"]), str(offer["treatment"]), locale, audience)
    if left_out := what_was_left_out(computed, locale):
        yield left_out
    if refused := sorted(computed.case.refused):
        names = texts["and"].join(_purpose(computed.release, name, locale) for name in refused)
        yield texts["not shown"].format(names)
    for hint in hints(computed.release, computed.case.ask, locale):
        yield str(hint["text"])
    yield _what_instead(computed, instead, locale)


def _offer(computed: Computation, placement: str, treatment: str, locale: str, audience: Audience) -> Iterator[str]:
    i = computed.view.ids.index(treatment)
    yield _WORDS[locale]["offer"].format(placement, title_of(computed, i, locale))
    if reasons := what_counted(computed, treatment, locale, audience):
        yield _WORDS[locale]["why"].format(" ".join(reasons))


def what_counted(computed: Computation, treatment: str, locale: str, audience: Audience) -> list[str]:
    """Return the sentences that say to an audience, on its request, what counted for a treatment that was chosen."""
    i = computed.view.ids.index(treatment)
    row = computed.screened.rows.tolist().index(i)
    reasons = [reason for reason in reasons_for(computed, i, row, locale) if on_request(audience, reason)]
    return [_spoken(reason, locale, audience) for reason in reasons]


def _spoken(reason: Mapping[str, Any], locale: str, audience: Audience) -> str:
    """Return a reason's sentence; for an agent with its strength, and for the company with its figure."""
    text = str(reason["text"])
    if audience == "customer" or "strength" not in reason:
        return text
    figure, of_model = reason["figure"], reason["code"].startswith("propensity")
    size = (
        _WORDS[locale][reason["strength"]] if audience == "agent" else f"{figure:+.1f}" if of_model else f"×{figure:g}"
    )
    return f"{text.removesuffix('.')} ({size.replace('.', ',') if locale == 'nl' else size})."


def title_of(computed: Computation, i: int, locale: str) -> str:
    """Return the first line of a treatment as it would read, or the action's name if its text is kept elsewhere."""
    view = computed.view
    content, _ = tables_for(computed.release, NEWEST).words.content(view.ids[i], None, locale, computed.facts)
    return next(iter(content.values()), view.actions[i].id.replace("-", " "))


def what_was_left_out(computed: Computation, locale: str) -> str:
    """Return the sentence that says how many other possibilities were left out, and why; empty if none was."""
    if not computed.screened.withheld:
        return ""
    gates = Counter(w.gate for w in computed.screened.withheld)
    most = sorted(gates, key=lambda gate: (-gates[gate], gate))[:MAX_GATES]
    reasons = "; ".join(f"{gate_in_words(computed.release, gate, locale)} ({gates[gate]})" for gate in most)
    text = _WORDS[locale]["withheld" if gates.total() > 1 else "withheld one"]
    return text.format(gates.total(), reasons)


def gate_in_words(release: Release, gate: str, locale: str) -> str:
    """Return a gate's description in the catalogue, else what its kind means."""
    kind, _, name = gate.partition(":")
    catalogue = release.catalogue
    if kind == "consent":
        return _WORDS[locale]["consent"].format(_purpose(release, name, locale))
    if kind == "budget":
        return _WORDS[locale]["budget"]
    if kind == "cap":
        return _cap(next((c for c in catalogue.caps if c.id == name), None), locale)
    described = {
        "protection": {p.id: p.description for p in catalogue.protections},
    }.get(kind, {p.id: p.description for p in catalogue.policies})
    if (description := described.get(name)) is not None:
        return worded(description, locale) or _WORDS[locale]["rule"]
    return _WORDS[locale].get(kind, _WORDS[locale]["rule"])


def _cap(cap: Cap | None, locale: str) -> str:
    """Return a cap's description, else how often it allows contacts, and in which period."""
    texts = _WORDS[locale]
    if cap is None:
        return texts["cap"]
    allowed = (
        texts[f"cap per {cap.per}"].format(cap.limit)
        if cap.per
        else texts["cap in days"].format(cap.limit, f"{cap.window_days:g}")
    )
    return worded(cap.description, locale) or allowed


def _purpose(release: Release, name: str, locale: str) -> str:
    purpose = release.purposes.get(name)
    return (worded(purpose.description, locale) if purpose else "") or name


def _what_instead(computed: Computation, instead: Counterfactual | None, locale: str) -> str:
    texts = _WORDS[locale]
    if instead is None:
        return texts["unchanged"]
    changes = texts["and"].join(_change(computed.release, change, locale) for change in instead.changes)
    becomes = (
        texts["no first"]
        if instead.becomes is None
        else texts["first"].format(_action(computed, instead.becomes, locale))
    )
    return texts["changed"].format(changes, becomes)


def _change(release: Release, change: Change, locale: str) -> str:
    texts = _WORDS[locale]
    if change.consent:
        return texts["given" if change.becomes else "withdrawn"].format(_purpose(release, change.name, locale))
    name = worded(release.schema[change.name].description, locale) or change.name.replace("_", " ")
    return texts["fact"].format(name, _value(change.becomes, locale), _value(change.was, locale))


def _value(value: Value | None, locale: str) -> str:
    if isinstance(value, bool):
        return _WORDS[locale][str(value).lower()]
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _action(computed: Computation, action: str, locale: str) -> str:
    candidates = computed.view.rows_by_action.get(action)
    return action.replace("-", " ") if not candidates else title_of(computed, candidates[0], locale)
