"""What a file leaves unsure is refused: ids, quotation marks, numbers, answers and times."""

import gzip
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import Refused
from decisioning.facts.ids import ABSENT, problem_of
from decisioning.facts.schema import FeatureSchema
from features.importing import import_profile, make_plan, read_mapping, read_requests
from features.importing.cells import CellReader
from features.importing.opening import open_table
from features.importing.tables import Faults, Sheet, rows_of
from features.importing.tables.ids import misfit_ids
from features.importing.tables.numbers import parsed_numbers, typed_numbers
from tests.features.drafting_help import drafted
from tests.features.importing_help import CONSENTS, CUSTOMERS, FILES, MAILINGS, NOW_US, SHOP, ImportWorkspace, planned

NO_FEATURES = FeatureSchema(())
WRITTEN = ["00777", "777", "1e5", "1.10", "0x1F", "+31"]


def refused(tmp_path: Path, mapping: str = SHOP, **files: str | bytes) -> str:
    """Return the message with which an import of these files is refused."""
    with pytest.raises(Refused) as caught:
        planned(tmp_path, mapping, FILES | files)
    return str(caught.value)


def with_encoding(encoding: str) -> str:
    return SHOP.replace("- id: customers", f"- id: customers\n    encoding: {encoding}")


TEXT = "id,note\n" + "".join(f"{one},\n" for one in WRITTEN)
FORMS: dict[str, tuple[bytes, str]] = {
    "UTF-8": (TEXT.encode(), "utf-8"),
    "a byte order mark and utf8": (b"\xef\xbb\xbf" + TEXT.encode(), "utf8"),
    "a byte order mark and cp1252": (b"\xef\xbb\xbf" + TEXT.encode(), "cp1252"),
    "UTF-16 as stated": (TEXT.encode("utf-16"), "utf-16"),
    "UTF-16 not stated": (TEXT.encode("utf-16"), "utf-8"),
    "UTF-16-LE with a byte order mark": (b"\xff\xfe" + TEXT.encode("utf-16-le"), "utf-16-le"),
    "UTF-16-BE with a byte order mark": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16-be"),
    "UTF-16-BE without": (TEXT.encode("utf-16-be"), "utf-16-be"),
    "UTF-32": (TEXT.encode("utf-32"), "utf-32"),
    "cp1252": (TEXT.encode("cp1252"), "cp1252"),
    "an empty first line": (b"\n" + TEXT.encode(), "utf-8"),
    "empty first lines of Windows": (b"\r\n\r\n" + TEXT.replace("\n", "\r\n").encode(), "utf-8"),
    "gzip": (gzip.compress(TEXT.encode()), "utf-8"),
    "gzip and cp1252": (gzip.compress(TEXT.encode()), "cp1252"),
    "gzip and UTF-16": (gzip.compress(TEXT.encode("utf-16")), "utf-16"),
    "quotation marks": (("id,note\n" + "".join(f'"{one}",""\n' for one in WRITTEN)).encode(), "utf-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_text_from_the_first_byte_in_every_form_of_a_file(tmp_path: Path, form: str) -> None:
    content, encoding = FORMS[form]
    (tmp_path / "ids.csv").write_bytes(content)
    mapping = f"""
id: ids
about: Ids.
files:
  - {{id: ids, encoding: {encoding}, subject: {{column: id}}, as_of: 2026-01-01,
     features: [{{column: note, name: note, dtype: string}}]}}
"""
    plan = make_plan(read_mapping("ids.yaml", mapping.encode()), {"ids": tmp_path / "ids.csv"}, NOW_US)
    assert plan.subjects.to_pylist() == WRITTEN


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1.23457E+15", "is a number that a program rounded"),
        ('"1,23457E+15"', "is a number that a program rounded"),
        ('"=""00777"""', "is a formula of a spreadsheet"),
        ("NULL", "is what programs write where there is no id"),
        ("#N/A", "is what programs write where there is no id"),
        ("..", "is no id, as no address could name it"),
        ("a\u00a0b", "is not an id of 1 to 128"),
        ("x" * 129, "is not an id of 1 to 128"),
    ],
)
def test_what_a_spreadsheet_made_of_an_id_is_refused_by_row_and_reason(tmp_path: Path, cell: str, reason: str) -> None:
    (tmp_path / "ids.csv").write_text(f"customer_id,x\nc-1,1\n{cell},1\n")
    with pytest.raises(Refused, match=f"^nothing: 1 cell is wrong\nids.csv: row 3, column customer_id: {reason}"):
        read_requests(open_table(tmp_path / "ids.csv"), NO_FEATURES, "nothing")


