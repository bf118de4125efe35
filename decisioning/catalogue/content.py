"""Placeholders in the texts that customers read: `{feature}` stands for a fact, `{{` and `}}` are literal braces."""

import re

from decisioning.catalogue.actions import Treatment

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")


def placeholders(treatment: Treatment) -> frozenset[str]:
    """Return every feature that a text of the treatment names, in any locale and tone."""
    texts = (
        text
        for content in (treatment.content, *treatment.tone.values())
        for fields in content.values()
        for text in fields.values()
    )
    return frozenset(m.group(1) for text in texts for m in PLACEHOLDER.finditer(text) if m.group(1))
