"""The fold of a stream: `apply` adds one record to the standing, apart from contacts and outcomes.

The fold is commutative in everything but `version` and `Consent.record`: each part of the standing is a function of
the set of records, never of their order. Consents, links and flags are maxima. `features.ledger.past` keeps contacts
and outcomes, and selects those that a standing holds; its module `counted` says when a record counts.

Bodies, by kind (JSON objects; `occurred_us` is a column of the record, not part of the body):

- `consent`: purpose, channel (`*` = all), status, source, notice_version; optional expires_us, asserted_by, who
- `decision`, `account_decision`: contacts, each the fields of `decisioning.facts.standing.Contact` (state is not read)
- `contact`: offer_id, state (`retracted` = none); optional outcome_id, gate (what kept it from being delivered),
  told_us (the time that was told, if it lay ahead), and `corrects`: an earlier state that does not hold, with its
  offer_id, state, occurred_us
- `outcome`: action, outcome (`retracted` = there was none); optional outcome_id, offer_id, value_eur, account (a
  stream), told_us, and `corrects`: the earlier outcome that does not hold, with its action, outcome, occurred_us,
  offer_id, value_eur
- `observation`: action (`none` = nothing was done), channel; optional observation_id, treatment, group, issue,
  outcomes (each outcome; optional value_eur, occurred_us)
- `flag`: restricted
- `link`, `unlink` (a person's): visitor (its stream), kind, source; optional stretch (its number, 0 if there is none;
  None = no stretch becomes the person's)
- `linked_to` (of a visitor's stretch, and of `stretches.ends_of` the visitor): person (their stream), linked
- `handover`: handover_id, step (from 0), state, conversation_id; optional agent, and what `ledger_handovers` lists
- `handover_note`: handover_id, by, and either a note or what an agent did at the desk: did, once, optional offer_id,
  action, reason, answers (of a doubt: the `once` of the maybe), and undoes (the `once` of what is undone)
- `concession`: offer_id, state; unless it is released action, group, issue, cents (what is given away), until_us (the
  end of what is held)
- `presence`, `assignment` (an agent's): see `decisioning.routing.work`
- `booking` (of a slot of a calendar): handover_id, booked
- `look` (of `records.looks_of` a subject): subject (its stream), who, role, what, purpose; optional case, and the id
  that was looked at under the name that requests give it, and decision_id of an explanation
- `access` (to a customer's own page): what (a link or a code that was made or used, a link that was revoked, or that
  they signed in), who
- `opinion` (of the customer on a decision): decision_id, right (whether it was), who
- `request` (of the customer, to people): number, about (what is asked for), state, due_us, who; optional decision_id,
  text, reviewer, answer, changed, and of what changed: reason, offered (an action that a person offers in place of the
  decision, and no more keeps from the customer) and excluded (an action that they keep from the customer from then on)
- `override`: what a person did about a suggestion: override_id, decision_id, action, verdict, who, role; optional
  offer_id, reason, instead, note, and undoes (the override_id of what is undone) with undone_us (when that was)
- `correction`: what a person says of a message: correction_id, event (its key), event_id, event_source, field, was, is,
  who, role; optional note, undoable_us (until when whoever said it may undo it), and undoes (the correction_id of what
  is undone). What is corrected or undone at the desk has handover_id in place of event_id and event_source
- `sale` (by voice): sale_id (its offer), step, offer_id, action, handover_id, once (its click), who, role; of one that
  is agreed said (what the agent told, by id) and texts (which version of it); optional until_us (until when the
  customer may withdraw), and undoes (the click that is undone)
- `tombstone`: empty
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Any, get_args

from decisioning.facts.concessions import after as concessions_after
from decisioning.facts.handovers import after as handovers_after
from decisioning.facts.sales import check_sale
from decisioning.facts.standing import (
    MAX_STRETCHES,
    NEVER_US,
    Consent,
    ConsentStatus,
    Contact,
    Exclusion,
    Holder,
    Link,
    LinkKind,
    RecordedOutcome,
    Standing,
)
from decisioning.routing.work import AgentWork, after_assignment, after_presence
from decisioning.times import TimeRule
from features.ledger.past.changes import ANTI, HORIZON_US, PAST_KINDS, Body, contact_order, outcome_order
from features.ledger.past.selection import Selection, Times

Changes = dict[str, Any]
"""Fields of the fold and their new values: one `replace` per record, on which an import spends most of its time."""
REQUEST = "request"
"""The kind of records of what a customer asks of people."""
CONCESSION = "concession"
"""The kind of records of what is given away to a customer, or held for them."""
SALE = "sale"
"""The kind of records of the steps of a sale that is made by voice."""
_FOREVER_US = 2**62
_STRICTNESS: dict[str, int] = {"granted": 0, "refused": 1, "withdrawn": 2, "objected": 3}
_LINK_KINDS: frozenset[str] = frozenset(get_args(LinkKind))
assert set(_STRICTNESS) == set(get_args(ConsentStatus))


@dataclass(frozen=True, slots=True)
class Fold(Standing):
    """A standing with what only the fold needs: newest time, time of the flag, and the selected times of outcomes.

    `work` is an agent's. `booked`: the handovers that a slot of a calendar was given to. Records of handovers, work,
    bookings and concessions state which version they follow, so that their fold may depend on the order.
    """

    latest_us: int = NEVER_US
    restricted_us: int = NEVER_US
    times: Times = field(default_factory=dict)
    work: AgentWork | None = None
    booked: tuple[str, ...] = ()


def apply(fold: Fold, kind: str, body: Body, version: int, counted_us: int) -> Fold:
    """Return the standing after one more record, its past unchanged; an erased stream stays empty, whatever follows.

    :param counted_us: when the record counts as having happened
    :raises KeyError, TypeError, ValueError: the kind is unknown or the body lacks what it needs
    """
    changes_of = None if kind == "tombstone" else _FOLDS[kind]
    if changes_of is None or fold.erased:
        return Fold(fold.stream, version, erased=True, rule=fold.rule)
    changes = changes_of(fold, body, version, counted_us)
    return replace(fold, version=version, latest_us=max(fold.latest_us, counted_us), **changes)


def _consent(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    consent = Consent(
        purpose=body["purpose"],
        channel=body["channel"],
        status=body["status"],
        source=body["source"],
        notice_version=body["notice_version"],
        occurred_us=occurred_us,
        expires_us=body.get("expires_us"),
        record=version,
        asserted_by=body.get("asserted_by"),
    )
    by_key = {(c.purpose, c.channel): c for c in fold.consents}
    key = (consent.purpose, consent.channel)
    by_key[key] = max(by_key.get(key, consent), consent, key=partial(_consent_order, fold.rule))
    return {"consents": tuple(by_key[k] for k in sorted(by_key))}


def _consent_order(rule: TimeRule, consent: Consent) -> tuple[int, int, int, str, str, str]:
    """Rank consents: the latest wins, a refusal ranking as the rule says.

    Of two of the same rank the stricter wins, then the one that expires sooner.
    """
    expires_us = _FOREVER_US if consent.expires_us is None else consent.expires_us
    strictness = _STRICTNESS[consent.status]
    words = (consent.source, consent.notice_version, consent.asserted_by or "")
    return rule.rank_us(consent.occurred_us, refuses=consent.refuses), strictness, -expires_us, *words


def _flag(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    new, current = (occurred_us, bool(body["restricted"])), (fold.restricted_us, fold.restricted)
    restricted_us, restricted = max(new, current)
    return {"restricted": restricted, "restricted_us": restricted_us}


def _link(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=True)


def _unlink(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return _add_link(fold, body, occurred_us, linked=False)


def _add_link(fold: Fold, body: Body, occurred_us: int, *, linked: bool) -> Changes:
    if body["kind"] not in _LINK_KINDS:
        raise ValueError("no such kind of identifier")
    number = body.get("stretch", 0)
    new = Link(body["visitor"], body["kind"], body["source"], occurred_us, linked, () if number is None else (number,))
    by_visitor = {link.visitor: link for link in fold.links}
    before = by_visitor.get(new.visitor, new)
    stretches = tuple(sorted({*before.stretches, *new.stretches})[-MAX_STRETCHES:])
    by_visitor[new.visitor] = replace(max(before, new, key=partial(link_order, fold.rule)), stretches=stretches)
    return {"links": tuple(by_visitor[visitor] for visitor in sorted(by_visitor))}


def link_order(rule: TimeRule, link: Link) -> tuple[int, bool, str, str]:
    """Rank statements about a link: the latest wins, one that unlinks ranking as a refusal."""
    return rule.rank_us(link.occurred_us, refuses=not link.linked), not link.linked, link.kind, link.source


def _linked_to(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    """Keep the last word about whose visitor it is; of two of the same time, the one that was recorded later."""
    if fold.holder is not None and fold.holder.occurred_us > occurred_us:
        return {}
    return {"holder": Holder(body["person"], occurred_us, bool(body["linked"]))}


def with_selection(fold: Fold, selection: Selection) -> Fold:
    """Return the fold with what decisions read of the past."""
    return replace(fold, contacts=selection.contacts, times=selection.times)


def with_whole_past(fold: Fold, contacts: Iterable[Contact], outcomes: Mapping[RecordedOutcome, int]) -> Fold:
    """Return the fold with all outcomes, and contacts up to the horizon; outcomes too if the rule keeps none for good.

    :param outcomes: how often each happened; below 0, so many corrections of it were recorded before it
    """
    if fold.erased:
        return fold
    since_us = fold.latest_us - HORIZON_US
    recent = sorted((c for c in contacts if c.at_us >= since_us), key=contact_order)
    by_action: dict[str, list[RecordedOutcome]] = {}
    for outcome, times in outcomes.items():
        if times and (fold.rule.for_good or outcome.at_us >= since_us):
            named = outcome if times > 0 else replace(outcome, outcome=ANTI + outcome.outcome)
            by_action.setdefault(outcome.action, []).extend([named] * abs(times))
    listed = {action: tuple(sorted(by_action[action], key=outcome_order)) for action in sorted(by_action)}
    return replace(fold, contacts=tuple(recent), outcomes=listed, times={})


def _nothing(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return {}


def _look(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    if not (body["subject"] and body["who"]):
        raise ValueError("a look says at whom it was taken, and who took it")
    return {}


def _request(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    if not (body["number"] and body["state"] and body["due_us"]):
        raise ValueError("a request has a number, a state and a date by which it is answered")
    said = ((body.get("offered"), False), (body.get("excluded"), True))
    new = [Exclusion(action, occurred_us, holds) for action, holds in said if action is not None]
    by_action = {one.action: one for one in fold.exclusions}
    for one in new:
        by_action[one.action] = max(by_action.get(one.action, one), one, key=attrgetter("at_us", "holds"))
    return {"exclusions": tuple(by_action[action] for action in sorted(by_action))} if new else {}


def _judgement(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    """Change nothing: what people say of decisions and messages decides nothing by itself."""
    if not (body["who"] and body["role"]):
        raise ValueError("it says who judged, and as what")
    return {}


def _sale(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    check_sale(body)
    return {}


def _handover(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return {"handovers": handovers_after(fold.handovers, body)}


def _concession(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return {"concessions": concessions_after(fold.concessions, body, occurred_us)}


def _presence(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return {"work": after_presence(fold.work or AgentWork(), body, occurred_us)}


def _assignment(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    return {"work": after_assignment(fold.work or AgentWork(), body, occurred_us)}


def _booking(fold: Fold, body: Body, version: int, occurred_us: int) -> Changes:
    others = {*fold.booked} - {body["handover_id"]}
    return {"booked": tuple(sorted({*others, body["handover_id"]} if body["booked"] else others))}


_FOLDS: dict[str, Callable[[Fold, Body, int, int], Changes]] = {
    "consent": _consent,
    **dict.fromkeys(PAST_KINDS, _nothing),
    "flag": _flag,
    "link": _link,
    "unlink": _unlink,
    "linked_to": _linked_to,
    "look": _look,
    "access": _nothing,
    "opinion": _nothing,
    REQUEST: _request,
    "override": _judgement,
    "correction": _judgement,
    "handover": _handover,
    "handover_note": _nothing,
    CONCESSION: _concession,
    SALE: _sale,
    "presence": _presence,
    "assignment": _assignment,
    "booking": _booking,
}
KINDS = frozenset(_FOLDS)
"""Every kind of record that can be appended. Only an erasure writes a tombstone."""
