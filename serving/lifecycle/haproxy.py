"""HAProxy as Ray Serve starts it, but on loopback, shedding load early, and keeping no addresses of customers.

Ray writes HAProxy's configuration itself, anew for every change of replicas, and offers no setting for what is
changed here (templates: `ray/serve/_private/haproxy_templates.py`). So Ray is given a launcher instead of the binary
(RAY_SERVE_HAPROXY_BINARY_PATH), which runs this file: it rewrites the configuration, then becomes HAProxy. Standard
library only, and nothing of ours: it is run by path, in an isolated interpreter, before every reload.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
_BUSY = json.dumps({"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "try again"})
_RESPONSE = (
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Content-Type: application/problem+json\r\n"
    f"Content-Length: {len(_BUSY)}\r\n"
    "Cache-Control: no-store\r\n"
    "Retry-After: 1\r\n"
    "\r\n"
    f"{_BUSY}"
)


class Door(TypedDict):
    """Where requests come in, and how many: `ongoing` at once in a replica, `queued` waiting in HAProxy in order of
    arrival, for `wait_ms` at most."""

    host: str
    port: int
    ongoing: int
    queued: int
    wait_ms: int


class Rules(Door):
    """What the launcher hands over: the door, and the path of the 503 page."""

    error_file: str


def install(folder: Path, binary: str, door: Door) -> Path:
    """Write the launcher and the 503 page into `folder`; returns the launcher's path."""
    error_file, launcher = folder / "503.http", folder / "haproxy"
    error_file.write_bytes(_RESPONSE.encode())
    rules = Rules(**door, error_file=str(error_file))
    command = shlex.join([sys.executable, "-I", "-S", str(Path(__file__)), json.dumps(rules), binary])
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def rewrite(config: str, rules: Rules) -> str:
    """HAProxy configuration by Ray -> ours."""
    return "\n".join(new for line in config.splitlines() for new in _line(line, rules)) + "\n"


def _line(line: str, rules: Rules) -> Iterator[str]:
    words = line.split()
    match words:
        case ["bind", place, *_]:
            yield line.replace(place, _bind(place, rules), 1)
        case ["errorfile", code, _]:  # Ray answers 500 where a replica is away: it is 503, and worth another try
            yield f"    errorfile {code} {_quoted(rules['error_file'])}"
        case ["log" | "log-format-sd", *_] | ["option", "httplog" | "log-health-checks"]:
            return  # access logs hold the ids of customers, and would go to whoever listens for syslog
        case ["backend", name, *_] if name.startswith("http-"):
            yield line
            yield from _doorman(rules)
        case ["server", *_, "backup"]:  # Ray's Python proxy: it would hold requests while no replica is there
            return
        case ["server", name, *_] if name.startswith("SERVE_REPLICA"):
            yield f"{line} maxconn {rules['ongoing']}"
        case ["defaults"]:  # a client may take this long to send its headers
            yield line
            yield "    timeout http-request 10s"
        case _:
            yield line


def _bind(place: str, rules: Rules) -> str:
    """Only the door listens where it was asked to; statistics and metrics stay on this machine."""
    port = place.rsplit(":", 1)[1]
    return f"{rules['host'] if int(port) == rules['port'] else '127.0.0.1'}:{port}"


def _doorman(rules: Rules) -> Iterator[str]:
    """Turned away here, a request costs the replica nothing. Ray need not watch for clients that hang up: a decision
    that is being committed is finished anyhow, and the watching costs a task per request."""
    body = _quoted(_BUSY)
    reply = f"return status 503 content-type application/problem+json hdr Retry-After 1 string {body}"
    yield f"    http-request {reply} if {{ be_conn gt {rules['ongoing'] + rules['queued']} }}"
    yield f"    timeout queue {rules['wait_ms']}ms"
    yield "    http-request set-header x-request-disconnect-disabled ?1"


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def main() -> None:
    """Rewrite the file behind `-f`, then become HAProxy."""
    rules, binary, arguments = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
    file = Path(arguments[arguments.index("-f") + 1])
    file.write_text(rewrite(file.read_text(), rules))
    # HAProxy outlives a killed parent otherwise, and holds the ports
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *arguments])  # noqa: S606 - the program Ray ships, no shell


if __name__ == "__main__":
    main()
