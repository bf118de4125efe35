"""Every component of pages on one page, with hard contents, to look at and to check."""
