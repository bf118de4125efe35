"""Every value of n three-valued gates, for every split of them into permits and denies, through screening itself.

One action stands for each split: gate i is a permit for the actions with bit i set, and a deny for the others. So one
screening of one customer answers all 2^n splits, and 3^n customers are all there are.
"""

import json
from itertools import product

import numpy as np
import pytest

from decisioning.catalogue.files import pack
from decisioning.catalogue.release import Release
from decisioning.deciding.screening import screened_for
from decisioning.facts.forms import Ask, Known, PlacementAsk
from decisioning.facts.standing import Standing

NOW_US = 1_795_435_200_000_000


def splits(gates):
    """Return a release with one action for each split of this number of gates."""
    names = [f"s{split:04d}" for split in range(2**gates)]
    about = {"issue": "service", "group": "g", "tier": "service", "value": 1, "purposes": ["service"]}
    treatments = [{"id": "t", "channel": "web", "placements": ["hero"]}]
    policies = []
    for i in range(gates):
        permits = [n for split, n in enumerate(names) if split >> i & 1]
        denies = [n for split, n in enumerate(names) if not split >> i & 1]
        policies.append({"id": f"g{i:02d}p", "level": "eligibility", "attach": {"action": permits}, "permit": f"f{i}"})
        policies.append({"id": f"g{i:02d}d", "level": "eligibility", "attach": {"action": denies}, "deny": f"f{i}"})
    world = {
        "features": [{"name": f"f{i}", "dtype": "bool"} for i in range(gates)],
        "purposes": [{"id": "service", "notice_version": "1"}],
        "bases": [{"id": "b", "purpose": "service", "basis": "contract", "channels": ["web"], "text": "law"}],
        "channels": [{"id": "web", "direction": "inbound", "placements": ["hero"]}],
        "actions": [{"id": name, **about, "treatments": treatments} for name in names],
        "policies": policies,
    }
    return Release.from_bytes(pack({"world.yaml": json.dumps(world)}))


def mismatches(gates):
    """Return how many of 3^gates customers x 2^gates splits contradict Kleene's logic, and how many there are."""
    release, split, every = splits(gates), np.arange(2**gates), 2**gates - 1
    ask = Ask(request_id="r", customer_id="c", channel="web", placements=(PlacementAsk(name="hero"),))
    wrong = total = 0
    for values in product((True, False, None), repeat=gates):
        facts = {f"f{i}": value for i, value in enumerate(values)}
        true, false = (sum(1 << i for i, v in enumerate(values) if v is truth) for truth in (True, False))
        passes = ((split & ~true) == 0) & ((~split & every & ~false) == 0)
        screened = screened_for(ask, Known(facts, Standing("s")), release, now_us=NOW_US, arm="nba")
        wrong += int((screened.permitted != passes).sum())
        total += len(passes)
    return wrong, total


@pytest.mark.promise("filters.unknown-denies")
def test_every_value_of_eight_gates_and_every_split_of_them():
    assert mismatches(8) == (0, 3**8 * 2**8)


@pytest.mark.promise("filters.unknown-denies")
@pytest.mark.long
def test_every_value_of_twelve_gates_and_every_split_of_them():
    assert mismatches(12) == (0, 3**12 * 2**12)
