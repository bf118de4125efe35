"""`brain demo --play`: five conversations that end with the right person, played into the running demo.

Every play has customers and conversations of its own, so that it can be played again. It speaks with the server as a
company's systems do: a website, a chat, and a desk.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from decisioning.errors import Refused
from decisioning.times import DAY_US, iso
from features.ledger import now_us
from serving.commands.demo.asking import Json, Send
from serving.commands.demo.people import AGENT, COLLEAGUE, own_link, state_agents

PREFIX: Final = "play-"
"""How the conversations of plays begin."""
_PURPOSES: Final = ("marketing", "profiling")
_NOTICE: Final = "2026-01"
_OFFER_WAITS: Final = 40
"""How many times it is looked whether the queue has offered somebody to an agent."""
_LOOK_S: Final = 0.25
_LOOKS_A_PAGE: Final = 2
"""How many times it is looked whether a chat is offered, after each page that the customer looks at."""
ANNA: Final = (
    "How do I take my internet to my new house?",
    "That does not tell me what to do. How do I take my internet to my new house?",
    "This is the THIRD time I ask!! Useless. I want to speak to a real person.",
)
BOT: Final = "You can read how moving works on our website."
ABOUT_BILL: Final = "Thank you. And why is my bill higher this month?"
CARL: Final = ("I want to speak to a person, please.", "Please stop sending me offers. I do not want them any more.")
BEN: Final = "My wife died last week and I do not know how to go on with her contract."
FACTS: Final[Mapping[str, Any]] = {
    "age": 41,
    "segment": "family",
    "household_size": 4,
    "language": "en",
    "time_zone": "Europe/Amsterdam",
    "has_mobile": True,
    "has_broadband": True,
    "has_tv": False,
    "connection": "fibre",
    "download_mbps": 1000,
    "monthly_fee_eur": 61.5,
    "tenure_months": 52.0,
    "wifi_score": 88.0,
    "hardship": False,
    "vulnerable": False,
    "bereaved": False,
    "open_complaint": False,
    "outage_in_area": False,
    "arrears_eur": 0.0,
}


@dataclass
class Play:
    """One play. `agents`: name -> id; `wait`: lets so many seconds pass; `is_fast`: without pauses to read."""

    send: Send
    say: Callable[[str], None]
    wait: Callable[[float], None]
    agents: Mapping[str, str]
    url: str
    is_fast: bool = False
    number: str = field(default_factory=lambda: uuid.uuid4().hex[:6])

    def run(self) -> None:
        """Play all of it; what an earlier play left open is closed first."""
        self.close_open()
        self._come_to_work()
        self._pop_up()
        self._browse()
        anna = self._become_upset()
        self._change_suggestion(anna)
        carl, ben = self._wait_in_line()
        self._help_first(anna, ben, carl)
        self._object(carl)
        self._negotiate()
        self._end()

    def close_open(self) -> None:
        """End the handovers of earlier plays."""
        for one in self.send("lead", "GET", "/v1/handovers", None)["handovers"]:
            if one["conversation_id"].startswith(PREFIX):
                self._step(one["handover_id"], "resolved" if one["state"] == "accepted" else "cancelled")

    def _come_to_work(self) -> None:
        state_agents(self.send, self.agents)
        self._tell_agents("agent.state", {"state": "available"})
        for name in ("dora", "anna", "carl", "ben", "eva"):
            self._welcome(self._customer(name))
        self.say(
            f"Two people are at work: you (`{AGENT}`: English and Dutch, trained for customers who need care) and "
            f"{COLLEAGUE} (Dutch alone). Each helps one customer at a time."
        )
        self._look(f"Open {self.url}/desk beside this terminal, signed in as {AGENT}.")

    def _pop_up(self) -> None:
        """Let Dora look for help until a chat is offered to her, and let her take it."""
        title = self._popped_up("dora")
        self.say(
            f"Dora ({self._customer('dora')}) reads page after page of help. As somebody is free to chat, a pop-up "
            f"asks her, in the catalogue's first language: “{title}”"
        )
        about = {"customer_id": self._customer("dora"), "conversation_id": self._conversation("dora")}
        asked = {**about, "request_id": self._conversation("dora"), "channel": "web", "language": "en"}
        opened = self.send("agent", "POST", "/v1/handovers", {**asked, "reason": "took the chat that was offered"})
        agent = self._offered(opened["handover_id"])
        self.say("She takes it, and the queue offers her to you. Nobody was asked while nobody was free.")
        self._look(f"{self.url}/desk shows her to you. Take her there, or it is done for you.")
        self._accept(opened["handover_id"], agent)
        self._step(opened["handover_id"], "resolved")
        self._tell_agents("agent.state", {"state": "available"})

    def _popped_up(self, name: str) -> str:
        """Return the title of the chat that is offered to a customer who looks at help."""
        for n in range(_OFFER_WAITS):
            if n % _LOOKS_A_PAGE == 0:
                self._signal(name, "page-view", page="help", seconds=1.0)
            self.wait(_LOOK_S)
            held = self.send("privacy", "GET", f"/v1/customers/{self._customer(name)}/export", None)
            for delivery in held["moments"]["deliveries"]:
                return self._shown(delivery["body"]["decision"]).strip("“”")
            self._tell_agents("agent.heartbeat", {})
        raise Refused("no chat was offered: another conversation of these agents is open; close it at the desk")

    def _browse(self) -> None:
        for page in ("moving", "moving", "internet"):
            self._signal("anna", "page-view", page=page, seconds=8.0)
        shown = self._shown(self._decide("anna", "web", page="home"))
        self.say(f"Anna ({self._customer('anna')}) reads the pages about moving. The website shows her: {shown}")
        self._pause()
        for said in ANNA[:2]:
            self._message("anna", said)
            self._message("anna", BOT, author="bot")
            self._pause()
        self.say("The bot gave her the same answer twice.")
        self._pause()

    def _become_upset(self) -> str:
        self._message("anna", ANNA[2])
        called = self._decide("anna", "web", page="home")["handover"]
        if called is None or "handover_id" not in called:
            raise Refused("nobody was called for Anna: the catalogue of this workspace is not the demo's")
        self.say(f"A handover is open, as she {called.get('reason') or 'wants a person'}. Nothing is sold to her now.")
        agent = self._offered(called["handover_id"])
        whom = "you" if agent == self.agents[AGENT] else agent
        self.say(f"The queue offers her to {whom}: {COLLEAGUE} has time, too, and speaks no English.")
        self._look(f"{self.url}/desk shows her to you. Take her there, or it is done for you.")
        self._accept(called["handover_id"], agent)
        return str(called["handover_id"])

    def _change_suggestion(self, anna: str) -> None:
        before = self._suggested("anna")
        self.say(f"You have her. The desk suggests: {before}")
        self._look(f"{self.url}/desk/{anna} says what to do, what not to do, and what she just did.")
        self._signal("anna", "page-view", page="bill", seconds=5.0)
        self._message("anna", ABOUT_BILL)
        after = self._suggested("anna")
        self.say(f"Her last thirty seconds change what you should do. The desk suggests now: {after}")
        self._look("The same page has changed by itself.")

    def _wait_in_line(self) -> tuple[str, str]:
        """Let Carl wait, then Ben; return their handovers."""
        offered = self._for_sale("carl")
        self.say(f"Carl ({self._customer('carl')}) comes to the website. It has this to sell to him: {offered}")
        self._message("carl", CARL[0])
        carl = self._decide("carl", "web", page="home")["handover"]["handover_id"]
        self.say("Carl asks for a person, and waits, as you are busy.")
        self._pause()
        self._message("ben", BEN)
        ben = self._decide("ben", "web", page="home")["handover"]["handover_id"]
        self.say(f"Ben ({self._customer('ben')}) came after him, and is in need: he goes first.")
        self._look(
            f"{self.url}/lead, signed in as lead, shows who needs somebody; on {self.url}/desk Ben is above Carl."
        )
        return str(carl), str(ben)

    def _help_first(self, anna: str, ben: str, carl: str) -> None:
        self._step(anna, "resolved")
        self._tell_agents("agent.state", {"state": "available"})
        agent = self._offered(ben)
        self.say(f"You are done with Anna. The queue offers you Ben, and Carl is {self._state(carl)} still.")
        self._look(f"{self.url}/desk shows him to you. Take him there, or it is done for you.")
        self._accept(ben, agent)
        self._look(f"{self.url}/desk/{ben} suggests help alone.")
        self._step(ben, "resolved")
        self._tell_agents("agent.state", {"state": "available"})
        self._accept(carl, self._offered(carl))

    def _object(self, carl: str) -> None:
        self._message("carl", CARL[1])
        self._look(f"{self.url}/desk/{carl} says what not to do.")
        self._step(carl, "resolved")
        left = self._for_sale("carl")
        self.say(f"Carl objected. His conversation is closed, and the website has this to sell to him: {left}.")

    def _negotiate(self) -> None:
        """Let Eva, whose contract ends soon, get an alternative within what is left, and another in its place."""
        ending = {"saving_possible_eur": 8.0, "contract_ends_at": now_us() + 30 * DAY_US}
        self.send("signal", "PATCH", f"/v1/customers/{self._customer('eva')}", {"facts": ending})
        about = {"customer_id": self._customer("eva"), "account_id": f"a-{self._customer('eva')}", "language": "en"}
        asked = {"request_id": self._conversation("eva"), "conversation_id": self._conversation("eva"), **about}
        opened = self.send("agent", "POST", "/v1/handovers", {**asked, "channel": "web", "reason": "finds it too dear"})
        eva = str(opened["handover_id"])
        self._tell_agents("agent.state", {"state": "available"})
        self._accept(eva, self._offered(eva))
        shown = self._alternatives(eva)
        self.say(f"Eva finds it too dear. You may negotiate: €{shown['left_eur']:g} are left to give her.")
        self._look(f"{self.url}/desk/{eva}?negotiate=1 shows alternatives side by side.")
        for action in ("right-size", "renew-contract"):
            offer = self._alternatives(eva, take=action)["on_offer"]
            gives = f"€{offer['gives_eur']:g}"
            self.say(f"You offer her “{offer['content']['title']}”, which gives away {gives}, and hold it for her.")
            self._pause()
        self._step(eva, "resolved")

    def _alternatives(self, handover: str, **take: str) -> Json:
        """Return what may be offered to the customer of a handover, or what is on offer once it was taken."""
        asked = {"request_id": uuid.uuid4().hex, "locale": "en", **take}
        return self.send("agent", "POST", f"/v1/handovers/{handover}/negotiation", asked)

    def _end(self) -> None:
        self.say(f"Carl sees at his own page what he refused: {own_link(self.send, self._customer('carl'))}")
        self.say("That was all. Play it again as often as you like: each play has new customers.")

    def _customer(self, name: str) -> str:
        return f"{name}-{self.number}"

    def _conversation(self, name: str) -> str:
        return f"{PREFIX}{name}-{self.number}"

    def _welcome(self, customer: str) -> None:
        self.send("signal", "PATCH", f"/v1/customers/{customer}", {"facts": dict(FACTS)})
        for purpose in _PURPOSES:
            said = {"customer_id": customer, "purpose": purpose, "status": "granted", "source": "demo"}
            self.send("consent", "POST", "/v1/consents", {**said, "notice_version": _NOTICE})

    def _signal(self, name: str, type_: str, **data: Any) -> None:
        about = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "demo-play"}
        subject = f"customer:{self._customer(name)}"
        answer = self.send("signal", "POST", "/v1/signals", {**about, "subject": subject, "type": type_, "data": data})
        if answer.get("refused"):
            raise Refused(f"the server took no signal {type_}: {answer['results'][0]}")

    def _message(self, name: str, text: str, author: str = "customer") -> None:
        said = {"text": text, "author": author, "conversation_id": self._conversation(name)}
        self._signal(name, "message", **said)
        self.say(f"  {name if author == 'customer' else 'bot'}: “{text}”")

    def _suggested(self, name: str) -> str:
        """Return what the desk suggests now, without deciding it once more."""
        previewed = {**self._asked(name, "agent", talks=True), "mode": "preview"}
        return self._shown(self.send("data-science", "POST", "/v1/decisions", previewed))

    def _decide(self, name: str, channel: str, *, talks: bool = True, **context: str) -> Json:
        """Return a decision. `talks`: within the customer's conversation."""
        return self.send("agent", "POST", "/v1/decisions", self._asked(name, channel, talks=talks, **context))

    def _asked(self, name: str, channel: str, *, talks: bool, **context: str) -> Json:
        placement = {"web": {"name": "hero"}, "agent": {"name": "suggestion", "limit": 3}}[channel]
        return {
            "request_id": f"{PREFIX}{uuid.uuid4().hex}",
            "customer_id": self._customer(name),
            "account_id": f"a-{self._customer(name)}",
            "channel": channel,
            "locale": "en",
            "placements": [placement],
            "context": context,
            **({"conversation_id": self._conversation(name)} if talks else {}),
        }

    @staticmethod
    def _shown(answer: Json, only: str | None = None) -> str:
        """Return the titles of what was decided, or of what is of one tier."""
        placed = [offer for placement in answer["placements"] for offer in placement["offers"]]
        offers = [offer for offer in placed if only in (None, offer["tier"])]
        return ", ".join(f"“{(o.get('content') or {}).get('title') or o['action']}”" for o in offers) or "nothing"

    def _for_sale(self, name: str) -> str:
        """Return the titles of what the website sells to a customer."""
        return self._shown(self._decide(name, "web", talks=False, page="paid-tv"), only="commercial")

    def _state(self, handover: str) -> str:
        state = self.send("agent", "GET", f"/v1/handovers/{handover}", None)["state"]
        return "waiting" if state == "opened" else str(state)

    def _offered(self, handover: str) -> str:
        """Return the agent to whom the queue offered a handover, or who took it."""
        for _ in range(_OFFER_WAITS):
            shown = self.send("agent", "GET", f"/v1/handovers/{handover}", None)
            if shown["agent_id"] is not None:
                return str(shown["agent_id"])
            self._tell_agents("agent.heartbeat", {})
            self.wait(_LOOK_S)
        raise Refused(
            "the queue offered it to nobody: another conversation of this agent is open; close it at the desk"
        )

    def _accept(self, handover: str, agent: str) -> None:
        if self._state(handover) != "accepted":
            self._step(handover, "accepted", agent_id=agent)

    def _step(self, handover: str, state: str, **more: str) -> None:
        self.send("agent", "POST", f"/v1/handovers/{handover}/steps", {"state": state, **more})

    def _tell_agents(self, type_: str, data: Json) -> None:
        events = [
            {
                "specversion": "1.0",
                "id": uuid.uuid4().hex,
                "source": "demo-play",
                "type": type_,
                "subject": f"agent:{agent}",
                "time": iso(now_us()),
                "data": data,
            }
            for agent in self.agents.values()
        ]
        for event in events:
            self.send("lead", "POST", "/v1/agent-events", event)

    def _look(self, where: str) -> None:
        self.say(f"  > {where}")
        self._pause(2)

    def _pause(self, times: int = 1) -> None:
        """Let somebody read and look, while the agents' screens are heard of."""
        if not self.is_fast:
            for _ in range(times):
                self.wait(3.0)
                self._tell_agents("agent.heartbeat", {})
