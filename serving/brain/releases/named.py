"""How people name a release: by its hash, the first characters of it, `current`, `files`, or a folder."""

from functools import lru_cache
from pathlib import Path

from decisioning.catalogue.files import load, unpack
from decisioning.catalogue.release import Release
from decisioning.errors import NotFound
from decisioning.facts.schema import FeatureSchema
from decisioning.records.formats import NEWEST, tables_for
from features.ledger import Ledger
from features.profile.archive import Archive
from features.views import Layout, views_of
from serving.brain.releases.files import packed_files
from serving.settings import Workspace

FILES = "files"
"""The name of what is in the catalogue folder, released or not."""
CURRENT = "current"
"""The name of the release that serves."""


UNKNOWN = "no one release of this name is kept here: see `brain releases`, or name `current` or `files`"


class CompiledReleases:
    """The compiled releases of one process, by the names that people give them; each is compiled once."""

    def __init__(self, workspace: Workspace, ledger: Ledger) -> None:
        self._workspace, self._ledger = workspace, ledger
        self.stored = lru_cache(maxsize=32)(self._stored)
        self._of_files = lru_cache(maxsize=4)(self._compiled)

    def named(self, name: str, serving: Release) -> Release:
        """Return the release that a request calls so; raises NotFound or ConfigError.

        :param serving: the release that serves, whose name is `current`
        """
        if name == CURRENT:
            return serving
        if name == FILES:
            return self.of_folder()
        try:
            return self.stored(self._ledger.whole_name(name))
        except NotFound:  # whose text repeats the name, and answers over HTTP repeat nothing
            raise NotFound("release", UNKNOWN) from None

    def of_folder(self, folder: Path | None = None) -> Release:
        """Return what the catalogue folder, or another one, would be as a release; raises ConfigError."""
        return self._of_files(packed_files(self._workspace, folder))

    def _stored(self, name: str) -> Release:
        return _prepared(self._ledger.release(name))

    def _compiled(self, packed: bytes) -> Release:
        return _prepared(Release.of(load(unpack(packed), self._workspace.settings.environment), packed))


def _prepared(release: Release) -> Release:
    release.prepare()
    tables_for(release, NEWEST).prepare()
    return release


def unreleased(layout: Layout, schema: FeatureSchema) -> frozenset[str]:
    """Return the features of the profile that the store does not have, as no release with them has served."""
    archive = Archive(layout, views_of(schema))
    return frozenset(name for view in archive.views for name in archive.missing(view))
