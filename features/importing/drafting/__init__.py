"""Drafts mappings from the files themselves."""

from features.importing.drafting.draft import DraftedMapping, draft_mapping

__all__ = ["DraftedMapping", "draft_mapping"]
