"""Serial frames and Sparkplug B: cut, checked, understood."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from monitor.core.vitals import INVALID
from monitor.formats import Undecodable
from monitor.formats.serial_frames import CUTTERS, crc8, crc8_maxim, cut_mllp
from monitor.formats.sparkplug import Payload
from tests.formats.corpus import EPOCH_MS, IVY, sparkplug_payload
from tests.formats.speech import NOON, context, one, only, read, values

PC60 = tuple(
    bytes.fromhex(text)
    for text in ("aa550f0801603e005000c008", "aa550f08015f55005700c0da", "aa550f08016239004400c0e3")
)
BCI = (bytes([0x85, 60, 3, 66, 97]), bytes([0x85, 61, 0x43, 10, 98]))
CONTEC = (bytes([1, 0x80, 0x85, 0xBC, 0x83, 0xC2, 0xE1, 0x80, 0x80]), bytes.fromhex("0190858083cae28080"))
JUMPER = (bytes([0x81, 72, 96, 43]), bytes([0x81, 200, 95, 40]))
MASIMO = tuple(
    f"11/23/26 12:00:0{n} SN=0000066575 SPO2=09{n}% BPM=057 PI=07.02% SPCO=--.-% SPMET=--.-% DESAT=-- "
    f"PIDELTA=+-- ALARM=0000 EXC=000800\r\n".encode()
    for n in range(3)
)


def nonin(pulse: int, saturation: int, status: int = 0, form: int = 7, second: int = 0) -> bytes:
    """Return a Nonin packet of 25 frames, data format 2 or 7."""
    told = {0: pulse >> 7, 1: pulse & 0x7F, 2: saturation, 7: second}
    packet = b""
    for place in range(25):
        state = 0x80 | status | (place == 0)
        first = [1, state, 60] if form == 2 else [state, 60, place]
        frame = bytes([*first, told.get(place, 0)])
        packet += frame + bytes([sum(frame) & 0xFF])
    return packet


def viatom(*content: int) -> bytes:
    """Return a Viatom ring's answer."""
    head = bytes([0x55, 0, 0xFF, 0, 0, len(content), 0, *content])
    return head + bytes([crc8(head)])


NONIN = (nonin(72, 97), nonin(200, 88))
VIATOM = tuple(viatom(saturation, 66, 0, 0, 0, 0, 0, 80, 0, 1, 23, 0, 0) for saturation in (97, 96))
STREAMS = [
    ("ivy", (IVY, IVY)),
    ("pc60", PC60),
    ("bci", BCI),
    ("contec", CONTEC),
    ("jumper", JUMPER),
    ("nonin", NONIN),
    ("viatom", VIATOM),
    ("masimo", MASIMO),
]


def test_crc_by_its_check_value() -> None:
    """The CRC-8/MAXIM of "123456789" is 0xA1, the plain CRC-8 0xF4."""
    assert crc8_maxim(b"123456789") == 0xA1
    assert crc8(b"123456789") == 0xF4


@pytest.mark.parametrize(("name", "frames"), STREAMS)
def test_a_stream_cut_anywhere_gives_the_same_frames(name: str, frames: tuple[bytes, ...]) -> None:
    """Issue 7.6: bytes arrive in pieces of any size; every whole frame is found once."""
    stream = b"".join(frames)
    for step in (1, 2, 3, 7, 64, len(stream)):
        found: list[bytes] = []
        rest = b""
        for at in range(0, len(stream), step):
            cut = CUTTERS[name](rest + stream[at : at + step])
            found += cut.frames
            rest = cut.rest
        assert [frame.strip() for frame in found] == [frame.strip() for frame in frames], step


@pytest.mark.parametrize(
    ("name", "frames"),
    [("pc60", PC60), ("bci", BCI), ("contec", CONTEC), ("nonin", NONIN), ("viatom", VIATOM)],
)
def test_one_lost_byte_costs_one_frame(name: str, frames: tuple[bytes, ...]) -> None:
    """Issue 7.6: after noise the next whole frame is read; nothing false is."""
    chance = random.Random(11)
    for _ in range(200):
        stream = b"".join(frames * 4)
        lost = chance.randrange(len(stream))
        cut = CUTTERS[name](stream[:lost] + stream[lost + 1 :])
        assert len(cut.frames) >= len(frames) * 4 - 2
        assert set(cut.frames) <= set(frames)


def test_a_wrong_crc_gives_no_value() -> None:
    """R-15: a damaged packet is thrown away."""
    broken = PC60[0][:5] + b"\x30" + PC60[0][6:]
    with pytest.raises(Undecodable):
        read("serial", broken)


def test_bci_pulse_above_127_and_probe_off() -> None:
    """BCI protocol: the eighth bit of the pulse stands in byte 3; 127 is no saturation."""
    report = only(read("serial", bytes([0x80, 60, 0x50, 10, 127]), context(protocol="bci")))
    assert report.faults == ("probe_off",)
    assert one(report, "pulse_rate").value == 138
    assert one(report, "spo2").validity == INVALID


