"""A second statement of what a decision must be, in plain Python over plain dicts.

It is written from ARCHITECTURE.md and, for exploration, from the docstrings of `decisioning.deciding.arbitration` and
`decisioning.catalogue.exploration`. It shares no code with the engine; only `adapter` imports the engine. Rules are
tuples such as `(">=", ("fact", "age"), 18.0)`, facts are as received, None is UNKNOWN. It is slow and straightforward
on purpose: one candidate, one question at a time.
"""

import hashlib
import math
import operator
import struct
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = 86_400_000_000
SECONDS = 5_000_000
"""How far clocks may differ."""
GREATEST = sys.float_info.max
SELLS = ("grow", "retain", "nurture")
TIERS = ("mandatory", "service", "commercial")
LEVELS = ("eligibility", "applicability", "suitability", "contact")
ARMS = ("holdout", "no-levers", "propensity-only", "random")
BUILT_IN = {"channel": "string", "locale": "string", "now": "timestamp", "gpc": "bool", "has_account": "bool"}


class Oracle:
    """One request to one world, and the answers to every question about it."""

    def __init__(self, world, ask):
        self.world, self.ask, self.now = world, ask, ask["now"]
        self.channel = world["channels"][ask["channel"]]
        self.person, self.account = ask["person"], ask["account"]
        self.visitors = [] if self.person["erased"] else self.person["visitors"]
        self.elsewhere = [] if self.person["erased"] else self.person["elsewhere"]
        built_in = {"channel": ask["channel"], "locale": "en", "now": self.now, "has_account": self.account is not None}
        known = {k: v for k, v in ask["facts"].items() if not is_unknown(v)}
        self.facts = {"gpc": False, **known, **built_in}
        self.evaluated = {}
        self.allowed = {p: self.permission(p) for p in world["purposes"]}
        self.profiled = self.allowed.get("profiling", (False,))[0]
        self.arm = self.arm_of()

    def fact(self, name):
        feature = self.world["features"].get(name) or {"dtype": BUILT_IN[name]}
        value, dtype = self.facts.get(name), feature["dtype"]
        if dtype == "bool":
            return value if isinstance(value, bool) else None
        if dtype in ("string", "enum"):
            return value if isinstance(value, str) and (dtype == "string" or value in feature["values"]) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= GREATEST:
            return None
        return float(value) if dtype == "float" or abs(value) < 2**53 else None

    def happened(self, action, outcome, days, others=()):
        """Return how often it happened in the last `days` (None: ever); for an account's action, to the account."""
        known = self.world["actions"].get(action)
        if known and known["scope"] == "account" and self.account is not None:
            outcomes = self.account["outcomes"]
        else:
            outcomes = [o for s in (self.person, *self.visitors, *others) for o in s["outcomes"]]
        return sum(
            o[0] == action and o[1] == outcome and (days is None or o[2] >= self.now - days * DAY) for o in outcomes
        )

    def eval(self, rule, action=None):
        key = id(rule) if action is None else (id(rule), action)
        if key not in self.evaluated:
            self.evaluated[key] = self.value(rule, action)
        return self.evaluated[key]

    def value(self, rule, action):  # noqa: PLR0911 - a case of the language each
        op, *args = rule
        if op in ("const", "days"):
            return args[0] * DAY if op == "days" else args[0]
        if op == "fact":
            return self.fact(args[0])
        if op == "count":
            return float(self.happened(args[0] or action, args[1], args[2]))
        if op in ("and", "or"):
            truths = {self.value(a, action) for a in args}
            return (op == "or") if (op == "or") in truths else None if None in truths else op == "and"
        if op == "known":
            return self.value(args[0], action) is not None
        if op == "default":
            first = self.value(args[0], action)
            return self.value(args[1], action) if first is None else first
        if op == "if":
            truth = self.value(args[0], action)
            return None if truth is None else self.value(args[1] if truth else args[2], action)
        operands = [self.value(a, action) for a in (args[:1] if op in ("in", "starts") else args)]
        if any(o is None for o in operands):
            return None
        try:
            result = OPERATORS[op](*operands, *args[len(operands) :])
        except ArithmeticError:
            return None
        except ValueError:  # the remainder of a division by zero
            return None
        return None if is_unknown(result) else result

    def withdrawn_by_request(self, purpose):
        """Tell whether the request itself withdraws a purpose."""
        age = self.world["age"]
        minor = purpose == "profiling" and age is not None and self.eval(age) is not True
        platform = self.ask["platform"].get(purpose) is False
        return minor or platform or (purpose in self.world["gpc"] and self.facts["gpc"] is not False)

    def permission(self, purpose):
        """Return (allowed, what is cited, the groups that it is limited to or None for all)."""
        channel, record = self.ask["channel"], consent_record(self.person, purpose, self.ask["channel"])
        visitors_records = [w for v in self.visitors if (w := consent_record(v, purpose, channel))]
        refused = self.withdrawn_by_request(purpose) or any(
            w["status"] != "granted" for w in (*visitors_records, *([record] if record else []))
        )
        needs = self.needs() if purpose == "marketing" else "no-objection"
        bases = [b for b in self.world["bases"] if b["purpose"] == purpose and channel in b["channels"]]
        for basis in bases if needs == "no-objection" else ():
            if "soft" not in basis and (not refused or basis["basis"] == "legal-obligation"):
                return True, f"basis:{basis['id']}", None
        if needs == "explicit-consent" and record and record["status"] == "granted":
            record = holding(self.person, purpose, channel)
        late = any(w["expires"] is not None and w["expires"] <= self.now for w in visitors_records)
        if record and not refused and not late and self.valid(record, self.world["purposes"][purpose]):
            return True, f"consent:{purpose}/{record['channel']}@{record['record']}", None
        for basis in bases if needs != "explicit-consent" and not refused else ():
            if "soft" in basis and all(self.eval(r) is True for r in basis["soft"]["rules"]):
                return True, f"basis:{basis['id']}", basis["soft"]["groups"]
        return False, None, None

    def needs(self):
        """Return what the country requires for marketing on this channel."""
        if self.world["country"] is None or self.channel["direction"] == "inbound":
            return "no-objection"
        return self.world["country"].get(self.channel["medium"], "explicit-consent")

    def valid(self, record, purpose):
        began, ends, age = record["at"], record["expires"], purpose["max_age_days"]
        fresh = began <= self.now and (ends is None or self.now < ends) and (not age or self.now - began <= age * DAY)
        return record["status"] == "granted" and fresh and record["notice"] == purpose["notice"]

    def own_stream(self):
        """Return the stream that the control group of a person follows: the same for joined customers."""
        streams = [self.person["stream"], *(v["stream"] for v in self.visitors if v["joined"])]
        return self.person["holder"] or min(streams)

    def arm_of(self):
        for arm in self.world["arms"]:
            account = arm["unit"] == "account" and self.account is not None
            stream = self.account["stream"] if account else self.own_stream()
            digest = hashlib.sha256(f"{self.world['arm_salt']}/{stream}".encode()).digest()
            place = (int.from_bytes(digest[:8], "big") >> 11) / 2**53 - ARMS.index(arm["id"]) / 4
            if 0 <= place < arm["share"] and arm["from"] <= self.now < (arm["until"] or math.inf):
                return arm["id"]
        return "nba"

    def gates(self, action, treatment):
        """Yield every gate that stops a candidate, in order; a candidate without any is permitted."""
        yield from self.subject_gates()
        yield from self.action_gates(action)
        yield from self.consent_gates(action)
        yield from self.rule_gates(action)
        yield from self.contact_gates(action)
        yield from self.text_gates(treatment)
        if self.arm == "holdout" and action["tier"] == "commercial":
            yield "arm:holdout"

    def subject_gates(self):
        subjects = [s for s in (self.person, self.account) if s]
        if any(s["erased"] for s in subjects):
            yield "subject:erased"
        if any(s["restricted"] for s in (*subjects, *self.visitors)):
            yield "subject:restricted"

    def action_gates(self, action):
        if not (action["starts"] or 0) <= self.now < (action["ends"] or math.inf):
            yield "action:dates"
        if action["id"] in self.ask["paused"]:
            yield "action:paused"
        if any(action["id"] in s["excluded"] for s in (self.person, *self.visitors, *self.elsewhere)):
            yield "contest:excluded"
        sells = action["credit"] or action["issue"] in SELLS
        if (
            sells
            and not self.channel["human"]
            and any(s["handover"] for s in (self.person, *self.visitors, *self.elsewhere))
        ):
            yield "handover:open"
        needs_person = action["significant"] and not action["stated"]
        if not self.channel["human"] and (needs_person or action["automation"] != "automatic"):
            yield "action:automation"
        if action["intent"] and action["issue"] not in SELLS and not self.channel["human"]:
            wanted = self.facts.get("wanted")
            if isinstance(wanted, str) and self.world["intents"].get(wanted) in ("money", "leaving"):
                yield "action:automation"
        if action["scope"] == "account" and self.account is None:
            yield "action:account"
        if self.ask["issues"] and action["issue"] not in self.ask["issues"]:
            yield "request:issues"
        asked = self.ask["negotiation"]
        covered = any(covers(b["attach"], action) for b in self.world["budgets"])
        if asked and (not covered or asked["take"] not in (None, action["id"])):
            yield "request:negotiation"

    def consent_gates(self, action):
        for purpose in self.purposes(action):
            allowed, _, groups = self.allowed[purpose]
            if not allowed or (groups is not None and action["group"] not in groups):
                yield f"consent:{purpose}"

    def rule_gates(self, action):
        protects = action["credit"] or action["issue"] in SELLS
        for protection in sorted(self.world["protections"], key=lambda p: p["id"]) if protects else ():
            if self.eval(protection["when"]) is not False:
                yield f"protection:{protection['id']}"
        for policy in sorted(self.world["policies"], key=lambda p: (LEVELS.index(p["level"]), p["id"])):
            own = action["id"] if policy["own"] else None
            if covers(policy["attach"], action) and self.eval(policy["rule"], own) is not (policy["kind"] == "permit"):
                yield f"{policy['level']}:{policy['id']}"

    def contact_gates(self, action):
        if self.quiet():
            yield "contact:quiet-hours"
        for rule in action["suppress"]:
            if self.happened(action["id"], rule["after"], rule["days"], self.elsewhere):
                yield f"suppressed:{rule['after']}"
        for cap in sorted(self.world["caps"], key=lambda c: c["id"]):
            if any(self.room(cap, s, action) <= 0 for s in self.counted(cap, action)):
                yield f"cap:{cap['id']}"
        for budget in sorted(self.world["budgets"], key=lambda b: b["id"]):
            if covers(budget["attach"], action) and action["gives"] > self.left(budget):
                yield f"budget:{budget['id']}"

    def left(self, budget):
        """Return how many cents a budget leaves to the person under every id and to the account, whichever is less."""
        people = [c for s in (self.person, *self.visitors, *self.elsewhere) for c in s["concessions"]]
        spent = [self.spent(budget, people), self.spent(budget, self.account["concessions"]) if self.account else 0]
        return max(budget["limit"] - max(spent), 0)

    def spent(self, budget, concessions):
        freed = self.ask["negotiation"]["instead_of"] if self.ask["negotiation"] else []
        seen = {c["offer"]: c for c in concessions if covers(budget["attach"], c, c["action"])}.values()
        given = [c for c in seen if c["given"] and c["at"] > self.now - budget["days"] * DAY]
        held = [c for c in seen if not c["given"] and c["until"] > self.now and c["offer"] not in freed]
        return sum(c["cents"] for c in (*given, *held))

    def text_gates(self, treatment):
        yield from (f"placeholder:{n}" for n in sorted(treatment["names"]) if self.fact(n) is None)
        for kind, name in sorted(treatment["claims"].items()):
            left = self.fact(name)
            if left is None or left <= (self.now if kind == "deadline" else 0):
                yield f"claim:{kind}"

    def purposes(self, action):
        return sorted({*action["purposes"], *self.channel["purposes"], *(["marketing"] * (action["issue"] in SELLS))})

    def quiet(self):
        if self.channel["quiet"] is None:
            return False
        at = self.local(self.now)
        if at is None:
            return True
        start, end = self.channel["quiet"]
        clock = f"{at:%H:%M}"  # hours and minutes suffice: both ends are on a full minute
        return start <= clock < end if start < end else clock >= start or clock < end

    def local(self, at):
        """Return the clock and calendar of the person at a time; None if their time zone is unknown."""
        zone = self.facts.get(self.world["zone_feature"]) if self.world["zone_feature"] else self.world["zone"]
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
            return None

    def in_period(self, cap, at):
        """Tell whether a time lies in the period that a cap counts over now."""
        now, then, hours = self.local(self.now), self.local(at), {"day": 25, "week": 169, "month": 745}
        if cap["per"] is None or now is None:
            return at > self.now - (hours[cap["per"]] * DAY // 24 if cap["per"] else cap["days"] * DAY)
        of = {"day": lambda t: t.date(), "week": lambda t: t.isocalendar()[:2], "month": lambda t: (t.year, t.month)}
        return of[cap["per"]](now) == of[cap["per"]](then)

    def counted(self, cap, action):
        """Return the subjects whose contacts count for an action under a cap."""
        if action["tier"] not in cap["tiers"] or not covers(cap["attach"], action):
            return []
        if cap["channels"] and self.ask["channel"] not in cap["channels"]:
            return []
        return ["person", *(["account"] if action["scope"] == "account" and self.account else [])]

    def room(self, cap, subject, action):
        """Return how many contacts a cap still leaves for an action."""
        subjects = [self.account] if subject == "account" else [self.person, *self.visitors, *self.elsewhere]
        mine = bucket(cap, action, self.ask["channel"])
        return cap["limit"] - sum(self.counts(cap, c, mine) for s in subjects for c in s["contacts"])

    def counts(self, cap, contact, mine):
        known = self.world["actions"].get(contact["action"])
        capped = (known is None or known["tier"] in cap["tiers"]) and covers(cap["attach"], contact, contact["action"])
        if not capped or (cap["channels"] and contact["channel"] not in cap["channels"]):
            return False
        if not self.in_period(cap, contact["at"]) or contact["state"] in ("expired", "not_delivered"):
            return False
        reached = {"decided": True, "delivered": contact["state"] in ("delivered", "seen", "pitched")}
        got_there = reached.get(contact["counts_on"], contact["state"] in ("seen", "pitched"))
        same = bucket(cap, {**contact, "id": contact["action"]}, contact["channel"]) == mine
        return same and (got_there or self.now < contact["until"])

    def propensity(self, action, name):
        floor = self.world["floors"].get(action["issue"], 1)
        propensity_of_model, clear = self.ask["scores"][name]
        by_model = self.profiled and (floor <= 1 or clear >= floor)
        return in_32_bits(propensity_of_model) if by_model else action["prior"]

    def amount(self, amount):
        value = self.eval(amount["rule"]) if "rule" in amount and self.profiled else None
        return amount["typical"] if value is None else value

    def priority(self, action, name, propensity=None):
        weight = lever = 1.0
        for w in action["weights"]:
            if (self.profiled or not personal(w["when"], self.world)) and self.eval(w["when"]) is True:
                weight *= w["factor"]
        for window in action["levers"]:
            if window["from"] <= self.now < window["until"]:
                lever = window["factor"]
        if self.arm == "no-levers" and action["tier"] == "commercial":
            lever = 1.0
        value, cost = self.amount(action["value"]), self.amount(action["cost"])
        likely = self.propensity(action, name) if propensity is None else propensity
        return (likely * value - cost) * weight * lever


def in_32_bits(score):
    """Return the score as it is recorded."""
    return struct.unpack("f", struct.pack("f", score))[0]


def is_unknown(value):
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def consent_record(subject, purpose, channel):
    """Return the record that counts for a purpose on a channel.

    It is the newer one; a refusal by name if the general record grants; and a refusal for all channels, if what was
    granted by name was granted less than five seconds later.
    """
    named, general = holding(subject, purpose, channel), holding(subject, purpose, "*")
    if not named or not general:
        return named or general
    if named["status"] != "granted" and general["status"] == "granted":
        return named
    if named["status"] == "granted" and general["status"] != "granted":
        return named if named["at"] - general["at"] >= SECONDS else general
    if named["at"] == general["at"]:
        return named if general["status"] == "granted" else general
    return max(named, general, key=lambda c: c["at"])


def holding(subject, purpose, channel):
    """Return which of all that was said about exactly this holds, at the time when it counts; None if nothing was said.

    Nothing counts as later than it was recorded. A refusal holds against what was granted less than five seconds later.
    """
    said = [
        {**c, "at": min(c["at"], c.get("recorded", c["at"]))}
        for c in subject["consents"]
        if (c["purpose"], c["channel"]) == (purpose, channel)
    ]
    no, yes = (
        max((c for c in said if (c["status"] == "granted") is grants), key=lambda c: c["at"], default=None)
        for grants in (False, True)
    )
    if no and yes:
        return yes if yes["at"] - no["at"] >= SECONDS else no
    return no or yes


def covers(attach, action, name=None):
    key, names = attach
    return key == "all" or (name or action["id"] if key == "action" else action[key]) in names


def bucket(cap, action, channel):
    keys = {"action": action["id"], "group": action["group"], "issue": action["issue"], "channel": channel}
    return keys.get(cap["count"], "everyone")


def personal(rule, world):
    """Tell whether a rule reads more than the request."""
    if rule[0] == "fact":
        return rule[1] not in BUILT_IN and world["features"][rule[1]]["source"] != "context"
    return rule[0] == "count" or any(personal(part, world) for part in rule[1:] if isinstance(part, tuple))


OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,
    "not": operator.not_,
    "min": min,
    "max": max,
    "in": lambda a, values: a in values,
    "starts": lambda a, prefix: a.startswith(prefix),
}
