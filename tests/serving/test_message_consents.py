"""A message's text is kept only where everyone behind it allows it, and nobody is restricted."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from serving.brain import releasing
from serving.brain.runtime import Brain
from tests.serving.test_identities import identity
from tests.serving.workspaces import Client, consent, signal, small_workspace

FIELDS = "fields: [{name: text, dtype: string}, {name: level, dtype: int, tags: [emotion]}, {name: sentiment,"
PURPOSE = '  - {id: message-text, notice_version: "2026-01"}\n'
NAMES = count()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    workspace = small_workspace(tmp_path_factory.mktemp("texts") / "ws")
    features, rules = workspace.catalogue / "features.yaml", workspace.catalogue / "settings.yaml"
    features.write_text(features.read_text().replace("fields: [{name: sentiment,", FIELDS))
    rules.write_text(rules.read_text().replace("purposes:\n", f"purposes:\n{PURPOSE}", 1))
    releasing.release(workspace, "test")
    brain = Brain(workspace)
    yield Client(brain)
    brain.close()


@pytest.fixture
def customer(client: Client) -> str:
    """A customer who allows texts to be kept, with a linked cookie of the same name, which allows it too."""
    name = f"c-{next(NAMES)}"
    say(client, "granted", customer_id=name)
    say(client, "granted", visitor_id=f"cookie:{name}")
    assert client("POST", "/v1/identities", identity(name, name))[0] == 200
    return name


def say(client: Client, status: str, **whom: Any) -> None:
    body = {k: v for k, v in consent("", "message-text", status).items() if k != "customer_id"}
    at = {"granted": "2026-01-01T00:00:00Z"}.get(status, "2026-02-01T00:00:00Z")
    assert client("POST", "/v1/consents", {**body, "occurred_at": at, **whom})[0] == 200


def kept(client: Client, subject: str, **data: Any) -> set[str]:
    """Send a message, and return the names of the fields that were kept of it."""
    said = signal("message", subject, text="This is terrible.", language="en", **data)
    assert client("POST", "/v1/signals", said)[1]["accepted"] == 1
    kind, _, name = subject.partition(":")
    path = f"customers/{name}" if kind == "customer" else f"visitors/{subject}"
    fields = client("GET", f"/v1/{path}/export")[1]["events"][-1]["fields"]
    return set(fields)


@pytest.mark.promise("messages.text-is-gone")
def test_a_text_is_kept_where_everybody_behind_it_allows_it(client: Client, customer: str) -> None:
    assert kept(client, f"customer:{customer}") == {"text", "level", "sentiment"}
    assert "text" in kept(client, f"cookie:{customer}")


@pytest.mark.promise("messages.text-is-gone")
@pytest.mark.parametrize("restricted", ["customers/{}", "visitors/cookie:{}"])
@pytest.mark.parametrize("sender", ["customer:{}", "cookie:{}"])
def test_of_who_is_restricted_neither_text_nor_mood_is_kept(
    client: Client, customer: str, restricted: str, sender: str
) -> None:
    path = f"/v1/{restricted.format(customer)}"
    assert client("PATCH", path, {"restricted": True})[0] == 200
    assert kept(client, sender.format(customer)) == {"sentiment"}  # which the type requires


@pytest.mark.promise("messages.text-is-gone")
@pytest.mark.parametrize("refusing", ["customer", "cookie"])
@pytest.mark.parametrize("sender", ["customer:{}", "cookie:{}"])
def test_a_no_of_the_customer_or_of_a_linked_visitor_holds_for_both(
    client: Client, customer: str, refusing: str, sender: str
) -> None:
    whom = {"customer_id": customer} if refusing == "customer" else {"visitor_id": f"cookie:{customer}"}
    say(client, "withdrawn", **whom)
    assert "text" not in kept(client, sender.format(customer))


@pytest.mark.promise("messages.text-is-gone")
@pytest.mark.parametrize(("channel_kind", "keeps"), [(None, False), ("email", False), ("chat", False), ("web", True)])
def test_a_no_on_one_channel_holds_there_and_where_a_message_names_none(
    client: Client, customer: str, channel_kind: str | None, keeps: bool
) -> None:
    say(client, "withdrawn", customer_id=customer, channel="email")
    named = {} if channel_kind is None else {"channel_kind": channel_kind}
    assert ("text" in kept(client, f"customer:{customer}", **named)) is keeps
