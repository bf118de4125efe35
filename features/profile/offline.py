"""Profiles over time: bulk import, materialisation, and point-in-time frames through Feast."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from decisioning.errors import Refused
from decisioning.facts.schema import Feature, FeatureSchema
from decisioning.times import FIRST_US, LAST_US
from features.profile.archive import KEYS, Step
from features.profile.fitting import fit_to
from features.profile.loading import load, load_latest
from features.profile.merging import micros, statement_rows
from features.profile.online import Profiles, Progress
from features.profile.repository import online_at
from features.profile.staging import PART, Staged
from features.profile.store import Store
from features.profile.stores.sqlite import SqliteOnline
from features.profile.versions import decode_stamps
from features.views import ARROW_TYPES, TIME, Layout, ProfileView

HISTORY, ONLINE = "history", "profiles"
"""The phases of an import."""
Phases = Mapping[str, Progress]
"""What to call with the rows done and the rows in all, by phase."""
_SILENT: Phases = MappingProxyType({})
LeftOut = Callable[[], Iterable[str]]
ENTITY = pa.schema([("subject", pa.string()), ("event_timestamp", TIME)])
ORDER = "_row"


class History:
    """The history of every subject's profile. Imported rows are also written to `profiles`, which serves them."""

    def __init__(self, profiles: Profiles) -> None:
        self.profiles = profiles
        self.archive = profiles.archive

    def import_profiles(self, table: pa.Table, progress: Progress | None = None) -> int:
        """Add one statement per row, write the newest values online and return the number of rows.

        `table` has the columns subject (string) and event_timestamp (timestamp; when the values were true),
        optionally created (timestamp; when they were known, by default event_timestamp), and any profile or model
        features. An empty cell means "not known". Rows may come in any order, in any split and more than once: the
        result is the same. Raises Refused for a column that no feature declares, or whose values do not fit its dtype.
        """
        with self.staged() as staged:
            for start in range(0, table.num_rows, PART):
                staged.add(self.checked(table.slice(start, PART)))
            return self.import_staged(staged, {ONLINE: progress} if progress else {})

    def staged(self) -> Staged:
        """Return a place for rows that are `checked` and are then imported together."""
        return Staged(self.archive.layout.offline)

    def checked(self, table: pa.Table) -> pa.Table:
        """Return a part of an import in the types of the history. Raises Refused as `import_profiles`."""
        self._refuse_unknown_columns(table)
        return _typed(table, [f for view in self.archive.views for f in view.features])

    def import_staged(self, staged: Staged, progress: Phases = _SILENT, left_out: LeftOut = tuple) -> int:
        """Add rows to the history, then online, and return how many were added.

        `left_out` returns the subjects whose rows are not added; it is called when no erasure can come in between any
        more. Until the history of a view is replaced as a whole, nothing has changed. Run again after an interruption,
        this adds what is missing, and nothing twice.
        """
        with self.archive.exclusive():  # an erasure has to wait: else this would restore the subject that it erases
            staged.leave_out(left_out())
            views = [view for view in self.archive.views if staged.has(f.name for f in view.features)]
            for what, work in ((HISTORY, self.archive.add), (ONLINE, self._load)):
                count = _counter(progress.get(what), staged.rows * len(views))
                for view in views:
                    work(view, staged, count)
        return staged.rows

    def _load(self, view: ProfileView, staged: Staged, step: Step) -> None:
        for _, rows in staged.ranges():
            load(self.profiles.store.online, self.archive.spool, view.name, statement_rows(rows, view), step)

    def materialize(self, progress: Progress | None = None) -> None:
        """Write the newest rows of the history online; newer values online stay."""
        with self.archive.exclusive():
            for view in self.archive.views:
                count = _counter(progress, self.archive.rows(view))
                load_latest(self.profiles.store.online, self.archive, view, count)

    def point_in_time(self, entities: pa.Table) -> pa.Table:
        """Return what was known of each subject at each time, through Feast.

        `entities` has the columns subject (string) and event_timestamp (timestamp). The result has the same rows in
        the same order and a column per profile and model feature, null where the value was unknown or too old. Only
        values that were both true and recorded by `event_timestamp` count.
        """
        self.archive.compact()
        keys = entities.select(["subject", "event_timestamp"]).cast(ENTITY)
        frame = self._joined(keys) if keys.num_rows else self._empty_frame()
        for view in self.archive.views:
            frame = _without_invalid(frame, view)
        return frame.select([*ENTITY.names, *(f.name for view in self.archive.views for f in view.features)])

    def _joined(self, keys: pa.Table) -> pa.Table:
        """Return Feast's join in the order of `keys`; the join itself keeps no order."""
        refs = [f"{view.name}:{name}" for view in self.archive.views for name in _columns(view)]
        frame = keys.append_column(ORDER, pa.array(np.arange(keys.num_rows))).to_pandas()
        job = self.profiles.store.offline().get_historical_features(frame, refs, filter_by_created_timestamp=True)
        return fit_to(job.to_arrow().sort_by(ORDER), self._empty_frame().schema)

    def _empty_frame(self) -> pa.Table:
        """Return a joined frame without rows."""
        fields = [view.arrow_schema.field(name) for view in self.archive.views for name in _columns(view)]
        return pa.schema([*ENTITY, *fields]).empty_table()

    def _refuse_unknown_columns(self, table: pa.Table) -> None:
        declared = {f.name for view in self.archive.views for f in view.features}
        for name in ("subject", "event_timestamp"):
            if name not in table.schema.names or table[name].null_count:
                raise Refused(f"an import needs a {name} in every row")
        for name in table.schema.names:
            if name not in declared and name not in KEYS:
                raise Refused(f"column {name} is not a profile or model feature of this release: declare it first")


