"""What agents and leads are called on the lead's page: by their names for a lead who signed in, else by their ids."""

from collections import Counter
from collections.abc import Mapping

from features.people import read_people
from serving.access.callers import Caller, caller_of_person
from serving.brain.runtime import Brain

_SEES_NAMES = ("lead",)


def names_for(caller: Caller | None, brain: Brain) -> Mapping[str, str]:
    """Return who in records -> their name in the directory of people; of two with one name, with the id.

    Only a lead who signed in sees names: a key is of a system, which tells them to whomever it likes.
    """
    if caller is None or caller.kind != "person" or not caller.has_any(_SEES_NAMES):
        return {}
    named = {caller_of_person(person).who: person.name for person in read_people(brain.ledger)}
    times = Counter(named.values())
    return {who: name if times[name] == 1 else f"{name} ({who})" for who, name in named.items() if name}
