"""The process that starts Ray and deploys the application on Ray Serve. It is a child of the supervisor.

It reports its state to the supervisor, one JSON object per line: `{"state": "running" | "waiting" | "failed", "why":
text}`. Its environment comes from `environment.for_serving`, before Ray is imported. It runs until it is killed.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from ray import serve
from ray.serve.schema import ApplicationStatus, LoggingConfig

from decisioning.errors import BrainError
from serving.lifecycle.processes import die_with_parent
from serving.lifecycle.ray_start import start_ray
from serving.settings import Workspace

APP_NAME = "brain"
_POLL_S = 0.5
_FAILED = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY)


def main() -> None:
    """Run `driver WORKSPACE MODULE:BUILDER TEMP AGENT_PORT REPORT_FD`."""
    die_with_parent()
    root, app, temp, agent_port, handle = sys.argv[1:]
    with os.fdopen(int(handle), "w", buffering=1) as report:
        try:
            _start(Workspace.open(Path(root)), app, temp, int(agent_port))
        except BrainError as error:
            _send(report, "failed", str(error))
            sys.exit(1)
        except Exception:
            _send(report, "waiting", traceback.format_exc())  # a start that Ray broke off may succeed the next time
            raise
        _watch(report)


def _start(workspace: Workspace, app: str, temp: str, agent_port: int) -> None:
    http = workspace.settings.http
    with_haproxy = "RAY_SERVE_ENABLE_HA_PROXY" in os.environ
    application = _builder(app)({"workspace": str(workspace.root)})
    logging = LoggingConfig(logs_dir=str(workspace.run / "logs"), log_level="WARNING", enable_access_log=False)
    start_ray(Path(temp), cpus=1, agent_port=agent_port)
    # With HAProxy, replicas bind this host too: only HAProxy itself listens on the configured one (haproxy.rewrite)
    host = "127.0.0.1" if with_haproxy else http.host
    with suppress(TimeoutError):  # Ray waits 60 s for its proxies; the supervisor waits longer
        serve.start(http_options={"host": host, "port": http.port}, logging_config=logging)
    target = serve.RunTarget(application, name=APP_NAME, route_prefix="/", logging_config=logging)
    serve.run_many([target], wait_for_applications_running=False)


def _builder(app: str) -> Callable[[dict[str, str]], Any]:
    module, _, name = app.partition(":")
    builder: Callable[[dict[str, str]], Any] = getattr(importlib.import_module(module), name)
    return builder


def _watch(report: TextIO) -> None:
    """Report every change of the application's state, until killed."""
    last = ("", "")
    while True:
        overview = serve.status().applications.get(APP_NAME)
        if overview is not None:
            running = overview.status == ApplicationStatus.RUNNING
            state = "running" if running else "failed" if overview.status in _FAILED else "waiting"
            why = "\n".join([overview.message, *(d.message for d in overview.deployments.values())])
            if (state, why) != last:
                _send(report, state, why)
                last = (state, why)
        time.sleep(_POLL_S)


def _send(report: TextIO, state: str, why: str) -> None:
    report.write(json.dumps({"state": state, "why": why}) + "\n")


if __name__ == "__main__":
    main()
