"""What belongs to whom on shared devices, told again from one sentence and nothing of the product.

"A visitor's doings belong to a person from link to unlink, and what came unlinked before, back to the last unlink of
anyone else." So a doing is that of the person who is linked when it is received, else of the first who is linked after
it, and until then nobody's. What counts is the order in which things are received, whatever time they tell.

- **Facts** of a person: their own doings, and those of theirs on devices that they are linked to now, of each from the
  newest `STRETCHES` times that they were linked. Facts of a device: the doings since the last unlink.
- **Export** of a person: all doings that belong to them, whether they are still linked or not. That of a device: what
  its facts are made of.
- **Erasing** a person takes all that belongs to them, and leaves the rest. A device that is linked to them then is
  barred for good: it takes nothing more, and nobody is linked to it. Erasing a device takes all of it, and unlinks it.
"""

from dataclasses import dataclass, field

STRETCHES = 8
"""How many of the times that one person was linked to one device decisions read; exports and erasures reach all."""


@dataclass(slots=True)
class Doing:
    """Something that was received: its number, how many unlinks came before it, and whose it is, None: nobody's."""

    number: int
    stretch: int
    owner: str | None = None


@dataclass(slots=True)
class Device:
    """A visitor: its doings in the order of receiving, who is linked now, and how often someone was unlinked.

    `links`: person -> the numbers of unlinks before the times when they were linked.
    """

    doings: list[Doing] = field(default_factory=list)
    linked: str | None = None
    unlinks: int = 0
    links: dict[str, set[int]] = field(default_factory=dict)
    barred: bool = False


class Belonging:
    """The model of persons and devices, each named by an id; a step returns whether it is taken."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.own: dict[str, list[int]] = {}
        self.erased: set[str] = set()

    def device(self, name: str) -> Device:
        """Return a device, new at first."""
        return self.devices.setdefault(name, Device())

    def do(self, name: str, number: int) -> bool:
        """Receive something of a device."""
        device = self.device(name)
        if not device.barred:
            device.doings.append(Doing(number, device.unlinks, device.linked))
        return not device.barred

    def do_as_person(self, person: str, number: int) -> bool:
        """Receive something under a person's own id."""
        if person not in self.erased:
            self.own.setdefault(person, []).append(number)
        return person not in self.erased

    def link(self, person: str, name: str) -> bool:
        """Link a device; one that is another person's must be unlinked first."""
        device = self.device(name)
        if person in self.erased or device.barred or device.linked not in (None, person):
            return False
        device.linked = person
        device.links.setdefault(person, set()).add(device.unlinks)
        for doing in device.doings:
            if doing.stretch == device.unlinks:
                doing.owner = person
        return True

    def unlink(self, person: str, name: str) -> bool:
        """Unlink a device; of one that is not theirs nothing changes."""
        device = self.device(name)
        if device.linked == person:
            device.linked, device.unlinks = None, device.unlinks + 1
        return person not in self.erased

    def erase_person(self, person: str) -> None:
        """Erase a person."""
        self.erased.add(person)
        self.own.pop(person, None)
        for device in self.devices.values():
            device.doings = [doing for doing in device.doings if doing.owner != person]
            if device.linked == person:
                device.barred, device.linked = True, None

    def erase_device(self, name: str) -> None:
        """Erase a device."""
        self.devices[name] = Device(barred=True)

    def facts_of(self, person: str) -> list[int]:
        """Return the numbers of the doings that a person's facts are made of, sorted."""
        numbers = [*self.own.get(person, ())]
        for device in self.devices.values():
            newest = sorted(device.links.get(person, ()))[-STRETCHES:] if device.linked == person else []
            numbers += [d.number for d in device.doings if d.owner == person and d.stretch in newest]
        return sorted(numbers)

    def exported(self, person: str) -> list[int]:
        """Return the numbers of the doings that a person's export lists, sorted."""
        every = (doing for device in self.devices.values() for doing in device.doings)
        return sorted([*self.own.get(person, ()), *(d.number for d in every if d.owner == person)])

    def facts_of_device(self, name: str) -> list[int]:
        """Return the numbers of the doings that the facts and the export of a device are made of, sorted."""
        device = self.device(name)
        return sorted(doing.number for doing in device.doings if doing.stretch == device.unlinks)
