"""How many examples a test takes: a share of them in `make test`, all of them in `make test-long`.

The profile of the run says which share: its `max_examples`, of a hundred. `tests/conftest.py` registers the profiles.
"""

from hypothesis import settings

WHOLE = 100
"""`max_examples` of a profile under which tests take all their examples; Hypothesis' own default."""


def examples(whole: int) -> int:
    """Return how many of `whole` examples this run takes, at least one."""
    profile = settings.default
    assert profile is not None
    return max(1, whole * profile.max_examples // WHOLE)