def fill(workspace_data_dir: Path, schema: FeatureSchema) -> None:
    """Write the whole history online, unless the online store holds it already; makes its file if it is gone."""
    layout = Layout(workspace_data_dir.resolve())
    if online_at(layout) is None:
        SqliteOnline(layout.online, layout.identity).filled()
    profiles = Profiles(Store(workspace_data_dir, filling=True), schema)
    if not profiles.store.online.filled():
        history = History(profiles)
        history.archive.compact()
        history.materialize()
        profiles.store.online.fill()
    profiles.archive.spool.close()


def _columns(view: ProfileView) -> list[str]:
    return [view.stamps, *(f.name for f in view.features)]


def _counter(progress: Progress | None, total: int) -> Step:
    """Return a function that adds up steps and reports them."""
    done = 0

    def step(n: int) -> None:
        nonlocal done
        done += n
        if progress and n:
            progress(done, total)

    return step


def _typed(table: pa.Table, features: Sequence[Feature]) -> pa.Table:
    """Return both times and the features that `table` has, cast to their dtypes; nothing is later than recorded."""
    event = _times(table, "event_timestamp")
    created = pc.coalesce(_times(table, "created"), event) if "created" in table.schema.names else event
    event = pc.if_else(pc.greater(event, created), created, event)
    head = {"subject": table["subject"].cast(pa.string()), "event_timestamp": event, "created": created}
    return pa.table(head | {f.name: _cast(table[f.name], f) for f in features if f.name in table.schema.names})


def _times(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of times in microseconds UTC. Raises Refused for other types and outside 1970 to 9999."""
    column = table[name]
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise Refused(f"column {name} is {column.type}, not a timestamp")
    times = column.cast(TIME, safe=False)  # truncates nanoseconds
    lowest, highest = pc.min_max(times.cast(pa.int64())).as_py().values()
    if lowest is not None and not 0 <= lowest <= highest <= LAST_US:
        raise Refused(f"column {name} has times outside 1970 to 9999")
    return times


def _cast(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    """Return the column as the history stores it, null for NaN. Raises Refused where dtype, range or enum differ."""
    try:
        cells = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()) if _is_time(column, feature) else column
        cells = cells.cast(ARROW_TYPES[feature.dtype])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise Refused(f"column {feature.name} ({column.type}) does not fit its dtype {feature.dtype}") from None
    if feature.dtype == "float":
        cells = pc.if_else(pc.is_nan(cells), None, cells)
    outside = _outside(cells, feature)
    if outside:
        raise Refused(f"column {feature.name} has {outside} values outside what the feature declares")
    return cells


def _is_time(column: pa.ChunkedArray, feature: Feature) -> bool:
    return feature.dtype == "timestamp" and pa.types.is_timestamp(column.type)


def _outside(cells: pa.ChunkedArray, feature: Feature) -> int:
    """Return how many non-null cells the feature's declaration does not allow."""
    bad = []
    if feature.dtype == "enum":
        bad.append(pc.invert(pc.is_in(cells, value_set=pa.array([*feature.values, None], pa.string()))))
    if feature.dtype == "float":
        bad.append(pc.is_inf(cells))
    if feature.dtype == "timestamp":
        bad.append(pc.or_(pc.less(cells, FIRST_US), pc.greater(cells, LAST_US)))
    if feature.min is not None:
        bad.append(pc.less(cells, feature.min))
    if feature.max is not None:
        bad.append(pc.greater(cells, feature.max))
    return sum(int(pc.sum(b).as_py() or 0) for b in bad)


def _without_invalid(frame: pa.Table, view: ProfileView) -> pa.Table:
    """Set to null, as online reads do, what was too old at the row's time or is no longer a value of its enum."""
    texts = frame[view.stamps].combine_chunks().dictionary_encode()
    stamps = [decode_stamps(text) for text in texts.dictionary.to_pylist()]
    at_us = pa.array(micros(frame["event_timestamp"]))
    for feature in view.features:
        cells = frame[feature.name]
        if feature.max_age_s is not None:
            since = pa.array([s[feature.name].event_us if feature.name in s else None for s in stamps], pa.int64())
            age_us = pc.subtract(at_us, since.take(texts.indices))
            cells = pc.if_else(pc.less_equal(age_us, feature.max_age_s * 1_000_000), cells, None)
        if feature.dtype == "enum":
            cells = pc.if_else(pc.is_in(cells, value_set=pa.array(feature.values, pa.string())), cells, None)
        frame = frame.set_column(frame.schema.get_field_index(feature.name), feature.name, cells)
    return frame
