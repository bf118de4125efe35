"""What a browser takes away by Global Privacy Control holds for the moments that its signals cause."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from decisioning.times import DAY_US
from features.ledger import now_us
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.customers import erasing
from serving.events import moments as moments_module
from serving.events import signals as signals_module
from serving.events.moments import Watcher
from tests.serving.workspaces import Client, Json, consent, decide_and_send, signal, small_workspace, welcome

ADULTS = """
signals:
  - {id: age-check, retention_days: 30, fields: [{name: adult, dtype: bool}]}
features:
  - {name: adult_seen, dtype: bool, source: signal, model_input: false,
     signal: {of: age-check, compute: last, field: adult}}
"""
"""A visitor's age is a signal, because a visitor has no profile."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    root: Path = tmp_path_factory.mktemp("gpc") / "ws"
    workspace = small_workspace(root)
    settings = workspace.catalogue / "settings.yaml"
    settings.write_text(settings.read_text().replace("age_feature: age", "age_feature: adult_seen"))
    (workspace.catalogue / "adults.yaml").write_text(ADULTS)
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


def known_adult(client: Client, subject: str, **statuses: str) -> None:
    """Make a visitor or customer an adult who allows marketing and profiling."""
    kind, _, name = subject.partition(":")
    if kind == "customer":
        welcome(client, name)
    else:
        stated(client, subject, "marketing", "granted")
        stated(client, subject, "profiling", "granted")
    assert client("POST", "/v1/signals", signal("age-check", subject, adult=True))[1]["accepted"] == 1


def stated(client: Client, visitor: str, purpose: str, status: str, **more: Any) -> None:
    body = {**consent("", purpose, status, **more), "visitor_id": visitor}
    del body["customer_id"]
    assert client("POST", "/v1/consents", body)[0] == 200


def sent(client: Client, subject: str, *controls: str) -> None:
    """Send a failed payment for each of `controls`: the value of its header Sec-GPC, or empty for none."""
    for control in controls:
        headers = {"sec_gpc": control} if control else {}
        assert client("POST", "/v1/signals", signal("payment-failure", subject), **headers)[1]["accepted"] == 1


def moments_of(client: Client, subject: str) -> list[Json]:
    """Process what is due, and return the recorded decisions that moments opened for a subject."""
    decide_and_send(Watcher(client.brain))
    name = {"customer_id": subject.removeprefix("customer:")} if subject.startswith("customer:") else {}
    wanted = name or {"visitor_id": subject}
    bodies = [record.body for record in client.brain.ledger.scan(("decision",), 0, 10**4)]
    return [b for b in bodies if b is not None and wanted.items() <= b["request"].items()]


def profiled(client: Client, subject: str) -> list[bool]:
    return ["profiling" in decision["permissions"] for decision in moments_of(client, subject)]


@pytest.mark.promise("consent.gpc-holds-for-moments")
@pytest.mark.parametrize("kind", ["customer", "cookie"])
@pytest.mark.parametrize("controls", [("1", "1", "1"), ("1", "", ""), ("", "", "1"), ("", "", "")])
def test_a_signal_with_gpc_causes_no_moment_that_is_decided_with_profiling(
    client: Client, kind: str, controls: tuple[str, ...]
) -> None:
    subject = f"{kind}:c-{'-'.join(control or '0' for control in controls)}"
    known_adult(client, subject)
    sent(client, subject, *controls)
    (decision,) = moments_of(client, subject)
    asks_none = "1" in controls
    assert ("profiling" in decision["permissions"]) is not asks_none
    assert decision["request"].get("context", {}) == ({"gpc": True} if asks_none else {})


@pytest.mark.promise("consent.gpc-holds-for-moments")
@pytest.mark.parametrize("through", ["header", "extension"])
def test_every_event_of_a_batch_with_gpc_counts(client: Client, through: str) -> None:
    subject = f"customer:c-batch-{through}"
    known_adult(client, subject)
    events = [signal("payment-failure", subject) for _ in range(3)]
    if through == "header":
        assert client("POST", "/v1/signals", events, sec_gpc="1")[1]["accepted"] == 3
    else:
        assert client("POST", "/v1/signals", [events[0], {**events[1], "gpc": True}, events[2]])[1]["accepted"] == 3
    assert profiled(client, subject) == [False]


@pytest.mark.promise("consent.gpc-holds-for-moments")
@pytest.mark.parametrize("channel", [None, "web", "agent"])
def test_a_visitors_standing_refusal_by_gpc_binds_moments_on_every_channel(client: Client, channel: str | None) -> None:
    subject = f"cookie:standing-{channel}"
    known_adult(client, subject)
    stated(client, subject, "profiling", "refused", source="gpc", channel=channel)
    sent(client, subject, "", "", "")
    assert profiled(client, subject) == [False]


@pytest.mark.promise("consent.gpc-holds-for-moments")
@pytest.mark.parametrize("by", ["signal", "refusal"])
def test_what_a_linked_visitor_took_away_holds_for_the_customers_moments(client: Client, by: str) -> None:
    subject, visitor = f"customer:c-linked-{by}", f"cookie:linked-{by}"
    known_adult(client, subject)
    link = {"identifier": {"kind": "cookie", "value": f"linked-{by}"}, "status": "linked", "source": "login"}
    assert client("POST", "/v1/identities", {"customer_id": f"c-linked-{by}", **link})[0] == 200
    if by == "signal":
        sent(client, visitor, "1")
    else:
        stated(client, visitor, "profiling", "refused", source="gpc", channel="agent")
    sent(client, subject, "", "", "")
    assert profiled(client, subject) == [False]


def test_another_refusal_on_another_channel_takes_nothing_away(client: Client) -> None:
    known_adult(client, "cookie:other")
    stated(client, "cookie:other", "profiling", "refused", source="call", channel="agent")
    stated(client, "cookie:other", "email", "refused", source="gpc", channel="agent")
    sent(client, "cookie:other", "", "", "")
    assert profiled(client, "cookie:other") == [True]


def test_a_signal_that_the_moment_does_not_go_by_takes_nothing_from_it(client: Client) -> None:
    known_adult(client, "customer:c-page")
    assert client("POST", "/v1/signals", signal("page-view", "customer:c-page", page="home"), sec_gpc="1")[0] == 200
    sent(client, "customer:c-page", "", "", "")
    assert profiled(client, "customer:c-page") == [True]


def test_a_signal_with_gpc_holds_until_it_is_no_longer_kept(client: Client) -> None:
    known_adult(client, "customer:c-old")
    earlier = now_us() - 31 * DAY_US
    with patch.object(signals_module, "now_us", lambda: earlier):
        sent(client, "customer:c-old", "1")
    sent(client, "customer:c-old", "", "", "")
    assert profiled(client, "customer:c-old") == [True]
    later = now_us() + 40 * DAY_US
    with patch.object(moments_module, "now_us", lambda: later):
        Watcher(client.brain).purge()
    assert client("GET", "/v1/customers/c-old/export")[1]["moments"]["privacy_controls"] == []


def test_what_is_kept_of_gpc_is_exported_and_erased(client: Client) -> None:
    known_adult(client, "customer:c-held")
    sent(client, "customer:c-held", "1")
    (held,) = client("GET", "/v1/customers/c-held/export")[1]["moments"]["privacy_controls"]
    assert held["signal"] == "payment-failure"
    assert client("DELETE", "/v1/customers/c-held")[0] == 200
    erasing.clean(client.brain)
    assert client("GET", "/v1/customers/c-held/export")[1]["moments"]["privacy_controls"] == []
