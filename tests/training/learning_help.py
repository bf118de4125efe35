"""A learning context for tests: the stores of a small workspace."""

from typing import Any

from decisioning.catalogue.release import Release
from features.approvals.door import Door
from tests.features.importing_help import SECRET
from tests.permits import TESTER
from training.learning.context import LearningContext


def context_of(shop: Any, release: Release | None = None) -> LearningContext:
    """Return the context of an imported shop with a registry, under its own release or another one."""
    door = Door(shop.ledger, "dev", TESTER)
    return LearningContext(
        shop.data, shop.ledger, release or shop.release, shop.history, shop.registry, SECRET, door=door
    )
