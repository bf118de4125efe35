"""Run HAProxy as Ray Serve does, but on loopback, with rooms that shed load, problem documents for its own errors, and
without addresses of customers.

A *room* is a backend of HAProxy to the same replicas, with places and a queue of its own: decisions have one, what
customers have a right to has one, open streams have one, and all other requests have the one that Ray wrote.

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
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
STATUSES = (400, 404, 405, 408, 413, 500, 501, 503)
"""The statuses that HAProxy, or Ray's server behind it, answers by itself."""
_AS_503 = (502, 503, 504)
"""What HAProxy answers while a replica is away: 503 says that a retry is worth it."""
_CLOSING = (400, 408)
"""Answers to a request that was not read to its end: the connection cannot be used for another one."""
ARRIVES_WITHIN_S = 10
"""How long a client may take to send its headers, and then its body."""
_FALLBACK = 500
_TYPE = "application/problem+json"
_DECISIONS_ROOM, _RIGHTS_ROOM, _STREAMS_ROOM, _REFUSED_ROOM = "-decisions", "-rights", "-streams", "-refused"
"""The ends of the names of backends. Some decisions that are refused go to the last one, where a replica answers them
with their fallbacks."""
ROOMS = 3
"""How many rooms there are in which requests run, without those of streams and of refusals."""
STREAMS = ("/v1/live", "/v1/moments/stream")
"""The paths of streams, which stay open."""
_QUIET_S = 20
"""How long a stream may send nothing: each sends something every five seconds at least."""
_REST = 2
"""How many times as long as the next crowd there must have been no refusal before it."""
_NAMED_US = 20_000
"""The least time between two refusals that name fallbacks: they take time from decisions that are made."""
_PATIENCE = 5
"""How many times as long as other requests a right waits: it is refused last of all."""
_SHED = ("decision", "right", "stream", "other", "key", "address")
"""What was refused, each counted in a variable of the process: decisions, rights, streams and other requests without
room, requests of a key that asks too often, and those of an address that tries wrong keys."""
PEER = "brain"
"""The name by which a process of HAProxy and its successor know each other."""
RIGHT = "txn.right"
"""The variable of a request that is TRUE for what customers have a right to."""
LIMITED_HEADER = "x-limited"
"""The key of a request asks too often: a replica refuses it, and records that."""
_RETURN = re.compile(
    r"(\s*http-request return status )([45]\d\d) content-type text/plain (?:lf-)?string \"[^\"]*\"(.*)"
)


class EntryPoint(TypedDict):
    """Where requests come in, and how many.

    In each room, `ongoing` run at once in a replica; `queued` wait in HAProxy in order of arrival, for `wait_ms` at
    most. It is a crowd if `decisions` are being made or wait; decisions are refused while a crowd lasts, but for its
    first `crowd_ms` at most (see `_choice`). `streams` are open at once in a replica, and none waits. Paths begin with
    `root_path`, or not. `doors` are the lines that judge a request before its room is chosen, and `tables` what they
    use (serving/lifecycle/haproxy_doors.py). `certificate` is the file of a certificate and its key, or empty.
    """

    host: str
    port: int
    ongoing: int
    queued: int
    streams: int
    wait_ms: int
    root_path: str
    decisions: int
    crowd_ms: int
    doors: list[str]
    tables: list[str]
    certificate: str


class Rules(EntryPoint):
    """What the launcher passes to this file: the entry point, and per status the problem document and its page.

    `overloaded`: the document of a decision that is refused.
    """

    documents: dict[str, str]
    pages: dict[str, str]
    overloaded: str


def install(folder: Path, binary: str, entry: EntryPoint, documents: Mapping[int, bytes], overloaded: bytes) -> Path:
    """Write the launcher and the pages of HAProxy's own answers into `folder`; return the launcher's path.

    :param documents: the problem document of each of STATUSES
    :param overloaded: the problem document of a decision that is refused
    """
    pages = {}
    for status, document in documents.items():
        page = folder / f"{status}.http"
        page.write_bytes(_page(status, document))
        pages[str(status)] = str(page)
    known = {str(status): document.decode() for status, document in documents.items()}
    rules = Rules(**entry, documents=known, pages=pages, overloaded=overloaded.decode())
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
    lines = config.splitlines()
    changed = [new for line in lines for new in _line(line, rules)]
    return "\n".join([*changed, *_rooms(lines, rules), *rules["tables"]]) + "\n"


