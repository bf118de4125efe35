"""Sentences that say what a figure rests on: the unit, the number of customers, what was left out and why."""

from collections.abc import Mapping


def rests_on(decisions: int, customers: int) -> str:
    """Return what an off-policy value rests on, in one sentence."""
    return (
        f"Values are per decision, and rest on {decisions} decisions of {customers} customers; a customer, or the "
        "account of several, is one piece of evidence."
    )


def left_out_why(left_out: Mapping[str, int]) -> str:
    """Return how many decisions were left out and why, in one sentence."""
    if not left_out:
        return "No decision was left out."
    reasons = ", ".join(f"{n} ({reason})" for reason, n in sorted(left_out.items()))
    return f"Decisions that were left out, by reason: {reasons}."
