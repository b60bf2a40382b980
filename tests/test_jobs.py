"""Jobs files in the shapes that people make: each is read completely, or refused with the line and what to do."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamwork_desk.cli._cells import COLUMNS, ONLY_IN_JSON, from_cell
from teamwork_desk.cli._csv_jobs import csv_jobs
from teamwork_desk.cli._errors import CommandError
from teamwork_desk.cli._jobs import ID, read_jobs
from teamwork_desk.cli._json_jobs import json_jobs
from teamwork_desk.cli._text import GZIP, WORKBOOK, FileError, lines_of

ONE, TWO = {"conversation_id": 1}, {"conversation_id": 2, "subject": "Grüße"}
BOTH = [(1, ONE), (2, TWO)]
JSON_ONE, JSON_TWO = json.dumps(ONE), json.dumps(TWO, ensure_ascii=False)
MANY_DIGITS = "1" * 5000
TOO_MANY = "a number has too many digits"


def shortened(value: object) -> str:
    return repr(value)[:100]


def read_json(content: bytes) -> list[tuple[int, Any]]:
    return [(number, _or_problem(read)) for number, read in json_jobs(lines_of(io.BytesIO(content)))]


def read_csv(content: bytes, notes: list[str] | None = None) -> list[tuple[int, Any]]:
    note = ([] if notes is None else notes).append
    rows = csv_jobs(lines_of(io.BytesIO(content)), columns=COLUMNS, only_in_json=ONLY_IN_JSON, key=ID, note=note)
    return [(number, _or_problem(read)) for number, read in rows]


def _or_problem(read: Any) -> Any:
    try:
        return read()
    except ValueError as error:
        return str(error)


# JSON that is read


@pytest.mark.parametrize(
    ("content", "jobs"),
    [
        (f"{JSON_ONE}\n{JSON_TWO}\n", BOTH),
        (f"{JSON_ONE}\n{JSON_TWO}", BOTH),
        (f"{JSON_ONE}\r\n{JSON_TWO}\r\n", BOTH),
        (f"{JSON_ONE}\r{JSON_TWO}\r", BOTH),
        (f"\n\r\n{JSON_ONE}\n\n{JSON_TWO}\n \n", [(3, ONE), (5, TWO)]),
        (f"[{JSON_ONE}, {JSON_TWO}]", [(1, ONE), (1, TWO)]),
        (f"\n[\n  {JSON_ONE},\r\n{JSON_TWO}\n]\n\n", [(3, ONE), (4, TWO)]),
        (f"[\r{JSON_ONE}\r,\r{JSON_TWO}\r]", [(2, ONE), (4, TWO)]),
        (json.dumps([ONE, TWO], indent=2), [(2, ONE), (5, TWO)]),
        ("[ ]", []),
        (f"[{JSON_ONE}, 7, {JSON_TWO}]", [(1, ONE), (1, "expected a JSON object"), (1, TWO)]),
        ('[{"a": 1, "a": 2},\n' + JSON_ONE + "]", [(1, "a: duplicate key"), (2, ONE)]),
        (f"{JSON_ONE} x\n{JSON_TWO}", [(1, "invalid JSON: Extra data, at character 24"), (2, TWO)]),
        (f"{JSON_ONE}\nnothing\n", [(1, ONE), (2, "invalid JSON: Expecting value, at character 1")]),
        (f"{JSON_ONE}\n7\n", [(1, ONE), (2, "expected a JSON object")]),
        (f'{{"cc": {MANY_DIGITS}}}\n{JSON_ONE}', [(1, TOO_MANY), (2, ONE)]),
        (f'[{{"cc": {MANY_DIGITS}}}, {JSON_ONE}]', [(1, TOO_MANY), (1, ONE)]),
        (f'[{{"customfields": [{{"id": -{MANY_DIGITS}}}]}}, {JSON_ONE}]', [(1, TOO_MANY), (1, ONE)]),
        (f'[{{"cc": {MANY_DIGITS}.0}}]', [(1, {"cc": math.inf})]),
        # A job without an id is not taken for a file of another shape.
        ('{"cc": ["a", {"b": 1}]}\n' + JSON_ONE, [(1, {"cc": ["a", {"b": 1}]}), (2, ONE)]),
        ('{"subject": "a\u2028b\u0085c"}\n' + JSON_ONE, [(1, {"subject": "a\u2028b\u0085c"}), (2, ONE)]),
    ],
    ids=shortened,
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_that_is_read(content: str, jobs: list[tuple[int, Any]], encoding: str) -> None:
    assert read_json(content.encode(encoding)) == jobs


def test_both_byte_orders_of_utf_16_are_read() -> None:
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        assert read_json(mark + f"{JSON_ONE}\n{JSON_TWO}".encode(encoding)) == BOTH


# JSON that is refused

CUT = "the object does not end on this line. If the file is cut, write it again; "
SHAPES = "; write each object on one line without commas in between, or all in one array: [ ... ]"
COMMA = f"a comma follows the object, as in an array{SHAPES}"
COMMA_FIRST = f"a comma begins this line, as within an array{SHAPES}"
LATE_ARRAY = f"an array begins on this line, after other text{SHAPES}"
ANOTHER = f"another object follows on this line{SHAPES}"
ARRAY_IN_OBJECT = "this object is not a job, but contains an array of jobs; write only the array: [ ... ]"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "the file is empty"),
        ("\ufeff", 1, "the file is empty"),
        (" \n\r\n", 1, "the file is empty"),
        *((f"{JSON_ONE}\n{JSON_TWO[:end]}", 2, CUT) for end in (1, 2, 10, 18, 19, 21, 33, len(JSON_TWO) - 1)),
        ('{"conversation_id": 1, "inbox": {"id": 7}', 1, CUT),
        ('{"conversation_id": 1, "notify_customer": tru', 1, CUT),
        (json.dumps(ONE, indent=2), 1, CUT),
        (f'{{"jobs": [\n{JSON_ONE},\n{JSON_TWO}\n]}}', 1, CUT),
        (f'{{"jobs": [{JSON_ONE}, {JSON_TWO}]}}', 1, ARRAY_IN_OBJECT),
        (f'{JSON_ONE}\n{{"count": 1, "jobs": [{JSON_TWO}]}}\n', 2, ARRAY_IN_OBJECT),
        (f"{JSON_ONE},\n{JSON_TWO}\n", 1, COMMA),
        (f"{JSON_ONE} , {JSON_TWO}\n{JSON_ONE}\n", 1, COMMA),
        (f"{JSON_ONE}\n{JSON_TWO}, {JSON_ONE}\n", 2, COMMA),
        (f"{JSON_ONE} {JSON_TWO}\n{JSON_ONE}\n", 1, ANOTHER),
        (f"{JSON_ONE}{JSON_TWO}\n{JSON_ONE}\n", 1, ANOTHER),
        (f"{JSON_ONE}[{JSON_TWO}]\n{JSON_ONE}\n", 1, f"an array follows the object on this line{SHAPES}"),
        (f"{JSON_ONE}\n,{JSON_TWO}\n", 2, COMMA_FIRST),
        (f"{JSON_ONE}\n , {JSON_TWO}\n", 2, COMMA_FIRST),
        (f"{JSON_ONE}\n,\n{JSON_TWO}\n", 2, COMMA_FIRST),
        (f",{JSON_ONE}\n{JSON_TWO}\n", 1, COMMA_FIRST),
        (f"{JSON_ONE}\n[{JSON_TWO}, {JSON_ONE}]\n", 2, LATE_ARRAY),
        (f"{JSON_ONE}\n[\n{JSON_TWO}\n]\n", 2, LATE_ARRAY),
        (f"{JSON_ONE}\n{JSON_TWO}]\n", 2, f"a ] follows the object, but the file does not begin with [{SHAPES}"),
        (f"{JSON_ONE}\n]\n", 2, f"this line ends an array that does not begin at the start of the file{SHAPES}"),
        ("}\n" + JSON_ONE, 1, f"this line ends an object that does not begin on it{SHAPES}"),
        (f"[{JSON_ONE},\n{JSON_TWO}", 2, "invalid JSON: the array has no ] at its end. "),
        (f"[{JSON_ONE},\n{JSON_TWO[:-1]}", 2, "invalid JSON: Expecting ',' delimiter, at character "),
        (f"[{JSON_ONE}\n{JSON_TWO}]", 2, "invalid JSON: a comma or ] is missing after this object. "),
        (f"[{JSON_ONE},\n{JSON_TWO},\n]", 3, "invalid JSON: Expecting value, at character 1; the file begins with ["),
        (f"[{JSON_ONE}]\n{JSON_TWO}", 2, "text follows the ] at the end of the array; put all jobs in one array"),
        ("[]\n[]", 2, "text follows the ]"),
        ("[", 1, "invalid JSON: Expecting value"),
        ("[" * 100_000, 1, "invalid JSON: it is nested too deeply"),
        ("conversation_id,subject\n1,a\n", 1, "this seems to be the header of a CSV file; "),
        ('"subject";"conversation_id"\n1;a\n', 1, "this seems to be the header of a CSV file; "),
        ("subject | conversation_id\n1|a\n", 1, "this seems to be the header of a CSV file; "),
    ],
    ids=repr,
)
def test_json_that_is_refused_as_a_whole(content: str, line: int, reason: str) -> None:
    with pytest.raises(FileError) as refused:
        read_json(content.encode())
    assert refused.value.line == line
    assert refused.value.reason.startswith(reason)
    assert "Grüße" not in refused.value.reason


def test_a_byte_that_is_not_utf_8_is_the_problem_of_its_line() -> None:
    content = f"{JSON_ONE}\n".encode() + '{"subject": "Grüße"}\n'.encode("cp1252") + JSON_TWO.encode()
    assert read_json(content) == [(1, ONE), (2, "invalid UTF-8"), (3, TWO)]


# CSV that is read

ROWS = [(2, {"conversation_id": "1"}), (3, {"conversation_id": "2", "subject": "Grüße"})]
CSV = "conversation_id,subject\n1,\n2,Grüße\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_that_is_read(delimiter: str, end: str, encoding: str) -> None:
    notes: list[str] = []
    content = CSV.replace(",", delimiter).replace("\n", end)
    assert read_csv(content.encode(encoding), notes) == ROWS
    name = {",": None, ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}[delimiter]
    assert notes == [f"the columns are separated by {name}"] * (name is not None)
    # The end of the last line may be missing.
    assert read_csv(content.removesuffix(end).encode(encoding)) == ROWS


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (f"\n\r\n{CSV}", [(number + 2, row) for number, row in ROWS]),
        ("sep=;\n" + CSV.replace(",", ";"), [(number + 1, row) for number, row in ROWS]),
        ("SEP=|\r\n" + CSV.replace(",", "|"), [(number + 1, row) for number, row in ROWS]),
        ("conversation_id,subject,,\n1,,,\n2,Grüße,\n", ROWS),
        ('conversation_id;cc\n1;"a;b"\n', [(2, {"conversation_id": "1", "cc": "a;b"})]),
        ("conversation_id;subject\n1;a, b\n", [(2, {"conversation_id": "1", "subject": "a, b"})]),
        (
            '"conversation_id","message"\n1,"a\r\nb\n""c"""\n2,\n',
            [(2, {"conversation_id": "1", "message": 'a\r\nb\n"c"'}), (5, {"conversation_id": "2"})],
        ),
        ('"conversation_id", "subject"\n1, "a, ""b"""\n', [(2, {"conversation_id": "1", "subject": 'a, "b"'})]),
        (' "conversation_id"; "subject"\n 1; "a; b"\n', [(2, {"conversation_id": "1", "subject": "a; b"})]),
        ("conversation_id,subject\n1,  a\n", [(2, {"conversation_id": "1", "subject": "  a"})]),
        ("||\nconversation_id|subject|\n1|a|\n", [(3, {"conversation_id": "1", "subject": "a"})]),
        ("conversation_id\n", []),
        (",\nconversation_id,subject\n,\n1,\n", [(4, {"conversation_id": "1"})]),
    ],
    ids=repr,
)
def test_other_csv(content: str, rows: list[tuple[int, Any]]) -> None:
    assert read_csv(content.encode()) == rows


