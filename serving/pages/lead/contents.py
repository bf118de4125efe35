"""What the lead's view shows, in words."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from decisioning.catalogue.policies import reason_in
from decisioning.catalogue.release import Release
from serving.pages.desk.view import title_of
from serving.pages.desk.words import ago
from serving.pages.desk.words import words as desk_words
from serving.pages.figures import spaced
from serving.pages.languages import MONTHS, Language, in_language, texts_of
from serving.pages.lead.board import MOST, Json
from serving.pages.report.first_screen import sentences, value_plot
from serving.pages.report.kept import KeptReport
from serving.pages.report.wording import report_wording
from serving.pages.tables import TextTable

_FILE: Final = Path(__file__).with_name("words.yaml")
_TONES: Final = {"alone": "warn", "ticket": "warn"}
"""The tone of what needs somebody, where nobody is harmed by waiting yet; else red."""

_DATED: Final = frozenset(("offered", "call_back", "ticket"))
"""States in which something is promised by a time."""


@cache
def words(language: Language) -> dict[str, str]:
    """Return name -> text in a language; what is not said otherwise here is said as at the desk."""
    return {**desk_words(language), **texts_of(_FILE, language)}


class LeadWords:
    """Puts into words what a lead sees, in their language."""

    def __init__(self, release: Release, lang: Language, names: Mapping[str, str]) -> None:
        self._release, self._lang, self._t, self._names = release, lang, words(lang), names
        self._zone = ZoneInfo(release.catalogue.settings.time_zone or "UTC")

    def page(self, shown: Json) -> Json:
        """Return what the templates show of `shown`, the plain values."""
        recorded, asked = shown["doings"], shown["asked"]
        pausable = [name for name in shown["actions"] if name not in shown["paused"]]
        return {
            "at": self.clock(datetime.now(UTC)),
            "needs": [self._need(one) for one in shown["needs"]],
            "more": shown["more"],
            "queue": self._queue(shown["queue"]),
            "longest": [self._waiting(one) for one in shown["longest"]],
            "agents": [(self._t[f"state-{state}"], self._called(ids)) for state, ids in shown["agents"].items()],
            "held": self._cut([self._held(one) for one in shown["held"]]),
            "annoys": self._cut([self._annoyance(one, pausable) for one in recorded["annoys"]]),
            "overrides": self._cut([self._override(one) for one in recorded["overrides"]]),
            "corrections": self._cut(
                [self._times(n, self._named("heard", field)) for field, n in recorded["corrections"]]
            ),
            "looks": self._cut([self._look(one) for one in recorded["looks"]]),
            "escalations": self._cut([self._escalation(*one) for one in recorded["escalations"]]),
            "whole": recorded["whole"],
            "requests": [self._request(one) for one in asked["requests"]],
            "requests_more": asked["more"],
            "paused": shown["paused"],
            "resume": self._t["resume"].format(next(iter(shown["paused"]), "")),
            "actions_all": [(name, title_of(self._release, name, self._lang)) for name in shown["actions"]],
            "actions": pausable,
        }

    def figures(self, kept: KeptReport | None) -> Json:
        """Return the figures of the newest report with its age; or that there is none."""
        if kept is None:
            return {"figures": None}
        report, lang = kept.report, self._lang
        age, wording = ago(report["at"], lang), report_wording(lang)
        return {
            "figures": {
                "at": self._t["figures-of"].format(self._moment(report["at"]), age),
                "stale": kept.is_stale,
                "sentences": sentences(report, wording),
                "value": value_plot(report, wording),
                "look_at": self._cut([in_language(one, "said", lang) for one in report["look_at"]]),
                "rises_said": in_language(report, "rises_said", lang),
                "widen": in_language(report, "widen_said", lang),
            }
        }

    def clock(self, at: datetime) -> str:
        """Return the time of day, where the company is."""
        return f"{at.astimezone(self._zone):%H:%M}"

    def day(self, at: str) -> str:
        """Return a day as it is said."""
        moment = datetime.fromisoformat(at).astimezone(self._zone)
        return f"{moment.day} {MONTHS[self._lang][moment.month - 1]}"

    def _name(self, who: str | None) -> str:
        return self._names.get(who, who) if who else ""

    def _called(self, ids: Sequence[str]) -> list[str]:
        return sorted(map(self._name, ids), key=str.casefold)

    @staticmethod
    def _cut(rows: Sequence[Any]) -> Json:
        return {"rows": rows[:MOST], "more": max(0, len(rows) - MOST)}

    def _need(self, one: Json) -> Json:
        wait = self._t["waits"].format(ago(one["waits_s"], self._lang))
        due = self._due(one) if one["due_at"] and one["state"] in _DATED else ""
        parts = (due, one.get("skill") or "", one["channel"], self._reason(one["reason"]))
        return {
            **self._who(one),
            "kind": self._t[one["kind"]],
            "tone": _TONES.get(one["kind"], "harm"),
            "upset": bool(one.get("upset")) and one["kind"] != "upset",
            "is_call": one["kind"] == "alone",
            "wait": wait,
            "about": " · ".join(part for part in parts if part),
            "agent": self._name(one["agent_id"]),
            "helpers": sorted(((self._name(who), who) for who in one["helpers"]), key=lambda pair: pair[0].casefold()),
            "best": one["best"],
        }

    def _due(self, one: Json) -> str:
        is_past = datetime.fromisoformat(one["due_at"]) <= datetime.now(UTC)
        return self._t["due-at" if is_past else "due-by"].format(self._moment(one["due_at"]))

    def _moment(self, at: str) -> str:
        moment = datetime.fromisoformat(at)
        today = datetime.now(UTC).astimezone(self._zone).date() == moment.astimezone(self._zone).date()
        return self.clock(moment) if today else f"{self.day(at)}, {self.clock(moment)}"

    @staticmethod
    def _who(one: Json) -> Json:
        who = one.get("customer_id") or one.get("visitor_id") or ""
        return {"who": who, **{name: one[name] for name in ("handover_id", "reference", "step")}}

    def _queue(self, rows: Sequence[Json]) -> Json:
        t, cells = self._t, []
        for one in rows:
            late = t["late-n"].format(one["late"]) if one["late"] else t["late-none"]
            waits, promise = ago(one["longest_s"], self._lang), ago(one["promise_s"], self._lang)
            cells.append((one["skill"] or t["any-skill"], str(one["n"]), waits, promise, late))
        columns = (t["skill"], t["people"], t["longest"], t["promise"], t["late-column"])
        return {"table": TextTable(t["queue-caption"], columns, cells[:MOST]), "more": max(0, len(cells) - MOST)}

    def _held(self, one: Json) -> Json:
        state = self._t[f"held-{one['state']}"].format(self._name(one["agent_id"]))
        return {**self._who(one), "about": f"{state} · {one['channel']}"}

    def _waiting(self, one: Json) -> Json:
        parts = (one.get("skill") or "", one["channel"], self._reason(one["reason"]))
        about = " · ".join(part for part in parts if part)
        return {**self._who(one), "wait": ago(one["waits_s"], self._lang), "about": about}

    def _annoyance(self, one: Json, pausable: Sequence[str]) -> Json:
        said = self._t[one["kind"] if one["now"] != 1 else f"{one['kind']}-one"]
        about = self._named("to", one["about"]) if one["kind"] == "objected" else one["about"]
        before = self._t["week-before"].format(one["before"])
        action = one["about"] if one["kind"] == "complained" and one["about"] in pausable else ""
        return {
            "rises": one["now"] > one["before"],
            "action": action,
            "text": f"{said.format(one['now'], about)} {before}",
        }

    def _override(self, one: Json) -> Json:
        text = f"{one['action']}: {self._times(one['n'], self._named('reason', one['reason']))}"
        return {"text": text, "notes": one["notes"]}

    def _named(self, kind: str, code: str) -> str:
        """Return what a code is called in the middle of a sentence; the code as words, where it has no name."""
        said = self._t.get(f"{kind}-{code}", spaced(code))
        return said[:1].lower() + said[1:]

    def _times(self, n: int, what: str) -> str:
        return self._t["times" if n != 1 else "times-one"].format(n, what)

    def _look(self, one: Json) -> str:
        case = f" {one['case']}" if one["case"] else ""
        purpose = self._named("purpose", one["purpose"])
        return f"{self._name(one['who'])}: {purpose}{case}, {self._t['ago'].format(ago(one['at'], self._lang))}"

    def _escalation(self, reason: str, kind: str, n: int) -> str:
        said = self._reason(reason)
        return self._times(n, f"{said} ({self._named('kind', kind)})" if kind else said)

    def _reason(self, reason: str) -> str:
        return reason_in(self._release.catalogue.emotion, reason, self._lang)

    def _request(self, one: Json) -> Json:
        decision = one["decision"]
        shown_decision = None
        if decision is not None:
            shown_decision = {"day": self._t["decided"].format(self.day(decision["at"])), "offers": decision["offers"]}
        late = datetime.fromisoformat(one["due_at"]) <= datetime.now(UTC)
        return {
            "number": one["number"],
            "who": one["customer_id"],
            "about": self._t[f"about-{one['about']}"],
            "due": self._t["by"].format(self.day(one["due_at"])),
            "late": late,
            "text": one["text"] or "",
            "in_review": one["state"] == "in_review",
            "reviewer": one["reviewer"] or "",
            "reviewer_name": self._names.get(f"person:{one['reviewer']}", one["reviewer"] or ""),
            "contest": one["about"] == "contest",
            "decision": shown_decision,
            "part": one["part"],
        }
