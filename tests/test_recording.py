"""A recording as a file: whatever its layout, each line is used or refused with number and reason."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.formats.recording_times import SECOND_0
from monitor.formats.recordings import BadRecording, Row, read, words
from monitor.recording import profiles, reports

TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)
HEAD = "measured_at,metric,value"


def written(folder: Path, *lines: str, head: str = HEAD, ending: str = "\n") -> Path:
    """Write a file of lines."""
    file = folder / "recording.csv"
    file.write_text(ending.join([head, *lines, ""]), newline="")
    return file


def values(file: Path) -> list[tuple[datetime, str, float | None]]:
    """Return what was read, without what was refused."""
    return [(row.measured_at, row.metric, row.value) for row in read(file).rows]


def refused(file: Path) -> str:
    """Return in words what was refused."""
    return "\n".join(words(read(file).refused))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T10:00:00Z",
        "2026-11-23T10:00:00",
        "2026-11-23 10:00",
        "2026-11-23T12:00:00+02:00",
        "2026-11-23 12:00:00 +0200",
        "2026-11-23T15:45:00+05:45",
        "2026-11-23 10:00:00 UTC",
        "2026/11/23 10:00:00.000",
        "20261123T100000",
        "20261123100000",
        "1795428000",
        "1795428000.0",
        "1795428000000",
        "1795428000000000",
        "1795428000000000000",
    ],
)
def test_a_time_is_read_as_people_and_devices_write_it(tmp_path: Path, text: str) -> None:
    """Issue 3 §9: ISO 8601 with and without zone, HL7, and epoch in s, ms, us or ns."""
    assert values(written(tmp_path, f"{text},spo2,97")) == [(TEN, "spo2", 97)]


def test_seconds_count_from_a_common_start(tmp_path: Path) -> None:
    """docs/wire.md: a small number is seconds; fractions and what lies before the start included."""
    found = values(written(tmp_path, "-1.5,spo2,97", "0,spo2,97", "10800,spo2,97"))
    assert [(at - SECOND_0).total_seconds() for at, _, _ in found] == [-1.5, 0, 10800]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-23",
        "11/23/2026 10:00",
        "2026-13-01T00:00",
        "inf",
        "nan",
        "1e30",
        "0001-01-01T00:00",
    ],
)
def test_what_is_no_time_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    """Bad input names the line and the remedy; the line beside it is used."""
    file = written(tmp_path, "5,spo2,97", f"{text},spo2,84")
    assert [value for _, _, value in values(file)] == [97]
    assert refused(file).startswith("line 3: the ")
    file = written(tmp_path, "5,spo2,97,5", f"6,spo2,84,{text or 'x'}", head=f"{HEAD},received_at")
    assert refused(file).startswith("line 3: the ")


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("spo2", "97", 97),
        ("spo2", "97.0", 97),
        ("spo2", "97 %", 97),
        ("spo2", "97%", 97),
        ("spo2", "9.7e1", 97),
        ("temperature", '"36,8"', 36.8),
        ("temperature", "98.6 F", 37.0),
        ("nibp_systolic", "121 mmHg", 121),
        ("nibp_systolic", "16 kPa", 120.01),
        ("pulse_rate", "72 bpm", 72),
        ("pulse_rate", "1.2 Hz", 72),
        ("spo2", "", None),
        ("spo2", "--", None),
        ("spo2", "NaN", None),
        ("spo2", "off", None),
    ],
)
def test_a_value_may_carry_its_unit_and_a_decimal_comma(
    tmp_path: Path, metric: str, text: str, value: float | None
) -> None:
    """Issue 3 §9: units are converted, a cell without a digit is no value."""
    file = written(tmp_path, "1,spo2,95", f"2,{metric},{text}")
    assert values(file)[1][1:] == (metric, value)


@pytest.mark.parametrize("text", ["97 kPa", "97 1", "36;8", "1.013,5", "120/80", "<70", "0x7f", "97 % 3"])
def test_what_is_no_value_of_the_metric_is_refused(tmp_path: Path, text: str) -> None:
    """Bad input: never a wrong number: another quantity's unit, two numbers, signs before it."""
    file = written(tmp_path, "1,spo2,95", f'2,spo2,"{text}"')
    assert len(values(file)) == 1
    assert refused(file).startswith("line 3: ")


