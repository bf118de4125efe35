"""A larger world for the promises: outbound channels, a machine that talks, stock, deadlines, significant actions.

Random values come from `tests.strategies`; this module adds a release, requests to it, and consents.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import Screened, screened_for
from decisioning.errors import ConfigError
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Consent
from tests import strategies as world
from tests.examples import examples

MORE = """
features:
  - {name: opt_out_offered, dtype: bool, description: "could say no to mail when they bought"}
  - {name: stock_left, dtype: int, min: 0, max: 10000, source: context}
  - {name: offer_ends_at, dtype: timestamp, source: context}
  - {name: postcode, dtype: int, proxy_for: [ethnic-origin]}
  - {name: illness, dtype: bool, tags: [special-category]}
channels:
  - {id: call, direction: outbound, medium: phone, placements: [talk], human: true}
  - {id: news, direction: outbound, medium: email, placements: [mail], quiet_hours: {from: "21:00", to: "08:00"}}
  - {id: bot, direction: inbound, placements: [line], machine: true, gamma: 5}
bases:
  - id: own-customers
    purpose: marketing
    basis: soft-opt-in
    channels: [news]
    soft_opt_in: {customer: "tenure_months >= 1", opt_out_offered: opt_out_offered, groups: [tv]}
    text: "Art. 11.7(3) Telecommunicatiewet: own customers, similar products, a way out in every message"
  - {id: talks, purpose: service, basis: contract, channels: [bot, call, news], text: "Art. 6(1)(b) GDPR"}
actions:
  - id: match-pass
    issue: grow
    group: tv
    tier: commercial
    value: 50
    treatments:
      - {id: call, channel: call, placements: [talk], content_ref: a}
      - {id: news, channel: news, placements: [mail], content_ref: a}
      - {id: bot, channel: bot, placements: [line], content_ref: a}
      - id: web
        channel: web
        placements: [hero, sidebar]
        claims: {scarcity: stock_left, deadline: offer_ends_at}
        content:
          nl: {title: "Nog maar {stock_left} beschikbaar, laatste kans: tot {offer_ends_at}"}
          en: {title: "Only {stock_left} left, last chance: until {offer_ends_at}"}
  - id: phone-plan
    issue: grow
    group: mobile
    tier: commercial
    value: 60
    treatments:
      - {id: call, channel: call, placements: [talk], content_ref: a}
      - {id: news, channel: news, placements: [mail], content_ref: a}
      - {id: bot, channel: bot, placements: [line], content_ref: a}
  - id: lend-a-phone
    issue: service
    group: loan
    tier: service
    credit: true
    value: 5
    purposes: [service]
    treatments:
      - {id: web, channel: web, placements: [hero, sidebar], content_ref: a}
      - {id: bot, channel: bot, placements: [line], content_ref: a}
  - id: close-account
    issue: service
    group: ending
    tier: service
    significant: true
    value: 5
    purposes: [service]
    automation: human_only
    treatments: [{id: agent, channel: agent, placements: [suggestion], content_ref: a}]
  - id: share-figures
    issue: nurture
    group: sharing
    tier: commercial
    value: 5
    purposes: [sharing]
    treatments: [{id: web, channel: web, placements: [hero, sidebar], content_ref: a}]
"""
FILES = {**world.SMALL_FILES, "more.yaml": MORE}
RELEASE = Release.of(load(FILES), pack(FILES))
EXAMPLES = examples(60)


def with_more(*texts: str, checked: bool = True, **settings: Any) -> Release:
    """Return the release with further sections, and with `settings` in place of those of the same name."""
    return _with_more(texts, tuple(settings.items()), checked)


@cache
def _with_more(texts: tuple[str, ...], more: tuple[tuple[str, Any], ...], checked: bool) -> Release:
    files = {**FILES, **{f"x{n}.yaml": text for n, text in enumerate(texts)}}
    lines = files["settings.yaml"].splitlines()
    for name, value in more:
        lines = [line for line in lines if not line.startswith(f"  {name}:")]
        lines.insert(lines.index("settings:") + 1, f"  {name}: {value}")
    files["settings.yaml"] = "\n".join(lines)
    return Release.of(load(files), pack(files)) if checked else Release.from_bytes(pack(files))


def check_errors(*texts: str) -> str:
    """Return the errors of `brain check` for the catalogue with these sections; empty if it accepts them."""
    try:
        load({**FILES, **{f"x{n}.yaml": text for n, text in enumerate(texts)}})
    except ConfigError as error:
        return str(error)
    return ""


def ask_on(channel: str, limit: int = 5, **more: Any) -> Ask:
    """Return a request for all placements of a channel."""
    placements = tuple(PlacementAsk(name=n, limit=limit) for n in RELEASE.channels[channel].placements)
    return Ask(request_id="r", customer_id="c", account_id="a", channel=channel, placements=placements, **more)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Draw a request on any channel of the larger world."""
    return ask_on(draw(st.sampled_from(sorted(RELEASE.channels))), draw(st.integers(1, 4)))


