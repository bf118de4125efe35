"""Random worlds and requests to them, as plain dicts: mostly a customer who may have everything, with a few defects.

Rules are oriented by a good customer (a permit is TRUE of them, a deny FALSE), so that many candidates reach the later
gates, and a changed fact, consent, contact or hour stops them.
"""

import math
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from tests.oracle.oracle import DAY, Oracle
from tests.oracle.rules import FLAGS, Rules

HOUR = 3_600_000_000
NOW = 1_795_435_200_000_000  # 2026-11-23T12:00:00Z
CLOCK_CHANGES = (
    *(1_774_746_000_000_000, 1_792_890_000_000_000),
    *(1_772_953_200_000_000, 1_793_512_800_000_000),
    *(1_774_735_200_000_000, 1_792_875_600_000_000),
)
"""Both clock changes of 2026 in Amsterdam, in New York, and in Beirut, where the first skips midnight."""
ZONES = ("Europe/Amsterdam", "America/New_York", "Asia/Beirut", "Asia/Kolkata", "Pacific/Kiritimati")
STATES = ("reserved", "expired", "not_delivered", "delivered", "seen", "pitched")
RECORDED_AFTER = (0, 0, 0, HOUR, -2_999_999, -20 * HOUR)
"""How much later something is recorded than it was said to have happened; below 0, it was dated ahead."""
APART = tuple(sign * us for us in (1, 4_999_999, 5_000_000, 5_000_001, HOUR + 7) for sign in (-1, 1))
ISSUES = ("grow", "retain", "service", "nurture", "hardship")
PURPOSES = ("marketing", "profiling", "service", "emotion", "sharing")


def feature(dtype, source="profile", values=(), tags=()):
    return {"dtype": dtype, "source": source, "values": list(values), "tags": list(tags)}


FEATURES = {
    "age": feature("int"),
    "fee": feature("float"),
    "usage": feature("float"),
    "arrears": feature("float"),
    "stock": feature("int", "context"),
    "ends": feature("timestamp", "context"),
    "since": feature("timestamp"),
    **{flag: feature("bool") for flag in FLAGS},
    "segment": feature("enum", values="abc"),
    "page": feature("enum", "context", "abc"),
    "plan": feature("string"),
    "zone": feature("string"),
    "mood": feature("float", tags=["emotion"]),
    "wish": feature("bool", tags=["request"]),
    "wanted": {
        **feature("string", "signal", tags=["request"]),
        "signal": {"of": "message", "compute": "last", "field": "intent"},
    },
}
GOOD = {
    "age": 40,
    "fee": 31.5,
    "usage": 2.25,
    "arrears": 0.0,
    "stock": 3,
    "ends": NOW + 900 * DAY,
    "since": NOW - 400 * DAY,
    "vip": False,
    "hardship": False,
    "complaint": False,
    "segment": "a",
    "page": "b",
    "plan": "fiber-1",
    "zone": "Europe/Amsterdam",
    "mood": 0.5,
    "wish": False,
}
WRONG = (
    None,
    math.nan,
    math.inf,
    -math.inf,
    "wrong",
    True,
    False,
    0,
    -1,
    2**53,
    10**400,
    1e300,
    3,
    0.0,
    "b",
    "c",
    "fiber",
)


