"""Consent receipts after ISO/IEC TS 27560:2023, in the terms of the W3C Data Privacy Vocabulary (DPV 2), as JSON-LD.

A receipt holds a copy of one consent record: all statements of the customer about one purpose and channel, in the order
in which they took effect. Fields, by the sections of the specification:

- header: `dct:identifier`, `dct:conformsTo`, `dct:created`, `dct:publisher`, `schema:recipient` of the receipt; the
  record's own `dct:identifier`, `dct:conformsTo`, `dct:created`, and `dpv:hasDataSubject` (the stream, no id)
- processing: `dpv:hasDataController`, `dpv:hasLegalBasis`, `dpv:hasProcess` with `dpv:hasPurpose`, `dpv:hasScope` (the
  channel) and `dpv:hasDataSource`, `dpv:hasNotice` (its version), `dpv:hasRight`
- events: `dpv:hasConsentStatus`, each with its time, who indicated it, by which means, and when it expires
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from decisioning.times import iso
from features.ledger import Record

CONTEXT: Final = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "schema": "https://schema.org/",
}
PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560"
_PURPOSES: Final = {
    "marketing": "dpv:DirectMarketing",
    "profiling": "dpv:Personalisation",
    "service": "dpv:ServiceProvision",
}
_STATUSES: Final = {
    "granted": "dpv:ConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "objected": "dpv:ConsentWithdrawn",
}
"""DPV has no status for an objection (Art. 21): it ends the consent, and the event names the right exercised."""


def receipts(records: Iterable[Record], controller: str, now_us: int) -> list[dict[str, Any]]:
    """Return a receipt for each subject, purpose and channel among `consent` records; erased records are left out."""
    grouped: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        if record.body is not None:
            grouped.setdefault((record.stream, record.body["purpose"], record.body["channel"]), []).append(record)
    return [_receipt(group, controller, now_us) for _, group in sorted(grouped.items())]


def _receipt(group: Sequence[Record], controller: str, now_us: int) -> dict[str, Any]:
    events = sorted(group, key=lambda r: (r.occurred_us, r.version))
    first = min(group, key=lambda r: r.version)
    name = f"{first.stream}@{first.version}"
    return {
        "@context": CONTEXT,
        "@id": f"urn:consent-receipt:{name}",
        "@type": "dpv:ConsentReceipt",
        "dct:identifier": f"receipt-{name}",
        "dct:conformsTo": f"{PROFILE}#receipt-record",
        "dct:created": iso(now_us),
        "dct:publisher": controller,
        "schema:recipient": "dpv:DataSubject",
        "dpv:hasRecordOfActivity": {
            "@id": f"urn:consent-record:{name}",
            "@type": "dpv:ConsentRecord",
            "dct:identifier": name,
            "dct:conformsTo": f"{PROFILE}#record",
            "dct:created": iso(first.at_us),
            "dpv:hasDataSubject": {"@id": f"urn:subject:{first.stream}", "@type": "dpv:Customer"},
            "dpv:hasDataController": {"@type": "dpv:DataController", "dpv:hasName": controller},
            "dpv:hasLegalBasis": "eu-gdpr:A6-1-a",
            "dpv:hasProcess": _process(first.body or {}),
            "dpv:hasNotice": [_notice(version) for version in _notices(events)],
            "dpv:hasRight": ["eu-gdpr:A7-3", "eu-gdpr:A15", "eu-gdpr:A17", "eu-gdpr:A20", "eu-gdpr:A21"],
            "dpv:hasConsentStatus": [_event(record, record.body or {}) for record in events],
        },
    }


def _process(body: Mapping[str, Any]) -> dict[str, Any]:
    purpose = body["purpose"]
    return {
        "@type": "dpv:Process",
        "dpv:hasPurpose": {"@type": _PURPOSES.get(purpose, "dpv:Purpose"), "dct:identifier": purpose},
        "dpv:hasScope": "all channels" if body["channel"] == "*" else body["channel"],
        "dpv:hasDataSource": "dpv:DataSubject",
    }


def _notices(events: Sequence[Record]) -> list[str]:
    return sorted({str((record.body or {}).get("notice_version") or "") for record in events} - {""})


def _notice(version: str) -> dict[str, str]:
    return {"@type": "dpv:ConsentNotice", "dct:hasVersion": version}


def _event(record: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    event = {
        "@type": _STATUSES[body["status"]],
        "dct:identifier": f"{record.stream}@{record.version}",
        "dpv:isIndicatedAtTime": iso(record.occurred_us),
        "dct:created": iso(record.at_us),
        "dpv:isIndicatedBy": body.get("asserted_by") or "dpv:DataSubject",
        "dpv:hasIndicationMethod": body["source"],
        "dct:hasVersion": body.get("notice_version") or "",
    }
    if "source_record" in body:
        event["dct:source"] = body["source_record"]
    if body.get("expires_us") is not None:
        event["dpv:hasExpiryTime"] = iso(body["expires_us"])
    if body["status"] == "objected":
        event["dpv:hasRight"] = "eu-gdpr:A21"
    return event
