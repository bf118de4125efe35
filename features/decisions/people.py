"""Which streams are one person's: of a customer, of the visitors who logged in as them, and of customers joined."""

PEOPLE = """
linked AS (
  SELECT stream, name AS other FROM events WHERE kind = 'link'
  GROUP BY stream, name HAVING arg_max(sign, (at_us, -sign)) > 0),
either_way AS (SELECT stream, other FROM linked UNION SELECT other, stream FROM linked),
reached AS (
  SELECT stream, stream AS other FROM either_way UNION
  SELECT r.stream, e.other FROM reached r JOIN either_way e ON e.stream = r.other),
people AS (SELECT stream AS _stream, min(other) AS _person FROM reached GROUP BY stream)
"""
"""SQL of the last of several named queries, after `WITH RECURSIVE`: `people` with a row for each stream that is linked,
and its `_person`, the same for all streams of one person. A stream that is not in it is a person of its own."""