def world(seed, actions=4, policies=5, plain=False):
    """Return the world of a seed with this many actions and policies; no rule of a `plain` one asks for UNKNOWN."""
    random = Random(seed)
    names = [f"a{n}" if n % 2 else f"a{n}-x" for n in range(actions)]
    rules = Rules(random, names, plain)
    world = {
        "features": FEATURES,
        "zone": "Europe/Amsterdam",
        "zone_feature": random.choice((None, "zone")),
        "age": random.choice((None, (">=", ("fact", "age"), ("const", 18.0)))),
        "max_per_group": random.randint(1, 2),
        "gpc": random.choice((["profiling"], ["profiling", "sharing"], ["marketing", "profiling"])),
        "floors": random.choice(({}, {}, {"grow": 3}, {"service": 2})),
        "arm_salt": str(seed),
        "country": random.choice(
            (None, {"email": "consent-or-soft-opt-in", "post": "no-objection"}, {"phone": "no-objection"})
        ),
        "purposes": {p: {"notice": "v2", "max_age_days": random.choice((None, 300))} for p in PURPOSES},
        "channels": _channels(random),
        "actions": {n: _action(random, n, rules) for n in names},
        "arms": _arms(random),
    }
    world |= {"bases": [], "protections": [], "policies": [], "caps": [], "emotion": []}
    world["candidates"] = {f"{a['id']}.{t['id']}": (a, t) for a in world["actions"].values() for t in a["treatments"]}
    world["bases"] = _bases(random, rules)
    _judge(random, rules, world, policies)
    world["caps"] = [cap(random, n, names) for n in random.sample(("c", "c-1", "c1", "d"), random.randint(1, 4))]
    _explore(Random(f"explore/{seed}"), world)
    _answer(Random(f"answer/{seed}"), world, plain)
    _give(Random(f"give/{seed}"), world)
    world["emotion"] = [_emotion(random, n, world) for n in random.sample(("e", "e-1"), random.randint(0, 2))]
    return world


def _channels(random):
    web = {"direction": "inbound", "medium": None, "placements": ["hero", "side"], "human": False, "quiet": None}
    quiet = random.choice((["21:00", "08:00"], ["02:00", "03:00"], ["09:30", "17:00"], None))
    mail = {"direction": "outbound", "medium": random.choice(("email", "post")), "placements": ["mail"], "human": False}
    call = {"direction": "outbound", "medium": "phone", "placements": ["talk"], "human": True}
    channels = {"web": web, "mail": {**mail, "quiet": quiet}, "call": {**call, "quiet": random.choice((quiet, None))}}
    return {n: {**c, "purposes": random.choice(([], [], [], ["sharing"]))} for n, c in channels.items()}


def _explore(random, world):
    """Add the exploration settings and the evidence of each action, drawn separately from the rest."""
    for channel in world["channels"].values():
        gamma = random.choice((None, 2.0, 20.0))
        share, rows = (0.15, 1000.0) if gamma else (0.05, 90.0)
        channel |= {
            "gamma": gamma,
            "gamma_grows": random.random() < 0.3,
            "optimism": random.choice((0.0, 0.0, 1.5)),
            "issues": {
                i: _schedule(random) for i in random.sample(("grow", "retain", "nurture"), random.randint(0, 2))
            },
            "immature": {"budget": share, "mature_at": rows} if random.random() < 0.4 else None,
            "launch": {"days": random.choice((29.0, 31.0)), "give_up": 0.4} if random.random() < 0.4 else None,
        }
    world["evidence"] = {a: random.choice((0.0, 1.0, 90.0, 999.0, 1000.0, 30_000.0)) for a in world["actions"]}
    world["upper"] = {c: random.choice((1.0, 1.2, 3.0)) for c in world["candidates"]}


def _answer(random, world, plain):
    """Let some actions answer an intent, and some intents need a person; where none was heard, none does.

    So that asks for UNKNOWN, and no action of a `plain` world answers any.
    """
    world["intents"] = {"bill": "status", "pay": random.choice(("change", "money")), "leave": "leaving"}
    for action in world["actions"].values():
        action["intent"] = [] if plain else random.choice(([], [], ["bill"]))


def _give(random, world):
    """Let actions give something away, within budgets: amounts in cents."""
    for action in world["actions"].values():
        action["gives"] = random.choice((0, 1000, 2550, 4000))
    names = random.sample(("k", "k-1"), random.randint(0, 2))
    some = {"limit": lambda: random.choice((1000, 4000, 6550)), "days": lambda: random.choice((30, 365))}
    attached = [attach(random, list(world["actions"])) for _ in names]
    world["budgets"] = [
        {"id": n, "attach": at, **{k: of() for k, of in some.items()}} for n, at in zip(names, attached, strict=True)
    ]


