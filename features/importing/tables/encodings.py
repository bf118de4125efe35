"""Text files in any encoding, packed by gzip or not, as one stream of UTF-8."""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

UTF_8: Final = "utf-8"
_GZIP: Final = b"\x1f\x8b"
_BOMS: Final = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_BOM: Final = 4
_CHARACTERS: Final = 1 << 16


class _Decoder(Protocol):
    def decode(self, data: bytes, final: bool = False) -> str: ...


@contextmanager
def open_utf8(path: Path, encoding: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield the file's text in UTF-8 without its byte order mark, and the file itself, which tells how far it is read.

    A byte order mark says what the encoding is, whatever `encoding` says.

    :raises OSError: also for a damaged gzip file, from the reads too
    :raises LookupError: there is no such encoding of text
    :raises UnicodeDecodeError: from the reads
    """
    name = _text_encoding(encoding)
    with path.open("rb") as file:
        packed = file.peek(len(_GZIP)).startswith(_GZIP)
        text = io.BufferedReader(gzip.GzipFile(fileobj=file) if packed else file)
        mark, name = _mark(text.peek(_LONGEST_BOM), name)
        text.read(len(mark))
        plain = text if name == UTF_8 else io.BufferedReader(_Transcoded(text, name))
        yield cast("BinaryIO", plain), file


def _text_encoding(encoding: str) -> str:
    """Return Python's name of an encoding. Raises LookupError, also for codecs that are no encodings of text."""
    codec = codecs.lookup(encoding)
    if not getattr(codec, "_is_text_encoding", True):  # the test of the standard library itself
        raise LookupError(encoding)
    return codec.name


def _mark(start: bytes, encoding: str) -> tuple[bytes, str]:
    return next(((mark, name) for mark, name in _BOMS if start.startswith(mark)), (b"", encoding))


class _Transcoded(io.RawIOBase):
    """Reads text of another encoding as UTF-8."""

    def __init__(self, source: BinaryIO | io.BufferedReader, encoding: str) -> None:
        self._source = source
        self._decoder: _Decoder = codecs.getincrementaldecoder(encoding)()
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer as far as one piece of the source goes; 0 at the end."""
        view = memoryview(buffer)  # type: ignore[arg-type]
        while not self._waiting and not self._ended:
            data = self._source.read(_CHARACTERS)
            self._ended = not data
            self._waiting = self._decoder.decode(data, final=self._ended).encode()
        piece = self._waiting[: len(view)]
        view[: len(piece)] = piece
        self._waiting = self._waiting[len(piece) :]
        return len(piece)
