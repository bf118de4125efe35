"""Cells that say yes or no, in the texts that a mapping states; a text that is nearly one of them is no answer."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc


def among(cells: pa.Array, texts: Sequence[str]) -> pa.Array:
    """Return bool (n,): whether a cell is one of the texts; false where it is missing."""
    return pc.is_in(cells, value_set=pa.array(texts, pa.string()), skip_nulls=True)


def doubtful(
    cells: pa.Array, stated: Sequence[str], others: Sequence[str] | None, names: str
) -> Iterator[tuple[pa.Array, str]]:
    """Yield which cells, (n,), are no sure answer, and why.

    :param stated: the texts that mean something
    :param others: all other texts that a cell may have; None: any, but none that is nearly a stated one
    :param names: the keys of the mapping that hold the texts, for messages
    """
    exact = among(cells, [*stated, *(others or ())])
    if others is not None:
        yield pc.and_(pc.invert(exact), cells.is_valid()), f"is none of the texts of {names}"
        return
    near = pc.and_(pc.invert(exact), among(_simplified(cells), _simplified(pa.array(stated, pa.string())).to_pylist()))
    yield near, f"is nearly one of the texts of {names}, and not exactly: state each text as it is in the file"


def _simplified(cells: pa.Array) -> pa.Array:
    """Return texts without case and without the zeros of decimals: `1.0` as `1`, `Yes` as `yes`."""
    return pc.replace_substring_regex(pc.utf8_lower(cells), r"^([+-]?[0-9]+)[.,]0*$", r"\1")
