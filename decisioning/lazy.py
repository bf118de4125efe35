"""A property that is computed when it is first read, without the lock that `functools` takes before Python 3.12."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

_T = TypeVar("_T")


class lazy_property(Generic[_T]):  # noqa: N801 (read as a property)
    """Keeps the value in the object's `__dict__`, where Python finds it first from then on.

    Two threads may both compute it, so it must be a function of what never changes. Every decision reads a dozen, and
    the lock of `functools.cached_property` costs more than most of them.
    """

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...

    def __get__(self, instance: object | None, owner: type) -> _T | Self:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
