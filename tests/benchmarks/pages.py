"""What the pages of people and customers cost the server: time to the first byte, and what a browser has to load.

`python -m tests.benchmarks.pages [--rounds N] [--profile PAGE]` prints a table in Markdown: per page the median of the
processor time and of the wall time to the first byte, in milliseconds, within one process and without a network; how
many bytes it sends, and compressed with its style and scripts; and how many round trips a browser needs until it has
all of them. The first row is a static file, which every other page can be compared with: a busy machine slows all
alike. With `--profile` it prints instead where one page spends its time.
"""

import gzip
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from serving.brain import releasing
from serving.brain.runtime import Brain
from serving.commands.access import people
from serving.settings import Workspace
from tests.pages.desk_site import CATALOGUE
from tests.serving.people.browser import Browser
from tests.serving.people.own_page import entered
from tests.serving.workspaces import Client, ask, signal, small_workspace, welcome

PASSWORD = "correct horse battery"
CUSTOMER = "c-1042"
ROOT = str(Path(__file__).parents[2]) + "/"
DECISIONS = 8
WAITING = 6
_LOADS = re.compile(r'(?:href|src)="[^"]*(static/[\w.-]+)"')
Pages = dict[str, tuple[Browser, str]]
"""The name of each page -> whose browser opens it, and its path."""


def site(client: Client) -> Pages:
    """Let customers be shown offers, wait and ask, and an agent and a lead work; return the pages."""
    for name in ("jo", "al"):
        people.add(client.brain.workspace, name, ["agent", "lead"], PASSWORD, "root")
    agent, lead, nobody = Browser(client), Browser(client), Browser(client)
    agent.sign_in("jo", PASSWORD)
    lead.sign_in("al", PASSWORD)
    welcome(client, CUSTOMER, purposes=("marketing", "profiling"))
    for n in range(DECISIONS):
        client("POST", "/v1/signals", signal("page-view", f"customer:{CUSTOMER}", page="paid-tv"))
        client("POST", "/v1/decisions", ask(f"r-{n}", CUSTOMER, placements=[{"name": "sidebar", "limit": 2}]))
    held = [_waits(client, f"c-{2000 + n}") for n in range(WAITING)] and _waits(client, CUSTOMER)
    agent.post(f"/desk/{held}/take", agent.fields(f"/desk/{held}"))
    own = entered(client, CUSTOMER)
    asked = own.post("/me/requests", {**own.fields("/me"), "about": "contest", "text": "Who decided this?"})
    assert asked[0] == 303, asked
    return {
        "a static file": (nobody, "/static/pages.css"),
        "/sign-in": (nobody, "/sign-in"),
        "/me": (own, "/me"),
        "/me/erase": (own, "/me/erase"),
        "/desk": (agent, "/desk"),
        "/desk, a conversation": (agent, f"/desk/{held}"),
        "/desk, a part of it": (agent, f"/desk/{held}/now"),
        "/lead": (lead, "/lead"),
        "/lead, a part of it": (lead, "/lead/now"),
    }


def _workspace(root: Path) -> Workspace:
    """Return a workspace whose caps leave room for all decisions of a customer."""
    workspace = small_workspace(root, CATALOGUE)
    for file in workspace.catalogue.glob("*.yaml"):
        file.write_text(re.sub(r"limit: \d+", "limit: 100", file.read_text()))
    releasing.release(workspace, "test")
    return workspace


def _waits(client: Client, customer: str) -> str:
    about = {"conversation_id": f"chat-{customer}", "channel": "chat", "reason": "asks for a person", "language": "en"}
    status, made = client("POST", "/v1/handovers", {"request_id": f"h-{customer}", "customer_id": customer, **about})
    assert status == 200, made
    return str(made["handover_id"])


def measured(pages: Pages, rounds: int) -> list[dict[str, Any]]:
    """Return a row per page. Rounds go through all pages, so that what slows the machine down meets all of them."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in pages}
    rows = [{"page": name, **_loaded(*pages[name])} for name in pages]
    for _ in range(rounds):
        for name, (browser, path) in pages.items():
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            browser.get(path)
            times[name].append((time.process_time() - cpu_s, time.perf_counter() - wall_s))
    for row in rows:
        cpu, wall = zip(*times[row["page"]], strict=True)
        row |= {"cpu_ms": 1e3 * statistics.median(cpu), "wall_ms": 1e3 * statistics.median(wall)}
    return rows


def _loaded(browser: Browser, path: str) -> dict[str, Any]:
    """Return what a browser loads for a page: bytes, bytes compressed with all that it names, and round trips."""
    status, _, text = browser.get(path)
    assert status == 200, (path, status)
    named = sorted(set(_LOADS.findall(text))) if not path.startswith("/static/") else []
    files = [browser.get(f"/{name}")[2] for name in named]
    compressed = sum(len(gzip.compress(one.encode(), 6)) for one in (text, *files))
    return {"bytes": len(text.encode()), "compressed": compressed, "round_trips": 2 if files else 1}


def profile(browse: Callable[[], object], rounds: int) -> None:
    """Print in which of our functions the time of a page goes, over all threads, by looking every half millisecond."""
    seen, looks, done = Counter[str](), 0, threading.Event()

    def look() -> None:
        nonlocal looks
        while not done.wait(0.0005):
            stacks = [set(_functions(frame)) for frame in sys._current_frames().values()]
            working = [stack for stack in stacks if any("/pages/" in one or "/customers/" in one for one in stack)]
            looks += bool(working)
            seen.update(set[str]().union(*working))

    sampler = threading.Thread(target=look)
    sampler.start()
    for _ in range(rounds):
        browse()
    done.set()
    sampler.join()
    for name, n in seen.most_common(70):
        click.echo(f"{100 * n / max(looks, 1):5.1f}%  {name}")


def _functions(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        code = frame.f_code
        if "/site-packages/" not in code.co_filename and "/lib/python" not in code.co_filename:
            yield f"{code.co_filename.removeprefix(ROOT)}:{code.co_qualname}"
        frame = frame.f_back


@click.command(help=__doc__)
@click.option("--rounds", default=30, help="How often each page is opened.")
@click.option("--profile", "profiled", default="", help="The name of a page, to print where it spends its time.")
def main(rounds: int, profiled: str) -> None:
    """Print the table, or the profile of one page."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Brain(_workspace(Path(folder) / "shop")))
        pages = site(client)
        for browser, path in pages.values():
            browser.get(path)  # templates are compiled, and releases read, once per process
        if profiled:
            browser, path = pages[profiled]
            profile(lambda: browser.get(path), rounds)
        else:
            click.echo("| page | CPU ms | first byte ms | bytes | with all, compressed | round trips |")
            click.echo("| --- | --- | --- | --- | --- | --- |")
            for row in measured(pages, rounds):
                sizes = f"{row['bytes']:,} | {row['compressed']:,} | {row['round_trips']}"
                click.echo(f"| {row['page']} | {row['cpu_ms']:.1f} | {row['wall_ms']:.1f} | {sizes} |")
        client.brain.close()


if __name__ == "__main__":
    main()
