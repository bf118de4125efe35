"""Run HAProxy as Ray Serve does, but on loopback, with early load shedding and without addresses of customers.

Ray writes HAProxy's configuration for every change of replicas, and has no setting for what is changed here
(templates: `ray/serve/_private/haproxy_templates.py`). So Ray gets a launcher instead of the binary
(RAY_SERVE_HAPROXY_BINARY_PATH). It runs this file, which rewrites the configuration and then becomes HAProxy. The file
imports the standard library only: it is run by path, in an isolated interpreter, before every reload.
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


class EntryPoint(TypedDict):
    """Where requests come in, and how many.

    `ongoing` run at once in a replica; `queued` wait in HAProxy in order of arrival, for `wait_ms` at most.
    """

    host: str
    port: int
    ongoing: int
    queued: int
    wait_ms: int


class Rules(EntryPoint):
    """What the launcher passes to this file: the entry point and the path of the 503 page."""

    error_file: str


def install(folder: Path, binary: str, entry: EntryPoint) -> Path:
    """Write the launcher and the 503 page into `folder`; return the launcher's path."""
    error_file, launcher = folder / "503.http", folder / "haproxy"
    error_file.write_bytes(_RESPONSE.encode())
    rules = Rules(**entry, error_file=str(error_file))
    command = shlex.join([sys.executable, "-I", "-S", str(Path(__file__)), json.dumps(rules), binary])
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def rewrite(config: str, rules: Rules) -> str:
    """Return the HAProxy configuration that Ray wrote, changed by the rules."""
    return "\n".join(new for line in config.splitlines() for new in _line(line, rules)) + "\n"


def _line(line: str, rules: Rules) -> Iterator[str]:
    words = line.split()
    match words:
        case ["bind", place, *_]:
            yield line.replace(place, _bind(place, rules), 1)
        case ["errorfile", code, _]:  # Ray answers 500 while a replica is away: 503 says that a retry is worth it
            yield f"    errorfile {code} {_quoted(rules['error_file'])}"
        case ["log" | "log-format-sd", *_] | ["option", "httplog" | "log-health-checks"]:
            return  # access logs hold ids of customers, and would go to any syslog server
        case ["backend", name, *_] if name.startswith("http-"):
            yield line
            yield from _admission(rules)
        case ["server", *_, "backup"]:  # Ray's Python proxy: it would hold requests while there is no replica
            return
        case ["server", name, *_] if name.startswith("SERVE_REPLICA"):
            yield f"{line} maxconn {rules['ongoing']}"
        case ["defaults"]:  # a client may take this long to send its headers
            yield line
            yield "    timeout http-request 10s"
        case _:
            yield line


def _bind(place: str, rules: Rules) -> str:
    """Return the address to bind: the configured host for requests, loopback for statistics and metrics."""
    port = place.rsplit(":", 1)[1]
    return f"{rules['host'] if int(port) == rules['port'] else '127.0.0.1'}:{port}"


def _admission(rules: Rules) -> Iterator[str]:
    """Yield the lines that limit requests: one that is refused here costs the replica nothing.

    They also stop Ray from watching for clients that hang up: a decision that is being committed is finished anyway,
    and watching costs a task per request.
    """
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
    # else HAProxy outlives a killed parent and keeps the ports
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(binary, [binary, *arguments])  # noqa: S606 - the program Ray ships, no shell


if __name__ == "__main__":
    main()