def test_a_cell_may_have_any_length() -> None:
    text = "x" * 1_000_000
    assert read_csv(f"conversation_id,message\n1,{text}\n".encode()) == [(2, {"conversation_id": "1", "message": text})]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,a,b", "cell 3 has no column, because the header has 2; put a cell that contains the delimiter in quotes"),
        ("1", "the row ends before column 2 (subject); it has 1 cells"),
    ],
)
def test_a_row_with_a_wrong_number_of_cells(row: str, problem: str) -> None:
    assert read_csv(f"conversation_id,subject\n{row}\n2,b\n".encode()) == [
        (2, problem),
        (3, {"conversation_id": "2", "subject": "b"}),
    ]


# CSV that is refused

BEGIN = "A file begins with a header such as conversation_id,subject"
TITLE = "this line is not the header, which seems to be line {}; delete the lines above the header"
MISSING = "this line seems to be a job, so that the header is missing"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("", 1, "the file is empty"),
        ("\n \r", 1, "the file is empty"),
        ("sep=;\n", 1, "the file has no header"),
        ("subject\nx\n", 1, "the header has no column conversation_id"),
        ("conversation_id,subjct\n", 1, "column 2: unknown argument: subjct (did you mean subject?)"),
        (
            "id,subject\n",
            1,
            "column 1: unknown argument: id; the ids of the conversations belong in the column conversation_id",
        ),
        ("42,jo@example.com\n43,al@example.com\n", 1, f"column 1 does not name an argument; {MISSING}. {BEGIN}"),
        ("42;Hello\n", 1, f"column 1 does not name an argument; {MISSING}. {BEGIN}"),
        ("42\n43\n", 1, f"column 1 does not name an argument; {MISSING}. {BEGIN}"),
        ("Conversation ID,subject\n", 1, f"column 1 does not name an argument. {BEGIN}"),
        ("conversation_id,,subject\n", 1, f"column 2 does not name an argument. {BEGIN}"),
        (f"Refunds of May,\n{CSV}", 1, TITLE.format(2)),
        (f"Refunds of May\n\n1 of 2;\n{CSV.replace(',', ';')}", 1, TITLE.format(4)),
        (f"\nsubject\n{CSV}", 2, TITLE.format(3)),
        ("conversation_id,cc,cc\n", 1, "column 2: cc is there twice"),
        ("conversation_id,customfields\n", 1, "column 2: customfields cannot be given in CSV; use JSONL"),
        (JSON_ONE, 1, "this seems to be JSON and not CSV; give the file a name that ends in .jsonl"),
        (f"[\n{JSON_ONE}\n]", 1, "this seems to be JSON and not CSV; give the file a name that ends in .jsonl"),
        (
            'conversation_id,subject\n1,a\n2,"b\n3,c\n',
            3,
            "this row has a quote that is never closed, or the file is cut within the row",
        ),
        (
            'conversation_id,subject\n1,"a"b\n',
            2,
            'text follows the closing quote of a cell; write a quote within a cell as ""',
        ),
    ],
    ids=repr,
)
def test_csv_that_is_refused_as_a_whole(content: str, line: int, reason: str) -> None:
    with pytest.raises(FileError) as refused:
        read_csv(content.encode())
    assert (refused.value.line, refused.value.reason) == (line, reason)


