"""A customer's export contains everything that is stored about the customer, in the documented form."""

import asyncio
import json
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.events.moments import Watcher
from tests.examples import examples
from tests.promises.marked_customers import (
    WRITES,
    Marks,
    export,
    store_everything,
)
from tests.serving.workspaces import Client, consent, decide_and_send, welcome

NUMBERS = count()


RECEIPT = {"@context", "@id", "@type", "dct:identifier", "dct:conformsTo", "dct:created", "dct:publisher",
           "schema:recipient", "dpv:hasRecordOfActivity"}  # fmt: skip
CONSENT = {"@id", "@type", "dct:identifier", "dct:conformsTo", "dct:created", "dpv:hasDataSubject", "dpv:hasNotice",
           "dpv:hasDataController", "dpv:hasLegalBasis", "dpv:hasProcess", "dpv:hasRight",
           "dpv:hasConsentStatus"}  # fmt: skip
"""The fields that ISO/IEC TS 27560 requires, with the names of DPV's guide to it."""
ROWS = {
    "consents": {"purpose", "channel", "status", "source", "notice_version", "occurred_at", "expires_at"},
    "links": {"visitor", "kind", "status", "source", "occurred_at"},
    "contacts": {"offer_id", "action", "channel", "at", "state"},
    "outcomes": {"action", "outcome", "at"},
    "profile": {"feature", "value", "source", "as_of"},
    "history": {"as_of", "recorded_at", "facts"},
    "signals": {"subject", "version", "features", "state"},
    "records": {"subject", "version", "kind", "recorded_at", "occurred_at", "body"},
    "events": {"subject", "type", "occurred_at", "recorded_at", "expires_at", "fields"},
    "looks": {"subject", "at", "role", "what", "purpose"},
    "words": {"subject", "speaker", "at", "text", "until"},
}
"""For each list in an export, the fields of its rows."""
ALONE = {"customer_id", "exported_at", "subject", "version", "facts", "erased", "restricted", "visitors",
         "customers", "moments", "receipts", "next"}  # fmt: skip


@pytest.mark.promise("export.complete")
def test_an_export_has_the_form_that_is_promised(client: Client) -> None:
    one = Marks("zxqformw")
    asyncio.run(store_everything(client, one))
    decide_and_send(Watcher(client.brain))
    assert client("GET", f"/v1/customers/{one.customer}")[0] == 200
    contents = export(client, one.customer)
    assert set(contents) == set(ROWS) | ALONE
    for name, fields in ROWS.items():
        assert contents[name], name
        assert all(set(row) == fields for row in contents[name]), name
    assert set(contents["moments"]) == {"watched", "privacy_controls", "fired", "deliveries"}
    assert any(contents["moments"].values())
    assert json.loads(json.dumps(contents)) == contents


@pytest.mark.promise("export.complete")
def test_receipts_are_consent_records_in_the_terms_of_dpv(client: Client) -> None:
    customer = "c-receipts"
    welcome(client, customer, purposes=("marketing",))
    for status in ("withdrawn", "granted", "objected"):
        assert client("POST", "/v1/consents", consent(customer, "marketing", status))[0] == 200
    until = "2190-01-01T00:00:00Z"
    assert client("POST", "/v1/consents", consent(customer, "email", channel="email", expires_at=until))[0] == 200
    of_mail, of_marketing = export(client, customer)["receipts"]
    for receipt in (of_mail, of_marketing):
        assert (set(receipt), receipt["@type"]) == (RECEIPT, "dpv:ConsentReceipt")
        assert (set(receipt["dpv:hasRecordOfActivity"]), receipt["schema:recipient"]) == (CONSENT, "dpv:DataSubject")
    record = of_marketing["dpv:hasRecordOfActivity"]
    assert record["dpv:hasProcess"]["dpv:hasPurpose"] == {"@type": "dpv:DirectMarketing", "dct:identifier": "marketing"}
    events = record["dpv:hasConsentStatus"]
    assert [e["@type"] for e in events] == [f"dpv:Consent{s}" for s in ("Given", "Withdrawn", "Given", "Withdrawn")]
    assert (events[3]["dpv:hasRight"], events[0]["dpv:hasIndicationMethod"]) == ("eu-gdpr:A21", "test")
    assert of_mail["dpv:hasRecordOfActivity"]["dpv:hasConsentStatus"][0]["dpv:hasExpiryTime"] == until
    assert of_mail["dpv:hasRecordOfActivity"]["dpv:hasProcess"]["dpv:hasScope"] == "email"
    assert customer not in json.dumps([of_mail, of_marketing])


@pytest.mark.promise("export.complete")
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(WRITES)), min_size=1, max_size=12))
def test_whatever_is_written_about_a_customer_is_in_the_export(client: Client, writes: list[str]) -> None:
    """Also values that were overwritten later, and those of a visitor once it is linked."""
    customer = f"c-all-{next(NUMBERS)}"
    marks = {f"zxq{next(NUMBERS)}w": name for name in (*writes, "link")}
    for mark, name in marks.items():
        method, path, body = WRITES[name](customer, mark)
        assert client(method, path, body)[0] == 200, name
    contents = json.dumps(export(client, customer))
    links = {mark for mark in marks if marks[mark] == "link"}
    first = next(iter(links))
    assert {mark for mark in marks if mark not in contents} <= links - {first}, "a repeated link adds nothing"


@pytest.mark.promise("export.complete")
def test_a_long_past_is_exported_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Marks("zxqpagesw")
    asyncio.run(store_everything(client, one))
    whole = export(client, one.customer)
    monkeypatch.setattr("serving.customers.exporting.PAGE", 2)
    paged = export(client, one.customer)
    assert (paged["records"], paged["events"]) == (whole["records"], whole["events"])
    assert client("GET", f"/v1/customers/{one.customer}/export?after=x")[0] == 422
