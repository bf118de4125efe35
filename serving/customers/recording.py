"""Record consents and profile facts; show what is known of a customer."""

from typing import Any

from decisioning.deciding.case import undrawn_case
from decisioning.errors import Erased, OutOfScope, RequestError
from decisioning.facts.forms import Ask, PlacementAsk
from decisioning.facts.standing import Consent, Link, Standing
from decisioning.facts.standing_rules import NO_PAST
from decisioning.times import iso
from features.ledger import Entry, now_us
from features.ledger.past.changes import ANTI
from features.signals.visitor_records import append_for_visitor
from serving.access.callers import Maker, marked
from serving.brain.runtime import Brain
from serving.contract import ConsentIn, ProfilePatch, told_time
from serving.customers import erasing
from serving.customers.items import ItemResult
from serving.customers.undoing import restored
from serving.problems import ERASED, field_name

MAX_LISTED = 200


async def record_consent(
    brain: Brain, consent: ConsentIn, *, by: Maker | None = None, who: str | None = None
) -> ItemResult:
    """Append what a customer or visitor states; once this returns, it binds every later decision on every replica.

    :param by: what tells it, if no person does; the record says so
    :param who: who says it, if they did it here by themselves; the record says so
    :raises OutOfScope: a program tells of a grant
    :raises RequestError: the release does not have the purpose or channel
    :raises WrongState: it undoes what cannot be undone any more
    :raises Erased: the customer or visitor was erased
    """
    if by is not None and consent.status == "granted":
        raise OutOfScope("status", f"a {by} may refuse, withdraw and object for a customer, and never grant")
    purposes, channels = brain.snapshot.release.purposes, brain.snapshot.release.channels
    if consent.purpose not in purposes:
        raise RequestError("purpose", f"no such purpose; known are {', '.join(purposes)}")
    if consent.channel is not None and consent.channel not in channels:
        raise RequestError("channel", f"no such channel; known are {', '.join(channels)}")
    stream = brain.subject_stream(consent.customer_id, consent.visitor_id)
    told_us = told_time(consent.occurred_at, "occurred_at")
    stated = consent.body() if consent.undoes is None else restored(brain, consent, stream)
    body = {**stated, **marked(by), **({} if who is None else {"who": who})}
    try:
        if consent.visitor_id is None:
            await brain.ledger.commit([Entry(stream, "consent", body, told_us)])
        else:
            await append_for_visitor(brain.ledger, stream, "consent", body, told_us)
    except Erased:
        raise Erased("customer_id" if consent.customer_id is not None else "visitor_id", ERASED.about) from None
    return ItemResult("recorded")


async def patch_customer(brain: Brain, customer_id: str, patch: ProfilePatch) -> dict[str, Any]:
    """Set facts of the profile, and the restriction if the patch names it; the next decision sees them.

    It reads and writes files, so it does not belong on the event loop of requests.

    Raises Erased if the customer was erased, RequestError for a fact that the profile cannot hold.
    """
    stream = brain.subject_stream(customer_id)
    if brain.ledger.read(stream, rules=NO_PAST)[0].erased:
        raise Erased("customer_id", ERASED.about)
    schema, told_us = brain.snapshot.release.schema, told_time(patch.as_of, "as_of")
    for name in patch.facts:
        if name not in schema or schema[name].source != "profile":
            raise RequestError(f"facts.{field_name(name)}", "no profile feature of this name")
    try:
        brain.snapshot.profiles.write(stream, patch.facts, told_us, now_us=now_us())
    except RequestError as error:
        raise RequestError(f"facts.{error.field}", str(error).partition(": ")[2]) from None
    if patch.restricted is not None:
        await erasing.restrict(brain, "person", customer_id, restricted=patch.restricted)
    return {"customer_id": customer_id, "updated": sorted(patch.facts)}


def customer(brain: Brain, customer_id: str) -> dict[str, Any]:
    """Return what is known of a customer now."""
    stream = brain.subject_stream(customer_id)
    standing = brain.ledger.read(stream)[0]
    stored = brain.snapshot.profiles.read([stream], now_us=now_us())[0]
    facts = {} if standing.erased else dict(sorted(stored.facts.items()))  # which are deleted after the tombstone
    hidden = _not_shown(brain, customer_id)
    shown = {name: value for name, value in facts.items() if name not in hidden}
    more = {"not_shown": sorted(hidden)} if hidden and not standing.erased else {}
    return {"customer_id": customer_id, "facts": shown, **more, **standing_json(standing)}


def _not_shown(brain: Brain, customer_id: str) -> frozenset[str]:
    """Return the features that are not shown: their purpose is not permitted on every channel on which a person is.

    Where the company has no such channel, every channel counts.
    """
    snapshot, at_us = brain.snapshot, now_us()
    release = snapshot.release
    if not release.collecting_purposes:
        return frozenset()
    channels = [c.id for c in release.catalogue.channels if c.human] or list(release.channels)
    placements = (PlacementAsk(name="a look"),)
    asks = [
        Ask(request_id="look", customer_id=customer_id, channel=c, mode="preview", placements=placements)
        for c in channels
    ]
    known = brain.known(asks[0], snapshot, at_us)
    return frozenset[str]().union(*(undrawn_case(ask, known, release, at_us).unreadable for ask in asks))


def account(brain: Brain, account_id: str) -> dict[str, Any]:
    """Return what is known of an account now: what its people were shown, and did, for actions of account scope."""
    standing = brain.ledger.read(brain.ledger.stream_of("account", account_id))[0]
    return {"account_id": account_id, **standing_json(standing)}


def standing_json(standing: Standing) -> dict[str, Any]:
    """Return a standing as JSON types, with the last MAX_LISTED contacts and outcomes per action."""
    return {
        "erased": standing.erased,
        "restricted": standing.restricted,
        "consents": [_consent_json(consent) for consent in standing.consents],
        "links": [_link_json(link) for link in standing.links],
        "contacts": [
            {"offer_id": c.offer_id, "action": c.action, "channel": c.channel, "at": iso(c.at_us), "state": c.state}
            for c in standing.contacts[-MAX_LISTED:]
        ],
        "outcomes": [
            {"action": o.action, "outcome": o.outcome, "at": iso(o.at_us)}
            for history in standing.outcomes.values()
            for o in history[-MAX_LISTED:]
            if not o.outcome.startswith(ANTI)
        ],
    }


def _consent_json(consent: Consent) -> dict[str, Any]:
    return {
        "purpose": consent.purpose,
        "channel": consent.channel,
        "status": consent.status,
        "source": consent.source,
        "notice_version": consent.notice_version,
        "occurred_at": iso(consent.occurred_us),
        "expires_at": iso(consent.expires_us) if consent.expires_us is not None else None,
    }


def _link_json(link: Link) -> dict[str, Any]:
    return {
        "visitor": link.visitor,
        "kind": link.kind,
        "status": "linked" if link.linked else "unlinked",
        "source": link.source,
        "occurred_at": iso(link.occurred_us),
    }
