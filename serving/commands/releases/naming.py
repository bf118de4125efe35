"""The release that an argument of a command names, which may be a folder, too."""

from pathlib import Path

from decisioning.catalogue.release import Release
from serving.brain.releases.named import CURRENT, FILES
from serving.brain.runtime import Brain


def release_named(brain: Brain, name: str) -> Release:
    """Return the release that a user calls so; raises NotFound or ConfigError.

    It is named by its hash or the first characters of it, `current`, `files`, or the path of a folder with a catalogue.
    """
    if name not in (CURRENT, FILES) and Path(name).is_dir():
        return brain.releases.of_folder(Path(name))
    return brain.releases.named(name, brain.snapshot.release)
