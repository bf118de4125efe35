"""The encoding of a text file, recognised from its beginning, and its text as one stream of UTF-8."""

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from decisioning.errors import Refused
from features.importing.opening.packed import open_unpacked
from features.importing.opening.stated import Compression, state

UTF_8: Final = "utf-8"
WESTERN: Final = "cp1252"
_BOMS: Final = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_BOM: Final = 4
_CHARACTERS: Final = 1 << 16
_LETTERS: Final = "àáâäçèéêëíîïñóôöùúûüßœšžÀÁÂÄÇÈÉÊËÍÎÏÑÓÔÖÙÚÛÜŒŠŽ"
_SIGNS: Final = "€£§©«»®°±²³µ·¿¡™–—…‘’“”•\xa0"
_UNLIKELY: Final = re.compile(
    rf"[^\x00-\x7f{_LETTERS}{_SIGNS}]"  # letters and signs that other encodings have for common letters
    rf"|[a-z{_LETTERS[:24]}][{_LETTERS[24:]}]"  # a capital within a word
    rf"|[A-Za-z{_LETTERS}][{_SIGNS.replace('’', '')}][A-Za-z{_LETTERS}]"  # a sign within one
    rf"|[{_LETTERS}]{{3}}|(?<![A-Za-z{_LETTERS}])[{_LETTERS}]{{2,}}(?![A-Za-z{_LETTERS}])"  # words of other alphabets
)
_SURE: Final = re.compile("[a-z][àâèéêëíîïñóôöùúûüß]|[àâèéêëíîïñóôöùúûüß][a-z]")
_UNSURE: Final = re.compile(r"[^\x00-\x7f€£§°]|[A-Za-z][€£§°]|[€£§°][A-Za-z]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MOST_CONTROLS: Final = 20
"""Of how many characters one may be a control character."""
_PLAIN: Final = bytes(range(128)) + (_LETTERS + _SIGNS).encode(WESTERN)
"""The bytes of which a file that was recognised as Western consists."""


class _Decoder(Protocol):
    def decode(self, data: bytes, final: bool = False) -> str: ...


class ContradictedError(ValueError):
    """A later part of a file is not in the encoding that its beginning showed."""


def decoded_sample(name: str, data: bytes, *, whole: bool, stated: str | None) -> tuple[str, str, bool]:
    """Return the text of a file's beginning, the name of its encoding, and whether a byte order mark says so.

    :param whole: the data are the whole file
    :raises Refused: it is no text, or it is not certain in which encoding
    """
    encoding = text_encoding(name, stated) if stated else None
    mark = next(((mark, code) for mark, code in _BOMS if data.startswith(mark)), None)
    if mark is not None:
        text = _decode(data[len(mark[0]) :], mark[1], whole=whole)
        return _checked(name, text, mark[1], b""), mark[1], True
    for candidate in (encoding,) if encoding else (UTF_8, WESTERN):
        text = _decode(data, candidate, whole=whole)
        if text is not None and (stated or candidate == UTF_8 or _is_western(text)):
            return _checked(name, text, candidate, data), candidate, False
    if stated:
        raise Refused(f"{name} is not text in {stated}: {state('encoding', 'utf-8')} or another, or leave it out")
    _refuse_binary(name, data)
    raise Refused(f"{name} is not UTF-8, and in which encoding it is cannot be told: {state('encoding', 'cp1252')}")


def text_encoding(name: str, stated: str) -> str:
    """Return Python's name of an encoding. Raises Refused, also for codecs that are no encodings of text."""
    try:
        codec = codecs.lookup(stated)
    except (LookupError, ValueError):
        raise Refused(f"{name}: there is no encoding {stated!r}") from None
    if not getattr(codec, "_is_text_encoding", True):  # the test of the standard library itself
        raise Refused(f"{name}: there is no encoding {stated!r}")
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": UTF_8}.get(codec.name, codec.name)


def _decode(data: bytes, encoding: str, *, whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
    except UnicodeDecodeError:
        return None


def _checked(name: str, text: str | None, encoding: str, data: bytes) -> str:
    """Return the text that was read of data without a byte order mark. Raises Refused if it is no text."""
    if text is None:
        raise Refused(f"{name} is not text in {encoding}, which its byte order mark states: save it as UTF-8")
    if "\0" in text or len(_CONTROLS.findall(text)) * _MOST_CONTROLS > len(text):
        _refuse_binary(name, data)
        raise Refused(f"{name} is no table: it holds characters that are no text")
    return text


def _refuse_binary(name: str, data: bytes) -> None:
    if b"\x00" not in data:
        return
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) > len(data) // 8 and min(even, odd) <= max(even, odd) // 8:
        order = "utf-16-le" if odd > even else "utf-16-be"
        raise Refused(f"{name} looks like UTF-16 without a byte order mark: {state('encoding', order)}")
    raise Refused(f"{name} is no table: it is neither text, nor a workbook, nor Parquet")


def _is_western(text: str) -> bool:
    """Tell whether text that was read as Windows-1252 is surely so.

    It has only usual letters and signs, where words have them, and some letter that DOS and Mac files have for no small
    letter; or signs alone that stand by themselves. Central European text that has only Western letters counts, too.
    """
    if _UNLIKELY.search(text):
        return False
    return bool(_SURE.search(text)) or not _UNSURE.search(text)


@contextmanager
def open_utf8(
    path: Path, encoding: str, compression: Compression, *, sure: bool
) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield the file's text in UTF-8 without its byte order mark, and the file itself, which tells how far it is read.

    :param sure: the encoding was stated; otherwise what the beginning did not show is a contradiction
    :raises OSError: also for a damaged gzip file, from the reads too
    :raises UnicodeDecodeError: from the reads; ContradictedError, too
    """
    with open_unpacked(path, compression) as (text, file):
        start = text.peek(_LONGEST_BOM)
        mark = next((mark for mark, _ in _BOMS if start.startswith(mark)), b"")
        text.read(len(mark))
        plain = text if encoding == UTF_8 else io.BufferedReader(_Transcoded(text, encoding, sure=sure))
        yield cast("BinaryIO", plain), file


def contradicting_line(path: Path, encoding: str, compression: Compression, *, sure: bool) -> int | None:
    """Return the number of the first line that is not in the encoding; None where lines cannot be told apart."""
    with open_unpacked(path, compression) as (text, _):
        for number, line in enumerate(text, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number if encoding in (UTF_8, WESTERN) else None
            if encoding == WESTERN and not sure and line.translate(None, _PLAIN):
                return number
    return None


class _Transcoded(io.RawIOBase):
    """Reads text of another encoding as UTF-8."""

    def __init__(self, source: BinaryIO | io.BufferedReader, encoding: str, *, sure: bool) -> None:
        self._source, self._doubted = source, encoding == WESTERN and not sure
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
            if self._doubted and data.translate(None, _PLAIN):
                raise ContradictedError
            self._waiting = self._decoder.decode(data, final=self._ended).encode()
        piece = self._waiting[: len(view)]
        view[: len(piece)] = piece
        self._waiting = self._waiting[len(piece) :]
        return len(piece)
