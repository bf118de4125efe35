"""Consents at the desk: a no is one click; a yes needs its steps, for one purpose on one channel."""

from functools import partial
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.errors import RequestError, WrongState
from features.handovers.slots import last_step
from serving.brain.runtime import Brain
from serving.contract import ConsentIn
from serving.customers.recording import record_consent
from serving.customers.rights.notices import notices
from serving.pages.desk.acts import once_of, parsed
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.people import handovers

Json = dict[str, Any]
_NO: Final = ("withdrawn", "objected")


def is_outbound_call(brain: Brain, handover_id: str) -> bool:
    """Tell whether the company called the customer, or may have: a spoken channel that is not known as inbound."""
    release, row = brain.snapshot.release, handovers.row_of(brain, handover_id)
    channel = handovers.as_json(row)["channel"]
    if any("slot" in last_step(brain.ledger, handover_id, step) for step in range(1, row.step + 1)):
        return True
    declared = release.channels.get(channel)
    if declared is not None:
        return bool(declared.direction == "outbound")
    return channel in release.catalogue.routing.voice


def is_phone(release: Release, channel: str) -> bool:
    """Tell whether a channel is the telephone."""
    declared = release.channels.get(channel)
    return channel == "phone" or (declared is not None and declared.medium == "phone")


async def stop_purpose(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that the customer withdraws a consent or objects, as they said to the agent."""
    status, channel = fields.get("status", "withdrawn"), fields.get("channel", "*")
    if status not in _NO:
        raise RequestError("status", "choose to withdraw or to object")
    about = {"purpose": fields.get("purpose", ""), "status": status}
    await _record(desk, visitor, handover_id, **about, channel=None if channel == "*" else channel)
    return f"{DESK}/{handover_id}?done=stopped"


async def grant_purpose(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Record that the customer said yes to a text that was read to them.

    :raises RequestError: a step is missing: the text was not read, it is another text, or no channel is named
    :raises WrongState: the company calls the customer, and the consent is for calls
    """
    release, channel = desk.brain.snapshot.release, fields.get("channel", "")
    once_of(fields)
    notice = next((n for n in notices(release, "en") if n["id"] == fields.get("purpose")), None)
    if notice is None:
        raise RequestError("purpose", "there is no text to read aloud for it; the catalogue's purpose needs one")
    if channel not in release.channels:
        raise RequestError("channel", "name one channel: a consent is for one purpose on one channel")
    if fields.get("read") != notice["version"]:
        raise RequestError("read", "read the text to the customer first, and tick that you did")
    if fields.get("said") not in ("yes", "no"):
        raise RequestError("said", "say what the customer answered")
    is_outbound = await desk.brain.pools.short.run(is_outbound_call, desk.brain, handover_id)
    if is_outbound and is_phone(release, channel):
        raise WrongState("channel", "consent for calls cannot be asked in a call that the company made")
    status = "granted" if fields["said"] == "yes" else "refused"
    about = {"purpose": notice["id"], "status": status, "notice_version": notice["version"]}
    await _record(desk, visitor, handover_id, **about, channel=channel)
    sends = status == "granted" and release.catalogue.settings.handover.confirm_consents
    return f"{DESK}/{handover_id}?done={status}-consent{'-sent' if sends else ''}"


async def _record(desk: Desk, visitor: Visitor, handover_id: str, **stated: Any) -> None:
    shown = await desk.brain.pools.short.run(handovers.show, desk.brain, handover_id)
    whose = {name: shown[name] for name in ("customer_id", "visitor_id") if name in shown}
    statement = parsed(ConsentIn, **whose, **stated, source=f"conversation:{handover_id}")
    work = partial(record_consent, who=visitor.agent)
    await desk.brain.pools.consents.run_async(work, desk.brain, statement)