def test_a_unit_may_have_a_column_of_its_own(tmp_path: Path) -> None:
    """Issue 3 §9: as hospital charts have it."""
    file = written(tmp_path, "1,temperature,98.6,degF", "2,spo2,97,", head=f"{HEAD},unit")
    assert [value for _, _, value in values(file)] == [37.0, 97]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_layout_of_the_table_is_read(tmp_path: Path, delimiter: str, ending: str) -> None:
    """Issue 3 §9: other column orders, delimiters and line ends, blank lines, capitals, a byte-order mark."""
    head = delimiter.join((" Value", "note", "METRIC ", "Measured_At"))
    lines = ["", delimiter.join(("97", "x", "SpO2", "5")), "  ", delimiter.join(("84", "", " spo2", "6"))]
    for mark in ("", "\ufeff"):
        file = written(tmp_path, *lines, head=mark + head, ending=ending)
        assert [value for _, _, value in values(file)] == [97, 84]
        assert read(file).rows[1].line == 5


def test_semicolons_leave_room_for_a_decimal_comma(tmp_path: Path) -> None:
    """Issue 3 §9: 36,8 between semicolons is a number; between commas it is two cells, and refused."""
    assert values(written(tmp_path, "5;temperature;36,8", head=HEAD.replace(",", ";")))[0][2] == 36.8
    file = written(tmp_path, "5,spo2,97", "5,temperature,36,8")
    assert "line 3: more cells than columns" in refused(file)
    assert len(values(file)) == 1


def test_a_recording_in_gzip_or_utf_16_is_read_as_it_is(tmp_path: Path) -> None:
    """Issue 3 §9: whatever the name of the file says; two gzip parts in one file too."""
    plain = f"{HEAD}\n5,spo2,97\n".encode()
    for name, stored in (
        ("a.csv.gz", gzip.compress(plain)),
        ("a.csv", gzip.compress(plain)),
        ("b.csv.gz", plain),
        ("c.gz", gzip.compress(plain) + gzip.compress(b"6,spo2,96\n")),
        ("d.csv", plain.decode().encode("utf-16")),
    ):
        file = tmp_path / name
        file.write_bytes(stored)
        assert values(file)[0][2] == 97


