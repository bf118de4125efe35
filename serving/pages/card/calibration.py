"""The plot of what happened beside what was predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.pages.charts import Point, calibration_chart
from serving.pages.parts import PagePart
from serving.pages.tables import TextTable
from serving.pages.wording import Wording


def calibration_part(
    title: str, text: str, bins: Sequence[Mapping[str, Any]], wording: Wording, of: str = ""
) -> PagePart:
    """Return the plot of what happened beside what was predicted, with two standard errors; of at least one bin.

    :param of: whose bins they are, for the table's caption
    """
    limits = [(max(b["observed"] - 2.0 * b["error"], 0.0), b["observed"] + 2.0 * b["error"]) for b in bins]
    pairs = list(zip(bins, limits, strict=True))
    points = [Point(b["predicted"], b["observed"], *limit) for b, limit in pairs]
    cells = [
        (
            wording.percent(b["predicted"]),
            wording.between(b["observed"], *limit, "share"),
            *(wording.count(b[name]) for name in ("rows", "customers")),
        )
        for b, limit in pairs
    ]
    columns = wording.texts_of("predicted", "happened", "column-rows", "column-customers")
    table = TextTable(f"{title}: {of}" if of else title, columns, cells, words=0)
    names = (columns[0].lower(), columns[1].lower())
    return PagePart(title, table, text, calibration_chart(title, points, wording.percent, names))
