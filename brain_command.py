"""What all commands share: `--json` and `--workspace`, errors as one plain line, and showing a result."""

import functools
import gc
import json
import logging
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import FrameType
from typing import Any

import click

from decisioning.errors import ConfigError, Refused
from features.threads import watched
from serving import machine
from serving.settings import Workspace


@dataclass(frozen=True)
class Failed:
    """What a command has to say although it failed: all of it under `--json`, else one line."""

    result: dict[str, Any]
    line: str


RUN_IT_AGAIN = "nothing is left half done: run it again"
ONLY_READS = "nothing was changed, and nothing is left half written: run it again"
"""Of commands that take long."""
KEEPS_ALL = "what was written is kept; run it again: it goes on, and adds nothing twice"
SHOW_WORK_S, LEAVE_S = 1.0, 1.2
"""After how long a command says that it works, and how long after Ctrl-C it ends wherever it is."""


Result = dict[str, Any] | Failed | int | None
Command = Callable[..., Result]
READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
PORT = click.option(
    "--port", type=click.IntRange(1, 65535), help="The port to serve at, instead of http.port in brain.yaml."
)
WITHOUT_APPROVAL = click.option(
    "--without-approval", "reason", default="", metavar="REASON", help="Go round approval in prod; everybody sees it."
)

_TABLE_OPTIONS = {
    "separator": click.option("--separator", help="What separates the cells of a CSV file, such as ; or tab."),
    "encoding": click.option("--encoding", help="The encoding of a text file, such as cp1252."),
    "decimal": click.option("--decimal", type=click.Choice([".", ","]), help="The mark of decimals."),
    "dates": click.option("--dates", type=click.Choice(["year-month-day", "day-month-year", "month-day-year"])),
    "compression": click.option("--compression", type=click.Choice(["none", "gzip", "zip"])),
    "sheet": click.option("--sheet", help="The sheet of a workbook, by name."),
}


def table_options(function: Command) -> Command:
    """Add the options that state how a table is written, which is recognised otherwise: they come as `table`."""

    @functools.wraps(function)
    def collected(**arguments: Any) -> Result:
        return function(table={name: arguments.pop(name) for name in _TABLE_OPTIONS}, **arguments)

    for option in reversed(_TABLE_OPTIONS.values()):
        collected = option(collected)
    return collected


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="central-brain")
def main() -> None:
    """Next best action: one place that decides what to do next for a customer."""
    os.umask(0o077)  # what commands write holds customers' data or names them: it is for the user who wrote it
    gc.set_threshold(100_000, 50, 50)  # a collection walks every library that a command imported, which takes seconds
    if not any(isinstance(finder, _WithoutExtras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutExtras())
    if not sys.warnoptions:
        warnings.showwarning = _ignore_warning
    _quiet_threads()


class _WithoutExtras(MetaPathFinder):
    """Hides scikit-learn and pandas from LightGBM, which imports them for interfaces that no command uses.

    Without them, LightGBM is imported in a fifth of three seconds of CPU. Everything else finds them as ever.
    """

    def find_spec(self, fullname: str, *_: Any) -> None:
        """Raise ModuleNotFoundError if LightGBM asks for one of the two; otherwise leave it to the next finder."""
        if fullname in ("sklearn", "pandas"):
            frame = sys._getframe(1)
            while (caller := frame.f_back) is not None:
                if caller.f_globals.get("__name__") == "lightgbm.compat":
                    raise ModuleNotFoundError(f"{fullname} is not needed", name=fullname)
                frame = caller


def _quiet_threads() -> None:
    """Print no traceback of a thread or a finaliser while a command runs: the command itself says what failed."""
    thread_hook, finaliser_hook = threading.excepthook, sys.unraisablehook

    def restore() -> None:
        threading.excepthook, sys.unraisablehook = thread_hook, finaliser_hook

    click.get_current_context().call_on_close(restore)
    threading.excepthook = sys.unraisablehook = _ignore_warning
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _ignore_warning(*_: Any, **__: Any) -> None:
    """Show nothing: warnings concern libraries (some reset the filters at import), and a user cannot fix them."""


class Interruption:
    """What Ctrl-C does to the command that runs in this process.

    The command has a moment to end by itself; then the process ends wherever it is, even in the midst of a library's
    work: files and databases are written so that a process may end anywhere.
    """

    def __init__(self) -> None:
        self.says: str | None = None
        """What was kept and how to go on; None: the command stops by itself."""
        self._over = threading.Event()
        self._is_asked = self._is_told = False

    @contextmanager
    def watched(self, says: str | None) -> Iterator[None]:
        """Watch a command for Ctrl-C, and tell on a terminal that it works if it takes long."""
        self.says, self._over, self._is_asked, self._is_told = says, threading.Event(), False, False
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        handler, before = signal.signal(signal.SIGINT, self._ask), signal.set_wakeup_fd(writing)
        watched("ctrl-c", partial(self._watch, reading))
        try:
            yield
            self._over.set()
        except BaseException:
            if self._is_asked:  # libraries make errors of their own of the interruption
                self._tell()
                raise KeyboardInterrupt from None
            self._over.set()
            raise
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGINT, handler)
            os.close(writing)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        raise KeyboardInterrupt

    def _watch(self, reading: int) -> None:
        if not _readable(reading, SHOW_WORK_S) and self.says not in (None, RUN_IT_AGAIN) and sys.stderr.isatty():
            click.echo("working; Ctrl-C stops it", err=True)
        while (received := _received(reading)) and signal.SIGINT not in received:
            pass
        os.close(reading)
        if not received or self._over.wait(LEAVE_S) or self.says is None:
            return
        try:
            self._tell()
        finally:
            os._exit(130)

    def _tell(self) -> None:
        if self.says is not None and not self._is_told:
            self._is_told = True
            click.echo(f"stopped: {self.says}", err=True)


