"""Files in the forms that companies have are read; faults are reported by file, row and column, never by value."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from decisioning.errors import Refused
from features.importing import make_plan, read_mapping
from tests.features.importing_help import CUSTOMERS, FILES, MAILINGS, NOW_US, SHOP, planned

SECRET_TEXT = "Wilhelmina"


def refused(tmp_path: Path, **files: str | bytes) -> str:
    """Return the message with which an import of these files is refused."""
    with pytest.raises(Refused) as caught:
        planned(tmp_path, files=FILES | files)
    return str(caught.value)


BAD = [
    ("customers", "c2,41", f"c2,{SECRET_TEXT}", "row 3, column age: is not a whole number"),
    ("customers", "c2,41", "c2,41.5", "row 3, column age: is not a whole number"),
    ("customers", "c1,30,12.5", "c1,30,nan", "row 2, column spent: is not a number"),
    ("customers", "c1,30,12.5", "c1,30,inf", "row 2, column spent: is not a number"),
    ("customers", "c1,30,12.5", "c1,30,1e999", "row 2, column spent: is not a finite number"),
    ("customers", "plus,no", f"plus,{SECRET_TEXT}", "row 3, column vip: is neither of the texts for true and false"),
    ("customers", "c3,,", ",,", "row 4, column customer: is empty"),
    ("customers", "c3,,", "c\x01é,,", "row 4, column customer: is not an id"),
    (
        "customers",
        "2026-01-11",
        "11/01/2026",
        "row 4, column known_on: is not a date year-month-day, as",
    ),
    ("customers", "2026-01-11", "2026-05-30", "row 4, column known_on: lies more than 5 seconds ahead"),
    (
        "customers",
        "c3,,0.5,basic,,2026-01-11",
        "c1,30,12.5,basic,no,2026-01-10",
        "row 4, column vip: the same subject stands in row 2, with another value",
    ),
    ("customers", "c3,,0.5,basic,,2026-01-11", f"c3,,{SECRET_TEXT}", "row 4, column (all): 3 cells, the header has 6"),
    (
        "mailings",
        "m2;c2;Coats",
        f"m2;c2;{SECRET_TEXT}",
        "row 3, column what: the mapping names no action for this text",
    ),
    ("mailings", "m2;c2;Coats", "m2;c2;", "row 3, column what: is empty"),
    ("mailings", "0,5;ja", "1,5;ja", "row 2, column p: is not a probability from 0 to 1"),
    ("mailings", "0,5;ja", "-0,5;ja", "row 2, column p: is not a probability from 0 to 1"),
    ("mailings", "0,5;ja", ";ja", "row 2, column p: is empty"),
    ("mailings", "0,5;ja", "0,5;", "row 2, column bought: is empty"),
    ("mailings", "m4;", "m1;", "row 5, column (all): the same contact stands in row 2"),
    ("mailings", "49,95", "49.95.1", "row 2, column euro: is not a number"),
    ("mailings", "01-03-2026 09:30", "31-02-2026 09:30", "row 5, column sent: is not a time (%d-%m-%Y %H:%M)"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"), BAD, ids=[f"{expected}-{new}" for _, _, new, expected in BAD]
)
def test_bad_data_is_refused_by_file_row_and_column(
    tmp_path: Path, file: str, old: str, new: str, expected: str
) -> None:
    assert old in FILES[file]
    message = refused(tmp_path, **{file: FILES[file].replace(old, new)})
    assert f"{file}.csv: {expected}" in message
    assert message.startswith("nothing was imported: 1 cell is wrong")
    assert SECRET_TEXT not in message


def test_many_mistakes_of_a_column_are_counted_and_three_rows_are_named(tmp_path: Path) -> None:
    rows = "".join(f"c{n},x,1,basic,yes,2026-01-10\n" for n in range(50))
    message = refused(
        tmp_path, customers=CUSTOMERS.splitlines()[0] + "\n" + rows, mailings=MAILINGS.replace("ja", "", 1)
    )
    assert "51 cells are wrong" in message
    assert message.splitlines()[1:] == [
        "customers.csv: rows 2, 3, 4 and others, column age: 50 cells: is not a whole number",
        "mailings.csv: row 2, column bought: is empty",
        "customers.csv was read as `,`-separated",
        "mailings.csv was read as `;`-separated, decimal comma",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (CUSTOMERS.splitlines()[0].encode() + b"\n", "holds no rows"),
        (CUSTOMERS.replace("age", "plan", 1).encode(), "has two columns called plan"),
        (
            CUSTOMERS.replace("basic", "caf\u201a").encode("cp1252"),
            "is not UTF-8, and in which encoding",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    assert f"customers.csv {expected}" in refused(tmp_path, customers=content)


def test_a_missing_file_is_refused_without_its_folder(tmp_path: Path) -> None:
    source = read_mapping("shop.yaml", SHOP.encode())
    with pytest.raises(Refused, match=r"^nowhere.csv cannot be read: No such file") as caught:
        make_plan(source, {"customers": tmp_path / "nowhere.csv", "mailings": tmp_path / "m.csv"}, NOW_US)
    assert str(tmp_path) not in str(caught.value)


def test_cells_become_typed_columns(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    profile = plan.profiles[0].to_pylist()
    assert [{k: row[k] for k in ("subject", "age", "spent_eur", "plan", "vip")} for row in profile] == [
        {"subject": "c1", "age": 30, "spent_eur": 12.5, "plan": "basic", "vip": True},
        {"subject": "c2", "age": 41, "spent_eur": None, "plan": "plus", "vip": False},
        {"subject": "c3", "age": None, "spent_eur": 0.5, "plan": "basic", "vip": None},
    ]
    contacts = plan.contacts[0]
    assert contacts.action.to_pylist() == ["shoes", "coats", "none", "coats"]
    assert contacts.probability.to_pylist() == [0.5, 0.25, 0.25, 0.25]
    assert contacts.outcomes[0].row.to_pylist() == [0]
    assert contacts.outcomes[0].value_eur.to_pylist() == [49.95]
    assert contacts.at_us[0].as_py() == 1_769_936_400_000_000  # 10:00 in Amsterdam in winter is 09:00 UTC


def test_bom_windows_lines_quotes_blanks_and_another_encoding_make_no_difference(tmp_path: Path) -> None:
    expected = planned(tmp_path).profiles[0]
    lines = CUSTOMERS.replace("c1,30", '"c1"," 30"').replace("\n", "\r\n") + "\r\n"
    assert planned(tmp_path, files=FILES | {"customers": b"\xef\xbb\xbf" + lines.encode()}).profiles[0].equals(expected)
    mapping = SHOP.replace("- id: customers", "- id: customers\n    encoding: cp1252")
    french = planned(tmp_path, mapping, FILES | {"customers": CUSTOMERS.replace("basic", "caf\u00e9").encode("cp1252")})
    assert french.profiles[0]["plan"].to_pylist()[0] == "caf\u00e9"


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    expected = planned(tmp_path)
    typed = (
        expected.profiles[0]
        .drop_columns(["event_timestamp"])
        .rename_columns(["customer", "age", "spent", "plan", "vip"])
    )
    day = pa.array([20463, 20463, 20464], pa.date32())
    pq.write_table(typed.append_column("known_on", day), tmp_path / "customers.parquet")
    csv = tmp_path / "mailings.csv"
    paths = {"customers": tmp_path / "customers.parquet", "mailings": csv}
    plan = make_plan(read_mapping("shop.yaml", SHOP.encode()), paths, NOW_US)
    assert plan.profiles[0].equals(expected.profiles[0])
    pq.write_table(
        typed.append_column("known_on", day).set_column(2, "spent", pa.array([1.0, float("nan"), None])),
        paths["customers"],
    )
    with pytest.raises(Refused, match=r"customers.parquet: row 2, column spent: is not a finite number"):
        make_plan(read_mapping("shop.yaml", SHOP.encode()), paths, NOW_US)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(Refused, match="is not a Parquet file"):
        make_plan(read_mapping("shop.yaml", SHOP.encode()), paths | {"customers": tmp_path / "x.parquet"}, NOW_US)


def test_an_outcome_has_its_own_time_after_its_contact(tmp_path: Path) -> None:
    mapping = SHOP.replace("negative: nee, value", "negative: nee, at: {column: when}, value")
    lines = MAILINGS.splitlines()

    def files_with_time(when: str) -> dict[str, str]:
        return FILES | {
            "mailings": "\n".join([f"{lines[0]};when", f"{lines[1]};{when}", *(f"{x};" for x in lines[2:])])
        }

    assert planned(tmp_path, mapping, files_with_time("2026-02-03")).contacts[0].outcomes[0].at_us.to_pylist() == [
        1_770_073_200_000_000
    ]
    for when, expected in (("", "is empty, and bought came"), ("2026-01-31", "bought came before its contact")):
        with pytest.raises(Refused) as caught:
            planned(tmp_path, mapping, files_with_time(when))
        assert f"row 2, column when: {expected}" in str(caught.value)


def test_rows_without_an_id_are_numbered(tmp_path: Path) -> None:
    mapping = SHOP.replace("subject: {column: customer}\n    as_of", "subject: {row: shop-}\n    as_of")
    assert planned(tmp_path, mapping).profiles[0]["subject"].to_pylist() == ["shop-1", "shop-2", "shop-3"]


def test_stated_ranges_and_values_bind_the_data(tmp_path: Path) -> None:
    for old, new, expected in (
        ("dtype: int, unit", "dtype: int, max: 40, unit", "row 3, column age: is above the maximum of age"),
        ("dtype: float, unit", "dtype: float, min: 1, unit", "row 4, column spent: is below the minimum of spent_eur"),
        (
            "name: plan, dtype: enum",
            "name: plan, dtype: enum, values: [basic]",
            "row 3, column plan: is not one of the values",
        ),
        ("name: plan, dtype: enum", "name: plan, dtype: enum, map: {plus: p}", "the mapping names no value of plan"),
    ):
        with pytest.raises(Refused) as caught:
            planned(tmp_path, SHOP.replace(old, new))
        assert expected in str(caught.value)
