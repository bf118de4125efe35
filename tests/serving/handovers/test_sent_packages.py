"""Packages of handovers by webhook: signed, tried again, recorded, and nothing of what was inferred by name."""

import html
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json
from standardwebhooks import Webhook

from features.ledger import now_us
from serving.brain.runtime import Brain
from serving.commands.verifying import add_ledger_flaws
from serving.events import webhooks
from serving.events.moments import Watcher, dead_letters
from serving.people import sent_packages
from serving.settings import Workspace
from tests.serving.conftest import NewDatabase
from tests.serving.people.own_page import entered
from tests.serving.test_webhooks import Receiver
from tests.serving.workspaces import Client, Json, consent, signal, small_workspace, welcome

CARE_TEXT = "Call 113 if you think of suicide"
MORE = f"""
settings: {{handover: {{deliver: [opened, accepted, resolved], confirm_consents: true}}}}
purposes:
  - {{id: insight, notice_version: "2026-01"}}
  - id: newsletter
    notice_version: "2026-02"
    description: {{nl: "Mogen wij u schrijven?", en: "May we write to you?"}}
signals:
  - id: call
    retention_days: 30
    fields:
      - {{name: author, dtype: enum, values: [customer, agent, bot]}}
      - {{name: conversation_id, dtype: string}}
      - {{name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}}
      - {{name: urgent, dtype: bool, tags: [request]}}
features:
  - {{name: hobby, dtype: int, purpose: insight,
     because: {{use: said, text: {{nl: "u hobby's hebt", en: "you have hobbies"}}}}}}
  - {{name: urgent_24h, dtype: int, source: signal, tags: [request],
     signal: {{of: call, where: {{urgent: true}}, compute: count, window: 24h}}}}
emotion:
  - id: cannot-wait
    when: "urgent_24h >= 1"
    silence_sales: true
    handover: "is in danger"
    kind: danger
    needs: [vulnerable]
    first: true
    text: {{nl: "{CARE_TEXT}", en: "{CARE_TEXT}"}}
package:
  - {{id: leisure, title: {{nl: Vrije tijd, en: Leisure}}, features: [hobby, monthly_fee_eur]}}
"""
CHAT = {"channel": "chat", "reason": "asks for a person", "language": "en"}


class Company:
    """A client, the receiver of its company, and the thread of a replica that makes and sends deliveries."""

    def __init__(self, root: Path, database: str | None) -> None:
        workspace, self.receiver = small_workspace(root, MORE, database), Receiver([204])
        with (root / "brain.yaml").open("a") as settings:
            settings.write(f"\nmoments: {{webhook: '{self.receiver.url}', attempts: 3}}\n")
        self.brain = Brain(Workspace.open(workspace.root))
        self.client = Client(self.brain)
        self.watcher = Watcher(self.brain, package=partial(sent_packages.body, self.brain))
        self.source = sent_packages.PackageSource(self.brain, self.watcher.moments)
        self.source.prepare()

    def send(self) -> list[Json]:
        """Return what arrives at the receiver now."""
        before = len(self.receiver.got)
        self.source.prepare()
        self.watcher.send_due()
        return [from_json(body) for _, body in self.receiver.got[before:]]

    def opened(self, customer: str, **more: Any) -> str:
        about = {"request_id": f"r-{customer}", "customer_id": customer, "conversation_id": f"t-{customer}"}
        status, answer = self.client("POST", "/v1/handovers", {**about, **CHAT, **more})
        assert status == 200, answer
        return str(answer["handover_id"])

    def say(self, customer: str, text: str) -> None:
        told = signal("call", f"customer:{customer}", text=text, conversation_id=f"t-{customer}")
        assert self.client("POST", "/v1/signals", told)[0] == 200

    def step(self, handover: str, **step: Any) -> None:
        status, answer = self.client("POST", f"/v1/handovers/{handover}/steps", step)
        assert status == 200, answer


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, database: NewDatabase) -> Iterator[Company]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webhooks, "FIRST_PAUSE_S", 0.0)
        company = Company(tmp_path_factory.mktemp("sent") / "shop", database())
        yield company
        company.receiver.close()
        company.watcher.close()
        company.brain.close()


