"""Run HAProxy as Ray Serve does, but on loopback, with early load shedding, problem documents for its own errors, and
without addresses of customers.

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
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
STATUSES = (400, 404, 405, 408, 413, 500, 501, 503)
"""The statuses that HAProxy, or Ray's server behind it, answers by itself."""
_AS_503 = (502, 503, 504)
"""What HAProxy answers while a replica is away: 503 says that a retry is worth it."""
_CLOSING = (400, 408)
"""Answers to a request that was not read to its end: the connection cannot be used for another one."""
_FALLBACK = 500
_TYPE = "application/problem+json"
_RETURN = re.compile(
    r"(\s*http-request return status )([45]\d\d) content-type text/plain (?:lf-)?string \"[^\"]*\"(.*)"
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
    """What the launcher passes to this file: the entry point, and per status the problem document and its page."""

    documents: dict[str, str]
    pages: dict[str, str]


def install(folder: Path, binary: str, entry: EntryPoint, documents: Mapping[int, bytes]) -> Path:
    """Write the launcher and the pages of HAProxy's own answers into `folder`; return the launcher's path.

    :param documents: the problem document of each of STATUSES
    """
    pages = {}
    for status, document in documents.items():
        page = folder / f"{status}.http"
        page.write_bytes(_page(status, document))
        pages[str(status)] = str(page)
    rules = Rules(**entry, documents={str(s): d.decode() for s, d in documents.items()}, pages=pages)
    command = shlex.join([sys.executable, "-I", "-S", str(Path(__file__)), json.dumps(rules), binary])
    launcher = folder / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def _page(status: int, document: bytes) -> bytes:
    """Return a whole HTTP answer, as the file of an `errorfile` holds it."""
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {_TYPE}",
        f"Content-Length: {len(document)}",
        "Cache-Control: no-store",
        *(["Retry-After: 1"] if status == 503 else []),
        *(["Connection: close"] if status in _CLOSING else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + document


def rewrite(config: str, rules: Rules) -> str:
    """Return the HAProxy configuration that Ray wrote, changed by the rules."""
    return "\n".join(new for line in config.splitlines() for new in _line(line, rules)) + "\n"


def _line(line: str, rules: Rules) -> Iterator[str]:
    words = line.split()
    match words:
        case ["bind", place, *_]:
            yield line.replace(place, _bind(place, rules), 1)
        case ["errorfile", *_]:  # Ray's page for a replica that is away; ours for all errors are in the defaults
            return
        case ["http-request", "return", *_]:
            yield _problem_for(line, rules)
        case ["log" | "log-format-sd", *_] | ["option", "httplog" | "log-health-checks"]:
            return  # access logs hold ids of customers, and would go to any syslog server
        case ["backend", name, *_] if name.startswith("http-"):
            yield line
            yield from _admission(rules)
            yield from _replaced_errors(rules)
        case ["server", *_, "backup"]:  # Ray's Python proxy: it would hold requests while there is no replica
            return
        case ["server", name, *_] if name.startswith("SERVE_REPLICA"):
            yield f"{line} maxconn {rules['ongoing']}"
        case ["defaults"]:  # a client may take this long to send its headers
            yield line
            yield "    timeout http-request 10s"
            yield from _error_files(rules)
        case _:
            yield line


def _error_files(rules: Rules) -> Iterator[str]:
    """Yield the lines that name a page for each error that HAProxy finds by itself."""
    for status in sorted({*map(int, rules["pages"]), *_AS_503}):
        yield f"    errorfile {status} {_quoted(rules['pages'][str(503 if status in _AS_503 else status)])}"


def _problem_for(line: str, rules: Rules) -> str:
    """Return the line with a problem document in place of a text that Ray lets HAProxy answer.

    Ray answers 404 to all paths, and names them, while it has no replica: then, too, a retry is worth it.
    """
    answer = _RETURN.fullmatch(line)
    if answer is None:
        return line
    before, status, condition = answer.groups()
    return f"{before}{_content(503 if status == '404' else int(status), rules)}{condition}"


def _content(status: int, rules: Rules) -> str:
    """Return status, content type, headers and body of an answer, as `return` takes them."""
    known = status if str(status) in rules["documents"] else _FALLBACK
    retry = " hdr Retry-After 1" if known == 503 else ""
    return f"{known} content-type {_TYPE}{retry} string {_quoted(rules['documents'][str(known)])}"


def _replaced_errors(rules: Rules) -> Iterator[str]:
    """Yield the lines that replace what Ray's server in a replica answers by itself, which is plain text."""
    for status in STATUSES:
        condition = f"{{ status {status} }} !{{ res.hdr(content-type) -m beg {_TYPE} }}"
        yield f"    http-response return status {_content(status, rules)} if {condition}"


def _bind(place: str, rules: Rules) -> str:
    """Return the address to bind: the configured host for requests, loopback for statistics and metrics."""
    port = place.rsplit(":", 1)[1]
    return f"{rules['host'] if int(port) == rules['port'] else '127.0.0.1'}:{port}"


def _admission(rules: Rules) -> Iterator[str]:
    """Yield the lines that limit requests: one that is refused here costs the replica nothing.

    They also stop Ray from watching for clients that hang up: a decision that is being committed is finished anyway,
    and watching costs a task per request.
    """
    at_most = rules["ongoing"] + rules["queued"]
    yield f"    http-request return status {_content(503, rules)} if {{ be_conn gt {at_most} }}"
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
