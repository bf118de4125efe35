"""A company's own files: what they say of people, as a mapping reads them."""

from pathlib import Path

from features.importing import make_plan, read_mapping
from features.importing.write import write
from features.ledger import now_us as clock_us
from features.profile.offline import History
from serving.brain.runtime import Brain

MAPPING = """
id: crm
about: Files of the company's own system.
purposes:
  - {id: marketing, notice_version: "1"}
channels:
  - {id: web, direction: inbound, placements: [hero]}
actions:
  - {id: family, issue: grow, group: mobile, title: Data for the family, value: 90}
files:
  - id: optins
    subject: {column: customer}
    as_of: {column: told}
    features: [{column: nickname, name: nickname, dtype: string}]
    consents:
      - {purpose: marketing, column: optin, granted: "Y", refused: "N", notice_version: "1", at: {column: told}}
  - id: calls
    subject: {column: customer}
    account: account
    features: [{column: note, name: call_note, dtype: string, after_outcome: true}]
    contact: {id: call, action: {column: what, values: {family: family}}, channel: web, at: {column: told}}
"""


def load(brain: Brain, folder: Path) -> None:
    """Import the files of a folder into what a replica has open."""
    paths = {name: folder / f"{name}.csv" for name in ("optins", "calls")}
    plan = make_plan(read_mapping("crm.yaml", MAPPING.encode()), paths, clock_us())
    snapshot = brain.snapshot
    write(plan, snapshot.release.catalogue, brain.ledger, History(snapshot.profiles), brain.environment)