def _schedule(random):
    own = {
        "gamma": random.choice((0.0, 3.0)),
        "optimism": random.choice((0.0, 2.0)),
        "gamma_grows": random.random() < 0.5,
    }
    return {k: v for k, v in own.items() if random.random() < 0.7}


def _action(random, name, rules):
    issue = random.choice(("grow", "grow", "retain", "nurture", "service", "hardship"))
    sells = issue in ("grow", "retain", "nurture")
    tier = (
        random.choice(("commercial",) * 5 + ("mandatory",))
        if sells
        else random.choice(("service", "service", "mandatory"))
    )
    return {
        "id": name,
        "issue": issue,
        "group": random.choice("ghi"),
        "tier": tier,
        "scope": random.choice(("person",) * 4 + ("account",)),
        "credit": random.random() < 0.1,
        "significant": random.random() < 0.06,
        "stated": random.random() < 0.5,
        "price": random.choice((None, 15.0)),
        "automation": random.choice(("automatic",) * 20 + ("suggest", "human_only")),
        "starts": random.choice((None, None, None, NOW - 30 * DAY)),
        "ends": random.choice((None, None, None, NOW + 30 * DAY)),
        "purposes": sorted({"service"} if not sells else {random.choice(("marketing", "marketing", *PURPOSES))}),
        "suppress": [{"after": "declined", "days": random.choice((30, 90.5))}, {"after": "accepted", "days": None}],
        "prior": random.choice((0.01, 0.05, 0.25)),
        "value": _amount(random, rules),
        "cost": {"typical": random.choice((0.0, 0.0, 1.0))},
        "levers": _levers(random),
        "weights": [
            {"when": rules.truth(1), "factor": random.choice((0.0, 0.5, 2.0))} for _ in range(random.randint(0, 2))
        ],
        "treatments": _treatments(random),
    }


def _levers(random):
    window = {"factor": random.choice((0.5, 2.0)), "from": NOW - 9 * DAY, "until": NOW + 9 * DAY}
    return [window] if random.random() < 0.3 else []


def _amount(random, rules):
    typical = float(random.choice((-5, 5, 60, 60, 120)))
    return {"typical": typical, "rule": rules.number()} if random.random() < 0.4 else {"typical": typical}


def _treatments(random):
    treatments = []
    for channel, placements in (("web", ["hero", "side"]), ("mail", ["mail"]), ("call", ["talk"]))[
        : random.randint(1, 3)
    ]:
        names = random.choice(([], [], [], ["fee"], ["segment", "age"]))
        claims = random.choice(({}, {}, {}, {"scarcity": "stock"}, {"deadline": "ends", "scarcity": "stock"}))
        at = placements if len(placements) < 2 else random.choice((["hero"], ["side"], ["hero", "side"]))
        tones = random.choice(([], ["calm"]))
        treatments.append(
            {"id": channel, "channel": channel, "placements": at, "names": names, "claims": claims, "tones": tones}
        )
    return treatments


def _bases(random, rules):
    one = {"id": "b", "purpose": "service", "basis": "contract", "channels": ["web", "mail", "call"]}
    two = {
        "id": "b-1",
        "purpose": random.choice(PURPOSES),
        "basis": random.choice(("legitimate-interests", "legal-obligation")),
    }
    soft = {"id": "soft", "purpose": "marketing", "basis": "soft-opt-in", "channels": ["mail", "web"]}
    terms = {"rules": [("not", ("fact", "vip")), rules.truth(1)], "groups": ["g", "h"]}
    return [b for b in (one, {**two, "channels": ["web", "mail"]}, {**soft, "soft": terms}) if random.random() < 0.6]


