"""Which operating-system user runs a command, as the kernel says: no environment variable is proof."""

import os
import pwd
from pathlib import Path
from typing import Final

from decisioning.review.approval import Person

_LOGIN: Final = Path("/proc/self/loginuid")
_NO_LOGIN: Final = 2**32 - 1


def operating_system_user() -> Person:
    """Return who runs this process: under which name they logged in, and the name of its real user.

    The kernel keeps the login through `su` and `sudo`, so that nobody is two persons by them. A process that no login
    leads to, such as a service's, has its real user alone.
    """
    try:
        login = int(_LOGIN.read_text())
    except (OSError, ValueError):
        login = _NO_LOGIN
    users = [os.getuid()] if login == _NO_LOGIN else [login, os.getuid()]
    return Person("user", tuple(dict.fromkeys(map(_name, users))))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
