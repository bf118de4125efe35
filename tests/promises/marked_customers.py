"""Customers with recognisable values in everything that is stored about them, and functions to write and find these."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.approvals.door import Door
from features.ledger import Entry, now_us
from features.profile.offline import History
from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands import batch
from serving.customers import exported_files
from serving.settings import Workspace
from tests.permits import TESTER
from tests.reading import bytes_of
from tests.serving.workspaces import FACTS, Client, Json, ask, consent, offers, signal, small_workspace

if TYPE_CHECKING:
    from training.learning.context import LearningContext

MARKED = """
purposes:
  - {id: message-text, notice_version: "2026-01"}
features:
  - {name: nickname, dtype: string, model_input: false}
  - {name: last_words, dtype: string, source: signal, model_input: false,
     signal: {of: search, compute: last, field: words}}
signals:
  - {id: search, retention_days: 30, fields: [{name: words, dtype: string, required: true}]}
  - id: call
    retention_days: 30
    fields:
      - {name: conversation_id, dtype: string}
      - {name: text, dtype: string, tags: [emotion]}
      - {name: sentiment, dtype: float, min: -1, max: 1, tags: [emotion]}
moments:
  - {id: searched, on: search, when: 'last_words != "x"', channel: web, placements: [hero], every_h: 1}
"""


def marked_workspace(root: Path) -> Workspace:
    """Return a workspace with the small catalogue and further fields for recognisable values."""
    workspace = small_workspace(root)
    (workspace.catalogue / "marked.yaml").write_text(MARKED)
    releasing.release(workspace, "test")
    return workspace


class Marks:
    """The recognisable values of one customer; everything stored about the customer contains one of them."""

    def __init__(self, mark: str) -> None:
        self.customer, self.mark, self.email = f"id-{mark}", mark, f"{mark.encode().hex():0>64}"[-64:]

    @property
    def everything(self) -> set[bytes]:
        return {self.mark.encode(), self.email.encode()}


async def store_everything(client: Client, one: Marks) -> None:
    """Store, over HTTP, everything that may be stored about a customer."""

    async def send(method: str, path: str, body: Any) -> Json:
        status, answer = await client.ask(method, path, body)
        assert status == 200, (path, answer)
        return answer

    m = one.mark
    await send("PATCH", f"/v1/customers/{one.customer}", {"facts": {**FACTS, "nickname": f"name {m}"}})
    purposes = ("marketing", "profiling", "email", "message-text")
    await send("POST", "/v1/consents", [consent(one.customer, p, source=f"form {m}") for p in purposes])
    identity = {"customer_id": one.customer, "status": "linked", "source": f"login {m}"}
    await send("POST", "/v1/identities", {**identity, "identifier": {"kind": "email", "value": one.email}})
    await send("POST", "/v1/identities", {**identity, "identifier": {"kind": "cookie", "value": f"cookie {m}"}})
    person, visitor = f"customer:{one.customer}", f"cookie:cookie {m}"
    words = {"text": f"My name is {m} and I am very angry", "conversation_id": f"talk {m}"}
    await send(
        "POST",
        "/v1/signals",
        [signal("search", person, words=f"search {m}"), signal("call", person, **words),
         signal("search", visitor, words=f"visitor {m}")],
    )  # fmt: skip
    request = {**ask(f"request {m}", one.customer), "account_id": f"account {m}"}
    answer = await send("POST", "/v1/decisions", request)
    visit = ask(f"visit {m}", "")
    del visit["customer_id"]
    await send("POST", "/v1/decisions", {**visit, "visitor_id": visitor})
    for n, offer in enumerate(offers(answer)):
        outcome = {"offer_id": offer["offer_id"], "outcome": "declined", "outcome_id": f"outcome {m} {n}"}
        await send("POST", "/v1/outcomes", outcome)
    conversation = {"customer_id": one.customer, "conversation_id": f"chat-{m}", "channel": "chat"}
    await send("POST", "/v1/handovers", {"request_id": f"help {m}", **conversation, "reason": f"wants {m}"})
    said = {"text": f"My name is still {m}", "conversation_id": f"chat-{m}"}
    await send("POST", "/v1/signals", signal("call", person, **said))


def files_of(workspace: Workspace) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file of a workspace; Parquet files also decompressed."""
    for path in sorted(p for p in workspace.root.rglob("*") if p.is_file()):
        yield str(path), bytes_of(path)
        if path.suffix == ".parquet":
            yield f"{path} decompressed", repr(pq.read_table(path).to_pylist()).encode()


