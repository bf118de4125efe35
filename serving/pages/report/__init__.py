"""The report as a page: what was decided in a workspace, what came of it, and what to look at."""