STOP = Interruption()


def _received(reading: int) -> bytes:
    """Wait for signals, and return their numbers; nothing once the command is over."""
    _readable(reading)
    return os.read(reading, 64)


def _readable(reading: int, within_s: float | None = None) -> bool:
    """Wait until a descriptor of any number can be read (select() takes those below 1,024), or for so long at most."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    return bool(poll.poll(None if within_s is None else within_s * 1000))


def command(
    *, name: str | None = None, workspace: bool = True, group: click.Group = main, stopped: str | None = RUN_IT_AGAIN
) -> Callable[[Command], click.Command]:
    """Make a function a command with `--json`, and `--workspace` unless it makes one.

    Errors become one plain line and exit code 1, and Ctrl-C the line `stopped` and exit code 130.
    """

    def wrap(function: Command) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, **arguments: Any) -> None:
            try:
                with STOP.watched(stopped):
                    if workspace:
                        arguments["workspace"] = open_workspace(arguments["workspace"])
                    result = function(**arguments)
            except KeyboardInterrupt:
                sys.exit(130)
            except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
                raise
            except Exception as error:  # noqa: BLE001 (no command ends in a traceback)
                sys.exit(_refused(error, as_json=as_json))
            if isinstance(result, Failed):
                sys.exit(_failed(result, as_json))
            _show(result, as_json)
            sys.exit(result if isinstance(result, int) else 0)

        decorated = click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
        )(run)
        if workspace:
            where = click.Path(file_okay=False, path_type=Path)
            decorated = click.option(
                "--workspace", type=where, default=".", show_default=True, help="The folder that `brain new` made."
            )(decorated)
        return group.command(name or function.__name__.strip("_"))(decorated)

    return wrap


def check_machine(folder: Path, needed_mb: int) -> None:
    """Say in one line what the machine lacks, before anything is written in `folder`; raises Refused if it must not be.

    A processor that the brain was not tried on is only told.
    """
    machine.check_python()
    machine.check_room(folder, needed_mb)
    if advice := machine.advice():
        click.echo(advice, err=True)


def check_port(workspace: Workspace) -> None:
    """Raise Refused if another program listens at the workspace's port, before anything else takes its time."""
    from serving.lifecycle.ports import check_free

    if not (workspace.run / "serve.json").exists():  # else an earlier run may still hold it, which is cleaned up first
        check_free(workspace.settings.http.host, workspace.settings.http.port)


def check_readable(files: Sequence[str]) -> None:
    """Raise Refused if one of the files cannot be read, before any library is imported that would read it."""
    for file in files:
        if not os.access(file, os.R_OK):
            reason = "cannot be read: get the permission for it" if os.path.exists(file) else "does not exist"
            raise Refused(f"{file} {reason}")


def check_folder_of(file: Path | None) -> None:
    """Raise Refused if the folder of a file to write is not there, before any work is done for it."""
    if file is not None and not file.parent.is_dir():
        raise Refused(f"{file} cannot be written: there is no folder {file.parent}; make it, or name another file")


def open_workspace(folder: Path) -> Workspace:
    """Open the workspace; if it was moved or copied, what names its folder is written anew first."""
    workspace = Workspace.open(folder)
    if not workspace.is_settled:
        from serving.commands.moving import settle_in

        settle_in(workspace)
    return workspace


def _refused(raised: Exception, *, as_json: bool) -> int:
    from serving.commands.failures import failure_of

    error = failure_of(raised)
    if as_json:
        problems = [vars(p) for p in error.problems] if isinstance(error, ConfigError) else []
        click.echo(json.dumps({"error": str(error), "problems": problems}))
    else:
        click.echo(str(error), err=True)
    return 1


def _failed(failed: Failed, as_json: bool) -> int:
    if as_json:
        _show({"error": failed.line, **failed.result}, as_json)
    else:
        click.echo(failed.line, err=True)
    return 1


def _show(result: Result, as_json: bool) -> None:
    """Show the result; if standard output cannot be written, say so on standard error and exit."""
    if not isinstance(result, dict):
        return
    try:
        if as_json:
            click.echo(json.dumps(result, default=str))
        else:
            from serving.commands.console import show
            from serving.commands.telling.results import PRESENTATIONS

            words = click.get_current_context().command_path.partition(" ")[2]
            show(result, PRESENTATIONS.get(words))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (Python flushes it once more at its end)
        sys.exit(_refused(error, as_json=False))