def test_pc60_finger_out() -> None:
    """A PC-60 without a finger: zeros and its bit."""
    frame = bytes.fromhex("aa550f080100000000024 0".replace(" ", ""))
    report = only(read("serial", frame + bytes([crc8_maxim(frame)])))
    assert report.faults == ("probe_off",)
    assert set(values(report).values()) <= {None, 0.0}


@pytest.mark.parametrize(
    ("payload", "gives", "faults"),
    [
        (nonin(72, 97), {"spo2": 97, "pulse_rate": 72}, ()),
        (nonin(72, 97, form=2), {"spo2": 97, "pulse_rate": 72}, ()),
        (nonin(300, 97), {"spo2": 97, "pulse_rate": 300}, ()),
        (nonin(511, 127, 0x50), {"spo2": None, "pulse_rate": None}, ("probe_off", "searching")),
        (nonin(60, 90, 0x04), {"spo2": 90, "pulse_rate": 60}, ("low_perfusion",)),
        (nonin(60, 90, 0x06, 2, 1), {"spo2": 90, "pulse_rate": 60}, ("battery_low",)),
        (VIATOM[0], {"spo2": 97, "pulse_rate": 66, "perfusion_index": 2.3}, ()),
        (
            viatom(0xFF, 0xFF, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0),
            {"spo2": None, "pulse_rate": None, "perfusion_index": 0},
            ("probe_off",),
        ),
        (bytes([10, 0x2A, 30, 1, 44, 0, 7, 96, 0, 71]), {"spo2": 96, "pulse_rate": 71, "perfusion_index": 3},
         ("searching", "low_perfusion", "battery_low")),
        (CONTEC[0], {"spo2": 97, "pulse_rate": 66}, ()),
        (bytes.fromhex("018185bc83c2e18080"), {"spo2": 97, "pulse_rate": 66}, ("probe_off",)),
        (bytes.fromhex("0180a5bc83c2e18080"), {"spo2": 97, "pulse_rate": 66}, ()),
        (bytes.fromhex("0188858083cae28080"), {"spo2": 98, "pulse_rate": 202}, ()),
        (JUMPER[0], {"spo2": 96, "pulse_rate": 72, "perfusion_index": 4.3}, ()),
        (bytes([0x81, 255, 127, 0]), {"spo2": None, "pulse_rate": None, "perfusion_index": 0},
         ("searching",)),
    ],
)  # fmt: skip
def test_oximeters_of_other_makers(payload: bytes, gives: dict[str, float | None], faults: Any) -> None:
    """Issue 7.6: found by their framing, raw or in hexadecimal; their signs for none are none."""
    for content in (payload, payload.hex().encode()):
        report = only(read("serial", content))
        assert values(report) == gives
        assert set(report.faults or ()) == set(faults)


def test_nonin_8_must_be_named() -> None:
    """Issue 7.6: four bytes that anything could be are not guessed."""
    frame = bytes([0x80, 72, 97, 0])
    with pytest.raises(Undecodable, match=r"options\.protocol"):
        read("serial", frame * 3)
    assert values(only(read("serial", frame, context(protocol="nonin8")))) == {"spo2": 97, "pulse_rate": 72}


NELLCOR = """N-560    VERSION 1.56.00    CRC:XXXX  SpO2 Limit: 90-100%    PR Limit: 60-170BPM
                             ADULT            0SAT-S
TIME                 %SpO2   BPM     PA     Status
23-Nov-26 12:00:01    79*     66      18    MO SL       AS
23-Nov-26 12:00:03   ---     ---     ---    SD          AS
23-Nov-26 12:00:05    98      70      29"""


def test_lines_of_oximeters() -> None:
    """Issue 7.6: Masimo and Nellcor print lines: dashes are no value, codes are faults, times are local."""
    found = read("serial", MASIMO[0] + MASIMO[1].replace(b"091%", b"---%").replace(b"000800", b"000821"),
                 zone="UTC").reports  # fmt: skip
    assert [values(report) for report in found] == [
        {"spo2": 90, "pulse_rate": 57, "perfusion_index": 7.02},
        {"spo2": None, "pulse_rate": 57, "perfusion_index": 7.02},
    ]
    assert [report.faults for report in found] == [(), ("probe_off",)]
    assert found[0].measured_at == NOON
    decoded = read("serial", NELLCOR, zone="UTC")
    assert [values(report)["spo2"] for report in decoded.reports] == [79, None, 98]
    assert [report.faults for report in decoded.reports] == [("motion",), ("probe_off",), ()]
    assert "belong to no frame" in decoded.note


def test_a_line_that_is_cut_short_is_not_read() -> None:
    """R-15: half a number is no number."""
    whole = MASIMO[0].strip()
    for length in range(len(whole)):
        try:
            decoded = read("serial", whole[:length])
        except Undecodable:
            continue
        assert decoded.reports == ()


def test_what_the_bridge_heard_counts_before_the_devices_clock() -> None:
    """Issue 7: three clocks; a device that nobody sets is as old as the bridge says."""
    envelope = {"at": "2026-11-23T12:00:00+00:00", "frame": MASIMO[0].replace(b"/26 ", b"/09 ").hex()}
    assert only(read("serial", json.dumps(envelope), zone="UTC")).measured_at == NOON


