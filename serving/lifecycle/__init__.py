"""The processes of `brain serve`: start them, watch them, stop them, and clean up after an earlier run."""

from serving.lifecycle.processes import Listener, listeners
from serving.lifecycle.runs import Running, clean_up
from serving.lifecycle.supervisor import DEFAULT_APP, serve_forever

__all__ = ["DEFAULT_APP", "Listener", "Running", "clean_up", "listeners", "serve_forever"]
