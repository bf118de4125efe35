"""What the desk shows of one conversation, as plain values: what to do, what not to do, and what is known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.standing import Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.spec import worded
from features.ledger import now_us
from serving.brain import explaining
from serving.brain.runtime import Brain
from serving.people.package import agents_channel, signals_shown

Json = dict[str, Any]
SUGGESTIONS: Final = 4
"""How many things to do are asked for: one to do now, and what comes next."""
_LATEST: Final = 8
_ANSWERED: Final = frozenset(("accepted", "declined", "maybe", "later", "overridden", "agreed"))
"""What an agent did about a suggestion after which it is not made again in the same conversation."""
_HIDING: Final = ("consent", "contest", "protection", "handover", "suppressed", "contact", "cap")
"""Kinds of gates that an agent is told of first: what the customer said, and what protects them."""


@dataclass(frozen=True, slots=True)
class Doing:
    """Something that the customer did, by its type, and how long ago in seconds."""

    kind: str
    ago_s: int


def suggestion_ask(release: Release, handover: Mapping[str, Any], number: str, locale: str) -> Ask | None:
    """Return the request for what an agent may suggest now; None if no channel of the release has a human.

    :param number: what changes as soon as the answer may change, so that looking again makes no new decision
    """
    name = agents_channel(release, handover["channel"])
    if name is None:
        return None
    placement = PlacementAsk(name=release.channels[name].placements[0], limit=SUGGESTIONS)
    return Ask(
        request_id=f"desk-{handover['handover_id']}-{number}-{locale}",
        locale=locale,
        customer_id=handover.get("customer_id"),
        visitor_id=handover.get("visitor_id"),
        account_id=handover.get("account_id"),
        channel=name,
        placements=(placement,),
        conversation_id=handover["conversation_id"],
    )


def number_of(brain: Brain, stream: str) -> str:
    """Return what changes whenever the customer did or said something, an outcome that rules ask for happened, or
    something was given away to them."""
    rules = brain.snapshot.release.standing_rules
    (standing,), (version,) = brain.ledger.read_with_signals(stream, rules=rules, now_us=now_us())
    happened = [outcome.at_us for of_action in standing.outcomes.values() for outcome in of_action]
    consents = sum(consent.record for consent in standing.consents)
    given = "".join(f"-{one.at_us}{'g' if one.given else 'h'}" for one in standing.concessions[-2:])
    return f"{version}-{len(happened)}-{max(happened, default=0)}-{consents}{given}"


def doings(brain: Brain, row: Any) -> list[Doing]:
    """Return what the customer of a handover did last, the newest first, as far as it may be shown."""
    now = now_us()
    shown = signals_shown(brain, row)[:_LATEST]
    return [Doing(signal.type, max(0, (now - signal.at_us) // 1_000_000)) for signal in shown]


def gates(brain: Brain, decision_id: str) -> list[Json]:
    """Return every candidate of a decision as it is explained to agents."""
    return explaining.candidates_for_agents(brain, decision_id)


def not_to_do(release: Release, candidates: Iterable[Json], locale: str) -> list[Json]:
    """Return what may not be offered now because the customer said so or is protected, the most telling first.

    Each has a title, and why in one sentence.
    """
    stopped = [c for c in candidates if c.get("gate") and c.get("text") and _order(c["gate"]) < len(_HIDING)]
    stopped.sort(key=lambda candidate: _order(candidate["gate"]))
    by_action: dict[str, Json] = {}
    for candidate in stopped:
        action = candidate["treatment"].partition(".")[0]
        by_action.setdefault(
            action, {"title": title_of(release, action, locale), "why": worded(candidate["text"], locale)}
        )
    return list(by_action.values())


def split(offers: Sequence[Json], done: Iterable[Mapping[str, Any]]) -> tuple[Json | None, list[Json]]:
    """Return what to do now, and what comes next, after what the agent did in this conversation."""
    answered = {act["action"] for act in done if act["did"] in _ANSWERED}
    chosen = [act["instead"] for act in done if "instead" in act]
    open_ones = [offer for offer in offers if offer["action"] not in answered]
    open_ones.sort(key=lambda offer: offer["action"] not in chosen[-1:])
    return (open_ones[0] if open_ones else None), open_ones[1:]


def _order(gate: str) -> int:
    kind = gate.partition(":")[0]
    return _HIDING.index(kind) if kind in _HIDING else len(_HIDING)


def title_of(release: Release, action: str, locale: str, *, by_people: bool = True) -> str:
    """Return what an action is called: its first text that names no fact, else its id.

    :param by_people: texts of channels on which a person speaks come first, else those that customers read themselves
    """
    treatments = release.actions[action].treatments if action in release.actions else ()
    human = {name for name, channel in release.channels.items() if channel.human}
    for treatment in sorted(treatments, key=lambda treatment: (treatment.channel in human) is not by_people):
        fields = treatment.content.get(locale) or next(iter(treatment.content.values()), {})
        title = fields.get("title") or fields.get("subject")
        if title and "{" not in title:
            return title
    return action.replace("-", " ")


def consents_of(release: Release, standing: Standing) -> Iterator[Json]:
    """Yield what the customer allows and refuses, as it stands, and what they may object to (`objects`)."""
    for consent in standing.consents:
        allowed = not consent.refuses
        yield {"purpose": consent.purpose, "channel": consent.channel, "allowed": allowed, "objects": False}
    stated = {consent.purpose for consent in standing.consents}
    interests = [basis.purpose for basis in release.catalogue.bases if basis.basis == "legitimate-interests"]
    for purpose in dict.fromkeys(interests):
        if purpose not in stated:
            yield {"purpose": purpose, "channel": "*", "allowed": True, "objects": True}


def not_granted(consents: Iterable[Json], purposes: Iterable[str]) -> list[str]:
    """Return the purposes, of some, that an agent may still ask for: not those which the customer allows everywhere."""
    rows = list(consents)
    refused = {row["purpose"] for row in rows if not row["allowed"]}
    everywhere = {row["purpose"] for row in rows if row["channel"] == "*" and row["allowed"]}
    return [purpose for purpose in purposes if purpose in refused or purpose not in everywhere]


def own_standing(brain: Brain, stream: str) -> Standing:
    """Return the standing of a handover's customer."""
    (standing,) = brain.ledger.read(stream, rules=NO_PAST)
    return standing
