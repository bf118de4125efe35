"""Records as format 2 packed them in November 2026 are read as they were then, and packed to the same bytes.

`packed.json.xz` holds their bytes, their releases and what they say; README.md tells how it was made. A change that
turns this test red has changed a format, which no change may do: the next number is free.
"""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

from decisioning.catalogue.release import Release
from decisioning.facts.forms import canonical
from decisioning.records.formats import format_of, heading_in, pack, tables_for, unpack
from decisioning.records.unpacking import unpack as unpack_kept

_FILE = json.loads(lzma.decompress(Path(__file__).with_name("packed.json.xz").read_bytes()))
RECORDS: list[dict[str, Any]] = _FILE["records"]
AFTER_HASH = 33


@pytest.fixture(scope="module")
def releases() -> dict[str, Release]:
    return {name: Release.from_bytes(text.encode()) for name, text in _FILE["releases"].items()}


def test_the_file_holds_what_it_is_kept_for() -> None:
    assert (len(RECORDS), len(_FILE["releases"])) == (24, 2)


@pytest.mark.promise("replay.packed-records")
@pytest.mark.parametrize("n", range(len(RECORDS)))
def test_a_packed_record_says_what_it_said(n: int, releases: dict[str, Release]) -> None:
    raw, then = bytes.fromhex(RECORDS[n]["bytes"]), RECORDS[n]["record"]
    release = releases[then["release"]]
    record = unpack(raw, release)
    assert from_json(canonical(record)) == then
    assert (format_of(record), heading_in(raw, release)["contacts"]) == (2, then["contacts"])
    assert pack(unpack_kept(raw[AFTER_HASH:], tables_for(release, 2)), release, 2) == raw
