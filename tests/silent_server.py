"""A relay before a real server that can stop passing on what the server answers, as a lost network does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any


class Relay:
    """Passes bytes between clients and a server. While `held`, what the server says goes nowhere, and is kept."""

    def __init__(self, path: str | None, host: str = "", port: int = 0) -> None:
        self._path, self._host, self._server_port = path, host, port
        self._passing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = Event()
        self.port = 0

    def hold(self) -> None:
        """Let the server fall silent."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def release(self) -> None:
        """Let it be heard again."""
        self._loop.call_soon_threadsafe(self._passing.set)

    def run(self) -> None:
        """Serve until `stop`, in a thread."""
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._passing.set()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _client(self, reader: Any, writer: Any) -> None:
        if self._path is None:
            theirs, server = await asyncio.open_connection(self._host, self._server_port)
        else:
            theirs, server = await asyncio.open_unix_connection(self._path)
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._pass(reader, server, held=False), self._pass(theirs, writer, held=True))
        for end in (writer, server):
            end.close()

    async def _pass(self, source: Any, target: Any, *, held: bool) -> None:
        while some := await source.read(65_536):
            if held:
                await self._passing.wait()
            target.write(some)
            await target.drain()
        target.close()


@contextmanager
def relay(path: str | None = None, host: str = "", port: int = 0) -> Iterator[Relay]:
    """Run a relay before the server at a Unix socket, or at a host and port."""
    one = Relay(path, host, port)
    thread = Thread(target=one.run)
    thread.start()
    one._ready.wait(10)
    try:
        yield one
    finally:
        one.release()
        one._loop.call_soon_threadsafe(one._stopping.set)
        thread.join(10)
        one._loop.close()
