"""Bodies of requests as the OpenAPI document shows them, to be sent as they stand."""

from typing import Final

CUSTOMER: Final = "c-1042"
ASK = {
    "request_id": "r-1",
    "customer_id": CUSTOMER,
    "channel": "web",
    "placements": [{"name": "hero", "fallback": "static-hero"}],
}
SIGNAL = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/website",
    "type": "page-view",
    "subject": f"customer:{CUSTOMER}",
    "data": {"page": "paid-tv"},
}
HANDOVER = {
    "request_id": "r-2",
    "customer_id": CUSTOMER,
    "conversation_id": "chat-81",
    "channel": "chat",
    "reason": "asks for a person",
}
AGENT = {
    "languages": ["nl", "en"],
    "proficiency": {"billing": 0.8, "technical": 0.5},
    "trained": ["vulnerable"],
    "capacity": {"chat": 3, "phone": 1},
}
AGENT_EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/telephony",
    "type": "agent.state",
    "subject": "agent:agent-7",
    "time": "2026-01-05T10:00:00+01:00",
    "data": {"state": "break"},
}
QUEUE_EVENT = {
    **AGENT_EVENT,
    "id": "q-1",
    "type": "queue.state",
    "subject": "queue",
    "data": {"queues": [{"skill": "billing", "channel": "phone", "waiting": 4, "wait_s": 95, "free_agents": 0}]},
}
LINK = {
    "customer_id": CUSTOMER,
    "identifier": {"kind": "cookie", "value": "7f3a"},
    "status": "linked",
    "source": "login",
}
WITHDRAWAL = {
    "customer_id": CUSTOMER,
    "purpose": "marketing",
    "status": "withdrawn",
    "source": "preference-centre",
}
OVERRIDE = {
    "override_id": "ov-1",
    "decision_id": "d-1",
    "action": "tv-bundle",
    "kind": "overridden",
    "instead": "loyalty-discount",
    "reason": "price",
    "note": "pays too much already",
}
CORRECTION = {
    "correction_id": "co-1",
    "event_id": "e-1",
    "event_source": "/website",
    "field": "wish",
    "was": False,
    "is": True,
}
CATALOGUE = """\
settings: {time_zone: Europe/Amsterdam, locales: [en]}
purposes: [{id: service, notice_version: "1", description: help}]
bases: [{id: contract, purpose: service, basis: contract, channels: [web], text: "Art. 6(1)(b) GDPR"}]
channels: [{id: web, direction: inbound, placements: [hero]}]
actions:
  - id: ticket-update
    issue: service
    group: care
    tier: service
    purposes: [service]
    value: 5
    prior: 0.3
    outcomes: {positive: [seen], negative: [], window_days: 7}
    treatments: [{id: hero, channel: web, placements: [hero], content: {en: {title: "Where your ticket stands"}}}]
"""
GRANT = {**WITHDRAWAL, "status": "granted", "notice_version": "2026-01"}
