"""The options of the Ray Serve deployment: limits, timeouts and resources."""

from typing import Any

from serving.lifecycle import haproxy
from serving.settings import Workspace

DRAIN_S = 5.0


def deployment_options(workspace: Workspace) -> dict[str, Any]:
    """Return the keyword arguments of `serve.deployment(...)` for the class that answers requests."""
    http = workspace.settings.http
    return {
        "name": "Brain",
        "num_replicas": 1,
        "max_ongoing_requests": haproxy.ROOMS * http.max_ongoing_requests + http.max_streams,
        "max_queued_requests": http.max_queued_requests,  # a second limit, after HAProxy's
        "backpressure_config": {"status_code": 503, "retry_after_s": 1},
        "max_surge_percent": 100,  # the only replica stops once its replacement is up
        "max_constructor_retry_count": 1,  # it reads files: a second try fails the same way
        "graceful_shutdown_timeout_s": DRAIN_S,
        "graceful_shutdown_wait_loop_s": 0.1,
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 10.0,
        "ray_actor_options": {"num_cpus": 1},
    }
