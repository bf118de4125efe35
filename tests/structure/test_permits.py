"""Nothing lets something serve but by a permit: every writer of what serves is found in the source, and is known."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITERS = {
    # what is looked for -> the only files of the product that have it
    r"\bPermit\((?!Asked)": {"decisioning/review/approval.py"},
    r"(insert|update|delete)\(ACTIVATIONS|upsert\([^)]*ACTIVATIONS": {"features/ledger/activating/served.py"},
    r"(insert|update|delete)\(PAUSES|upsert\([^)]*PAUSES": {"features/ledger/activating/served.py"},
    r"(insert|update|delete)\(APPROVALS|upsert\([^)]*APPROVALS": {"features/ledger/activating/served.py"},
    r"(INSERT INTO|UPDATE|DELETE FROM) \"?(activations|pauses|approvals)": {
        "features/ledger/migrations/versions/ledger_0016.py"
    },
    r"set_registered_model_alias": {"training/registry.py"},
    r"set_registered_model_tag": {"training/registry.py"},
    r"from_harm=True": {"training/learning/promotion.py"},
    r"\bmay_activate\(": {"decisioning/review/approval.py", "features/approvals/door.py"},
    r"\bgetuser\(": set(),
}


def sources() -> dict[str, str]:
    packages = [ROOT / name for name in ("decisioning", "features", "training", "serving")]
    files = [*ROOT.glob("*.py"), *(file for package in packages for file in package.rglob("*.py"))]
    return {str(file.relative_to(ROOT)): file.read_text() for file in files}


@pytest.mark.promise("approvals.permits")
@pytest.mark.parametrize("pattern", WRITERS)
def test_every_writer_of_what_serves_is_known(pattern: str) -> None:
    found = {name for name, text in sources().items() if re.search(pattern, text)}
    assert found == WRITERS[pattern]


@pytest.mark.promise("approvals.permits")
def test_each_of_them_takes_a_permit() -> None:
    text = sources()
    served, registry = text["features/ledger/activating/served.py"], text["training/registry.py"]
    for name, source in (("activate", served), ("resume", served), ("set_alias", registry), ("set_trial", registry)):
        assert re.search(rf"def {name}\([^)]*permit: Permit", source), name
