"""Pages and their files are compressed for who takes that, and not where another site chose their address."""

import gzip
import re
from collections.abc import Iterator

import pytest

from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, small_workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    brain = Brain(small_workspace(tmp_path_factory.mktemp("pages") / "shop"))
    yield Client(brain, None)
    brain.close()


@pytest.mark.parametrize("path", ["/sign-in", "/static/pages.css", "/static/desk.js", "/static/live.js"])
def test_what_is_compressed_is_what_is_sent_plain(client: Client, path: str) -> None:
    _, plainly, plain = client.raw("GET", path)
    _, headers, zipped = client.raw("GET", path, accept_encoding="br, gzip", sec_fetch_site="same-origin")
    assert (plainly.get("content-encoding"), headers["content-encoding"]) == (None, "gzip")
    assert _without_token(gzip.decompress(zipped)) == _without_token(plain)
    assert "accept-encoding" in plainly["vary"]
    assert len(zipped) < len(plain) * 0.6


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_the_length_of_a_page_tells_another_site_nothing(client: Client, site: str | None) -> None:
    more = {} if site is None else {"sec_fetch_site": site}
    status, headers, _ = client.raw("GET", "/sign-in", accept_encoding="gzip", **more)
    assert (status, headers.get("content-encoding")) == (200, None)


def _without_token(page: bytes) -> bytes:
    """Return a page without the token of its form, which no two pages share."""
    return re.sub(rb'name="csrf" value="[^"]+"', b"", page)