def test_a_recording_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """Bad input: what a broken copy still holds is replayed; the line it was cut in is not believed."""
    lines = [f"{second},spo2,{90 + second * 7 % 10}" for second in range(3000)]
    file = tmp_path / "cut.csv.gz"
    file.write_bytes(gzip.compress("\n".join([HEAD, *lines]).encode())[:-400])
    found = read(file)
    assert 100 < len(found.rows) < 3000
    assert [f"{row.measured_at.second}" for row in found.rows[:3]] == ["0", "1", "2"]
    [(reason, [line])] = found.refused.items()
    assert line == found.rows[-1].line + 1
    assert "not complete" in reason


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (b"", "no column measured_at, metric, value"),
        (b"\n\n", "no column"),
        (b"measured_at,metric,value\n", "no line can be used"),
        (
            b"measured_at,metric,value\n1,oxygen,97\n",
            "line 2: metric 'oxygen' is unknown; known are heart_rate",
        ),
        (b"speed;metric;value\n1;spo2;97", "no column measured_at"),
        (b"\x1f\x8bnonsense", "cannot be read"),
        (bytes(range(256)), "no column"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_place(
    tmp_path: Path, stored: bytes, says: str
) -> None:
    """Bad input names the file and the remedy; nothing crashes."""
    file = tmp_path / "bad.csv"
    file.write_bytes(stored)
    with pytest.raises(BadRecording) as caught:
        read(file)
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_folder_or_no_file_is_refused(tmp_path: Path) -> None:
    """Bad input: the text says that it cannot be read."""
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(BadRecording, match="cannot be read"):
            read(path)


def test_lines_of_one_reason_are_named_together(tmp_path: Path) -> None:
    """Issue 3 §9: every refused line by its number, on few lines."""
    lines = ["1,spo2,97", *(f"{n},oxygen,97" for n in range(3)), "2,spo2,97", "9,oxygen,1", "3", '4,"spo2']
    said = refused(written(tmp_path, *lines))
    assert said.splitlines()[0].startswith("lines 3-5, 7: metric 'oxygen' is unknown")
    assert "line 8: the line ends before metric" in said
    assert "line 9: the line ends before value" in said


def test_rows_are_put_in_order_of_receipt(tmp_path: Path) -> None:
    """AL-32: in order of measuring; with received_at in that order, also before it was measured."""
    file = written(tmp_path, "3,spo2,93", "1,spo2,91", "2,pulse_rate,72", "2,spo2,92")
    assert [row.value for row in read(file).rows] == [91, 72, 92, 93]
    file = written(tmp_path, "3,spo2,93,9", "100,spo2,91,5", "2,spo2,92,", head=f"{HEAD},received_at")
    found = list(reports(read(file).rows))
    assert [(r.received_at - SECOND_0).total_seconds() for r in found] == [2, 5, 9]
    assert [(r.at - SECOND_0).total_seconds() for r in found] == [2, 100, 3]


def test_what_one_device_measured_at_one_time_is_one_report(tmp_path: Path) -> None:
    """Issue 3 §9: systolic and diastolic are judged together; a metric given twice is two reports."""
    lines = ["1,nibp_diastolic,90", "1,nibp_systolic,80", "1,spo2,97", "1,spo2,97", "1,spo2,60"]
    found = list(reports(read(written(tmp_path, *lines)).rows))
    assert [[(o.metric, o.value) for o in r.observations] for r in found] == [
        [("nibp_systolic", None), ("nibp_diastolic", None)],
        [("spo2", 97)],
        [("spo2", 97)],
        [("spo2", 60)],
    ]


def test_each_metric_is_measured_by_its_own_pace(tmp_path: Path) -> None:
    """AF-06: pulse each second and SpO2 each 4 s from one monitor: a gap of SpO2 is not one of the pulse."""
    lines = [f"{n},pulse_rate,72,monitor" for n in range(40)] + [
        f"{n},spo2,97,monitor" for n in range(0, 40, 4)
    ]
    lines += [f"{n},nibp_systolic,121,monitor" for n in (1, 301)]
    found = list(reports(read(written(tmp_path, *lines, head=f"{HEAD},device_id")).rows))
    paces = {one.device_id: (one.metrics, one.expected_interval_s) for one in profiles(found)}
    assert paces["monitor/spo2"] == (("spo2",), 4)
    assert paces["monitor"] == (("nibp_systolic", "pulse_rate"), 1)
    cuff = profiles(list(reports([Row(2, TEN, None, "cuff", "nibp_systolic", 121)])))
    assert cuff[0].expected_interval_s == 300


CELL = st.one_of(
    st.sampled_from(
        ["", "97", "spo2", "5", "2026-11-23T10:00:00", "--", "36,8", '"', "9e999", "1e9", "pulse_rate"]
    ),
    st.text(max_size=12),
)


@settings(max_examples=60)
@given(st.lists(st.lists(CELL, max_size=6), max_size=8), st.sampled_from([",", ";"]))
def test_no_file_breaks_the_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    """Issue 3 §9: any text: rows, refused lines, or one refusal of the file; every line is accounted for."""
    head = delimiter.join(("measured_at", "metric", "value"))
    text = "\n".join([head, *(delimiter.join(row) for row in rows)])
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        found = read(file)
    except BadRecording:
        return
    used = {row.line for row in found.rows} | {line for lines in found.refused.values() for line in lines}
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").split("\n")
    assert used == {number for number, line in enumerate(lines, 1) if line.strip()} - {1}


# --- as makers' programs, hospitals and people write them ---------------------------------------------------

RING = "Time,Oxygen Level,Pulse Rate,Motion,O2 Reminder,PR Reminder"


def table(file: Path, **how: Any) -> list[tuple[float, str, float | None]]:
    """Return what a file says: seconds since its first reading, metric, value."""
    rows = read(file, **how).rows
    return [((row.measured_at - rows[0].measured_at).total_seconds(), row.metric, row.value) for row in rows]


@pytest.mark.parametrize(
    ("head", "first", "second"),
    [
        (RING, "23:59:58 Mar 06 2025,92,78,0,0,0", "00:00:02 Mar 07 2025,--,--,0,0,0"),
        ("Date,Time,SpO2(%),PR(bpm)", "2025/03/06,23:59:58,92,78", "2025/03/07,00:00:02,---,---"),
        ("Date;Time;SpO₂;Pulse rate (1/min)", "06.03.2025;23:59:58;92;78", "07.03.2025;00:00:02;--;--"),
        ("Time\tSpO2\tPulse", "3/6/2025 11:59:58 PM\t92\t78", "3/7/2025 12:00:02 AM\t-\t-"),
        ("Timestamp,SPO2,PR,PI", "6-Mar-25 23:59:58,92,78,2", "7-Mar-25 00:00:02,N/A,N/A,"),
        ("Time,O2 Saturation,Pulse", "Thu Mar  6 23:59:58 2025,92,78", "Fri Mar  7 00:00:02 2025,*,*"),
        ("time,spo2,pulse_rate", "23:59:58,92,78", "00:00:02,--,--"),
        ("t_s,SpO2[%],PULSE[bpm]", "0,92,78", "4,--,--"),
        ("Time (ms),SpO2,Pulse Rate", "0,92,78", "4000,--,--"),
        ("Elapsed [min],SpO2,Pulse", "0,92,78", "0.066667,--,--"),
        ("dt_s,SpO2,Pulse", "0.4,92,78", "4,--,--"),
        ("datetime,oxygen_saturation,pulse", "2025-03-06T23:59:58Z,92,78", "2025-03-07T00:00:02Z,null,null"),
    ],
)
def test_an_oximeters_export_is_read_as_its_program_writes_it(
    tmp_path: Path, head: str, first: str, second: str
) -> None:
    """Issue 3 §9: a column for each metric; times and names of the columns as makers write them."""
    found = [row for row in table(written(tmp_path, first, second, head=head)) if row[1] != "perfusion_index"]
    assert [(metric, value) for _, metric, value in found] == [
        ("pulse_rate", 78),
        ("spo2", 92),
        ("pulse_rate", None),
        ("spo2", None),
    ]
    assert [round(at, 2) for at, _, _ in found] == [0, 0, 4, 4]


@pytest.mark.parametrize(
    ("head", "line", "wanted"),
    [
        (
            "ID,VISIT,DATE.TIME,SYST,MAP,DIAST,HR,WAKE",
            "7,1,2016-12-27 09:23:00,123,81,58,72,1",
            {"nibp_systolic": 123, "nibp_mean": 81, "nibp_diastolic": 58, "heart_rate": 72},
        ),
        (
            "DateTime,Sys.mmHg.,Dias.mmHg.,Pulse.bpm.",
            "2019-04-15 23:38:28,133,74,67",
            {"nibp_systolic": 133, "nibp_diastolic": 74, "nibp_pulse_rate": 67},
        ),
        (
            "Date,Time,Blood pressure,Pulse (bpm)",
            "15 Apr 2019,23:38,133/74,67",
            {"nibp_systolic": 133, "nibp_diastolic": 74, "nibp_pulse_rate": 67},
        ),
        (
            "patientunitstayid,observationoffset,noninvasivesystolic,noninvasivediastolic,noninvasivemean",
            "141764,77,176,87,107",
            {"nibp_systolic": 176, "nibp_diastolic": 87, "nibp_mean": 107},
        ),
        (
            "Date,Time,Systolic (kPa),Diastolic (kPa),Temp (°F)",
            "2019-04-15,23:38,16,10,98.6",
            {"nibp_systolic": 120.01, "nibp_diastolic": 75.01, "temperature": 37.0},
        ),
    ],
)
def test_a_cuffs_export_is_read_as_hospitals_and_people_write_it(
    tmp_path: Path, head: str, line: str, wanted: dict[str, float]
) -> None:
    """Issue 3 §9: pressures by any of their names, also as 133/74; the unit in the head counts."""
    found = {row.metric: row.value for row in read(written(tmp_path, line, head=head)).rows}
    assert found == wanted


def test_a_chart_with_a_row_for_each_value_by_other_names(tmp_path: Path) -> None:
    """Issue 3 §9: the names that hospitals give to time, metric and value; limits are no readings."""
    head = "subject_id,signal,charttime,storetime,valuenum,valueuom"
    file = written(
        tmp_path,
        "17,hr,2149-05-29 18:00:00,2149-05-29 18:05:00,98,BPM",
        "17,hr_alarm_high,2149-05-29 18:00:00,2149-05-29 18:05:00,120,BPM",
        "17,SpO2,2149-05-29 18:00:00,2149-05-29 18:06:00,97,%",
        head=head,
    )
    found = read(file)
    assert [(row.metric, row.value, row.at.minute) for row in found.rows] == [
        ("heart_rate", 98, 5),
        ("spo2", 97, 6),
    ]
    assert "line 3: metric 'hr_alarm_high' is unknown" in refused(file)


def test_a_file_of_several_patients_says_so_and_one_can_be_chosen(tmp_path: Path) -> None:
    """Bad input: two people are never taken for one in silence."""
    lines = [f"{10 + n % 2},{n},9{n % 2}" for n in range(8)]
    file = written(tmp_path, *lines, head="Patient,seconds,SpO2")
    assert "column Patient has 2 values, taken as one patient: --only Patient=... chooses" in read(file).notes
    assert {row.value for row in read(file, only={"patient": "11"}).rows} == {91}
    with pytest.raises(BadRecording, match="no line has patient '12'; there are 10, 11"):
        read(file, only={"patient": "12"})
    with pytest.raises(BadRecording, match="no column 'person'; there are Patient, seconds, SpO2"):
        read(file, only={"person": "1"})


def test_day_and_month_are_told_apart_by_the_whole_file_or_it_is_said(tmp_path: Path) -> None:
    """Bad input: 05/06 is June or May; the other dates decide, then the shorter recording, then a person."""
    head = "Time,SpO2"
    june = [datetime(2026, 6, 5, 23, 59, 58, tzinfo=UTC), datetime(2026, 6, 6, 0, 0, 2, tzinfo=UTC)]
    night = written(tmp_path, "05/06/2026 23:59:58,97", "06/06/2026 00:00:02,96", head=head)
    assert [row.measured_at for row in read(night).rows] == june
    assert read(night).notes == ["dates are read day-first; --month-first reads them otherwise"]
    assert read(night, order="month-first").rows[0].measured_at.month == 5
    sure = written(tmp_path, "05/13/2026 23:59:58,97", "05/14/2026 00:00:02,96", head=head)
    assert read(sure).rows[0].measured_at == datetime(2026, 5, 13, 23, 59, 58, tzinfo=UTC)
    assert read(sure).notes == []


def test_a_date_late_in_the_file_tells_day_and_month_apart(tmp_path: Path) -> None:
    """Bad input: an hour before midnight that reads either way, then the 13th: no line of it may be lost."""
    evening = [f"12/06/2026 23:{n // 60:02}:{n % 60:02},97" for n in range(3600)]
    night = [f"13/06/2026 00:00:{n:02},96" for n in range(60)]
    found = read(written(tmp_path, *evening, *night, head="Time,SpO2"))
    assert (len(found.rows), found.refused, found.notes) == (3660, {}, [])
    assert found.rows[0].measured_at == datetime(2026, 6, 12, 23, tzinfo=UTC)


def test_a_first_line_that_no_csv_reader_takes_is_refused_as_one_that_names_nothing(tmp_path: Path) -> None:
    """Bad input: a cell of more than csv's 128 KiB; the error names the file, nothing crashes."""
    with pytest.raises(BadRecording, match="no column"):
        read(written(tmp_path, "1,spo2,97", head='"' + "x" * 200_000 + '",spo2'))


def test_what_stands_before_the_names_of_the_columns_is_passed_over(tmp_path: Path) -> None:
    """Issue 3 §9: programs write about the device first; line numbers stay those of the file."""
    lines = ["Serial number,1234", "", "Time,SpO2,PR", "10:00:00,97,70", "10:00:01,x1,71"]
    file = written(tmp_path, *lines, head="Device: Ring")
    assert [(row.line, row.metric, row.value) for row in read(file).rows] == [
        (5, "pulse_rate", 70),
        (5, "spo2", 97),
        (6, "pulse_rate", 71),
    ]
    assert refused(file) == "line 6: the value 'x1' is no number"


def test_columns_can_be_named_for_a_file_that_does_not(tmp_path: Path) -> None:
    """Issue 3 §9: `--columns`; nine numbers a line are a fingertip oximeter's, beat by beat."""
    file = written(tmp_path, "0.8,96,75", "0.7,95,74", head="0.0,97,76")
    how = {"names": ["step_s", "spo2", "pulse_rate"]}
    assert [row for row in table(file, **how) if row[1] == "spo2"] == [
        (0, "spo2", 97),
        (0.8, "spo2", 96),
        (1.5, "spo2", 95),
    ]
    with pytest.raises(BadRecording, match="the columns a,b name no time"):
        read(file, names=["a", "b"])
    beats = written(tmp_path, "0.8,127,75,1,2,3,4,5,6", head="0.0,97,76,1,2,3,4,5,6")
    assert [row.value for row in read(beats).rows if row.metric == "spo2"] == [97, 127]


def test_what_a_column_cannot_mean_is_said_and_the_others_are_used(tmp_path: Path) -> None:
    """Bad input: a unit of something else, a second column of a metric, a room's temperature."""
    head = "seconds,SpO2 [kPa],Pulse,PR,Temp,SpO2,Steps"
    found = read(written(tmp_path, "0,12,70,71,21,97,5", head=head))
    assert {row.metric: row.value for row in found.rows} == {"pulse_rate": 70, "spo2": 97, "temperature": 21}
    [note] = found.notes
    assert "SpO2 [kPa] ('kPa' is no unit of spo2)" in note
    assert "PR (another column holds pulse_rate already)" in note
    assert "Steps (names nothing that is measured here)" in note


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        ("oximeter_ring_night.csv.gz", "spo2", 5000),
        ("oximeter_fingertip_night.csv.gz", "spo2", 20000),
        ("bedside_trend_72min.csv", "spo2", 70),
        ("ambulatory_bp.csv", "nibp_systolic", 60),
        ("home_cuff_bp.csv", "nibp_systolic", 150),
        ("icu_cuff_pressures.csv.gz", "nibp_systolic", 119_000),
        ("icu_charted_vitals.csv.gz", "heart_rate", 8_000),
    ],
)
def test_every_real_recording_is_read_as_it_is(shared_data: Path, name: str, metric: str, least: int) -> None:
    """Issue 3 §9: nobody has to rewrite a file before it can be replayed."""
    found = read(shared_data / "series" / name)
    assert sum(row.metric == metric and row.value is not None for row in found.rows) >= least
