"""The texts to which people say yes: what a purpose is, as the release words it, with the version of the text."""

from collections.abc import Iterator
from typing import Any, Final

from decisioning.catalogue.release import Release
from decisioning.spec import worded

_WITHOUT_ASKING: Final = ("contract", "legal-obligation", "vital-interests", "public-task")
"""Legal bases of what nobody is asked for."""


def notices(release: Release, locale: str) -> Iterator[dict[str, Any]]:
    """Yield the purposes that need a consent and have a text to which people can say yes, in the language of a page."""
    unasked = {basis.purpose for basis in release.catalogue.bases if basis.basis in _WITHOUT_ASKING}
    for purpose in release.purposes.values():
        if purpose.id not in unasked and (text := worded(purpose.description, locale)):
            yield {"id": purpose.id, "text": text, "version": purpose.notice_version}