@pytest.mark.promise("handovers.sent-package")
def test_a_package_is_sent_when_a_handover_is_opened_accepted_and_resolved(company: Company) -> None:
    client = company.client
    welcome(client, "c-1")
    handover = company.opened("c-1")
    company.say("c-1", "my invoice is wrong")
    (sent,) = company.send()
    assert (sent["event"], sent["handover_id"], sent["step"]) == ("handover.opened", handover, 0)
    whole = client("GET", f"/v1/handovers/{handover}/package")[1]
    assert [one["text"] for one in whole["words"]] == ["my invoice is wrong"]
    assert sent["package"] == {**whole, "words": []}
    assert company.send() == [], "once"
    company.step(handover, state="accepted", agent_id="ann")
    company.step(handover, state="transferred", note="she wept")
    company.step(handover, state="accepted", agent_id="ben")
    company.step(handover, state="resolved")
    assert sorted((one["event"], one["step"]) for one in company.send()) == [
        *(("handover.accepted", 1), ("handover.accepted", 3), ("handover.resolved", 4)),
    ]
    headers, body = company.receiver.got[0]
    (key,) = webhooks.signing_secrets(company.brain.workspace, company.brain.ledger)
    assert Webhook(webhooks.encoded_secret(key)).verify(body, headers)["event"] == "handover.opened"


@pytest.mark.promise("handovers.sent-package")
def test_what_was_inferred_leaves_by_no_name(company: Company) -> None:
    client = company.client
    welcome(client, "c-2")
    company.say("c-2", "I am going to kill myself tonight")
    asked = {"request_id": "d-2", "customer_id": "c-2", "conversation_id": "t-c-2", "channel": "web"}
    placed = {**asked, "placements": [{"name": "hero"}], "context": {"page": "home"}}
    handover = client("POST", "/v1/decisions", placed)[1]["handover"]
    assert (handover["reason"], handover["text"]) == ("is in danger", CARE_TEXT)
    (sent,) = company.send()
    assert sent["handover_id"] == handover["handover_id"]
    assert sent["package"]["wants"]["reason"] == "heeft iemand nodig die hiervoor is opgeleid"
    raw = company.receiver.got[-1][1].decode()
    assert not [word for word in ("danger", "Call 113", "urgent", "vulnerable", "silen") if word in raw]
    assert (sent["package"]["suggestions"], sent["package"]["not_to_offer"]) == ([], [])
    welcome(client, "c-3")
    wept = company.opened("c-3")
    company.step(wept, state="resolved", note="her mother died")
    company.send()
    again = client(
        "POST", "/v1/handovers", {"request_id": "r-3b", "customer_id": "c-3", "conversation_id": "b", **CHAT}
    )
    assert "died" in str(client("GET", f"/v1/handovers/{again[1]['handover_id']}/package")[1]["interactions"])
    company.send()
    assert b"died" not in company.receiver.got[-1][1]


@pytest.mark.promise("handovers.package-purposes")
def test_a_refused_purpose_changes_no_byte_of_what_is_sent(company: Company) -> None:
    client = company.client
    welcome(client, "c-4")
    client("POST", "/v1/consents", [consent("c-4", "insight", "refused"), consent("c-4", "emotion", "objected")])
    client("PATCH", "/v1/customers/c-4", {"facts": {"hobby": 0}})
    company.opened("c-4")
    delivered = []
    for hobby, text in ((0, "hello"), (77_123, "I AM FURIOUS!!!")):
        client("PATCH", "/v1/customers/c-4", {"facts": {"hobby": hobby}})
        company.say("c-4", text)
        company.source.prepare()
        (delivery,) = [d for d in company.watcher.moments.page("waiting", 0, 10) if d.of_handover]
        delivered.append(sent_packages.body(company.brain, company.watcher.moments, delivery))
    assert delivered[0] == delivered[1]
    company.send()


