"""Deliver moments and handovers over HTTP, signed as in Standard Webhooks (standardwebhooks.com).

A signature is one HMAC of id, timestamp and body. After a rotation of the secret there is one by each secret that still
counts, so that a receiver that knows either can check it.
"""

import base64
import hmac
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException

from decisioning.errors import BrainError
from features.access_keys import FIRST_GENERATION, generations, read_rotations
from features.ledger import Ledger, now_us
from features.moments import LONGEST_PAUSE_US, Delivery, Moments
from serving.pools import Pool
from serving.settings import Webhooks, Workspace

WEBHOOK = "webhook"
"""The name of the secret that signs what goes to `moments.webhook`, as `brain secret rotate` takes it."""
TIMEOUT_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = LONGEST_PAUSE_US / 1e6
_AT_ONCE = 4
"""How many deliveries are attempted at once, in threads of their own: a receiver that hangs delays nothing else."""


def signing_secrets(workspace: Workspace, ledger: Ledger) -> list[bytes]:
    """Return the secrets that sign this workspace's webhooks now, of 32 bytes each, the newest first."""
    counting = generations(read_rotations(ledger, WEBHOOK), now_us())
    return [_signing_secret(workspace, generation.number) for generation in counting]


def _signing_secret(workspace: Workspace, generation: int) -> bytes:
    """Return the secret of a generation, derived from the workspace's; of one nothing of another can be found out."""
    name = WEBHOOK if generation == FIRST_GENERATION else f"{WEBHOOK}:{generation}"
    return hmac.digest(workspace.secret(), name.encode(), "sha256")


def encoded_secret(secret: bytes) -> str:
    """Return the secret in the form that receivers' libraries take."""
    return "whsec_" + base64.b64encode(secret).decode()


def signature(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature, version 1, of `id.timestamp.body`."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def signatures(secrets: Sequence[bytes], delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`: a signature by each secret, with a space between them."""
    return " ".join(signature(secret, delivery_id, timestamp, body) for secret in secrets)


def pause_s(attempts: int) -> float:
    """Return how long to wait after so many failed attempts: twice as long each time, up to LONGEST_PAUSE_S."""
    return float(min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))


class Sender:
    """Sends waiting deliveries; after too many failed attempts a delivery is a dead letter.

    :param secrets: returns the secrets that sign at this moment
    :param body_of: returns what may leave of a delivery at this moment, None if nothing may any more
    :param give_up: called after the last attempt
    """

    def __init__(
        self,
        settings: Webhooks,
        moments: Moments,
        secrets: Callable[[], Sequence[bytes]],
        body_of: Callable[[Delivery], bytes | None],
        give_up: Callable[[Delivery], None],
    ) -> None:
        self._settings, self._moments, self._secrets = settings, moments, secrets
        self._body_of, self._give_up = body_of, give_up
        self._pool = Pool("webhook", _AT_ONCE, TIMEOUT_S)

    def send_due(self) -> None:
        """Attempt the deliveries that are due, some at a time; without a configured receiver they wait.

        Once an attempt fails, the others wait for the next call.
        """
        url, arrived = self._settings.webhook, True
        if url is None:
            return
        while arrived and (waiting := self._moments.claim_to_send(now_us(), _AT_ONCE)):
            attempts = [self._pool.submit(self._attempt, url, delivery) for delivery in waiting]
            ends = [attempt.result() for attempt in attempts]
            arrived = all(ends)

    def close(self) -> None:
        """Let the threads end that send."""
        self._pool.close()

    def _attempt(self, url: str, delivery: Delivery) -> bool:
        """Attempt one delivery if it may still leave; return False if it has to be attempted again."""
        try:
            body, secrets = self._body_of(delivery), self._secrets()
        except BrainError:
            return False  # it cannot be asked whether it may leave; the claim expires, and it is tried again
        if body is None:
            return True
        error = self._post(url, delivery, body, secrets)
        attempts = delivery.attempts + 1
        if error is None:
            self._moments.record_attempt(delivery, "delivered", 0)
        elif attempts >= self._settings.attempts:
            self._give_up(delivery)
            self._moments.record_attempt(delivery, "dead", 0, error)
        else:
            self._moments.record_attempt(delivery, "waiting", now_us() + round(pause_s(attempts) * 1e6), error)
        return error is None

    def _post(self, url: str, delivery: Delivery, body: bytes, secrets: Sequence[bytes]) -> str | None:
        """Return what went wrong, without the address, or None if the receiver accepted the delivery (any 2xx)."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(secrets, delivery.id, timestamp, body),
        }
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  http(s) by the settings
        try:
            with _NO_REDIRECTS.open(request, timeout=TIMEOUT_S) as answer:
                return None if 200 <= answer.status < 300 else f"answered {answer.status}"
        except urllib.error.HTTPError as error:
            return f"answered {error.code}"
        except (OSError, HTTPException) as error:
            return type(error).__name__


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: a customer's decision goes to the configured address only."""

    def redirect_request(self, *_: object) -> None:
        return None


_NO_REDIRECTS = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
