"""The newest report as far as pages show it that are open all day: kept in a file beside the workspace's data.

`brain report` writes it; nothing in it is about one customer or one person.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from features.files import replace_file
from serving.pages.report import Report
from serving.settings import Workspace

NAME: Final = "report.json"
_KEPT: Final = (
    *("at", "model", "release", "look_at", "people", "over_time"),
    *("arms_said", "arms_said_nl", "rises_said", "rises_said_nl", "widen_said", "widen_said_nl"),
)
_STALE_S: Final = 26 * 3600.0


@dataclass(frozen=True, slots=True)
class KeptReport:
    """The newest report, and when it was made."""

    report: Report
    at: datetime

    @property
    def is_stale(self) -> bool:
        """Whether it is older than a day and a bit."""
        return (datetime.now(UTC) - self.at).total_seconds() > _STALE_S


def keep_report(workspace: Workspace, report: Report) -> None:
    """Keep a report in place of the one before."""
    shown = json.dumps({name: report[name] for name in _KEPT if name in report})

    replace_file(workspace.data / NAME, lambda half: half.write_text(shown, encoding="utf-8"), contended=True)


def kept_report(workspace: Workspace) -> KeptReport | None:
    """Return the newest report; None if none was made, or its file cannot be read."""
    path = workspace.data / NAME
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, _: int) -> KeptReport:
    report = json.loads(path.read_text(encoding="utf-8"))
    return KeptReport(report, datetime.fromisoformat(report["at"]))
