"""Requests that schemathesis makes of the OpenAPI document, to every operation, with a key of every scope and none."""

import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.access.files import read_key_file
from serving.problems import MALFORMED, MAX_BODY_BYTES, RETRY_AFTER_S, TOO_LARGE, TOO_MANY
from serving.settings import Workspace
from tests.serving.server import Server
from tests.serving.test_keys import REACH, SCOPES, UNDESCRIBED

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore")]

HALF_AN_HOUR_S = 30 * 60.0
LONGEST_URL = 8_192
REACHED_BY = {
    (method, route): set().union(*(scopes or SCOPES for m, r, _, scopes in REACH if (m, r) == (method, route)))
    for method, route, _, _ in REACH
}
"""The scopes that reach a route beside `admin`, from the table by hand; a body may ask for more."""
PUBLIC = {(method, route) for method, route, _, scopes in REACH if scopes is None}
_KNOWN_HEADERS = {"request-timeout", "last-event-id"}
"""Others are no part of a request's form, and some of them make it one that HTTP does not know."""
_STREAM = "text/event-stream"
Operation = Any
Case = Any


class Caller:
    """Sends requests over one connection, and checks their answers."""

    def __init__(self, server: Server) -> None:
        workspace = Workspace.open(server.root)
        self._keys: dict[str | None, str | None] = {scope: read_key_file(workspace, scope) for scope in SCOPES}
        self._keys[None] = None
        self._session, self._url = requests.Session(), server.url
        self.statuses: Counter[int] = Counter()

    def check(self, case: Case, scope: str | None) -> None:
        """Send a request with the key of a scope; without the right scope only 401 or 403 may be answered."""
        method, route = case.method.upper(), case.operation.path
        key = self._keys[scope]
        case.headers = {name: value for name, value in (case.headers or {}).items() if name.lower() in _KNOWN_HEADERS}
        request = case.as_transport_kwargs(self._url, {"Authorization": f"Bearer {key}"} if key else None)
        answer = self._answer(request)
        while answer.status_code == TOO_MANY.status:  # more than twenty requests without a valid key came in a second
            _described(case, answer)
            time.sleep(RETRY_AFTER_S)
            answer = self._answer(request)
        status = answer.status_code
        self.statuses[status] += 1
        told = (method, route, scope, status, case.as_curl_command().replace(key or "-", "KEY"))
        assert status < 500, told
        _described(case, answer)
        unseen = _refused_unseen(answer.request)
        if unseen is not None:
            assert status == unseen, told
        elif (method, route) not in PUBLIC:
            if scope is None:
                assert status == 401, told
            elif scope != "admin" and scope not in REACHED_BY[method, route]:
                assert status in (401, 403), told

    def _answer(self, request: dict[str, Any]) -> requests.Response:
        """Return an answer with its body; a stream of moments, which does not end, without."""
        with self._session.request(**request, stream=True, timeout=10) as answer:
            if answer.headers["content-type"].startswith(_STREAM):
                answer._content = b""  # read no more of it
            assert answer.content is not None
            return answer


def _refused_unseen(sent: requests.PreparedRequest) -> int | None:
    """Return the status of what HAProxy refuses for its size, whoever sends it; None if a replica sees the request."""
    if len(sent.path_url) > LONGEST_URL:
        return MALFORMED.status
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    return TOO_LARGE.status if len(body) > MAX_BODY_BYTES else None


def _described(case: Case, answer: requests.Response) -> None:
    """Check that the document describes an answer: its status, its media type, and the form of its body."""
    if answer.status_code == 200 and answer.headers["content-type"].startswith(_STREAM):
        checks = [status_code_conformance, content_type_conformance]
    else:
        checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    case.validate_response(answer, checks=checks)


def operations(server: Server) -> list[Operation]:
    """Return every operation of the document that the server gives."""
    document = requests.get(f"{server.url}/openapi.json", timeout=10).json()
    return [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]


def cases(operation: Operation, count: int, seed: int) -> Iterator[Case]:
    """Return so many requests for an operation, such as it takes and such as it does not take."""
    source = random.Random(seed)
    for n in range(count):
        mode = source.choice((GenerationMode.POSITIVE, GenerationMode.NEGATIVE))
        quiet = settings(
            max_examples=1 + n % 7, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck)
        )
        found: list[Case] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                find(operation.as_strategy(mode), _into(found), settings=quiet, random=source)
            except NoSuchExample:
                pass
            except Exception as error:  # what cannot be negated has no such request
                if mode is GenerationMode.POSITIVE:
                    raise AssertionError(f"{operation.label}: {error}") from error
        yield from found[-1:]


def _into(found: list[Case]) -> Callable[[Case], bool]:
    """Return a condition that no request fulfils, and that keeps each."""

    def keep(case: Case) -> bool:
        found.append(case)
        return False

    return keep


@pytest.mark.promise("doors.any-request")
def test_whatever_is_sent_no_operation_fails_and_none_is_open(server: Server) -> None:
    caller, seed = Caller(server), random.randrange(1 << 30)
    known = operations(server)
    assert {f"{o.method.upper()} {o.path}" for o in known} == {f"{m} {route}" for m, route in REACHED_BY} - UNDESCRIBED
    for operation in known:
        for case in cases(operation, 1, seed + len(operation.path)):
            for scope in (None, "lead", "admin"):
                caller.check(case, scope)
    assert caller.statuses[401] > len(known)


@pytest.mark.long
@pytest.mark.promise("doors.any-request")
def test_for_half_an_hour_no_operation_fails_and_none_is_open(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    caller, until_s, turn = Caller(server), time.monotonic() + HALF_AN_HOUR_S, 0
    known = operations(server)
    while time.monotonic() < until_s:
        turn += 1
        for operation in known:
            for case in cases(operation, 6, turn):
                for scope in (None, *SCOPES):
                    caller.check(case, scope)
    record_property("requests by status", dict(caller.statuses))
    assert turn > 1
