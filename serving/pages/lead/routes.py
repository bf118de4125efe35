"""Routes of the lead's view, which is a page and a part of it, and one act: pausing an action."""

from functools import cache, partial
from pathlib import Path
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response
from yaml import safe_load

from decisioning.errors import BrainError
from decisioning.review.approval import Person
from serving.access.callers import caller_of
from serving.access.looks import looker_of, note_recorded
from serving.access.people.requests import People, read_form
from serving.brain.releases import pausing
from serving.brain.runtime import Brain
from serving.customers import looking
from serving.pages.desk.site import Desk, sent_to
from serving.pages.desk.words import ago
from serving.pages.lead.view import MOST, Json, board
from serving.pages.me.words import Language
from serving.pages.tables import TextTable
from serving.people import agents

LEAD: Final = "/lead"
_FILE: Final = Path(__file__).with_name("words.yaml")


@cache
def words(language: Language) -> dict[str, str]:
    """Return name -> text in a language."""
    return {str(name): texts[language] for name, texts in safe_load(_FILE.read_text(encoding="utf-8")).items()}


def lead_routes(app: FastAPI, brain: Brain, people: People) -> None:
    """Add the routes to the application."""
    desk = Desk(brain, people)

    @app.get(LEAD, include_in_schema=False)
    async def lead(request: Request, done: Annotated[str, Query(max_length=40)] = "") -> Response:
        return await _shown(desk, request, "lead/lead.html", done)

    @app.get(f"{LEAD}/now", include_in_schema=False)
    async def now(request: Request) -> Response:
        return await _shown(desk, request, "lead/now.html")

    @app.post(f"{LEAD}/pause", include_in_schema=False)
    async def pause(request: Request) -> Response:
        caller = caller_of(request.scope)
        who = Person("key", ("nobody",)) if caller is None else Person(caller.kind, (caller.who,))
        try:
            action = (await read_form(request)).get("action", "")
            await brain.pools.long.run(partial(pausing.pause, brain.workspace, action, who))
        except BrainError as error:
            return desk.refused(request, desk.visitor(request), error)
        return sent_to(request, f"{LEAD}?done=pause-done")


async def _shown(desk: Desk, request: Request, template: str, done: str = "") -> Response:
    """Return the page, once it is recorded that the lead looks at those whom it names."""
    visitor, lang = desk.visitor(request), desk.language(request)
    looker = looker_of(request.scope, None)
    read = partial(board, desk.brain)
    whom = partial(_named, desk.brain)
    shown = await desk.brain.pools.long.run(looking.shown, desk.brain, looker, read, whom)
    note_recorded(request.scope)
    listed = await desk.brain.pools.long.run(agents.listed, desk.brain, "")
    t = words(lang)
    return desk.page(request, visitor, template, t=t, done=t.get(done, ""), **_content(shown, listed, lang))


def _named(brain: Brain, content: Json) -> list[tuple[str, dict[str, str]]]:
    """Return whom the page names."""
    every = [one for kind in ("late", "first", "alone", "due") for one in content[kind]]
    ids = dict.fromkeys(one["customer_id"] for one in every if one.get("customer_id"))
    return [(brain.subject_stream(customer_id), {"customer_id": customer_id}) for customer_id in ids]


def _content(shown: Json, listed: Json, lang: Language) -> Json:
    """Return the content of the page in words."""
    t = words(lang)
    needs = [*_needs(shown, lang)]
    queue = [(one["skill"] or t["any-skill"], str(one["n"]), ago(one["longest_s"], lang)) for one in shown["queue"]]
    people = [(one["agent_id"], one["state"]) for one in sorted(listed["agents"], key=lambda one: one["agent_id"])]
    return {
        "needs": needs[:MOST],
        "more": max(0, len(needs) - MOST),
        "queue": TextTable(t["queue"], (t["skill"], t["people"], t["longest"]), queue),
        "agents": TextTable(t["agents"], (t["agents"], t["state"]), people, words=2),
        "overrides": [f"{action}: {t['times'].format(n, reason)}" for action, reason, n in shown["overrides"][:MOST]],
        "corrections": [t["times"].format(n, field) for field, n in shown["corrections"][:MOST]],
        "looks": [_look(one, lang) for one in shown["looks"][:MOST]],
        "paused": shown["paused"],
        "actions": shown["actions"],
    }


def _needs(shown: Json, lang: Language) -> list[Json]:
    t, rows = words(lang), list[Json]()
    for kind, tone in (("late", "harm"), ("first", "harm"), ("alone", "warn")):
        for one in shown[kind]:
            since = one["due_at"] if kind == "alone" else t["waits"].format(ago(one.get("waits_s", 0), lang))
            rows.append({**_row(one, kind, tone), "when": since, "why": one["reason"]})
    due = shown["due"]
    rows += [
        {**_row(one, "due", "warn"), "when": t["by"].format(one["due_at"][:10]), "why": one["about"]} for one in due
    ]
    return rows


def _row(one: Json, kind: str, tone: str) -> Json:
    who = one.get("customer_id") or one.get("visitor_id") or ""
    return {"kind": kind, "tone": tone, "who": who, **{n: one.get(n) for n in ("handover_id", "reference")}}


def _look(one: Json, lang: Language) -> str:
    case = f" {one['case']}" if one["case"] else ""
    return f"{one['who']}: {one['purpose']}{case}, {ago(one['at'], lang)}"
