"""A small mapping and its files, and a workspace to import them into."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from features.importing import (
    ImportPlan,
    ImportResult,
    catalogue_files,
    checked_catalogue,
    make_plan,
    read_mapping,
)
from features.importing.write import write
from features.ledger import Ledger

NOW_US = 1_780_000_000_000_000
SECRET = b"s" * 32

SHOP = """
id: shop
about: A shop's own mailings.
time_zone: Europe/Amsterdam
settings: {country_rules: nl, age_feature: age}
purposes:
  - {id: marketing, notice_version: "2026-01"}
channels:
  - {id: email, direction: outbound, medium: email, placements: [mail], counts_on: delivered}
actions:
  - {id: shoes, issue: grow, group: fashion, title: New shoes, value: 10, window_days: 30}
  - {id: coats, issue: grow, group: fashion, title: Coats, value: 20, window_days: 30}
policies:
  - {id: adults-only, level: eligibility, attach: {issue: grow}, permit: "age >= 18"}
assertions:
  - author: A. Jansen
    text: Nobody in these files is in trouble, and all agreed to e-mail.
    since: 2026-01-01
    consents: [{purpose: marketing, channel: email}]
    features:
      - {name: hardship, value: false, protects: [hardship, arrears]}
      - {name: vulnerable, value: false, protects: [vulnerability, bereavement]}
      - {name: complaint_open, value: false, protects: [complaint, service-issue]}
files:
  - id: customers
    subject: {column: customer}
    as_of: {column: known_on}
    features:
      - {column: age, name: age, dtype: int, unit: years}
      - {column: spent, name: spent_eur, dtype: float, unit: EUR}
      - {column: plan, name: plan, dtype: enum}
      - {column: vip, name: vip, dtype: bool}
  - id: mailings
    separator: ";"
    decimal: ","
    subject: {column: customer}
    contact:
      id: mailing
      action: {column: what, values: {Shoes: shoes, Coats: coats, nothing: none}}
      channel: email
      at: {column: sent, format: "%d-%m-%Y %H:%M"}
      probability: {column: p}
      outcomes:
        - {name: bought, column: bought, positive: ja, negative: nee, value: {column: euro}}
"""
CONSENTS = (
    SHOP
    + """
  - id: optins
    subject: {column: customer}
    consents:
      - {purpose: marketing, channel: email, column: optin, granted: "Y", refused: "N", notice_version: "2026-01",
         at: 2026-02-03}
    outcomes:
      - {name: returned, action: shoes, column: back, positive: 1, negative: 0, counts: negative, at: 2026-02-03}
"""
)
CUSTOMERS = """customer,age,spent,plan,vip,known_on
c1,30,12.5,basic,yes,2026-01-10
c2,41,,plus,no,2026-01-10
c3,,0.5,basic,,2026-01-11
"""
MAILINGS = """mailing;customer;what;sent;p;bought;euro
m1;c1;Shoes;01-02-2026 10:00;0,5;ja;49,95
m2;c2;Coats;01-02-2026 10:00;0,25;nee;
m3;c3;nothing;02-02-2026 10:00;0,25;nee;
m4;c1;Coats;01-03-2026 09:30;0,25;nee;
"""
FILES = {"customers": CUSTOMERS, "mailings": MAILINGS}


def planned(folder: Path, mapping: str = SHOP, files: Mapping[str, str | bytes] = FILES) -> ImportPlan:
    """Return the plan of an import of these texts, which are written to files in `folder`."""
    paths = {}
    for name, text in files.items():
        paths[name] = folder / f"{name}.csv"
        paths[name].write_bytes(text if isinstance(text, bytes) else text.encode())
    return make_plan(read_mapping("shop.yaml", mapping.encode()), paths, NOW_US)


class ImportWorkspace:
    """A workspace with the catalogue of a plan; plans written later do not change its catalogue."""

    def __init__(self, data: Path, plan: ImportPlan) -> None:
        from features.profile.offline import History
        from features.profile.online import open_profiles
        from features.profile.repository import apply

        files = catalogue_files(plan)
        self.catalogue = checked_catalogue(plan, files)
        self.release = Release.from_bytes(pack(files))
        data.mkdir(parents=True, exist_ok=True)
        apply(data, self.release.schema, "shop")
        self.data = data
        self.ledger = Ledger.open(data / "ledger.db", SECRET)
        self.profiles = open_profiles(data, self.release.schema)
        self.history = History(self.profiles)

    def write(self, plan: ImportPlan, **options: Any) -> ImportResult:
        return write(plan, self.catalogue, self.ledger, self.history, options.pop("environment", "dev"), **options)

    def stream(self, customer: str) -> str:
        return self.ledger.stream_of("person", customer)

    def facts(self, customer: str) -> dict[str, object]:
        return dict(self.profiles.read([self.stream(customer)], now_us=NOW_US)[0].facts)
