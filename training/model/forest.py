"""LightGBM trees that correct a base logit, for many rows of one action or for one row of every action.

Models are scored by LightGBM's library itself: to import its package would import scipy and more, which takes a second.
"""

import ctypes
import importlib.util
import re
import sys
import weakref
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.model.background import in_slices
from training.model.frame import Floats, Ints

if TYPE_CHECKING:
    from lightgbm import Booster

_RAW_SCORE, _SHARES = 1, 3
_FLOAT64 = 1
_ONE_THREAD = b"num_threads=1"
_FORESTS_PER_CALL = 25
"""A call costs as much as a few trees, each forest is padded to the largest of its call, and a call is read in one
piece, in 7 ms. (One call for all of a hundred forests scores 1 to 4% faster and takes 30 ms to read.)"""
_MANY_ROWS = 256
"""From so many rows on, each forest by itself scores faster than several merged: its trees stay in the cache."""
_TREE = "\nTree="
_NO_TREE = (
    "num_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\nleft_child=\nright_child=\n"
    "leaf_value=0\nleaf_weight=\nleaf_count=\ninternal_value=\ninternal_weight=\ninternal_count=\n"
    "is_linear=0\nshrinkage=1\n"
)
"""A tree that adds exactly zero."""


def _library() -> ctypes.CDLL:
    """Return LightGBM's library; what it would print goes nowhere, unless the package is imported and cares for it."""
    package = importlib.util.find_spec("lightgbm")
    assert package is not None
    assert package.origin is not None
    library = ctypes.CDLL(str(Path(package.origin).parent / "lib" / "lib_lightgbm.so"))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    if "lightgbm" not in sys.modules:
        library.LGBM_RegisterLogCallback(_IGNORE_MESSAGE)
    return library


_IGNORE_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _: None)
_LIB = _library()
_PREDICT_ROW = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 4)(("LGBM_BoosterPredictForMatSingleRowFast", _LIB))
"""With declared types, so that addresses need no wrapping; it releases the interpreter's lock like any other call."""
_LENGTH = ctypes.c_int64()
_IGNORED_LENGTH = ctypes.addressof(_LENGTH)
"""Where every call writes how many scores it gave, which is known."""


class Forest:
    """Trees read from LightGBM's model text. They add to the logit what the base could not express."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def booster(self) -> "Booster":
        """The model of LightGBM's package, parsed on first use. Nothing that scores needs it."""
        from lightgbm import Booster  # noqa: PLC0415 - takes a second

        return Booster(model_str=self.text)

    @cached_property
    def _trees(self) -> "_Trees":
        return _Trees(self.text)

    @property
    def size(self) -> int:
        """Number of trees."""
        return self.text.count(_TREE)

    def column(self, x: Floats) -> Floats:
        """Return the raw scores (n_rows,) of rows (n_rows, n_features)."""
        return self._trees.predict(x, _RAW_SCORE, 1)

    def shares(self, row: Floats) -> Floats:
        """Return each feature's share of one row's raw score, then the constant part, (n_features + 1,).

        Shapley values over the trees (Lundberg et al. 2020). Takes one or two milliseconds.
        """
        return self._trees.predict(row[None, :], _SHARES, len(row) + 1)

    def largest_shares(self, n_features: int) -> Floats:
        """Return for each feature (n_features,) a size that its share of no row exceeds.

        What is known of a feature changes what a tree gives only at nodes that split by it, and there by at most the
        difference of two leaves beneath.
        """
        sizes = np.zeros(n_features)
        for tree in self.text.partition("end of trees")[0].split(_TREE)[1:]:
            _add_largest_shares(tree, sizes)
        return sizes


def _add_largest_shares(tree: str, sizes: Floats) -> None:
    """Add to `sizes` the largest difference of leaves beneath a node that splits by each feature of one tree."""
    fields = dict(line.partition("=")[::2] for line in tree.splitlines())
    leaves = [float(value) for value in fields["leaf_value"].split()]
    features, lefts, rights = (
        [int(number) for number in fields[name].split()] for name in ("split_feature", "left_child", "right_child")
    )
    spans: dict[int, tuple[float, float]] = {~n: (value, value) for n, value in enumerate(leaves)}
    largest: dict[int, float] = {}
    for node in range(len(features) - 1, -1, -1):  # children have higher numbers than their parent
        (low, high), (other_low, other_high) = spans[lefts[node]], spans[rights[node]]
        spans[node] = low, high = min(low, other_low), max(high, other_high)
        largest[features[node]] = max(largest.get(features[node], 0.0), high - low)
    for feature, size in largest.items():
        sizes[feature] += size


