"""Imports past signals in bulk, from Parquet or JSON lines.

Each line or row is a CloudEvent, or just the attributes id, source, type, subject, time and data. Events that are in
the log already are not counted again, so an import can be repeated; an import that stopped resumes where it stopped.
"""

from features.importing.signals.replay import ReplayResult, import_signals

__all__ = ["ReplayResult", "import_signals"]