def traces_in(workspace: Workspace, marks: set[bytes]) -> list[tuple[str, bytes]]:
    """Return each (file, mark) where a file of the workspace contains a mark."""
    return [(name, mark) for name, content in files_of(workspace) for mark in marks if mark in content]


def add_past(brain: Brain, marks: list[Marks]) -> None:
    """Record contacts by another system long ago, enough for a model to learn from."""
    ago_us, ledger = now_us() - 200 * 86_400_000_000, brain.ledger
    for n, one in enumerate(marks):
        body = {
            "action": "tv-bundle",
            "channel": "web",
            "observation_id": f"seen {one.mark}",
            "facts": {"age": 30 + n % 9},
        }
        outcomes = [{"outcome": "accepted"}] if n % 2 else []
        ledger.append(
            [Entry(ledger.stream_of("person", one.customer), "observation", {**body, "outcomes": outcomes}, ago_us)]
        )


def train(workspace: Workspace, brain: Brain) -> None:
    from training.learning import workflow

    workflow.train(learning_context(workspace, brain), now_us=now_us())


def learning_context(workspace: Workspace, brain: Brain) -> "LearningContext":
    """Return what training reads and writes, over the stores of a brain."""
    from training.learning.context import LearningContext
    from training.registry import Registry

    release, history = brain.snapshot.release, History(brain.snapshot.profiles)
    door, registry = Door(brain.ledger, "dev", TESTER), Registry(workspace.data)
    return LearningContext(workspace.data, brain.ledger, release, history, registry, workspace.secret(), door=door)


def write_batch(workspace: Workspace, marks: list[Marks]) -> Path:
    """Write a batch of decisions to a file in the workspace, register it as exported and return its path."""
    decider = batch.Decider(str(workspace.root), "web", ("sidebar",), uuid.uuid4().hex)
    out = workspace.root / "batch.parquet"
    pq.write_table(decider(pa.table({"customer_id": [one.customer for one in marks]})), out)
    exported_files.register(workspace, out, "batch")
    decider._brain.close()
    return out


def export(client: Client, customer: str) -> Json:
    """Return a customer's export over HTTP, with all its pages joined."""
    pages, after = [], ""
    while after is not None:
        status, page = client("GET", f"/v1/customers/{customer}/export?after={after}")
        assert status == 200
        pages.append(page)
        after = page["next"]
    return {**pages[0], **{log: [row for page in pages for row in page[log]] for log in ("records", "events")}}


WRITES: dict[str, Callable[[str, str], tuple[str, str, Any]]] = {
    "profile": lambda c, m: ("PATCH", f"/v1/customers/{c}", {"facts": {"nickname": m}}),
    "consent": lambda c, m: ("POST", "/v1/consents", consent(c, "marketing", source=m)),
    "withdrawal": lambda c, m: ("POST", "/v1/consents", consent(c, "email", "withdrawn", source=m)),
    "signal": lambda c, m: ("POST", "/v1/signals", signal("search", f"customer:{c}", words=m)),
    "link": lambda c, m: (
        "POST",
        "/v1/identities",
        {"customer_id": c, "identifier": {"kind": "cookie", "value": f"of {c}"}, "status": "linked", "source": m},
    ),
    "visitor": lambda c, m: ("POST", "/v1/signals", signal("search", f"cookie:of {c}", words=m)),
    "decision": lambda c, m: ("POST", "/v1/decisions", ask(m, c)),
    "outcome": lambda c, m: (
        "POST",
        "/v1/outcomes",
        {"customer_id": c, "action": "tv-bundle", "outcome": "declined", "outcome_id": m},
    ),
}