def test_mllp_is_cut_at_its_signs() -> None:
    """Issue 7.6: whole messages, the rest waits, what is outside is noise; an endless one is thrown away."""
    assert cut_mllp(b"\x0ba\x1c\r\x0bb\x1c\r\x0bc") == ((b"a", b"b"), b"\x0bc", 0)
    assert cut_mllp(b"xx\x0ba\x1c\ryy") == ((b"a",), b"", 4)
    assert cut_mllp(b"\x0b" + b"z" * 200_000).rest == b""


def test_the_bridges_envelope_carries_its_time() -> None:
    """Issue 7.6: a frame that waited in the spool is as old as it is."""
    envelope = {"at": "2026-11-23T11:58:00+00:00", "frame": PC60[0].hex()}
    report = only(read("serial", json.dumps(envelope)))
    assert (values(report)["spo2"], report.measured_at) == (96, NOON.replace(hour=11, minute=58))


# --- Sparkplug B --------------------------------------------------------------------------------------------

BIRTH, DATA, DEATH = (f"spBv1.0/ward/{kind}/node/ox" for kind in ("DBIRTH", "DDATA", "DDEATH"))


def test_sparkplug_fields_lie_where_the_specification_puts_them() -> None:
    """Issue 7.5: bytes written by hand after the published field numbers are read."""
    metric = b"\x0a\x04SpO2" + b"\x18\x80\xd8\x84\xf9\xa0\x34" + b"\x20\x07" + b"\x50\x61"
    payload = b"\x08\x80\xd8\x84\xf9\xa0\x34" + b"\x12" + bytes([len(metric)]) + metric + b"\x18\x05"
    message = Payload.FromString(payload)
    assert (message.metrics[0].name, message.metrics[0].int_value, message.seq) == ("SpO2", 97, 5)
    assert values(only(read("sparkplug", payload, context(DATA)))) == {"spo2": 97}


def test_sparkplug_birth_names_the_aliases_of_its_data() -> None:
    """Issue 7.5: birth, alias, data, death."""
    around = context(BIRTH)
    born = only(
        read("sparkplug", sparkplug_payload({"Vitals/SpO2": 97, "Vitals/Pulse": 66}, aliases=True), around)
    )
    assert (born.device_id, born.online, born.measured_at) == ("node/ox", True, NOON)
    assert values(born) == {"spo2": 97, "pulse_rate": 66}
    later = context(DATA)
    later.memory.update(around.memory)
    nameless = sparkplug_payload({"a": 95, "b": 70}, aliases=True, names=False)
    assert values(only(read("sparkplug", nameless, later))) == {"spo2": 95, "pulse_rate": 70}
    assert only(read("sparkplug", b"", context(DEATH))).online is False


def test_sparkplug_alias_without_a_birth_names_the_remedy() -> None:
    """Issue 7.5: an alias that nobody has explained is never guessed."""
    nameless = sparkplug_payload({"a": 95}, aliases=True, names=False)
    with pytest.raises(Undecodable, match=r"1 aliases and no birth.*rebirth.*options\.aliases"):
        read("sparkplug", nameless, context(DATA))
    assert values(only(read("sparkplug", nameless, context(DATA, aliases={"1": "spo2"})))) == {"spo2": 95}


def test_sparkplug_null_quality_and_history() -> None:
    """Issue 7.5: null and bad quality are no value; a historical value keeps its time and says so."""
    null = only(read("sparkplug", sparkplug_payload({"SpO2": 97}, is_null=True), context(DATA)))
    assert one(null, "spo2").validity == INVALID
    message = Payload(timestamp=EPOCH_MS)
    metric = message.metrics.add(name="SpO2", timestamp=EPOCH_MS - 60_000, datatype=9, is_historical=True)
    metric.float_value = 96.6
    metric.properties.keys.append("Quality")
    metric.properties.values.add(type=3, int_value=192)
    good = only(read("sparkplug", message.SerializeToString(), context(DATA)))
    assert (one(good, "spo2").value, one(good, "spo2").reason) == (96.6, "historical")
    assert good.measured_at == NOON.replace(hour=11, minute=59)
    metric.properties.values[0].int_value = 0
    bad = only(read("sparkplug", message.SerializeToString(), context(DATA)))
    assert (one(bad, "spo2").value, one(bad, "spo2").reason) == (
        None,
        "quality bad; 96.6 not used; historical",
    )


def test_sparkplug_signed_integers() -> None:
    """Issue 7.5: Int16 -1 lies as two's complement in an unsigned field and is no value."""
    message = Payload(timestamp=EPOCH_MS)
    message.metrics.add(name="SpO2", datatype=2, int_value=0xFFFF)
    found = one(only(read("sparkplug", message.SerializeToString(), context(DATA))), "spo2")
    assert (found.value, found.reason) == (None, "-1 is a device's sign for no value")


def test_sparkplug_that_is_none_is_refused() -> None:
    """P-25: other bytes go to the quarantine."""
    with pytest.raises(Undecodable, match="not Sparkplug B"):
        read("sparkplug", b"\xff\xff\xff\xff", context(DATA))