def test_a_file_without_a_header_is_refused_without_what_is_in_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("70001,Jansen,home\n70002,Smit,home\n")
    (tmp_path / "twice.csv").write_text("70001,70001\n70002,70003\n")
    with pytest.raises(Refused, match=r"has no column `customer_id`: its columns are \(not shown") as lacking:
        read_requests(open_table(tmp_path / "ids.csv"), NO_FEATURES, "nothing")
    with pytest.raises(Refused, match="no file has a column `bought`") as unnamed:
        drafted(tmp_path, tmp_path / "ids.csv", outcome="bought")
    with pytest.raises(Refused, match="has two columns called") as repeated:
        open_table(tmp_path / "twice.csv")
    for refused in (lacking, unnamed, repeated):
        assert "Jansen" not in str(refused.value)
        assert "70001" not in str(refused.value)


ODD = st.text('09.,eE+aNuL/\\:="é ', max_size=8) | st.sampled_from(sorted(ABSENT))
PREFIXED = st.builds("{}{}".format, st.sampled_from(["", "cookie:", "Visitor:", "shop:"]), ODD)


@settings(deadline=None)
@given(st.lists(PREFIXED, min_size=1, max_size=20))
def test_columns_of_ids_are_refused_as_single_ids_are(ids: list[str]) -> None:
    cells = pa.array([*ids, "c-1"])
    reasons = [message for bad, message in misfit_ids(cells) for row in rows_of(bad) if row < len(ids)]
    wrong = {row for bad, _ in misfit_ids(cells) for row in rows_of(bad)}
    assert wrong == {n for n, id_ in enumerate(ids) if problem_of(id_)}
    assert set(reasons) >= {problem for id_ in ids if (problem := problem_of(id_))}


def test_a_column_whose_ids_all_end_with_point_zero_was_read_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("customer_id\n1042.0\n7.0\n")
    with pytest.raises(Refused, match=r"rows 2 and 3, column customer_id: 2 cells: ends with \.0, like every id"):
        read_requests(open_table(tmp_path / "ids.csv"), NO_FEATURES, "nothing")
    (tmp_path / "ids.csv").write_text("customer_id\n1.0\n1.10\n")
    assert read_requests(open_table(tmp_path / "ids.csv"), NO_FEATURES, "nothing").table["customer_id"].to_pylist() == [
        "1.0",
        "1.10",
    ]


def test_what_a_list_calls_missing_is_missing_for_ids_too(tmp_path: Path) -> None:
    mapping = SHOP.replace("- id: customers", "- id: customers\n    missing: ['?', onbekend]")
    for cell in ("onbekend", "?", ""):
        message = refused(tmp_path, mapping, customers=CUSTOMERS.replace("c3", cell))
        assert "customers.csv: row 4, column customer: is empty" in message


def test_every_column_of_ids_is_checked_alike(tmp_path: Path) -> None:
    mapping = SHOP.replace('separator: ";"', 'separator: ";"\n    account: house')
    lines = MAILINGS.splitlines()
    with_house = "\n".join([f"{lines[0]};house", *(f"{line};h1" for line in lines[1:])])
    assert planned(tmp_path, mapping, FILES | {"mailings": with_house}).contacts[0].account.to_pylist() == ["h1"] * 4
    for column, old in (("house", "nee;;h1"), ("mailing", "m2;"), ("customer", ";c2;")):
        broken = with_house.replace(old, old.replace({"house": "h1", "mailing": "m2", "customer": "c2"}[column], "NaN"))
        message = refused(tmp_path, mapping, mailings=broken)
        assert re.search(rf"rows? 3\b.*, column {column}: .*is what programs write", message)