def _arms(random):
    kinds = [a for a in ("holdout", "no-levers", "propensity-only", "random") if random.random() < 0.2]
    about = {"unit": random.choice(("person", "account")), "from": NOW - 200 * DAY, "until": random.choice((None, NOW))}
    return [{"id": a, "share": 0.2, **about} for a in kinds]


def _judge(random, rules, world, policies):
    """Add protections that are FALSE of a good customer, and policies that let that customer pass."""
    good = Oracle(world, {**good_ask(), "channel": "web"})
    while len(world["protections"]) < 3:
        rule = rules.truth(1)
        if (truth := good.eval(rule)) is not None:
            name = ("p", "p-1", "p1")[len(world["protections"])]
            world["protections"].append({"id": name, "when": rule if truth is False else ("not", rule)})
    while len(world["policies"]) < policies:
        own = random.random() < 0.15
        rule = ("and", rules.truth(), ("<", ("count", None, "declined", 60), ("const", 2.0))) if own else rules.truth()
        truth = good.eval(rule, "a0-x" if own else None)
        if truth is not None:
            kind, level = (
                "permit" if truth else "deny",
                random.choice(("eligibility", "applicability", "suitability", "contact")),
            )
            about = {
                "id": f"r{len(world['policies'])}",
                "level": level,
                "attach": attach(random, list(world["actions"])),
            }
            world["policies"].append({**about, "kind": kind, "rule": rule, "own": own})


def attach(random, actions):
    return random.choice((("all", []), ("issue", ["grow", "service"]), ("group", ["g"]), ("action", actions[:2])))


def cap(random, name, actions):
    return {
        "id": name,
        "count": random.choice(("action", "group", "issue", "channel", "customer")),
        "limit": random.choice((0, 1, 1, 1, 2, 2, 3)),
        "days": random.choice((1, 7, 30)),
        "attach": attach(random, actions),
        "tiers": random.choice((["commercial"], ["commercial"], ["service", "commercial"])),
        "channels": random.choice(([], [], ["mail"], ["web"])),
        "per": random.choice((None, None, "day", "week", "month")),
    }


def _emotion(random, name, world):
    calm = [a["id"] for a in world["actions"].values() if a["issue"] in ("service", "hardship")]
    return {
        "id": name,
        "when": random.choice((("fact", "wish"), ("<", ("fact", "mood"), ("const", random.choice((-0.5, 1.0)))))),
        "silence_sales": random.random() < 0.5,
        "let_through": calm[: random.randint(0, 1)],
        "tone": random.choice((None, "calm")),
        "handover": f"because of {name}",
    }


def subject(stream):
    fresh = {"stream": stream, "erased": False, "restricted": False, "consents": [], "contacts": [], "outcomes": []}
    fresh |= {"handover": False, "concessions": [], "excluded": []}
    return {**fresh, "visitors": [], "elsewhere": [], "joined": None, "holder": None}


def good_ask():
    """Return a request of a customer of whom all is known, who allows everything and had no contact so far."""
    request = {"now": NOW, "facts": GOOD, "account": None, "paused": [], "platform": {}, "scores": {}, "issues": []}
    return {**request, "placements": [], "person": subject("s"), "negotiation": None}


def ask(world, random):
    """Return a random request to a world: a channel, some of its placements, and a customer."""
    channel = random.choice(("web", "web", "mail", "call"))
    places = world["channels"][channel]["placements"]
    selected = random.sample(places, random.randint(1, len(places)))
    now = _moment(random)
    return {
        "channel": channel,
        "now": now,
        "placements": [(p, random.randint(1, 3)) for p in selected],
        "facts": _facts(random, now),
        "person": _subject(random, world, now, f"s{random.randrange(10**6)}", visitors=True),
        "account": _subject(random, world, now, f"t{random.randrange(10**6)}") if random.random() < 0.8 else None,
        "paused": [random.choice(list(world["actions"]))] if random.random() < 0.1 else [],
        "platform": {random.choice(PURPOSES): random.random() < 0.5} if random.random() < 0.1 else {},
        "issues": random.sample(ISSUES, random.randint(1, 4)) if random.random() < 0.15 else [],
        "negotiation": _negotiation(random, world) if random.random() < 0.2 else None,
        "scores": _scores(random, world),
        "evidence": world["evidence"],
        "upper": world["upper"],
    }