def _zip() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    return file.getvalue()


ZIP = _zip()


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (CSV.encode("cp1252"), 3, "invalid UTF-8: the file seems to have another encoding; save it as UTF-8"),
        (CSV.encode("utf-16-le"), 1, "this seems to be UTF-32, or UTF-16 without a byte order mark; save it as UTF-8"),
        (CSV.encode("utf-32"), 1, "this seems to be UTF-32, or UTF-16 without a byte order mark; save it as UTF-8"),
        (CSV.encode("utf-16")[:-1], 3, "invalid UTF-16 after this line, or the file is cut; save it as UTF-8"),
        (gzip.compress(CSV.encode()), 1, "this seems to be a gzip file; decompress it first"),
        (ZIP, 1, f"{WORKBOOK}. If it is another zip file, unpack it first"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), 1, WORKBOOK),
    ],
    ids=["cp1252", "utf-16 without a mark", "utf-32", "a cut file", "gzip", "xlsx", "xls"],
)
def test_bytes_that_are_refused(content: bytes, line: int, reason: str) -> None:
    with pytest.raises(FileError) as refused:
        read_csv(content)
    assert refused.value.line == line
    assert refused.value.reason.startswith(reason)


# Files


def test_a_file_is_read_by_its_name_and_refused_with_its_line(tmp_path: Path) -> None:
    notes: list[str] = []
    for name, content in [("a.json", f"[{JSON_ONE}]"), ("b.TSV", "subject\tconversation_id\n\t1\n")]:
        (tmp_path / name).write_text(content)
        assert [line.job for line in read_jobs(tmp_path / name, notes.append)] == [ONE]
    assert notes == [f"{tmp_path / 'b.TSV'}: the columns are separated by a tab"]
    (tmp_path / "c.json").write_text(f"[{JSON_ONE},\n")
    with pytest.raises(CommandError, match=r"c\.json:1: invalid JSON: Expecting value"):
        list(read_jobs(tmp_path / "c.json"))
    (tmp_path / "d.txt").touch()
    with pytest.raises(CommandError, match=r"expected a file name that ends in \.jsonl, \.json, \.csv or \.tsv$"):
        list(read_jobs(tmp_path / "d.txt"))
    for name, hint in [("e.xlsx", WORKBOOK), ("e.XLS", WORKBOOK), ("e.jsonl.gz", GZIP)]:
        with pytest.raises(CommandError) as refused:
            list(read_jobs(tmp_path / name))
        assert str(refused.value).endswith(f"or .tsv; {hint}")