class Forests:
    """Forests merged into models with many outputs, so that few calls score one row by a hundred of them.

    Scores have the same bits as each forest's own `column`.
    """

    def __init__(self, forests: Sequence[Forest | None]) -> None:
        sizes = [(forest.size, i) for i, forest in enumerate(in_slices(forests)) if forest]
        order = [i for _, i in sorted(sizes)]
        calls = [order[at : at + _FORESTS_PER_CALL] for at in range(0, len(order), _FORESTS_PER_CALL)]
        self._forests = tuple(forests)
        texts = [f.text if f else "" for f in forests]
        self._calls = [_Call([texts[i] for i in call]) for call in in_slices(calls)]
        self._call_of, self._place = np.full(len(forests), -1), np.full(len(forests), len(order))
        for n, call in enumerate(calls):
            self._call_of[call] = n
        self._place[order] = np.arange(len(order))

    def row(self, row: Floats, indices: Ints) -> Floats:
        """Return the raw scores (n,) of one row (n_features,) by the forests at `indices` (n,); 0 where None."""
        row = np.ascontiguousarray(row, dtype=np.float64)
        scores = np.zeros(int(self._place.max(initial=0)) + 1)
        row_at, scores_at = row.ctypes.data, scores.ctypes.data
        for n in set(self._call_of[indices].tolist()) - {-1}:
            self._calls[n](row_at, scores_at + n * _FORESTS_PER_CALL * scores.itemsize)
        raw: Floats = scores[self._place[indices]]
        return raw

    def rows(self, x: Floats, indices: Ints) -> Floats:
        """Return the raw scores (rows, n) of rows (rows, n_features), with the same bits as `row` gives for each."""
        if len(x) >= _MANY_ROWS:
            return self._one_by_one(x, indices)
        scores = np.zeros((len(x), int(self._place.max(initial=0)) + 1))
        for n in set(self._call_of[indices].tolist()) - {-1}:
            first = n * _FORESTS_PER_CALL
            scores[:, first : first + self._calls[n].size] = self._calls[n].rows(x)
        raw: Floats = scores[:, self._place[indices]]
        return raw

    def _one_by_one(self, x: Floats, indices: Ints) -> Floats:
        """Return what `rows` does, by the boosters of the forests themselves."""
        distinct, of_index = np.unique(indices, return_inverse=True)
        scores = np.zeros((len(distinct), len(x)))
        for column, i in zip(scores, distinct.tolist(), strict=True):
            if (forest := self._forests[i]) is not None:
                column[:] = forest.column(x)
        return np.ascontiguousarray(scores.T[:, of_index])


class _Trees:
    """A model that LightGBM's library read from its text; the library frees it with this object."""

    def __init__(self, text: str) -> None:
        self.handle = ctypes.c_void_p()
        rounds, encoded = ctypes.c_int(), text.encode()
        _check(_LIB.LGBM_BoosterLoadModelFromString(encoded, ctypes.byref(rounds), ctypes.byref(self.handle)))
        weakref.finalize(self, _LIB.LGBM_BoosterFree, self.handle)

    @property
    def n_features(self) -> int:
        """Number of features of a row."""
        n = ctypes.c_int()
        _check(_LIB.LGBM_BoosterGetNumFeature(self.handle, ctypes.byref(n)))
        return n.value

    def predict(self, x: Floats, kind: int, width: int) -> Floats:
        """Return what all trees give of this kind for rows (n_rows, n_features), (n_rows * width,)."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        given, length = np.empty(len(x) * width), ctypes.c_int64()
        rows, from_round, to_round = (_FLOAT64, *x.shape, 1), 0, -1
        arguments = [*map(ctypes.c_int32, (*rows, kind, from_round, to_round))]
        _check(
            _LIB.LGBM_BoosterPredictForMat(
                self.handle, _address(x), *arguments, _ONE_THREAD, ctypes.byref(length), _address(given)
            )
        )
        assert length.value == len(given)
        return given


def _address(array: Floats) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class _Call:
    """`LGBM_BoosterPredictForMatSingleRowFast` with a handle that is prepared once.

    `Booster.predict` spends ten times as long on preparing a call as on the trees. Threads can share the handle.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._trees = _Trees(_merged(texts))
        self.size = len(texts)
        self._config = ctypes.c_void_p()
        _check(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._trees.handle,
                ctypes.c_int(_RAW_SCORE),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(self._trees.n_features),
                ctypes.c_char_p(_ONE_THREAD),
                ctypes.byref(self._config),
            )
        )
        weakref.finalize(self, _LIB.LGBM_FastConfigFree, self._config)

    def rows(self, x: Floats) -> Floats:
        """Return the scores (rows, n_forests) of rows (rows, n_features)."""
        return self._trees.predict(x, _RAW_SCORE, self.size).reshape(len(x), self.size)

    def __call__(self, row: int, scores: int) -> None:
        """Score the row at an address, and write as many scores as there are forests to another address."""
        _check(_PREDICT_ROW(self._config, row, _IGNORED_LENGTH, scores))


def _merged(texts: Sequence[str]) -> str:
    """Return the text of one LightGBM model whose n-th output is the n-th model's: round by round, a tree of each."""
    # splitting is ten times as fast as a regular expression
    parts = [text.partition("end of trees")[0].split(_TREE) for text in in_slices(texts)]
    rounds = zip_longest(*((tree.partition("\n")[2] for tree in trees[1:]) for trees in parts), fillvalue=_NO_TREE)
    interleaved = in_slices(chain.from_iterable(rounds))
    blocks = [f"Tree={n}\n{tree.strip()}\n\n\n" for n, tree in enumerate(interleaved)]
    sizes = [str(len(block.encode())) for block in in_slices(blocks)]
    head = f"{parts[0][0]}\n"
    for name, value in (
        ("num_class", str(len(texts))),
        ("num_tree_per_iteration", str(len(texts))),
        ("objective", f"multiclassova num_class:{len(texts)} sigmoid:1" if len(texts) > 1 else "binary sigmoid:1"),
        ("tree_sizes", " ".join(sizes)),
    ):
        head = re.sub(rf"^{name}=.*$", f"{name}={value}", head, flags=re.MULTILINE)
    return f"{head}{''.join(blocks)}end of trees\n"


def _check(code: int) -> None:
    if code != 0:
        raise RuntimeError(_LIB.LGBM_GetLastError().decode())