def _negotiation(random, world):
    take = random.choice((None, *world["actions"], "gone"))
    return {"take": take, "instead_of": [f"s-{n}" for n in range(random.choice((0, 2)))]}


def _scores(random, world):
    return {name: (random.randrange(1, 2000) / 2000, random.randint(1, 5)) for name in world["candidates"]}


def _moment(random):
    roll = random.random()
    if roll < 0.5:
        return NOW + random.randrange(-6, 6) * HOUR
    if roll < 0.8:
        return random.choice(CLOCK_CHANGES) + random.randrange(-26, 27) * 300_000_000 + random.choice((-1, 0, 1))
    return NOW + random.randrange(-40 * DAY, 40 * DAY)


def _facts(random, now):
    facts = {
        **GOOD,
        "mood": random.choice((0.5, -0.9, None)),
        "wish": random.choice((False, True, None)),
        "wanted": random.choice((None, None, "unknown", "bill", "pay", "leave")),
        "since": now - random.choice((1, 400, 400)) * DAY,
    }
    if random.random() < 0.5:
        for name in random.sample(sorted(facts), random.randint(1, 4)):
            roll = random.random()
            if roll < 0.3:
                del facts[name]
            else:
                facts[name] = random.choice(WRONG) if roll < 0.8 else random.choice((True, 17, 18, 250.0, now, now + 1))
    if random.random() < 0.5:
        facts["zone"] = random.choice((*ZONES, "Nowhere/At_all", "../etc", 3))
    if random.random() < 0.08:
        facts["gpc"] = random.choice((True, False, None, "wrong"))
    return facts


def _subject(random, world, now, stream, visitors=False):
    own = "s" if visitors else stream
    return {
        "stream": stream,
        "erased": random.random() < 0.01,
        "restricted": random.random() < 0.01,
        "consents": _said(_consents(random, now, 0.93 if visitors else 0.0), stream, now),
        "contacts": [_contact(random, world, now, n) for n in range(random.choice((0, 0, 0, 1, 3)))],
        "outcomes": [_outcome(random, world, now) for _ in range(random.choice((0, 0, 0, 1, 3)))],
        **_identifiers(random, world, now, stream if visitors else None),
        "joined": None,
        "handover": random.random() < 0.02,
        "concessions": [_concession(random, world, now, f"{own}-{n}") for n in range(random.choice((0, 0, 1, 2)))],
        "excluded": [random.choice(sorted(world["actions"]))] if random.random() < 0.05 else [],
    }


def _identifiers(random, world, now, stream):
    """Return the other identifiers: of a person with visitors and joined customers, or of a visitor that is linked.

    :param stream: the subject's own; None if it has no others
    """
    others = [_visitor(random, world, now, n) for n in range(2)] if stream and random.random() < 0.12 else []
    if others and random.random() < 0.5:
        return {"visitors": [], "elsewhere": others, "holder": "s-other"}
    joined = [{**v, "joined": random.choice((stream, None, None))} for v in others]
    holder = "s-other" if random.random() < 0.03 and not any(v["joined"] for v in joined) else None
    return {"visitors": joined, "elsewhere": [], "holder": holder}


def _visitor(random, world, now, n):
    return {
        **_subject(random, world, now, f"v{n}"),
        "erased": False,
        "consents": _said(_consents(random, now, 0.5)[:4], f"v{n}", now),
    }