# Whatever is written is read

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
CELL = TEXT.filter(lambda text: text.strip())
JOB = st.fixed_dictionaries(
    {"conversation_id": st.integers(1, 2**63 - 1)}, optional={"subject": CELL, "message": CELL, "send_from": CELL}
)
ENCODING = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


@given(jobs=st.lists(JOB), delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n"]), encoding=ENCODING)
def test_csv_that_is_written_is_read(jobs: list[dict[str, Any]], delimiter: str, end: str, encoding: str) -> None:
    file = io.StringIO(newline="")
    columns = ["conversation_id", "subject", "message", "send_from"]
    # Older versions of csv quote a line end only if the rows end with the same one.
    quoting: Any = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(jobs)
    read = [job for _, job in read_csv(file.getvalue().encode(encoding))]
    assert [{name: from_cell(name, cell) for name, cell in job.items()} for job in read] == jobs


@given(
    jobs=st.lists(JOB, min_size=1), end=st.sampled_from(["\n", "\r\n", "\r"]), encoding=ENCODING, as_array=st.booleans()
)
def test_json_that_is_written_is_read(jobs: list[dict[str, Any]], end: str, encoding: str, as_array: bool) -> None:
    lines = [json.dumps(job, ensure_ascii=False) for job in jobs]
    content = f"[{end}{f',{end}'.join(lines)}{end}]" if as_array else end.join(lines)
    read = read_json(content.encode(encoding))
    assert read == [(number + as_array, job) for number, job in enumerate(jobs, 1)]


@given(jobs=st.lists(JOB, min_size=1), as_array=st.booleans(), data=st.data())
def test_json_that_is_cut_within_a_job_is_refused(
    jobs: list[dict[str, Any]], as_array: bool, data: st.DataObject
) -> None:
    lines = [json.dumps(job) for job in jobs]
    content = f"[{','.join(lines)}]" if as_array else "\n".join(lines)
    last = len(lines[-1])
    cut = content[: -data.draw(st.integers(1, last - 1))]
    with pytest.raises(FileError):
        read_json(cut.encode())


@pytest.mark.parametrize(
    ("name", "content", "is_noted"),
    [
        ("jobs.csv", "conversation_id,subject\n1,Ref", True),
        ("jobs.csv", "conversation_id,subject\n1,Refund\n", False),
        ("jobs.csv", "conversation_id,subject\r1,Refund\r", False),
        ("jobs.jsonl", '{"conversation_id": 1}\n{"conversation_id": 2}', True),
        ("jobs.jsonl", '{"conversation_id": 1}\n', False),
        ("jobs.json", '[{"conversation_id": 1}]', False),
    ],
)
def test_a_last_line_without_a_line_end_is_noted(tmp_path: Path, name: str, content: str, is_noted: bool) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    notes: list[str] = []
    assert {line.problem for line in read_jobs(path, notes.append)} == {""}
    wanted = "the last line has no line end; if the file is cut, jobs or the end of this line are missing"
    assert notes == [f"{path}: {wanted}"] * is_noted
