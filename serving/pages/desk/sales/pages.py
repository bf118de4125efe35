"""Sales by voice at the desk: agreed once all that must be said was ticked, confirmed, withdrawn in time."""

from typing import Any, Final

from decisioning.catalogue.people.selling import version_of
from decisioning.catalogue.release import Release
from decisioning.errors import RequestError
from decisioning.facts.sales import STEPS
from decisioning.spec import worded
from features.handovers.slots import last_step
from serving.brain.runtime import Brain
from serving.pages.desk.acts import once_of
from serving.pages.desk.consents import is_phone
from serving.pages.desk.sales import steps as sales
from serving.pages.desk.sales.steps import Click, Ticks
from serving.pages.desk.site import DESK, Desk, Visitor
from serving.pages.desk.view import title_of
from serving.pages.desk.words import day, words
from serving.pages.languages import Language
from serving.people import handovers

Json = dict[str, Any]
_TICK: Final = "said-"
"""How the name of the field begins that says that something was told."""


def is_spoken(brain: Brain, row: Any) -> bool:
    """Tell whether the agent speaks with the customer: on a spoken channel, or in a call-back."""
    release, channel = brain.snapshot.release, handovers.as_json(row)["channel"]
    if channel in release.catalogue.routing.voice or is_phone(release, channel):
        return True
    return any("slot" in last_step(brain.ledger, row.id, step) for step in range(1, row.step + 1))


def check_answer(brain: Brain, row: Any, offer_id: str) -> None:
    """Raise RequestError if a customer's yes to an offer has steps in this conversation, NotFound if there is none."""
    if is_spoken(brain, row) and sales.must_say(brain.snapshot.release, sales.offered(brain, offer_id, row.id)[1].id):
        raise RequestError("outcome", "tell the customer first what must be said: a sale by voice has steps")


def selling(release: Release, offer: Json | None, lang: Language) -> Json | None:
    """Return what must be said before the customer agrees to an offer, None if there is no such offer."""
    texts = () if offer is None else sales.must_say(release, offer["action"])
    if offer is None or not texts:
        return None
    rules = sales.rules_of(release)
    price = offer["price"] or words(lang)["price-none"]
    days = "" if rules is None else f"{rules.cooling_off_days:g}"
    lines = [(one.id, worded(one.text, lang).replace("{price}", price).replace("{days}", days)) for one in texts]
    return {**offer, "lines": lines, "texts": version_of(texts)}


def sold(brain: Brain, stream: str, lang: Language) -> list[Json]:
    """Return the sales of a customer with their titles, and until when each may be withdrawn as people say it."""
    release = brain.snapshot.release
    zone = release.catalogue.settings.time_zone
    each = sales.sales_of(brain, stream)
    until = [one["until"] and day(one["until"], lang, zone) for one in each]
    return [
        {**one, "title": title_of(release, one["action"], lang), "until": u} for one, u in zip(each, until, strict=True)
    ]


async def sell(desk: Desk, visitor: Visitor, handover_id: str, fields: dict[str, str]) -> str:
    """Let a sale go on by a step that the customer takes."""
    step, sale_id, once = fields.get("step", ""), fields.get("offer_id", ""), once_of(fields)
    if step not in STEPS:
        raise RequestError("step", f"choose one of {', '.join(STEPS)}")
    said = tuple(name.removeprefix(_TICK) for name, value in fields.items() if name.startswith(_TICK) and value)
    ticks, click = Ticks(said, fields.get("texts", "")), Click(handover_id, once, visitor.doer)
    work = (sales.take_step, desk.brain, sale_id, step, ticks, click)
    await desk.brain.pools.short.run_async(*work)
    return f"{DESK}/{handover_id}?done=sale-{step}&once={once}"