@pytest.mark.promise("handovers.sent-package")
def test_a_delivery_is_tried_again_and_told_in_export_and_looks_and_verifies(company: Company) -> None:
    client, receiver = company.client, company.receiver
    welcome(client, "c-5")
    handover = company.opened("c-5")
    receiver.statuses[:] = [500, 204]
    company.send()
    company.send()
    ids = {headers["webhook-id"] for headers, _ in receiver.got[-2:]}
    assert ids == {f"{handover}.0.webhook"}
    export = client("GET", "/v1/customers/c-5/export")[1]
    (delivery,) = export["moments"]["deliveries"]
    assert (delivery["moment"], delivery["state"], delivery["attempts"]) == ("handover.opened", "delivered", 2)
    assert "package" not in delivery["body"], "nothing of the customer is stored with it"
    while export["next"] and not export["looks"]:
        export = client("GET", f"/v1/customers/c-5/export?after={export['next']}")[1]
    assert [(x["role"], x["what"], x["purpose"]) for x in export["looks"]] == [("agent", "package", "service")]
    flaws: list[str] = []
    add_ledger_flaws(company.brain.workspace, flaws)
    assert flaws == []


def test_a_package_that_was_given_up_is_sent_again_when_somebody_says_so(company: Company) -> None:
    welcome(company.client, "c-9")
    handover = company.opened("c-9")
    company.receiver.statuses[:] = [500, 500, 500, 204]
    for _ in range(3):
        company.send()
    (dead,) = company.client("GET", "/v1/moments/dead")[1]["dead"]
    assert (dead["moment"], dead["attempts"]) == ("handover.opened", 3)
    assert dead_letters(company.brain.workspace, [dead["id"]])["retried"] == 1
    assert [one["handover_id"] for one in company.send()] == [handover]


def test_nothing_leaves_of_who_is_restricted_or_erased(company: Company) -> None:
    client = company.client
    for customer in ("c-6", "c-7"):
        welcome(client, customer)
        company.opened(customer)
    company.source.prepare()
    assert client("PATCH", "/v1/customers/c-6", {"restricted": True})[0] == 200
    assert client("DELETE", "/v1/customers/c-7")[0] in (200, 202)
    assert company.send() == []
    withheld = client("GET", "/v1/moments/withheld")[1]["withheld"]
    assert [one["gates"] for one in withheld] == [["subject:restricted"]]


@pytest.mark.promise("desk.consent-in-writing")
def test_a_consent_of_a_conversation_is_confirmed_in_writing_while_it_holds(company: Company) -> None:
    client = company.client
    welcome(client, "c-in-writing")
    handover = company.opened("c-in-writing", language="nl")
    company.step(handover, state="accepted", agent_id="desk")
    company.send()
    given = {"source": f"conversation:{handover}", "notice_version": "2026-02", "channel": "email"}
    for purpose in ("newsletter", "insight"):
        assert client("POST", "/v1/consents", consent("c-in-writing", purpose, **given))[0] == 200
    assert client("POST", "/v1/consents", consent("c-in-writing", "insight", "withdrawn", channel="email"))[0] == 200
    (sent,) = company.send()
    assert (sent["event"], sent["customer_id"], sent["purpose"], sent["channel"], sent["language"]) == (
        *("consent.granted", "c-in-writing", "newsletter", "email", "nl"),
    )
    assert sent["handover_id"] == handover
    assert "Dit is u voorgelezen: “Mogen wij u schrijven?”" in sent["text"]
    assert company.send() == [], "once"
    exported = client("GET", "/v1/customers/c-in-writing/export")[1]
    states = [one["state"] for one in exported["moments"]["deliveries"] if one["moment"] == "consent.granted"]
    assert sorted(states) == ["delivered", "withheld"]
    page = html.unescape(entered(client, "c-in-writing").get("/me?lang=en")[2])
    assert "you said yes in a conversation with us, for e-mail" in page
    assert "This was read to you: “May we write to you?”" in page
    assert client("DELETE", "/v1/customers/c-in-writing")[0] in (200, 202)
    assert company.send() == []


def test_what_was_before_or_is_long_ago_is_not_told(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    welcome(company.client, "c-8")
    company.opened("c-8")
    monkeypatch.setattr(sent_packages, "now_us", lambda: now_us() + 2 * sent_packages.OLDEST_US)
    assert company.send() == []