def test_9007199254740993_in_a_file_of_facts_shows_no_traceback_and_no_value(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    shop = ImportWorkspace(tmp_path / "shop" / "data", plan)
    number, message = 9007199254740993, "row [12], column spent_eur: is a whole number that `float` cannot hold exactly"
    pq.write_table(pa.table({"customer_id": ["c1"], "spent_eur": pa.array([number])}), tmp_path / "p.parquet")
    (tmp_path / "p.csv").write_text(f"customer_id,spent_eur\nc1,{number}\n")
    for file in (tmp_path / "p.parquet", tmp_path / "p.csv"):
        with pytest.raises(Refused, match=message) as caught:
            import_profile(file, shop.release.schema, shop.ledger, shop.history, NOW_US)
        assert str(number) not in str(caught.value)
    for whole, cells in ((True, pa.array([2**64 - 1], pa.uint64())), (False, pa.array([2**53 + 1]))):
        assert [rows.to_pylist() for rows, _ in typed_numbers(cells, whole=whole)[1]] == [[True]]


HEAD = "customer,age,spent,plan,vip,known_on\n"
ROWS = [f"c{n},30,1,basic,yes,2026-01-10\n" for n in range(1, 7)]


@pytest.mark.parametrize(
    ("rows", "row", "message"),
    [
        ([ROWS[0], ROWS[1].replace("basic", '"basic'), *ROWS[2:]], 3, "does not close it"),
        (
            [ROWS[0], ROWS[1].replace("basic", '"basic'), *ROWS[2:5], ROWS[5].replace("basic", 'basic"')],
            3,
            "whole rows",
        ),
        ([ROWS[0], ROWS[1].replace("basic", '"basic'), ROWS[2].replace("basic", '"basic"')], 3, "does not close it"),
        ([ROWS[0], ROWS[1].replace("basic", '"ba"sic')], 3, "does not close it"),
        ([ROWS[0].replace("c1", '"c1'), *ROWS[1:]], 2, "does not close it"),
    ],
    ids=["to the end", "to a later row", "to the next quoted cell", "within the cell", "in the first cell"],
)
def test_an_unclosed_quotation_mark_swallows_no_rows(tmp_path: Path, rows: list[str], row: int, message: str) -> None:
    told = refused(tmp_path, customers=HEAD + "".join(rows))
    assert f"customers.csv: row {row}, column (all): " in told
    assert message in told
    assert "basic" not in told


def test_quotation_marks_that_fit_may_hold_separators_lines_and_themselves(tmp_path: Path) -> None:
    mapping = SHOP.replace("name: plan, dtype: enum", "name: plan, dtype: string")
    rows = ROWS[0].replace("basic", '"a, ""b""\nc"') + ROWS[1].replace("basic", 'ba"sic')
    plan = planned(tmp_path, mapping, FILES | {"customers": HEAD + rows})
    assert plan.profiles[0]["plan"].to_pylist() == ['a, "b"\nc', 'ba"sic']


@pytest.mark.parametrize(
    ("text", "decimal", "whole"),
    [("1.000", ".", True), ("1,000", ",", True), ("1.234", None, False), ("1,234", None, True)],
)
def test_a_mark_that_may_be_of_thousands_or_decimals_is_refused(text: str, decimal: str | None, whole: bool) -> None:
    _, faults = parsed_numbers(pa.array([text, None]), decimal, whole=whole)
    told = [message for rows, message in faults if rows.to_pylist()[0]]
    assert told == ["has a mark that may be of thousands or of decimals: state `decimal`"]


@pytest.mark.parametrize(
    ("text", "decimal", "whole", "number"),
    [
        ("1000", ".", True, 1000),
        ("+7", ".", True, 7),
        ("41.0", ".", True, 41),
        ("41,00", ",", True, 41),
        ("1.234", ".", False, 1.234),
        ("1,234", ",", False, 1.234),
        ("1.234", ",", False, 1234.0),
        ("1,234", ".", False, 1234.0),
        ("1.234", ",", True, 1234),
        ("1.234,5", ",", False, 1234.5),
        ("-12'345'678.25", ".", False, -12345678.25),
        ("1 234,5", None, False, 1234.5),
        ("1,234,567", None, True, 1234567),
        ("1e3", ".", False, 1000.0),
        ("9007199254740992", ".", False, 2.0**53),
    ],
)
def test_numbers_with_a_known_mark_of_decimals_are_read(
    text: str, decimal: str | None, whole: bool, number: float
) -> None:
    numbers, faults = parsed_numbers(pa.array([text, None]), decimal, whole=whole)
    assert numbers.to_pylist() == [number, None]
    assert not any(True in rows.to_pylist() for rows, _ in faults)


def test_numbers_of_parquet_need_no_text() -> None:
    assert typed_numbers(pa.array([1000.0, 1.5, None]), whole=True)[0].to_pylist() == [1000, None, None]
    assert typed_numbers(pa.array([1000, -1, None]), whole=False)[0].to_pylist() == [1000.0, -1.0, None]


OPEN = SHOP.replace("positive: ja, negative: nee", "positive: ja")


def test_a_positive_that_never_matches_its_cells_is_refused(tmp_path: Path) -> None:
    for positive, yes, no, message in (
        ("1", "1.0", "0.0", "row 2, column bought: is nearly one of the texts"),
        ("'yes'", "Yes", "No", "row 2, column bought: is nearly one of the texts"),
        ("'true'", "Yes", "No", "row 2, column bought: no cell of the column is one of the texts"),
    ):
        mailings = MAILINGS.replace("ja", yes).replace("nee", no)
        assert message in refused(tmp_path, OPEN.replace("positive: ja", f"positive: {positive}"), mailings=mailings)


def test_with_all_texts_stated_a_file_in_which_nothing_happened_is_sure(tmp_path: Path) -> None:
    nobody = MAILINGS.replace("ja;49,95", "nee;")
    assert planned(tmp_path, SHOP, FILES | {"mailings": nobody}).counts[1].outcomes == {"bought": 0}
    assert "is none of the texts of `positive` and `negative`" in refused(
        tmp_path, mailings=MAILINGS.replace("ja", "Ja")
    )


def test_a_missing_outcome_does_not_count_as_no(tmp_path: Path) -> None:
    for mapping in (OPEN, SHOP):
        listed = mapping.replace('separator: ";"', 'separator: ";"\n    missing: ["?"]')
        for cell in ("?", ""):
            told = refused(tmp_path, listed, mailings=MAILINGS.replace("0,25;nee", f"0,25;{cell}", 1))
            assert "mailings.csv: row 3, column bought: is empty" in told


def test_consents_in_texts_that_nobody_stated_are_refused(tmp_path: Path) -> None:
    for text, message in (("y", "is nearly one of the texts"), ("opted in", "no cell of the column is one")):
        optins = f"customer,optin,back\nc1,{text},0\nc2,{text},1\n"
        assert re.search(f"rows? 2.*, column optin: .*{message}", refused(tmp_path, CONSENTS, optins=optins))


@pytest.mark.parametrize(
    ("zone", "time", "sure"),
    [
        ("Europe/Amsterdam", "29-03-2026 02:30", False),
        ("Europe/Amsterdam", "26-10-2025 02:30", False),
        ("Europe/Amsterdam", "26-10-2025 02:00", False),
        ("Europe/Amsterdam", "29-03-2026 03:00", True),
        ("Europe/Amsterdam", "26-10-2025 03:00", True),
        ("America/Sao_Paulo", "04-11-2018 00:30", False),
        ("America/Sao_Paulo", "04-11-2018 00:00", True),
        ("UTC", "29-03-2026 02:30", True),
    ],
)
def test_a_local_time_that_a_clock_skips_or_repeats_is_refused(
    tmp_path: Path, zone: str, time: str, sure: bool
) -> None:
    mapping = SHOP.replace("Europe/Amsterdam", zone)
    mailings = MAILINGS.replace("01-03-2026 09:30", time)
    if sure:
        assert len(planned(tmp_path, mapping, FILES | {"mailings": mailings}).contacts[0].at_us) == 4
    else:
        told = f"row 5, column sent: is skipped or shown twice by the clocks of {zone}"
        assert told in refused(tmp_path, mapping, mailings=mailings)


def test_times_of_parquet_without_a_zone_are_refused_alike(tmp_path: Path) -> None:
    skipped, nanos = pa.array([1774751400_000_000, 0], pa.timestamp("us")), pa.array([1, None], pa.timestamp("ns"))
    faults = Faults()
    sheet = Sheet("t.parquet", pa.table({"at": skipped, "nanos": nanos}))
    reader = CellReader(sheet, faults, ("",), ZoneInfo("Europe/Amsterdam"), NOW_US)
    reader.moment("at", None)
    ((_, column, message), (rows, _)) = next(iter(faults.kinds.items()))
    assert (column, rows) == ("at", [1])
    assert "is skipped or shown twice" in message
    reader.moment("nanos", None)
