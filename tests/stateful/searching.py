"""Search every byte below a folder for values, also in what is compressed, and in the columns of tables."""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.reading import bytes_of

TOKEN = re.compile(rb"zxq[0-9a-z]+w")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd")


def traces(folders: Iterable[Path], words: set[str], numbers: set[float]) -> list[tuple[str, str]]:
    """Return each (file, value) where a file below the folders holds one of the texts or numbers.

    A number is looked for as a text and as the eight bytes of a float, in both orders.
    """
    wanted = {number: [repr(number).encode(), *(struct.pack(f, number) for f in ("<d", ">d"))] for number in numbers}
    others = {word for word in words if not TOKEN.fullmatch(word.encode())}
    found: list[tuple[str, str]] = []
    for name, content in _contents(folders):
        found += [(name, word) for word in others if word.encode() in content]
        found += [(name, word.decode()) for word in set(TOKEN.findall(content)) if word.decode() in words]
        found += [(name, repr(n)) for n, forms in wanted.items() if any(form in content for form in forms)]
    return found


def _contents(folders: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in sorted({p for folder in folders for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}):
        yield f"the name of {path}", str(path).encode()
        try:
            content = bytes_of(path)
        except FileNotFoundError:
            continue  # it was there for a moment
        yield str(path), content
        if content.startswith(b"PAR1"):
            yield f"{path} decoded", _columns(path)
        else:
            yield from ((f"{path} decompressed at {at}", part) for at, part in _decompressed(content))


def _columns(path: Path) -> bytes:
    """Return all values of a Parquet file as text."""
    return repr(pq.read_table(path).to_pylist()).encode()


def _decompressed(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what can be decompressed of anything that begins like a zlib, gzip or zstd stream."""
    for match in _ZLIB.finditer(content):
        if part := _inflated(content[match.start() : match.start() + 1_000_000]):
            yield match.start(), part
    for match in _ZSTD.finditer(content):
        if part := _unpacked(content[match.start() :]):
            yield match.start(), part


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(content)  # 47: zlib or gzip, by its head
    except zlib.error:
        return b""


def _unpacked(content: bytes) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
            return bytes(stream.read())
    except (OSError, pa.ArrowException):
        return b""


def tokens_in(content: Any) -> set[str]:
    """Return the tokens of a JSON document."""
    return {token.decode() for token in TOKEN.findall(repr(content).encode())}
