"""The regression suite of a catalogue: invented customers, decided for without exploration."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from decisioning.catalogue.policies import Persona
from decisioning.catalogue.release import Release
from decisioning.deciding.arms import NBA
from decisioning.deciding.case import DecisionContext
from decisioning.deciding.engine import decide
from decisioning.deciding.record import Decision
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk, Scorer
from decisioning.facts.standing import Consent, Standing
from decisioning.records.formats import NEWEST, tables_for
from decisioning.records.wording_2 import DirectedWords


@dataclass(frozen=True)
class PersonaResult:
    """The outcome for one persona; `failures` in plain words, none if the outcome is as expected."""

    persona: str
    offered: tuple[str, ...]
    failures: tuple[str, ...]


def run(release: Release, score: Scorer, model: str, now_us: int) -> tuple[PersonaResult, ...]:
    """Run every persona of the release, in order of id, at its own `as_of` or else at `now_us`."""
    return tuple(_judge(p, release, score, model, now_us) for p in release.catalogue.personas)


def ask_of(persona: Persona) -> Ask:
    """Return the preview request that a persona stands for."""
    return Ask(
        request_id=f"persona-{persona.id}",
        customer_id=f"persona-{persona.id}",
        account_id=f"persona-{persona.id}" if persona.account else None,
        channel=persona.channel,
        locale=persona.locale,
        mode="preview",
        placements=tuple(PlacementAsk(name=p) for p in persona.placements),
    )


def known_of(persona: Persona, release: Release, now_us: int) -> Known:
    """Return a persona's facts, and its consents as given a moment ago for the notices of this release."""
    consents = tuple(
        Consent(
            purpose=c.purpose,
            channel=c.channel,
            status=c.status,
            source="persona",
            notice_version=release.purposes[c.purpose].notice_version,
            occurred_us=now_us - 1,
            expires_us=None,
            record=n,
        )
        for n, c in enumerate(persona.consents, 1)
    )
    account = Standing("account") if persona.account else None
    return Known(dict(persona.facts), Standing("persona", len(consents), consents), account)


def sentences(release: Release) -> dict[str, str]:
    """Return "persona, locale" -> the reasons that its facts would give, each as if it spoke for an offer.

    They are those of features that a model may read, and of those with a `because`.

    Empty for a release that tells reasons without directions.
    """
    words = tables_for(release, NEWEST).words
    if not isinstance(words, DirectedWords):
        return {}
    features = release.schema.features.values()
    reasons = {f.name for f in features if f.learnable or f.because is not None}
    return {
        f"{persona.id}, {locale}": " ".join(spoken)
        for persona in release.catalogue.personas
        for names in [[name for name in persona.facts if name in reasons]]
        for locale in release.catalogue.settings.locales
        if (spoken := [s for name in names if (s := words.spoken(name, "for", locale, persona.facts).sentence)])
    }


def _judge(persona: Persona, release: Release, score: Scorer, model: str, now_us: int) -> PersonaResult:
    at_us = now_us if persona.as_of_us is None else persona.as_of_us
    ask, known = ask_of(persona), known_of(persona, release, at_us)
    decision = decide(ask, known, release, score, DecisionContext(model, at_us, persona.id, gamma=math.inf))
    screened = screened_for(ask, known, release, now_us=at_us, arm=NBA)
    gates = {w.treatment.partition(".")[0]: w.gate for w in screened.withheld}
    offered = _offered(decision)
    return PersonaResult(persona.id, offered, tuple(_failures(persona, offered, gates)))


def _offered(decision: Decision) -> tuple[str, ...]:
    return tuple(o["action"] for p in decision.answer["placements"] for o in p["offers"])


def _failures(persona: Persona, offered: tuple[str, ...], gates: dict[str, str]) -> Iterator[str]:
    expect = persona.expect
    if expect.none and offered:
        yield f"expected nothing, got {', '.join(offered)}"
    if expect.action and (not offered or offered[0] != expect.action):
        yield f"expected {expect.action} first, got {', '.join(offered) or 'nothing'}"
    for action, gate in expect.withheld.items():
        stopped = gates.get(action)
        if stopped is None:
            yield f"expected {action} to be withheld by {gate}, but it passed"
        elif gate not in (stopped, stopped.partition(":")[2]):
            yield f"expected {action} to be withheld by {gate}, but {stopped} stopped it first"
