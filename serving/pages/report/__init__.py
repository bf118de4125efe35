"""The report as a page: what was decided in a workspace, what came of it, and what to look at."""

from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]
"""The sections of a report in plain JSON types, as `brain report --json` shows them."""