def _consents(random, now, good):
    """Return at most one record per purpose and channel: mostly grants for all channels, some of them defective."""
    records = {}
    for purpose in PURPOSES:
        if random.random() < good * (0.7 if purpose == "marketing" else 1.0):
            records[purpose, "*"] = _consent(purpose, "*", "granted", "v2", now - 5 * DAY, None)
        if random.random() < 0.15:
            channel = random.choice(("*", "web", "mail", "call", "call"))
            status = random.choice(("granted", "granted", "granted", "refused", "withdrawn", "objected"))
            at = now - random.choice((-HOUR, 0, 5 * DAY, 299 * DAY, 300 * DAY, 300 * DAY + 1, 700 * DAY))
            ends = random.choice((None, None, None, now - 1, now, now + 1))
            records[purpose, channel] = _consent(
                purpose, channel, status, random.choice(("v2", "v2", "v2", "v1")), at, ends
            )
    shuffled = list(records.values())
    random.shuffle(shuffled)
    return [{**w, "record": n} for n, w in enumerate(shuffled, 1)]


def _said(records, stream, now):
    """Return these records and others said about the same within seconds; some were dated ahead of their recording."""
    random, said = Random(f"said/{stream}/{now}"), []
    for record in records:
        said.append({**record, "recorded": record["at"] + random.choice(RECORDED_AFTER)})
        if random.random() < 0.3:
            at = min(record["at"], said[-1]["recorded"]) + random.choice(APART)
            status = random.choice(("granted", "withdrawn")) if record["status"] == "granted" else "granted"
            said.append({**record, "status": status, "at": at, "recorded": at + random.choice(RECORDED_AFTER)})
    random.shuffle(said)
    return [{**record, "record": n} for n, record in enumerate(said, 1)]


def _consent(purpose, channel, status, notice, at, expires):
    return {"purpose": purpose, "channel": channel, "status": status, "notice": notice, "at": at, "expires": expires}


def _contact(random, world, now, n):
    action = random.choice(list(world["actions"].values()))
    ago = (0, HOUR, DAY, 7 * DAY, 7 * DAY - 1, 20 * DAY, 30 * DAY, 25 * HOUR, 31 * DAY + HOUR - 1)
    at = _midnight(random, now) if random.random() < 0.5 else now - random.choice(ago)
    counted = {"id": "gone", "group": "g", "issue": "grow"} if random.random() < 0.1 else action
    return {
        "offer": f"o{n}",
        "action": counted["id"],
        "group": counted["group"],
        "issue": counted["issue"],
        "channel": random.choice(("web", "mail", "call")),
        "at": at,
        "until": at + random.choice((0, HOUR, 8 * DAY)),
        "counts_on": random.choice(("decided", "delivered", "seen")),
        "state": random.choice(STATES),
    }


def _concession(random, world, now, offer):
    """Return what was given away, or is held, until now or the end of a budget's days, just before and just after."""
    action, edge = random.choice(list(world["actions"].values())), random.choice((-1, 0, 1))
    return {
        "offer": offer,
        "action": action["id"],
        "group": action["group"],
        "issue": action["issue"],
        "cents": random.choice((0, 1000, 2550)),
        "at": now - random.choice((0, 5 * DAY, 30 * DAY, 365 * DAY)) + edge,
        "until": now + random.choice((edge, HOUR)),
        "given": random.random() < 0.6,
    }


def _midnight(random, now):
    """Return a moment at or just before the beginning of a day in some zone, not after `now`."""
    local = datetime.fromtimestamp(now / 1e6, ZoneInfo(random.choice(ZONES)))
    day = (local - timedelta(days=random.choice((0, 0, 0, 1, local.weekday(), local.day - 1)))).date()
    midnight = round(datetime(day.year, day.month, day.day, tzinfo=local.tzinfo).timestamp() * 1e6)
    return min(now, midnight + random.choice((-1, 0, 1, HOUR // 2)))


def _outcome(random, world, now):
    ago = random.choice((0, DAY, 30 * DAY, 30 * DAY + 1, 60 * DAY, 400 * DAY, 900 * DAY))
    return random.choice(list(world["actions"])), random.choice(("declined", "declined", "accepted")), now - ago
