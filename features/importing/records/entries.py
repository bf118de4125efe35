"""The ledger records of a plan, each with a key of its own, so that importing again adds nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from decisioning.catalogue.actions import Action
from decisioning.catalogue.files import Catalogue
from decisioning.facts.schema import Value
from decisioning.times import microseconds
from features.importing.plan import ContactRows, ImportPlan, OutcomeRows
from features.ledger import Entry, Ledger

_COUNTED: Final = ("action", "channel", "treatment", "group", "issue", "outcome")


class Entries:
    """Builds the ledger records of a plan.

    `streams` maps the id of each customer who was not erased to the customer's stream; others get no records. `denied`:
    the keys of outcomes that did not happen, by files that say so of each contact.
    """

    def __init__(self, plan: ImportPlan, catalogue: Catalogue, ledger: Ledger, streams: dict[str, str]) -> None:
        self.plan, self.ledger, self.streams = plan, ledger, streams
        self.id = plan.source.mapping.id
        self.actions = {a.id: a for a in catalogue.actions}
        self.notices = {
            p.id: p.notice_version for p in catalogue.purposes
        }  # asserted consents take the version in force
        self.entries: dict[str, list[Entry]] = defaultdict(list)
        self.denied: set[str] = set()
        self._keys: set[str] = set()

    def by_stream(self) -> dict[str, list[Entry]]:
        """Return stream -> its entries, consents first."""
        self._asserted_consents()
        self._consents()
        for contacts in self.plan.contacts:
            self._contacts(contacts)
        self._late_outcomes()
        return self.entries

    def _add(self, stream: str, kind: str, body: Mapping[str, object], at_us: int, key: str) -> None:
        """Add an entry, unless the files say the same thing twice."""
        if key not in self._keys:
            self._keys.add(key)
            self.entries[stream].append(Entry(stream, kind, body, at_us, key=f"import:{self.id}:{key}"))

    def _add_consent(self, stream: str, body: Mapping[str, object], at_us: int) -> None:
        """Add a consent. A corrected file may say no where the one before said yes at the same time: both are kept."""
        key = f"consent:{stream}:{body['purpose']}:{body['channel']}:{at_us}"
        self._add(stream, "consent", body, at_us, key if body["status"] == "granted" else f"{key}:{body['status']}")

    def _asserted_consents(self) -> None:
        for assertion in self.plan.source.mapping.assertions:
            at_us = microseconds(assertion.since)
            for consent in assertion.consents:
                body = {
                    "purpose": consent.purpose,
                    "channel": consent.channel,
                    "status": consent.status,
                    "source": f"import:{self.id}",
                    "notice_version": self.notices[consent.purpose],
                    "expires_us": None,
                    "asserted_by": assertion.author,
                    "text": assertion.text,
                }
                for stream in self.streams.values():
                    self._add_consent(stream, body, at_us)

    def _consents(self) -> None:
        for rows in self.plan.consents:
            for subject, granted, at_us in _zip(rows.subject, rows.granted, rows.at_us):
                if stream := self.streams.get(subject):
                    body = {
                        "purpose": rows.purpose,
                        "channel": rows.channel,
                        "status": "granted" if granted else "refused",
                        "source": f"import:{self.id}",
                        "notice_version": rows.notice_version,
                        "expires_us": None,
                    }
                    self._add_consent(stream, body, at_us)

    def _contacts(self, rows: ContactRows) -> None:
        ids = rows.id.to_pylist() if rows.id is not None else None
        accounts = rows.account.to_pylist() if rows.account is not None else None
        after = {name: cells.to_pylist() for name, cells in rows.after.items()}
        names: list[str] = []
        for n, (subject, action, channel, at_us, p) in enumerate(
            _zip(rows.subject, rows.action, rows.channel, rows.at_us, rows.probability)
        ):
            stream = self.streams.get(subject, "")
            name = f"{self.id}:{ids[n]}" if ids else f"{self.id}:{stream[:20]}:{action}:{channel}:{at_us}"
            names.append(name)
            body: dict[str, object] = {
                "action": action,
                "channel": channel,
                "observation_id": name,
                "told": rows.outcome_names,
            }
            body |= {"probability": p} if p is not None else {}
            body |= _cap_fields(self.actions.get(action), channel)
            if after:
                body["after"] = {feature: values[n] for feature, values in after.items() if values[n] is not None}
            self._add_for_owners(stream, accounts[n] if accounts else None, "observation", body, at_us, name)
        self._outcomes(rows, names, accounts)

    def _outcomes(self, rows: ContactRows, names: list[str], accounts: list[str] | None) -> None:
        subjects, actions = rows.subject.to_pylist(), rows.action.to_pylist()
        for outcome in rows.outcomes:
            self._deny(outcome, names, "outcome:account" if accounts is not None else None)
            for n, at_us, value in _zip(outcome.row, outcome.at_us, outcome.value_eur):
                body = {"action": actions[n], "outcome": outcome.name, "offer_id": names[n], "value_eur": value}
                stream = self.streams.get(subjects[n], "")
                self._add_for_owners(
                    stream, accounts[n] if accounts else None, "outcome", body, at_us, f"{names[n]}:{outcome.name}"
                )

    def _deny(self, outcome: OutcomeRows, names: list[str], of_account: str | None) -> None:
        """Note the contacts after which an outcome did not happen; an earlier file may have said that it did.

        `of_account`: what the keys of the accounts' records begin with, if the file names accounts.
        """
        happened = frozenset(outcome.row.to_pylist())
        for n, name in enumerate(names):
            if n not in happened:
                for kind in ("outcome", of_account) if of_account else ("outcome",):
                    self.denied.add(f"import:{self.id}:{kind}:{name}:{outcome.name}")

    def _late_outcomes(self) -> None:
        for rows in self.plan.late:
            contacts = rows.contact.to_pylist() if rows.contact is not None else None
            for n, (subject, action, at_us, value) in enumerate(
                _zip(rows.subject, rows.action, rows.at_us, rows.value_eur)
            ):
                stream = self.streams.get(subject, "")
                offer = f"{self.id}:{contacts[n]}" if contacts else None
                body = {"action": action, "outcome": rows.name, "offer_id": offer, "value_eur": value}
                self._add_for_owners(
                    stream, None, "outcome", body, at_us, f"{offer or f'{stream}:{action}:{at_us}'}:{rows.name}"
                )

    def _add_for_owners(
        self, stream: str, account: str | None, kind: str, body: dict[str, object], at_us: int, key: str
    ) -> None:
        """Add an entry to the person's stream, and for an account-scoped action to the account's, which counts caps.

        An empty `stream` stands for an erased person; nothing is added then.
        """
        if not stream:
            return
        self._add(stream, kind, body, at_us, f"{kind}:{key}")
        action = self.actions.get(str(body["action"]))
        if account is not None and action is not None and action.scope == "account":
            self._add(
                self.ledger.stream_of("account", account),
                kind,
                self._of_account(body),
                at_us,
                f"{kind}:account:{key}",
            )

    def _of_account(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return what caps and suppression read of a body; an account's stream outlives the person.

        The name of the contact, which the files chose, is kept as a keyed hash.
        """
        counted = {name: body[name] for name in _COUNTED if name in body}
        names = {name: body[name] for name in ("observation_id", "offer_id") if body.get(name) is not None}
        keyed = {name: self.ledger.key_of(f"contact of an account:{value}") for name, value in names.items()}
        return {**counted, **keyed, "scope": "account"}


def _cap_fields(action: Action | None, channel: str) -> dict[str, Value]:
    """Return the fields of an action that caps count by; none for an action that the catalogue does not have."""
    if action is None:
        return {}
    treatment = next((f"{action.id}.{t.id}" for t in action.treatments if t.channel == channel), "")
    return {"treatment": treatment, "group": action.group, "issue": action.issue}


def _zip(*columns: pa.Array) -> Iterator[tuple[Any, ...]]:
    return zip(*(c.to_pylist() for c in columns), strict=True)
