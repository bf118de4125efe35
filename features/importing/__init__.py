"""Imports a company's own files into profile, catalogue and ledger, as a mapping file describes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from features.importing.batches.requests import RequestRows, read_requests
from features.importing.checking import checked_catalogue
from features.importing.counts import as_tables
from features.importing.generate import catalogue_files
from features.importing.mapping import ImportMapping
from features.importing.plan import ImportPlan, Progress, assign_paths, make_plan
from features.importing.reading import MappingSource, read_mapping
from features.importing.recipes import open_mapping, recipe_names

if TYPE_CHECKING:  # they need the ledger, which drafts and checks of mappings do not
    from features.importing.profile import ProfileImportResult, import_profile
    from features.importing.write import ImportResult

_MODULES = {
    "ImportResult": "write",
    "ProfileImportResult": "profile",
    "import_profile": "profile",
}

__all__ = [
    "ImportMapping",
    "ImportPlan",
    "ImportResult",
    "MappingSource",
    "ProfileImportResult",
    "Progress",
    "RequestRows",
    "as_tables",
    "assign_paths",
    "catalogue_files",
    "checked_catalogue",
    "import_profile",
    "make_plan",
    "open_mapping",
    "read_mapping",
    "read_requests",
    "recipe_names",
]


def __getattr__(name: str) -> Any:
    """Return what needs the ledger, imported when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(f"features.importing.{_MODULES[name]}"), name)
