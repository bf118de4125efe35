"""What processes that tests fork have imported already (processes.py)."""

import hypothesis  # noqa: F401
import pytest  # noqa: F401

import features.importing.signals
import features.profile.online
import features.signals.store  # noqa: F401
from features.feast_library import import_feast

import_feast()  # whoever uses Redis needs it, and it takes seconds
