"""What the structure of the product measures, and the limits that `make lint` holds it to."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.structure.source import PACKAGES, Source

MAX_MODULES, MAX_FLOORS, MAX_PARAMETERS, MAX_LINES, LONG_LINES = 14, 8, 7, 50, 30
MAX_ARCHITECTURE_BYTES = 16_000
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "PROMISES.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "notebooks/experiments.md",
)
EMPTY_NAMES = frozenset(
    "told found felt behind beside ahead hope taken spared remembered otherwise against pace lack".split()  # noqa: SIM905 - a list of words
)
"""Names that do not say what a thing is."""


@dataclass(frozen=True)
class Line:
    """One measure: its value to print, the places that are over the limit, and the limit in words."""

    name: str
    value: str
    over: tuple[str, ...] = ()
    limit: str = ""


def measure(source: Source) -> list[Line]:
    """Return every line of the table."""
    return [
        *(_rooms(source, package) for package in PACKAGES),
        _modules(source),
        *(_package_floors(source, package) for package in PACKAGES),
        _room_floors(source),
        *_functions(source),
        _wide_calls(source),
        _clashes(source),
        _names(source),
        *(_document(source.root, name) for name in DOCUMENTS),
    ]


def floors(edges: Mapping[str, set[str]]) -> dict[str, int]:
    """Return node -> the length of the longest chain of imports that starts at it; 0 for a node on a circle."""
    heights: dict[str, int] = {}

    def height(node: str, path: tuple[str, ...]) -> int:
        if node in path:
            return -len(edges) * 2
        if node not in heights:
            below = (height(other, (*path, node)) for other in edges.get(node, set()))
            heights[node] = 1 + max(below, default=0)
        return heights[node]

    return {node: height(node, ()) for node in edges}


def items_of(source: Source, folder: str) -> dict[str, set[str]]:
    """Return the files and folders directly in a package or room, each with those beside it that it imports."""
    prefix = folder + "."
    items = {item: set[str]() for name in source.modules if (item := _item(name, prefix))}
    for importer, imported in source.imports:
        one, other = _item(importer, prefix), _item(imported, prefix)
        if one and other and one != other:
            items[one].add(other)
    return items


def _item(module: str, prefix: str) -> str:
    return module[len(prefix) :].split(".", maxsplit=1)[0] if module.startswith(prefix) else ""


def _rooms(source: Source, package: str) -> Line:
    rooms = sorted(i for i in items_of(source, package) if (source.root / package / i).is_dir())
    ground = sorted(i for i in items_of(source, package) if not (source.root / package / i).is_dir())
    return Line(f"rooms of {package}", f"{len(rooms)} ({', '.join(rooms)}) and {len(ground)} modules beside them")


def _modules(source: Source) -> Line:
    counts = {folder: len(files) for folder, files in source.folders().items()}
    most = sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    over = tuple(f"{folder}: {n}" for folder, n in most if n > MAX_MODULES)
    shown = ", ".join(f"{folder} {n}" for folder, n in most[:6])
    return Line("modules per folder, the largest", shown, over, f"at most {MAX_MODULES}")


def _package_floors(source: Source, package: str) -> Line:
    highest = _highest(source, package)
    over = (f"{package}: {highest}",) if highest > MAX_FLOORS else ()
    return Line(f"floors of {package}", str(highest), over, f"at most {MAX_FLOORS}")


def _room_floors(source: Source) -> Line:
    rooms = {folder.replace("/", ".") for folder in source.folders()} - set(PACKAGES)
    heights = sorted(((_highest(source, room), room) for room in rooms), key=lambda h: (-h[0], h[1]))
    over = tuple(f"{room}: {n}" for n, room in heights if n > MAX_FLOORS)
    shown = ", ".join(f"{room} {n}" for n, room in heights[:6])
    return Line("floors inside a room, the most", shown, over, f"at most {MAX_FLOORS}")


def _highest(source: Source, folder: str) -> int:
    return max(floors(items_of(source, folder)).values(), default=0)


def _functions(source: Source) -> Iterator[Line]:
    functions = [f for module in source.modules.values() for f in module.functions]
    lengths = sorted(f.lines for f in functions)
    yield Line("functions, median length in lines", f"{len(functions)}, {lengths[len(lengths) // 2]}")
    for limit in (LONG_LINES, MAX_LINES):
        places = tuple(f"{f.place} {f.lines}" for f in functions if f.lines > limit)
        over = places if limit == MAX_LINES else ()
        yield Line(f"functions over {limit} lines", str(len(places)), over, "0" if limit == MAX_LINES else "")
    wide = tuple(f"{f.place} {f.parameters}" for f in functions if f.parameters > MAX_PARAMETERS)
    yield Line(f"functions with more than {MAX_PARAMETERS} parameters", str(len(wide)), wide, "0")


def _wide_calls(source: Source) -> Line:
    places = tuple(place for module in source.modules.values() for place in module.wide_calls)
    return Line(f"values built from more than {MAX_PARAMETERS} positional ones", str(len(places)), places, "0")


def _clashes(source: Source) -> Line:
    places: dict[str, list[str]] = defaultdict(list)
    for module in source.modules.values():
        for name in module.classes:
            places[name].append(module.name)
    clashes = tuple(f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1)
    return Line("class names that mean two things", str(len(clashes)), clashes, "0")


def _names(source: Source) -> Line:
    counts = Counter(
        f"{module.name}: {name}" for module in source.modules.values() for name in module.names if _is_empty(name)
    )
    over = tuple(f"{place} ({n})" for place, n in counts.most_common())
    return Line("names that say nothing", str(counts.total()), over, "0")


def _is_empty(name: str) -> bool:
    return name.strip("_").lower() in EMPTY_NAMES


def _document(root: Path, name: str) -> Line:
    size = (root / name).stat().st_size if (root / name).exists() else 0
    capped = name == "ARCHITECTURE.md"
    over = (f"{name}: {size} bytes",) if capped and size > MAX_ARCHITECTURE_BYTES else ()
    return Line(f"bytes of {name}", str(size), over, f"at most {MAX_ARCHITECTURE_BYTES}" if capped else "")
