"""The processes behind `brain serve`: start, watch, stop, and find what an earlier run left."""

from serving.lifecycle.processes import Listener, listeners
from serving.lifecycle.supervisor import DEFAULT_APP, Running, clean_up, serve_forever

__all__ = ["DEFAULT_APP", "Listener", "Running", "clean_up", "listeners", "serve_forever"]
