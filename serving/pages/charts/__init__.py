"""Plots as SVG, drawn on the server: lines with intervals, values with intervals, bars, and calibration.

A plot has no text for those who do not see it but its title: the macro `plot` of `components.html` puts a table of its
figures behind it.
"""

from serving.pages.charts.bars import Bar, bar_chart
from serving.pages.charts.calibration import calibration_chart
from serving.pages.charts.lines import Line, Point, line_chart

__all__ = ["Bar", "Line", "Point", "bar_chart", "calibration_chart", "line_chart"]
