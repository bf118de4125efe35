"""What HAProxy refuses by itself, before a request takes a place in any room.

It refuses what is too large or does not arrive, what comes too often by one key, and whoever tries many wrong keys.
"""

from pathlib import Path
from typing import Final

from serving import problems
from serving.lifecycle.haproxy import ARRIVES_WITHIN_S, LIMITED_HEADER, PEER, RIGHT, paths, quoted, rights
from serving.problems import MAX_BODY_BYTES
from serving.settings import Http

_HEADER_BYTES: Final = 16_384
_URL_BYTES: Final = 8_192
BUFFER_BYTES: Final = MAX_BODY_BYTES + 2 * (_HEADER_BYTES + _URL_BYTES)
"""HAProxy's buffer of a request: it holds the largest body beside its headers, and what HAProxy notes of both."""
HEALTH: Final = "/-/healthz"
"""Ray's own path, by which the supervisor asks whether a replica answers."""
WRONG_KEYS_PER_S: Final = 20
"""So many wrong keys in a second come from an address before its unknown keys are refused unseen."""
SIGN_INS_PER_10_S: Final = 100
"""So many requests about signing in come from an address in ten seconds, of which a person needs four."""
_KEYS, _ADDRESSES, _SIGN_INS = "brain-keys", "brain-addresses", "brain-sign-ins"
"""Tables of HAProxy: of each key, how often it came and whether a replica accepted it; of each address, how many wrong
keys came from it, and how often it signed in. A key is kept as a hash of the header; of people, their cookie is."""
_TOO_OFTEN: Final = "this key sends more than http.max_key_requests_per_s in brain.yaml"
_GUESSES: Final = "too many wrong keys came from this address"
_TOO_MANY_SIGN_INS: Final = "too many people sign in from this address: try again in ten seconds"
_KEY: Final = "var(txn.key)"
_LIMITED: Final = "{ var(txn.limited) -m bool }"


def document(status: int) -> bytes:
    """Return the problem document of an error that HAProxy, or Ray's server behind it, answers by itself."""
    kind = problems.type_of_status(status)
    return problems.document(kind, field="body" if kind is problems.TOO_LARGE else None)


def lines(http: Http) -> list[str]:
    """Return the lines that judge a request where it comes in, in the order in which HAProxy follows them."""
    return [*_address(http), *_wrong_keys(http), *_sign_ins(http), *_body(), *_often(http), *_headers(http)]


def tables(socket: Path) -> list[str]:
    """Return the tables that the lines use.

    A process that is replaced, as after each change of replicas, hands them to its successor through `socket`.
    """
    return [
        f"peers {PEER}",
        f"    peer {PEER} unix@{socket}",
        f"backend {_KEYS}",
        "    stick-table type string len 24 size 100k expire 10m store gpt0,gpc0,gpc0_rate(10s),http_req_rate(1s) "
        f"peers {PEER}",
        f"backend {_ADDRESSES}",
        f"    stick-table type ipv6 size 100k expire 10s store gpc0,gpc0_rate(1s) peers {PEER}",
        f"backend {_SIGN_INS}",
        f"    stick-table type ipv6 size 100k expire 10s store http_req_rate(10s) peers {PEER}",
    ]


def _address(http: Http) -> list[str]:
    """Return the lines that say where a request comes from, and keep Ray's own paths on this machine."""
    no_path = _return(404, problems.document(problems.NO_PATH))
    local = [
        "    http-request set-var-fmt(txn.here) %[dst] if { path_beg /-/ }",
        f"    http-request {no_path} if {{ path_beg /-/ }} !{{ src 127.0.0.0/8 ::1 }} !{{ src,strcmp(txn.here) eq 0 }}",
    ]
    stated = "    http-request set-src req.hdr_ip(x-forwarded-for,-1) if { req.hdr(x-forwarded-for) -m found }"
    return [*local, stated] if http.behind_proxy else local


