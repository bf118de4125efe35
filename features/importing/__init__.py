"""A company's own files into profile, catalogue and ledger, by a mapping that is data."""

from features.importing.checking import checked_catalogue
from features.importing.generate import catalogue_files
from features.importing.mapping import Mapping
from features.importing.plan import ImportPlan, Progress, assign_paths, make_plan
from features.importing.profile import Upserted, import_profile
from features.importing.reading import Source, read_mapping
from features.importing.recipes import open_mapping, recipe_names
from features.importing.write import ImportResult, write

__all__ = [
    "ImportPlan",
    "ImportResult",
    "Mapping",
    "Progress",
    "Source",
    "Upserted",
    "assign_paths",
    "catalogue_files",
    "checked_catalogue",
    "import_profile",
    "make_plan",
    "open_mapping",
    "read_mapping",
    "recipe_names",
    "write",
]