def _line(line: str, rules: Rules) -> Iterator[str]:
    words = line.split()
    match words:
        case ["bind", place, *_]:
            yield from _bind(line, place, rules)
        case ["errorfile", *_]:  # Ray's page for a replica that is away; ours for all errors are in the defaults
            return
        case ["http-request", "return", *_]:
            yield _problem_for(line, rules)
        case ["log" | "log-format-sd", *_] | ["option", "httplog" | "log-health-checks"]:
            return  # access logs hold ids of customers, and would go to any syslog server
        case ["backend", name, *_] if name.startswith("http-"):
            yield line
            yield from _limits(rules, "other", rules["wait_ms"])
            yield from _replaced_errors(rules)
            asked = paths("path", rules["root_path"], "/metrics")
            yield f"    http-request set-header x-shed {_shed_header()} if {asked}"
        case ["use_backend", backend, "if", *_] if backend.startswith("http-"):
            yield from _choice(backend, line, rules)
        case ["server", *_, "backup"]:  # Ray's Python proxy: it would hold requests while there is no replica
            return
        case ["server", name, *_] if name.startswith("SERVE_REPLICA"):
            yield f"{line} maxconn {rules['ongoing']}"
        case ["global"]:
            yield line
            yield f"    localpeer {PEER}"
            for name in ("calm_us", "refused_us", "named_us", *_SHED):
                yield f"    set-var proc.{name} int(0)"
        case ["defaults"]:  # a client may take this long to send its headers
            yield line
            yield f"    timeout http-request {ARRIVES_WITHIN_S}s"
            yield from _error_files(rules)
        case _:
            yield line


def _error_files(rules: Rules) -> Iterator[str]:
    """Yield the lines that name a page for each error that HAProxy finds by itself."""
    for status in sorted({*map(int, rules["pages"]), *_AS_503}):
        yield f"    errorfile {status} {quoted(rules['pages'][str(503 if status in _AS_503 else status)])}"


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
    return f"{known} content-type {_TYPE}{retry} string {quoted(rules['documents'][str(known)])}"


def _replaced_errors(rules: Rules) -> Iterator[str]:
    """Yield the lines that replace what Ray's server in a replica answers by itself, which is plain text."""
    for status in STATUSES:
        condition = f"{{ status {status} }} !{{ res.hdr(content-type) -m beg {_TYPE} text/html }}"
        yield f"    http-response return status {_content(status, rules)} if {condition}"


def _bind(line: str, place: str, rules: Rules) -> Iterator[str]:
    """Yield the lines of the port where requests come in; the others are closed.

    They tell statistics and metrics of HAProxy to every user of the machine.
    """
    if int(place.rsplit(":", 1)[1]) != rules["port"]:
        yield "    disabled"
        return
    tls = f" ssl crt {quoted(rules['certificate'])} ssl-min-ver TLSv1.2 alpn http/1.1" if rules["certificate"] else ""
    yield line.replace(place, f"{rules['host']}:{rules['port']}{tls}", 1)
    yield from rules["doors"]


def _choice(backend: str, default: str, rules: Rules) -> Iterator[str]:
    """Yield the lines that choose the room of a request, and whether a decision is refused.

    A crowd is let in for `crowd_ms` since a decision last found none, or for a part of the time since the last refusal
    if that is less. So a burst below the capacity is let in, and in a flood, where refusals never cease, what is let in
    waits for no more than `decisions` others.

    :param default: the line that chooses the backend that Ray wrote
    """
    decides = f"METH_POST {paths('path', rules['root_path'], '/v1/decisions')}"
    inside = f"be_conn({backend}{_DECISIONS_ROOM})"
    crowded, alone = (f"{decides} {{ {inside} {than} {rules['decisions']} }}" for than in ("ge", "lt"))
    refused = "{ var(txn.refused) -m bool }"
    yield f"    http-request set-var(proc.calm_us) date(0,us) if {alone}"
    yield f"    http-request set-var(txn.crowd_us) date(0,us),sub(proc.calm_us) if {crowded}"
    yield f"    http-request set-var(txn.longest_us) date(0,us),sub(proc.refused_us),div({_REST}) if {crowded}"
    yield f"    http-request set-var(txn.left_us) var(txn.longest_us),sub(txn.crowd_us) if {crowded}"
    for too_long in (f"txn.crowd_us) -m int gt {1000 * rules['crowd_ms']}", "txn.left_us) -m int lt 0"):
        yield f"    http-request set-var(txn.refused) bool(true) if {{ var({too_long} }}"
    yield from _refusal(refused, rules)
    yield f"    use_backend {backend}{_REFUSED_ROOM} if {refused}"
    yield f"    use_backend {backend}{_DECISIONS_ROOM} if {decides}"
    yield f"    use_backend {backend}{_RIGHTS_ROOM} if {{ var({RIGHT}) -m bool }}"
    yield f"    use_backend {backend}{_STREAMS_ROOM} if METH_GET {paths('path', rules['root_path'], *STREAMS)}"
    yield default


def _refusal(refused: str, rules: Rules) -> Iterator[str]:
    """Yield the lines that count a refusal, and answer it unless a replica may name its fallbacks."""
    just_now = f"{{ var(txn.unnamed_us) -m int lt {_NAMED_US} }}"
    yield f"    http-request set-var(proc.decision) var(proc.decision),add(1) if {refused}"
    yield f"    http-request set-var(proc.refused_us) date(0,us) if {refused}"
    yield f"    http-request set-var(txn.unnamed_us) date(0,us),sub(proc.named_us) if {refused}"
    yield f"    http-request return status {_overloaded(rules)} if {refused} {just_now}"
    yield f"    http-request set-var(proc.named_us) date(0,us) if {refused}"


