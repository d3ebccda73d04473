"""Serial frames and Sparkplug B: cut, checked, understood."""

from __future__ import annotations

import json
import random

import pytest

from monitor.core.vitals import INVALID
from monitor.formats import Undecodable
from monitor.formats.serial_frames import CUTTERS, crc8_maxim, cut_mllp
from monitor.formats.sparkplug import Payload
from tests.formats.corpus import EPOCH_MS, IVY, sparkplug_payload
from tests.formats.speech import NOON, context, one, only, read, values

PC60 = tuple(
    bytes.fromhex(text)
    for text in ("aa550f0801603e005000c008", "aa550f08015f55005700c0da", "aa550f08016239004400c0e3")
)
BCI = (bytes([0x85, 60, 3, 66, 97]), bytes([0x85, 61, 0x43, 10, 98]))


def test_crc_by_its_check_value() -> None:
    """The CRC-8/MAXIM of "123456789" is 0xA1."""
    assert crc8_maxim(b"123456789") == 0xA1


@pytest.mark.parametrize(("name", "frames"), [("ivy", (IVY, IVY)), ("pc60", PC60), ("bci", BCI)])
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
        assert found == list(frames), step


@pytest.mark.parametrize(("name", "frames"), [("pc60", PC60), ("bci", BCI)])
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
