"""What the desk makes of a customer's consents."""

from serving.pages.desk.view import not_granted
from tests.serving.workspaces import Json


def said(purpose: str, channel: str, *, allowed: bool = True, objects: bool = False) -> Json:
    return {"purpose": purpose, "channel": channel, "allowed": allowed, "objects": objects}


def test_an_agent_may_ask_only_for_what_is_not_granted_everywhere() -> None:
    purposes = ["marketing", "profiling", "newsletter", "sharing", "insight"]
    consents = [
        said("marketing", "*"),
        said("profiling", "*"),
        said("profiling", "email", allowed=False),
        said("newsletter", "email"),
        said("insight", "*", objects=True),
    ]
    assert not_granted(consents, purposes) == ["profiling", "newsletter", "sharing"]
