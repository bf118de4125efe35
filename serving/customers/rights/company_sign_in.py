"""How customers sign in at their own page: with the OpenID provider of the company's own site."""

from typing import Final

from decisioning.errors import Refused
from decisioning.facts.ids import problem_of
from features.ledger import Ledger
from serving.access.people.attempts import AGAIN, Attempts, provider_of
from serving.access.people.cookies import OWN_PAGE
from serving.access.people.roles import claim_of
from serving.access.people.signing import CookieSigner
from serving.settings import Workspace

SIGNED_IN: Final = f"{OWN_PAGE}/signed-in"
"""Where the provider sends a browser back to."""
_NOBODY: Final = "The sign-in names no customer: customer_sign_in.claim in brain.yaml is the claim with their id."


class CompanySignIn:
    """The company's own sign-in. Its methods ask the provider, and are to be called in a pool.

    :raises Refused: `customer_sign_in` in brain.yaml cannot be followed
    """

    def __init__(self, workspace: Workspace, ledger: Ledger, signer: CookieSigner) -> None:
        settings = workspace.settings.customer_sign_in
        self._claim, wanted = settings.claim, (settings.claim.partition(".")[0],)
        callback = f"{workspace.settings.address}{SIGNED_IN}"
        provider = provider_of(settings, workspace.root, callback, wanted, "openid")
        self._attempts = None if provider is None else Attempts(provider, ledger, signer, "me-attempt")

    @property
    def is_there(self) -> bool:
        """Whether customers can sign in."""
        return self._attempts is not None

    def begin(self) -> tuple[str, str]:
        """Return where a browser goes to sign in, and what it must bring back. Raises Unavailable."""
        if self._attempts is None:
            raise Refused(AGAIN)
        return self._attempts.begin()

    def finish(self, attempt: str, state: str, code: str) -> str:
        """Return which customer came back from the provider.

        Raises Refused for what did not begin in this browser, is too old, came back before, or is confirmed of nobody,
        and Unavailable if the provider does not answer.
        """
        if self._attempts is None:
            raise Refused(AGAIN)
        answer, _ = self._attempts.finish(attempt, state, code)
        customer_id = claim_of(answer.claims, self._claim)
        if not isinstance(customer_id, str) or problem_of(customer_id):
            raise Refused(_NOBODY)
        return customer_id
