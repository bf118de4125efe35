"""The bytes of a file, unpacked: what it is by its first bytes, and a stream of what gzip or zip packed."""

import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from decisioning.errors import Refused
from features.importing.opening.stated import Compression, Kind, Stated

_HEAD: Final = 16
_GZIP, _ZIP, _OLE, _PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
_FOREIGN: Final = (
    (b"BZh", "is packed by bzip2: unpack it first, or pack it by gzip"),
    (b"\xfd7zXZ", "is packed by xz: unpack it first, or pack it by gzip"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd: unpack it first, or pack it by gzip"),
    (b"7z\xbc\xaf", "is packed by 7-Zip: unpack it first"),
    (b"Rar!", "is packed by RAR: unpack it first"),
    (b"%PDF", "is a PDF and no table: export the table as CSV or as a workbook"),
    (b"\x89PNG", "is a picture and no table"),
    (b"\xff\xd8\xff", "is a picture and no table"),
    (b"PK\x05\x06", "is an empty zip file"),
)
_SYSTEM_FILES: Final = ("__MACOSX/", ".DS_Store", "Thumbs.db")


def container(path: Path, stated: Stated) -> tuple[Kind | None, Compression]:
    """Return what a file is by its first bytes, None for text, and how it is packed.

    Raises Refused for what is no table, or is not what was stated.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise Refused(f"{path.name} is empty")
    _refuse_foreign(path, head)
    compression = _compression(path, head, stated.compression)
    kind = _kind(path, head) if compression == "none" else None
    if (stated.kind == "parquet" or is_parquet(path)) and kind != "parquet":
        raise Refused(f"{path.name} is not a Parquet file")
    if stated.kind == "csv" and kind is not None:
        raise Refused(f"{path.name} is {_called(kind)}, and the mapping states `format: csv`: leave `format` out")
    return kind, compression


def _called(kind: Kind) -> str:
    return "a Parquet file" if kind == "parquet" else "a workbook"


def _refuse_foreign(path: Path, head: bytes) -> None:
    for magic, reason in _FOREIGN:
        if head.startswith(magic):
            raise Refused(f"{path.name} {reason}")


def _compression(path: Path, head: bytes, stated: Compression | None) -> Compression:
    """Return how a file is packed; a workbook, which is a zip file too, counts as not packed."""
    zipped = head.startswith(_ZIP) and not _is_workbook(path)
    actual: Compression = "gzip" if head.startswith(_GZIP) else "zip" if zipped else "none"
    if stated not in (None, actual):
        packed = "is not packed" if actual == "none" else f"is packed by {actual}"
        raise Refused(f"{path.name} {packed}, and `compression` states {stated}: leave it out")
    return actual


def _kind(path: Path, head: bytes) -> Kind | None:
    if head.startswith(_PARQUET):
        return "parquet"
    return "workbook" if head.startswith((_OLE, _ZIP)) else None


def _is_workbook(path: Path) -> bool:
    """Tell whether a zip file is a workbook: of Excel or of LibreOffice. A damaged one is told by its reader."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = set(packed.namelist())
    except zipfile.BadZipFile:
        return path.suffix.lower() != ".zip"
    return "[Content_Types].xml" in names or {"mimetype", "content.xml"} <= names


@contextmanager
def open_unpacked(path: Path, compression: Compression) -> Iterator[tuple[io.BufferedReader, BinaryIO]]:
    """Yield the unpacked bytes of a file, and the file itself, which tells how far it is read.

    :raises OSError: also for a damaged gzip file, from the reads too, as EOFError and zlib.error
    """
    with path.open("rb") as file:
        if compression == "zip":
            with _single_member(path, file) as member:
                yield io.BufferedReader(cast("io.RawIOBase", member)), file
        elif compression == "gzip":
            yield io.BufferedReader(gzip.GzipFile(fileobj=file)), file
        else:
            yield file, file


def _single_member(path: Path, file: BinaryIO) -> zipfile.ZipExtFile:
    try:
        packed = zipfile.ZipFile(file)
        names = [name for name in packed.namelist() if not name.endswith("/") and not _of_system(name)]
        if len(names) != 1:
            raise Refused(f"{path.name} holds {len(names)} files, and one is read: unpack it, and give the one")
        return cast("zipfile.ZipExtFile", packed.open(names[0]))
    except zipfile.BadZipFile:
        raise Refused(f"{path.name} is a damaged zip file") from None
    except (RuntimeError, NotImplementedError):
        raise Refused(f"{path.name} is encrypted, or packed in a way that cannot be read: unpack it first") from None


def _of_system(name: str) -> bool:
    return any(part in name for part in _SYSTEM_FILES)


def refuse_packed_twice(path: Path, start: bytes) -> None:
    """Raise Refused if what was unpacked is no text: a workbook, a Parquet file, or packed again."""
    if start.startswith((_GZIP, _ZIP, _OLE, _PARQUET)):
        raise Refused(f"{path.name} packs a file that is packed itself, such as a workbook: unpack it first")
    _refuse_foreign(path, start)


def is_parquet(path: Path) -> bool:
    """Tell by its suffix whether a file is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")