def _wrong_keys(http: Http) -> list[str]:
    """Return the lines that refuse an address's unknown keys after many wrong ones.

    A key that a replica accepted within the last minutes is not refused, so nobody is locked out by a neighbour. Nor do
    pages of people whose sessions have ended count, perhaps of a whole office. `/healthz` always answers, and
    so does what the supervisor asks: else whoever guesses keys on this machine could have it start a new run.
    """
    person = "{ req.hdr(cookie) -m found } !{ req.hdr(authorization) -m found }"
    refused = _return(429, problems.document(problems.TOO_MANY, _GUESSES), "Retry-After 1")
    known = f"{{ {_KEY},table_gpt0({_KEYS}) eq 1 }}"
    health = paths("path", http.root_path, "/healthz", HEALTH)
    guessing = f"{{ src,table_gpc0_rate({_ADDRESSES}) ge {WRONG_KEYS_PER_S} }} !{known} !{health}"
    asks_for_key = paths("path_beg", http.root_path, "/v1/", "/mcp")
    return [
        f"    http-request set-var(txn.person) bool(true) if {person}",
        f"    http-request set-var(txn.key) req.hdr(cookie),xxh64 if {person}",
        "    http-request set-var(txn.key) req.hdr(authorization),xxh64 if { req.hdr(authorization) -m found }",
        f"    http-request set-var(proc.address) var(proc.address),add(1) if {guessing}",
        f"    http-request {refused} if {guessing}",
        f"    http-request track-sc0 src table {_ADDRESSES}",
        f"    http-request track-sc1 {_KEY} table {_KEYS} if {{ {_KEY} -m found }}",
        f"    http-request set-var(txn.checked) bool(true) if {asks_for_key}",
        "    http-response sc-inc-gpc0(0) if { status 401 } !{ var(txn.person) -m bool }",
        "    http-response sc-set-gpt0(1) 0 if { status 401 }",
        "    http-response sc-set-gpt0(1) 1 if { var(txn.checked) -m bool } { status 200 403 422 }",
    ]


def _sign_ins(http: Http) -> list[str]:
    """Return the lines that refuse an address's sign-ins after many of them, as each may cost a hash of a password."""
    refused = _return(429, problems.document(problems.TOO_MANY, _TOO_MANY_SIGN_INS), "Retry-After 10")
    signs_in = paths("path_beg", http.root_path, "/sign-in")
    return [
        f"    http-request track-sc2 src table {_SIGN_INS} if {signs_in}",
        f"    http-request {refused} if {signs_in} {{ sc2_http_req_rate gt {SIGN_INS_PER_10_S} }}",
    ]


def _body() -> list[str]:
    """Return the lines that refuse what is too large, and wait for a body.

    It is waited for here, where it takes no place of a replica, however slowly it comes. One of unknown length is
    judged once it has come, or has filled the buffer.
    """
    too_long = f"the path may have {_URL_BYTES} bytes, the headers {_HEADER_BYTES} bytes"
    long_head = f"{{ req.hdrs,length gt {_HEADER_BYTES} }} || {{ url,length gt {_URL_BYTES} }}"
    too_large = f"    http-request {_return(413, document(413))} if {{ req.body_size gt {MAX_BODY_BYTES} }}"
    return [
        f"    http-request {_return(400, problems.document(problems.MALFORMED, too_long))} if {long_head}",
        too_large,
        f"    http-request wait-for-body time {ARRIVES_WITHIN_S}s",
        too_large,
    ]


def _often(http: Http) -> list[str]:
    """Return the lines that refuse what a key sends too often, but never a right of a customer.

    One of them in ten seconds goes on to a replica, which refuses it, and records that it happened.
    """
    refused = _return(429, problems.document(problems.TOO_MANY, _TOO_OFTEN), "Retry-After 1")
    often = f"{{ sc1_http_req_rate gt {http.max_key_requests_per_s} }} !{{ var({RIGHT}) -m bool }}"
    return [
        *(f"    http-request set-var({RIGHT}) bool(true) if {right}" for right in rights(http.root_path)),
        f"    http-request set-var(txn.limited) bool(true) if {often}",
        f"    http-request set-var(proc.key) var(proc.key),add(1) if {_LIMITED}",
        f"    http-request {refused} if {_LIMITED} {{ sc1_gpc0_rate gt 0 }}",
        f"    http-request sc-inc-gpc0(1) if {_LIMITED}",
        f"    http-request del-header {LIMITED_HEADER}",
        f"    http-request set-header {LIMITED_HEADER} 1 if {_LIMITED}",
    ]


def _headers(http: Http) -> list[str]:
    """Return the lines that give HAProxy's own answers the headers for browsers that a replica's have."""
    for_browsers = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
    }
    lines = [
        f"    http-after-response set-header {name} {quoted(value)} if !{{ res.hdr({name}) -m found }}"
        for name, value in for_browsers.items()
    ]
    https_only = "    http-after-response set-header strict-transport-security max-age=31536000"
    return [*lines, https_only] if http.tls else lines


def _return(status: int, content: bytes, header: str = "") -> str:
    """Return the action that answers a request with a problem document."""
    more = f" hdr {header}" if header else ""
    return f"return status {status} content-type {problems.PROBLEM}{more} string {quoted(content.decode())}"
