"""People who sign in, their sessions, and what limits guessing."""

from features.people.person import (
    LOCAL,
    User,
    add_person,
    change_person,
    find_person,
    keep_signed_in,
    read_people,
)
from features.people.sessions import (
    Session,
    add_session,
    change_session,
    claim_check,
    count_try,
    end_session,
    forget_tries,
    note_check,
    read_session,
    use_sign_in,
)

__all__ = [
    "LOCAL",
    "Session",
    "User",
    "add_person",
    "add_session",
    "change_person",
    "change_session",
    "claim_check",
    "count_try",
    "end_session",
    "find_person",
    "forget_tries",
    "keep_signed_in",
    "note_check",
    "read_people",
    "read_session",
    "use_sign_in",
]
