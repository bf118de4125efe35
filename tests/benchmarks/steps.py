"""Splits a function's CPU time among the functions that it calls directly, whatever their names are at the moment."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from inspect import isclass, isfunction, ismodule
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

from tests.benchmarks.measures import quantile

_Spent = dict[str, list[int]]
"""Name of a step -> the nanoseconds of CPU of each of its calls within one call of the whole."""
WITHIN = " > "
MOST_CALLS = 20
"""A step that is called more often than this in one call of the whole is not shown: to time it takes as long as it."""
_INNER = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")


def measure_two_levels(whole: Callable[..., Any], call: Callable[[int], object], count: int) -> dict[str, float]:
    """Return what `measure_steps` does of a function and, as `step > part`, of each of its steps."""
    figures = dict[str, float]()
    steps = {step.__qualname__: step for owner, name in _steps_of(whole) for step in (getattr(owner, name),)}
    for name, value in measure_steps(whole, call, count).items():
        figures[name] = value
        parts = measure_steps(steps[name], call, count)
        figures |= {f"{name}{WITHIN}{part}": spent_ms for part, spent_ms in parts.items()}
    return figures


def measure_steps(whole: Callable[..., Any], call: Callable[[int], object], count: int) -> dict[str, float]:
    """Return name -> median CPU milliseconds, of each step of `whole` in `call(0)` to `call(count - 1)`.

    A step is a function that the code of `whole` calls by name: of its module, of a module that it imports, or of a
    class. What such a step calls belongs to that step. Calls of one step in one `call` are added up.
    """
    spent: dict[str, list[float]] = {}
    with ExitStack() as patches:
        current: _Spent = defaultdict(list)
        for owner, name in _steps_of(whole):
            patches.enter_context(patch.object(owner, name, _timer(getattr(owner, name), whole, current)))
        for n in range(count):
            current.clear()
            call(n)
            for name, calls_ns in current.items():
                if len(calls_ns) <= MOST_CALLS:
                    spent.setdefault(name, []).append(sum(calls_ns) / 1e6)
    return {name: quantile(times, 0.5) for name, times in spent.items()}


def _steps_of(whole: Callable[..., Any]) -> list[tuple[Any, str]]:
    """Return where each step of a function is found: its owner, a module or a class, and its name there."""
    module, named = sys.modules[whole.__module__], set(_names(whole.__code__))  # type: ignore[attr-defined]
    used = [v for v in vars(module).values() if isclass(v) or (ismodule(v) and v.__name__.split(".")[-1] in named)]
    owners = (module, *used)
    return [(owner, name) for owner in owners for name, v in vars(owner).items() if name in named and isfunction(v)]


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code uses, and those of the comprehensions in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _timer(step: Callable[..., Any], whole: Any, current: _Spent) -> Callable[..., Any]:
    def timed(*args: Any, **named: Any) -> Any:
        if _caller(sys._getframe(1)) is not whole.__code__:  # a step of something else
            return step(*args, **named)
        start_ns = time.process_time_ns()
        try:
            return step(*args, **named)
        finally:
            current[step.__qualname__].append(time.process_time_ns() - start_ns)

    return timed


def _caller(frame: FrameType | None) -> CodeType | None:
    """Return the code of the function that a frame, perhaps of a comprehension, belongs to."""
    while frame is not None and frame.f_code.co_name in _INNER:
        frame = frame.f_back
    return frame.f_code if frame else None
