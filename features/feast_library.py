"""Imports Feast in half the time."""

from typing import Any


def import_feast() -> Any:
    """Return the module `feast`, imported without checks of its own arguments' types.

    Its classes are decorated with `typeguard.typechecked`, which compiles each of their methods a second time: half of
    the five seconds of CPU that the import takes.
    """
    import typeguard  # noqa: PLC0415  as Feast: where it is needed

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked
    try:
        import feast  # noqa: PLC0415  takes seconds
    finally:
        typeguard.typechecked = checked
    return feast


def _unchecked(*decorated: Any, **_: Any) -> Any:
    """Return what `typechecked` decorates as it is; it may be used with and without arguments."""
    return decorated[0] if decorated else _unchecked
