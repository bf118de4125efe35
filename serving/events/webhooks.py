"""Deliveries over HTTP, signed as Standard Webhooks says (standardwebhooks.com): one HMAC of id, timestamp and body."""

import asyncio
import base64
import hmac
import time
import urllib.error
import urllib.request
from http.client import HTTPException

from features.ledger import now_us
from features.moments import Delivery, Moments
from serving.settings import Workspace

TIMEOUT_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 600.0


def secret_of(workspace: Workspace) -> bytes:
    """What signs this workspace's webhooks; 32 bytes derived from its secret."""
    return hmac.digest(workspace.secret(), b"webhook", "sha256")


def shown(secret: bytes) -> str:
    """The secret as receivers' libraries take it."""
    return "whsec_" + base64.b64encode(secret).decode()


def signature(secret: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """Of `id.timestamp.body`, version 1."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def pause_s(attempts: int) -> float:
    """How long to wait after so many failed attempts: twice as long each time."""
    return float(min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))


class Sender:
    """Sends what waits, one attempt at a time; what failed often enough is a dead letter."""

    def __init__(self, workspace: Workspace, moments: Moments) -> None:
        self._settings, self._moments = workspace.settings.moments, moments
        self._secret = secret_of(workspace)

    async def send_due(self) -> None:
        """Every delivery whose next attempt is due. Without a configured receiver they wait."""
        if self._settings.webhook is None:
            return
        waiting = await asyncio.to_thread(self._moments.to_send, now_us())
        await asyncio.gather(*(asyncio.to_thread(self._attempt, self._settings.webhook, d) for d in waiting))

    def _attempt(self, url: str, delivery: Delivery) -> None:
        error = self._post(url, delivery)
        attempts = delivery.attempts + 1
        if error is None:
            self._moments.sent(delivery, "delivered", 0)
        elif attempts >= self._settings.attempts:
            self._moments.sent(delivery, "dead", 0, error)
        else:
            self._moments.sent(delivery, "waiting", now_us() + round(pause_s(attempts) * 1e6), error)

    def _post(self, url: str, delivery: Delivery) -> str | None:
        """What went wrong, in words without the address; None where the receiver took it (any 2xx)."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, delivery.id, timestamp, delivery.body),
        }
        request = urllib.request.Request(url, delivery.body, headers, method="POST")  # noqa: S310  http(s) by the settings
        try:
            with _NO_REDIRECTS.open(request, timeout=TIMEOUT_S) as answer:
                return None if 200 <= answer.status < 300 else f"answered {answer.status}"
        except urllib.error.HTTPError as error:
            return f"answered {error.code}"
        except (OSError, HTTPException) as error:
            return type(error).__name__


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A customer's decision goes to the address that was configured, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_NO_REDIRECTS = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
