"""The small company of the stateful tests: two actions to sell, one that helps, and facts of every kind."""

from pathlib import Path

from serving.brain import releasing
from serving.settings import Workspace

WITHIN_S = 120
"""`erasure.within_s` of the workspace."""
ATTEMPTS = 3
"""How often a delivery is tried."""
SETTINGS = """environment: dev
erasure: {{within_s: {within_s}}}
moments: {{webhook: "{webhook}", attempts: {attempts}}}
database: {{url: {database}}}
"""
COMPANY = """
settings: {time_zone: UTC, locales: [en], country_rules: eu}
purposes:
  - {id: marketing, notice_version: "1"}
  - {id: service, notice_version: "1"}
  - {id: push, notice_version: "1"}
bases:
  - {id: contract, purpose: service, basis: contract, channels: [web, push], text: "performance of the contract"}
channels:
  - {id: web, direction: inbound, placements: [hero], counts_on: decided, reservation_s: 3600, gamma: .inf}
  - {id: push, direction: outbound, medium: push, placements: [note], purposes: [push], counts_on: delivered,
     reservation_s: 600, gamma: .inf}
signals:
  - {id: search, retention_days: 365, fields: [{name: words, dtype: string, required: true}]}
features:
  - {name: nickname, dtype: string, model_input: false}
  - {name: fee, dtype: float, model_input: false}
  - {name: hardship, dtype: bool, model_input: false}
  - {name: size, dtype: int, model_input: false}
  - {name: call_note, dtype: string, model_input: false}
  - {name: searches_20d, dtype: int, source: signal, model_input: false,
     signal: {of: search, compute: count, window: 20d}}
  - {name: searches_2d, dtype: int, source: signal, model_input: false,
     signal: {of: search, compute: count, window: 2d}}
  - {name: last_words, dtype: string, source: signal, model_input: false,
     signal: {of: search, compute: last, field: words}}
moments:
  - {id: searched, on: search, when: "searches_2d >= 1", channel: push, placements: [note], wait_s: 30, every_h: 1,
     deliver: [stream, webhook]}
actions:
  - id: tv
    issue: grow
    group: tv
    tier: commercial
    value: 100
    price_eur: 10
    suppress: [{after: declined, days: 30}, {after: accepted}]
    treatments:
      - {id: web, channel: web, placements: [hero], content: {en: {title: "Television"}}}
      - {id: push, channel: push, placements: [note], content: {en: {title: "Television"}}}
  - id: family
    issue: grow
    group: mobile
    tier: commercial
    scope: account
    value: 90
    price_eur: 10
    suppress: [{after: declined, days: 30}, {after: accepted}]
    treatments:
      - {id: web, channel: web, placements: [hero], content: {en: {title: "Data for the family"}}}
  - id: help
    issue: service
    group: help
    tier: service
    value: 1
    purposes: [service]
    treatments:
      - {id: web, channel: web, placements: [hero], content: {en: {title: "Help"}}}
protections:
  - id: hardship
    kind: [hardship, vulnerability, bereavement, arrears, complaint, service-issue]
    when: "default(hardship, false)"
caps:
  - {id: twice-a-week, count: action, limit: 2, window_days: 7}
"""

OTHER = COMPANY.replace("name: size, dtype: int", "name: size, dtype: float").replace(
    """  - {name: searches_20d, dtype: int, source: signal, model_input: false,
     signal: {of: search, compute: count, window: 20d}}
""",
    "",
)
"""The catalogue that takes the first one's place at times: without a count, and with a fact of another type."""
RELEASES = {1: COMPANY, 2: OTHER}


def stateful_workspace(root: Path, webhook: str, database: str | None) -> Workspace:
    """Return a new workspace that serves the company's first release, with its ledger in a file or that database."""
    releasing.new(root)
    places = {"webhook": webhook, "database": database or "null"}
    (root / "brain.yaml").write_text(SETTINGS.format(within_s=WITHIN_S, attempts=ATTEMPTS, **places))
    for starter in (root / "catalogue").glob("*.yaml"):
        starter.unlink()
    (root / "catalogue" / "company.yaml").write_text(COMPANY)
    workspace = Workspace.open(root)
    releasing.release(workspace, "test")
    return workspace
