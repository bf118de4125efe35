"""What a replica does beside answering requests: each piece in a thread of its own, which a slow other cannot delay."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import Final

from decisioning.errors import Unavailable
from features.conversations.words import TEND_S as TEND_WORDS_S
from features.deadlines import answering_within
from features.threads import LOG, every
from serving.access.doors import Access
from serving.access.events import SecurityEvents
from serving.access.people.sign_in import SignIn
from serving.brain.runtime import Brain
from serving.customers import erasing
from serving.events import words
from serving.events.moments import POLL_S, Watcher
from serving.people import agents, lapsing, measuring, queue, sent_packages
from serving.pools import STATEMENT_S
from training.model.background import yielding

REFRESH_S: Final = 0.5
"""How often a replica checks for a release, a pause, and new or revoked keys; all take effect within two seconds."""
REFRESH_MODEL_S: Final = 0.5
"""How often a replica checks whether a model was promoted, put on trial or rolled back."""
CHECKPOINT_S: Final = 1.0
"""How often a replica checks whether the next checkpoint of the ledger is due."""
TEND_S: Final = 1.0
"""How often a replica checks what erasures need next."""
NOTE_S: Final = 60.0
"""How often a replica writes when keys were used last."""
EVENTS_S: Final = 10.0
"""How often a replica records what was refused at the doors."""
_PATIENT_S: Final = 10.0
"""How long work that nobody waits for waits for a store's answer to one question."""
_END_S: Final = 1.0
"""How long a replica that stops waits for its threads."""
_Piece = tuple[str, float, Callable[[], object]] | tuple[str, float, Callable[[], object], Event]
"""Name of a thread, period in seconds, work, and what wakes it before its time."""


class Background:
    """The threads of one replica."""

    def __init__(
        self, brain: Brain, watcher: Watcher, access: Access | None, sign_in: SignIn, events: SecurityEvents
    ) -> None:
        self._brain, self._watcher, self._access, self._events = brain, watcher, access, events
        self._sign_in = sign_in
        self._stopping, self._signalled, self._routed, self._stepped = Event(), Event(), Event(), Event()
        brain.signalled.wakes(self._signalled.set)
        brain.routed.wakes(self._routed.set)
        brain.routed.wakes(self._stepped.set)
        self._threads: list[Thread] = []

    def start(self, prepare: Callable[[], object]) -> None:
        """Start the threads, and measure the running event loop.

        :param prepare: called once, in a pool, for what the first request of its kind would wait for
        """
        LOG.parent = logging.getLogger("ray.serve")  # which the server writes to its files
        self._brain.metrics.loop.start()
        for within_s, pieces in ((STATEMENT_S, self._refreshing()), (_PATIENT_S, self._tending())):
            with yielding(), answering_within(within_s):
                self._threads += [
                    every(name, period_s, work, self._stopping, *woken) for name, period_s, work, *woken in pieces
                ]
        self._brain.pools.long.submit(prepare)

    async def stop(self) -> None:
        """Let the threads end, and close the brain."""
        self._stopping.set()
        self._signalled.set()
        self._routed.set()
        self._stepped.set()
        with suppress(Unavailable):  # it takes longer than a request may; the process ends anyway
            await self._brain.pools.health.run(self._close)

    def _close(self) -> None:
        end_s = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        self._watcher.close()
        self._brain.close()

    def _refreshing(self) -> list[_Piece]:
        """Return what takes up changes, which soon asks again if a store does not answer."""
        brain = self._brain
        return [
            ("release", REFRESH_S, brain.refresh_release),
            ("pauses", REFRESH_S, brain.refresh_paused),
            ("model", REFRESH_MODEL_S, brain.refresh_model),
            ("sessions", REFRESH_S, self._sign_in.refresh),
            *([("keys", REFRESH_S, self._access.refresh)] if self._access else []),
        ]

    def _tending(self) -> list[_Piece]:
        """Return all other work."""
        brain, watcher = self._brain, self._watcher
        packages = sent_packages.PackageSource(brain, watcher.moments)
        clean_s = brain.workspace.settings.erasure.within_s / 2
        return [
            ("checkpoints", CHECKPOINT_S, brain.checkpoint),
            ("moments", POLL_S, watcher.decide_due, self._signalled),
            ("presence", clean_s, partial(agents.forget_presence, brain)),
            ("routing", queue.POLL_S, queue.Queue(brain).work, self._routed),
            ("webhooks", POLL_S, partial(_deliver, packages, watcher), self._stepped),
            ("compaction", clean_s, brain.compact),
            ("deliveries", clean_s, watcher.purge),
            ("words", TEND_WORDS_S, partial(words.tend, brain)),
            ("erasures", TEND_S, partial(erasing.tend, brain)),
            ("measures", measuring.POLL_S, partial(measuring.measure, brain)),
            ("lapsed handovers", lapsing.POLL_S, partial(lapsing.tend, brain)),
            ("security events", EVENTS_S, self._events.write),
            *([("uses of keys", NOTE_S, self._access.note)] if self._access else []),
        ]


def _deliver(packages: sent_packages.PackageSource, watcher: Watcher) -> None:
    """Send what is due over the webhook, with what became of handovers just now."""
    packages.prepare()
    watcher.send_due()
