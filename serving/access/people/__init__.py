"""People who sign in: how they do it, their sessions, and what their browsers keep."""