def rights(root: str) -> tuple[str, ...]:
    """Return the conditions of what customers have a right to; the body of a request must have come."""
    of_customers = paths("path_beg", root, "/v1/customers/", "/v1/visitors/", "/v1/accounts/")
    return (
        f"METH_POST {paths('path', root, '/v1/consents', '/me/stop', '/me/erase')}",  # withdrawals and objections, too
        # the same by a tool: since this revision a replica refuses a request whose header names another than its body
        f"METH_POST {paths('path', root, '/mcp')} {{ req.hdr(mcp-protocol-version) 2026-07-28 }} "
        "{ req.hdr(mcp-name) refuse_consent }",
        f"METH_DELETE {of_customers}",
        f"{{ method PATCH }} {of_customers} {{ req.body -m sub '\"restricted\"' }}",
    )


def paths(method: str, root: str, *below: str) -> str:
    """Return the condition that a path is, or begins with, one of those, below the root path or without it."""
    places = dict.fromkeys(start + path for start in ("", root) for path in below)
    return f"{{ {method} {' '.join(places)} }}"


def _rooms(lines: Sequence[str], rules: Rules) -> Iterator[str]:
    """Yield the further rooms of each backend that Ray wrote. Their servers follow the health of its own."""
    backend = ""
    servers: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        match line.split():
            case ["backend", backend, *_]:
                if backend.startswith("http-"):
                    servers[backend] = []
            case ["server", name, address, *_] if name.startswith("SERVE_REPLICA"):
                servers[backend].append((name, address))
    rooms = (
        (_DECISIONS_ROOM, _limits(rules, "decision", rules["wait_ms"]), rules["ongoing"]),
        (_RIGHTS_ROOM, _limits(rules, "right", _PATIENCE * rules["wait_ms"]), rules["ongoing"]),
        (_STREAMS_ROOM, _stream_limits(rules), rules["streams"]),
        (_REFUSED_ROOM, _refusals(rules), 1),
    )
    for backend, (room, limits, at_once) in product(servers, rooms):
        yield f"backend {backend}{room}"
        yield "    http-reuse always"
        yield from limits
        yield from _replaced_errors(rules)
        for name, address in servers[backend]:
            yield f"    server {name} {address} track {backend}/{name} maxconn {at_once}"


def _limits(rules: Rules, kind: str, wait_ms: int) -> list[str]:
    """Return the lines that limit the requests of a room: one that is refused here costs the replica nothing.

    They also stop Ray from watching for clients that hang up, and from breaking requests off after a time that a client
    sets: a decision that is being committed is finished anyway, and watching costs a task per request.
    """
    full = f"{{ be_conn gt {rules['ongoing'] + rules['queued']} }}"
    return [
        f"    http-request set-var(proc.{kind}) var(proc.{kind}),add(1) if {full}",
        f"    http-request return status {_content(503, rules)} if {full}",
        f"    timeout queue {wait_ms}ms",
        "    http-request set-header x-request-disconnect-disabled ?1",
        "    http-request del-header x-request-timeout-seconds",
        "    http-request del-header x-overloaded",
        "    http-request set-header x-arrived-us %[date(0,us)] if { req.hdr(request-timeout) -m found }",
    ]


def _stream_limits(rules: Rules) -> list[str]:
    """Return the lines of the room for streams, where Ray watches for clients that hang up, and no time is too long."""
    full = f"{{ be_conn gt {rules['streams']} }}"
    return [
        f"    http-request set-var(proc.stream) var(proc.stream),add(1) if {full}",
        f"    http-request return status {_content(503, rules)} if {full}",
        f"    timeout queue {rules['wait_ms']}ms",
        f"    timeout server {_QUIET_S}s",
        "    http-request del-header x-request-disconnect-disabled",
        "    http-request del-header x-request-timeout-seconds",
        "    http-request del-header x-overloaded",
    ]


def _refusals(rules: Rules) -> list[str]:
    """Return the lines of the room for decisions that are refused."""
    return [
        f"    http-request return status {_overloaded(rules)} if {{ be_conn gt 1 }}",
        f"    timeout queue {rules['wait_ms']}ms",
        "    http-request set-header x-request-disconnect-disabled ?1",
        "    http-request del-header x-request-timeout-seconds",
        "    http-request set-header x-overloaded 1",
    ]


def _overloaded(rules: Rules) -> str:
    """Return status, content type, headers and body of a refusal that names no fallback, as `return` takes them."""
    return f"503 content-type {_TYPE} hdr Retry-After 1 string {quoted(rules['overloaded'])}"


def _shed_header() -> str:
    """Return the header that tells a replica how many requests were refused here, by kind."""
    return ",".join(f"{kind}=%[var(proc.{kind})]" for kind in _SHED)


def quoted(text: str) -> str:
    """Return a text as one word of HAProxy's configuration."""
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
