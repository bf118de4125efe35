"""What the customer's own page shows, in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from decisioning.catalogue.release import Release
from decisioning.facts.schema import worded
from decisioning.facts.standing import ALL_CHANNELS, Consent
from serving.access.people.signing import new_token
from serving.customers.rights.choosing import PurposeChoice
from serving.customers.rights.entering import Visit
from serving.customers.rights.notices import notices
from serving.customers.rights.seeing import MANY, OwnView, SeenDecision
from serving.pages.desk.view import title_of
from serving.pages.languages import Language
from serving.pages.me.words import words
from serving.people.helping.confirmations import given_in_conversations, text_of

_HELD: Final = ("facts", "statements", "signals", "records", "moments", "looks", "other_identifiers")
_DONE: Final = {
    "stopped": "choices",
    "allowed": "choices",
    "opinion-kept": "why",
    "ask-kept": "ask",
    "code-used": "held",
}
"""What the page may confirm, by the name of its text -> the section that says so."""


class Contents:
    """Puts into words what a customer sees, in their language."""

    def __init__(self, release: Release, lang: Language) -> None:
        self._release, self._lang, self._t = release, lang, words(lang)
        self._notices = {notice["id"]: notice for notice in notices(release, lang)}
        self._zone = ZoneInfo(release.catalogue.settings.time_zone or "UTC")

    def page(self, view: OwnView, visit: Visit, done: Sequence[str]) -> dict[str, Any]:
        """Return what the template of the page shows.

        :param done: what the customer just did, by the name of its text, and the number that it got
        """
        return {
            "token": visit.csrf,
            "once": new_token(),
            "confirmed": visit.confirmed,
            "done": self._done(done, view),
            "confirmations": self._confirmations(view.consents),
            "purposes": [self._purpose(purpose, of_it, visit.confirmed) for purpose, of_it in view.choices.items()],
            "decisions": [self._decision(decision) for decision in view.decisions],
            "more": view.more and len(view.decisions) < MANY,
            "requests": [self._request(body) for body in view.requests],
            "held": [(self._t[f"held-{name}"], view.held[name]) for name in _HELD if view.held[name]],
        }

    def _confirmations(self, consents: Sequence[Consent]) -> dict[str, list[str]]:
        """Return purpose -> what confirms each consent for it that the customer gave in a conversation."""
        texts: dict[str, list[str]] = {}
        for one in given_in_conversations(consents):
            text = text_of(self._release, one, self._lang, self.day(one.occurred_us), self._channel(one.channel))
            texts.setdefault(one.purpose, []).append(text)
        return texts

    def day(self, at_us: int) -> str:
        """Return a day as it is said."""
        at = datetime.fromtimestamp(at_us / 1e6, self._zone)
        return f"{at.day} {self._t['months'].split()[at.month - 1]} {at.year}"

    def _done(self, done: Sequence[str], view: OwnView) -> dict[str, str]:
        """Return section -> the sentence that confirms what the customer did; none for what did not happen here."""
        name, number = (*done, "", "")[:2]
        if name not in _DONE or (name == "ask-kept" and number not in {body["number"] for body in view.requests}):
            return {}
        return {_DONE[name]: self._t[name].format(number)}

    def _purpose(self, purpose: str, of_it: Sequence[PurposeChoice], confirmed: bool) -> dict[str, Any]:
        notice = self._notices.get(purpose) if confirmed else None
        rows = [self._choice(choice, can_allow=notice is not None and choice.can_allow) for choice in of_it]
        grounds = {row["because"] for row in rows}
        return {
            "id": purpose,
            "name": self._named(purpose),
            "off": self._t.get(f"off-{purpose}", self._t["off-other"]),
            "rows": rows,
            "one": len(rows) == 1,
            "because": grounds.pop() if len(grounds) == 1 else "",
            "all": self._all(rows),
            "notice": notice["text"] if notice and any(row["can_allow"] for row in rows) else "",
            "version": notice["version"] if notice else "",
        }

    def _named(self, purpose: str) -> str:
        """Return what customers call a purpose; one that the release does not have any more has its own name."""
        known = self._release.purposes.get(purpose)
        described = worded(known.description, self._lang) if known else ""
        return self._t.get(f"purpose-{purpose}") or _sentence(described or _spoken(purpose))

    def _all(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return the channel to name in order to stop a purpose wherever it can be; empty if it can be nowhere."""
        stopping = [row["channel"] for row in rows if row["can_stop"]]
        return "" if not stopping else stopping[0] if len(rows) == 1 else ALL_CHANNELS

    def _choice(self, choice: PurposeChoice, *, can_allow: bool) -> dict[str, Any]:
        return {
            "channel": choice.channel,
            "name": self._channel(choice.channel),
            "on": choice.allowed,
            "can_stop": choice.can_stop,
            "can_allow": can_allow,
            "because": self._t[f"because-{choice.ground}"],
        }

    def _channel(self, channel: str) -> str:
        return self._t.get(f"channel-{channel}", _spoken(channel))

    def _decision(self, decision: SeenDecision) -> dict[str, Any]:
        return {
            "id": decision.decision_id,
            "day": self.day(decision.decided_us),
            "channel": self._channel(decision.channel),
            "offers": [self._offer(offer, decision) for offer in decision.offers],
            "told": decision.story is not None,
            "others": decision.story.left_out if decision.story else "",
            "not_counted": self._not_counted(decision),
            "said": None if decision.right is None else self._t["said-yes" if decision.right else "said-no"],
            "contest": None if decision.contest is None else decision.contest["number"],
        }

    def _not_counted(self, decision: SeenDecision) -> list[str]:
        """Return what did not count: feelings for what sells (help may follow them), and what was not predicted."""
        sells = all(offer["tier"] == "commercial" for offer in decision.offers)
        profiled = decision.story is None or decision.story.profiled
        absent = (("not-feelings", sells), ("not-profiled", sells and not profiled))
        refused = [self._named(purpose) for purpose in decision.story.refused] if decision.story else []
        said_no = [self._t["not-refused"].format(", ".join(refused))] if refused else []
        return [*(self._t[name] for name, is_so in absent if is_so), *said_no]

    def _offer(self, offer: Mapping[str, Any], decision: SeenDecision) -> dict[str, Any]:
        counted = decision.story.counted.get(offer["treatment"], []) if decision.story else []
        return {
            "title": next(iter((offer.get("content") or {}).values()), _spoken(offer["action"])),
            "counted": counted,
            "how": self._t[f"by-{offer['automation']}"],
            "sure": self._t.get(f"sure-{offer.get('confidence')}", "") if offer["tier"] == "commercial" else "",
        }

    def _request(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "number": body["number"],
            "about": self._t[f"about-{body['about']}"],
            "state": self._t[f"state-{body['state']}"],
            "open": body["state"] != "answered",
            "day": self.day(body["opened_us"]),
            "due": self._t["due"].format(self.day(body["due_us"])),
            "text": body.get("text", ""),
            "answer": body.get("answer", ""),
            "outcome": self._outcome(body),
            "offered": self._offered(body),
        }

    def _outcome(self, body: Mapping[str, Any]) -> list[str]:
        """Return what became of a decision that was contested; nothing while there is no answer."""
        if body["state"] != "answered" or body["about"] != "contest":
            return []
        if not body.get("changed"):
            return [self._t["was-upheld"]]
        said = ((name, body.get(name)) for name in ("excluded", "offered"))
        changes = [self._t[f"was-{name}"].format(self._title(of)) for name, of in said if of]
        return [self._t["was-changed"], *changes]

    def _offered(self, body: Mapping[str, Any]) -> str:
        """Return what a customer asks for who wants what a person offered in answer to them; empty if nobody did."""
        is_open = body["state"] == "answered" and body.get("changed") and body.get("offered")
        return self._t["want-text"].format(self._title(body["offered"]), body["number"]) if is_open else ""

    def _title(self, action: str) -> str:
        return title_of(self._release, action, self._lang, by_people=False)


def _spoken(name: str) -> str:
    return name.replace("-", " ").replace("_", " ")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
