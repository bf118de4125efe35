"""A learning context for tests: the stores of a small workspace."""

from typing import Any

from decisioning.catalogue.release import Release
from tests.features.importing_help import SECRET
from training.learning.context import LearningContext


def context_of(shop: Any, release: Release | None = None) -> LearningContext:
    """Return the context of an imported shop with a registry, under its own release or another one."""
    return LearningContext(shop.data, shop.ledger, release or shop.release, shop.history, shop.registry, SECRET)
