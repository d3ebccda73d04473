"""What Prometheus is told: figures of beds, alarms, pages and the monitor itself.

Law: no patient is in it; it is made when it is asked for, and costs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from monitor.web.house import House


def figures(house: House) -> Callable[[], bytes]:
    """Return what gives the figures as they are now, in the text that Prometheus reads."""
    registry = CollectorRegistry()
    beds = Gauge("afterwatch_beds", "Beds by what runs on them.", ["mode"], registry=registry)
    alarms = Gauge("afterwatch_alarms", "Alarms present.", ["kind", "priority"], registry=registry)
    open_pages = Gauge("afterwatch_pages", "Pages with a live wall.", registry=registry)
    frames = Counter("afterwatch_frames", "Frames of the wall made.", registry=registry)
    build_s = Gauge("afterwatch_frame_build_seconds", "Time to make the last frame.", registry=registry)
    dropped = Counter("afterwatch_pages_dropped", "Pages let go for being slow.", registry=registry)
    check = Gauge("afterwatch_health", "Numbers of the self-check.", ["name"], registry=registry)
    ProcessCollector(registry=registry)
    more: dict[str, Gauge] = {}
    told = {"frames": 0, "dropped": 0}

    def answer() -> bytes:
        every = house.desk.beds().values()
        for mode in ("real", "drill"):
            beds.labels(mode).set(sum(bed.session is not None and bed.session.mode == mode for bed in every))
        for kind in ("physiological", "technical"):
            for priority in ("high", "medium", "low"):
                found = (one for bed in every for one in bed.alarms.values())
                count = sum(one.kind == kind and one.priority == priority for one in found)
                alarms.labels(kind, priority).set(count)
        open_pages.set(house.hub.pages)
        build_s.set(house.hub.build_s)
        frames.inc(max(0, house.hub.number - told["frames"]))
        dropped.inc(max(0, house.hub.dropped - told["dropped"]))
        told.update(frames=house.hub.number, dropped=house.hub.dropped)
        for name, value in house.desk.health().items():
            if isinstance(value, (int, float)):
                check.labels(name).set(value)
        for name, value in house.options.figures().items():
            if name not in more:
                more[name] = Gauge(f"afterwatch_{name}", "See docs/operating.md.", registry=registry)
            more[name].set(value)
        return generate_latest(registry)

    return answer