@st.composite
def customers(draw: st.DrawFn) -> Known:
    """Draw a customer: of the small world, or a willing one, with some facts changed."""
    base = willing() if draw(st.integers(0, 3)) else draw(world.known())
    changed = draw(world.facts()) if draw(st.booleans()) else {}
    more = draw(st.fixed_dictionaries({}, optional=_MORE))
    return replace(base, facts={**base.facts, **changed, **more})


_MORE: Mapping[str, st.SearchStrategy[Any]] = {
    "opt_out_offered": st.sampled_from([True, False, None]),
    "bereaved": st.sampled_from([True, False, None]),
    "stock_left": st.sampled_from([0, 3, None, "many"]),
    "offer_ends_at": st.sampled_from([world.NOW_US - 1, world.NOW_US + world.DAY_US, None]),
    "gpc": st.booleans(),
    "postcode": st.integers(0, 9999),
    "illness": st.booleans(),
}


def consent(purpose: str, status: str = "granted", channel: str = "*", days_ago: float = 1, **more: Any) -> Consent:
    """Return a consent record, by default granted a day ago on all channels."""
    fields = {"source": "test", "notice_version": "2026-01", "expires_us": None, "record": 70, **more}
    return Consent(purpose, channel, status, occurred_us=world.NOW_US - round(days_ago * world.DAY_US), **fields)  # type: ignore[arg-type]


def willing(**facts: Any) -> Known:
    """Return a customer about whom everything is known and who allows everything, also on each channel by name."""
    base = world.permissive()
    grants = [consent(p, channel=c) for p in RELEASE.purposes for c in ("*", *RELEASE.channels)]
    facts_known = {
        "bereaved": False,
        "opt_out_offered": True,
        "stock_left": 3,
        "offer_ends_at": world.NOW_US + world.DAY_US,
    }
    person = replace(base.person, consents=tuple(replace(c, record=n) for n, c in enumerate(grants, 1)))
    return replace(base, facts={**base.facts, **facts_known, **facts}, person=person)


def with_consents(customer: Known, *consents: Consent, purposes: Iterable[str] | None = None) -> Known:
    """Return the customer with only these consents for `purposes` (None: the purposes of the consents)."""
    replaced = {c.purpose for c in consents} if purposes is None else set(purposes)
    others = tuple(c for c in customer.person.consents if c.purpose not in replaced)
    return replace(customer, person=replace(customer.person, consents=(*others, *consents)))


def screening(ask: Ask, customer: Known, release: Release = RELEASE) -> Screened:
    """Return the screening of a request."""
    return screened_for(ask, customer, release, now_us=world.NOW_US)


def permitted(ask: Ask, customer: Known, release: Release = RELEASE) -> set[str]:
    """Return the treatments that pass every filter."""
    screened = screening(ask, customer, release)
    return set(np.asarray(screened.view.ids)[screened.permitted].tolist())


def needing(purpose: str, names: Iterable[str]) -> set[str]:
    """Return those treatments whose action needs consent for a purpose."""
    return {n for n in names if purpose in RELEASE.actions[n.partition(".")[0]].required_purposes}


def selling(names: Iterable[str]) -> set[str]:
    """Return those treatments that sell, or lend money."""
    return {n for n in names if RELEASE.actions[n.partition(".")[0]].sells_or_lends}


def offers_in(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all offers of an answer."""
    return [o for p in answer["placements"] for o in p["offers"]]
