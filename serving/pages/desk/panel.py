"""The desk inside the page of another system, such as the desktop that agents have already."""

from fastapi import Request, Response
from starlette.types import Scope

from serving.pages.frame import page


def is_of_desk(scope: Scope) -> bool:
    """Tell whether a request is for a page of the desk, which listed sites may show."""
    path: str = scope["path"]
    return path == "/desk" or path.startswith("/desk/")


def sign_in_beside(request: Request) -> Response:
    """Return the page that a panel shows to who is not signed in: nobody signs in inside of another site's page."""
    return page("desk/panel.html", request, 401)
