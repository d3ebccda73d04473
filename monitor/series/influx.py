"""A time series store that speaks InfluxDB: v2 writes, InfluxQL reads. The one door to influxdb-client.

Law: a write that returned is in the store, or named as refused; anything else raises. ``ping()`` is never
believed: some stores answer it and take no writes. Whether a store is ready is decided by writing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from influxdb_client.service.health_service import HealthService
from urllib3.exceptions import HTTPError

from monitor.config import Series
from monitor.core.record import Trace
from monitor.core.vitals import METRICS
from monitor.schema import LEVELS, METRIC_COLUMNS, micros
from monitor.series.embedded import thin
from monitor.series.levels import overview
from monitor.series.points import PROBE, VITALS

REFUSED = (400, 413, 422)  # this batch, or something in it; anything else concerns the store
# What stores say when they took a batch but for what is too old for them; 2.0 says it with a 500.
PARTLY = "partial write"
TOO_OLD = re.compile(r"(beyond|outside)( of)?( the)? retention", re.IGNORECASE)


class Unreachable(Exception):
    """The store does not take or give anything now; ``retry_after_s`` is what it asks for, or 0."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        """Keep the reason, one line."""
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class Influx:
    """One bucket of one store."""

    def __init__(self, settings: Series) -> None:
        """Prepare; nothing is sent yet."""
        self.settings = settings
        more: dict[str, Any] = {"ssl_ca_cert": settings.tls_ca} if settings.tls_ca else {}
        self._client: Any = InfluxDBClient(
            settings.url,
            settings.token(),
            org=settings.org or "-",
            timeout=int(settings.timeout_s * 1000),
            enable_gzip=True,
            **more,
        )
        self._writer: Any = self._client.write_api(write_options=SYNCHRONOUS)

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    # --- writing ------------------------------------------------------------------------------------

    def probe(self, site: str, now: datetime) -> None:
        """Write one point that says that the mirror of a site is there.

        Raises:
            Unreachable: the store does not take it; the reason holds what its health check says.
        """
        line = f"{PROBE},site={site} ready=1i {micros(now) * 1000}"
        try:
            self._post([line])
        except ApiException as fault:
            reason = f"{_reason(fault)}; health: {self._health()}"
            raise Unreachable(reason, _retry_after(fault)) from fault

    def _health(self) -> str:
        try:
            service: Any = HealthService
            found = service(self._client.api_client).get_health()
            return str(getattr(found, "status", found))
        except Exception as fault:  # noqa: BLE001  not every store has one; this only explains
            return _reason(fault)

    def write(self, lines: Sequence[str]) -> list[str]:
        """Write lines, all of them.

        Returns:
            Why single lines were refused for good; all others are in the store.

        Raises:
            Unreachable: trying again may help; some of the lines may be in the store.
        """
        try:
            self._post(lines)
        except ApiException as fault:
            reason = _reason(fault)
            partly = PARTLY in reason
            if fault.status not in REFUSED and not partly:
                raise Unreachable(reason, _retry_after(fault)) from fault
            if len(lines) == 1 or (partly and TOO_OLD.search(reason)):
                return [reason]
            middle = len(lines) // 2
            return self.write(lines[:middle]) + self.write(lines[middle:])
        return []

    def _post(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        try:
            self._writer.write(self.settings.bucket, record="\n".join(lines), write_precision="ns")
        except (HTTPError, OSError) as fault:
            raise Unreachable(_reason(fault)) from fault

    # --- reading ------------------------------------------------------------------------------------

    def query(self, influxql: str) -> list[dict[str, Any]]:
        """Ask in InfluxQL; return the series as the store gives them, instants in microseconds.

        Raises:
            Unreachable: the store does not answer, or not with a result.
        """
        try:
            reply = self._client.api_client.request(
                "GET",
                f"{self.settings.url.rstrip('/')}/query",
                query_params=[("db", self.settings.bucket), ("epoch", "u"), ("q", influxql)],
                headers={"Authorization": f"Token {self.settings.token()}", "Accept": "application/json"},
            )
            result = orjson.loads(reply.data)["results"][0]
        except (ApiException, HTTPError, OSError, ValueError, LookupError) as fault:
            raise Unreachable(_reason(fault)) from fault
        if "error" in result:
            raise Unreachable(str(result["error"]))
        found: list[dict[str, Any]] = result.get("series", [])
        return found

    def traces(
        self,
        site: str,
        bed_id: str,
        from_at: datetime,
        to_at: datetime,
        *,
        metrics: Sequence[str] = (),
        every_s: float = 0.0,
    ) -> list[Trace]:
        """Return what was measured on a bed, as ``Embedded.traces`` does, from the store.

        Raises:
            Unreachable: the store does not answer.
        """
        chosen = [name for name in METRIC_COLUMNS if not metrics or name in metrics]
        where = (
            f"site = '{_quoted(site)}' AND bed = '{_quoted(bed_id)}' "
            f"AND time >= {micros(from_at)}u AND time <= {micros(to_at)}u"
        )
        if every_s >= LEVELS[-1]:
            return self._overview(where, chosen, int(every_s) // LEVELS[-1] * LEVELS[-1])
        columns = ", ".join(f'"{name}", "{name}_mark"' for name in chosen)
        traces: list[Trace] = []
        for series in self.query(f'SELECT {columns} FROM "{VITALS}" WHERE {where} GROUP BY device'):
            at, *rest = map(list, zip(*series["values"], strict=True))
            for place, name in enumerate(chosen):
                trace = _trace(name, series["tags"]["device"], at, rest[2 * place], rest[2 * place + 1])
                if trace.at:
                    traces.append(thin(trace, every_s) if every_s > 0 else trace)
        return _ordered(traces)

    def _overview(self, where: str, metrics: Sequence[str], every_s: int) -> list[Trace]:
        """Ask for the lowest and the highest of long intervals only."""
        columns = ", ".join(f'min("{name}"), max("{name}")' for name in metrics)
        traces: list[Trace] = []
        query = f'SELECT {columns} FROM "{VITALS}" WHERE {where} GROUP BY time({every_s}s), device fill(none)'
        for series in self.query(query):
            at, *ends = zip(*series["values"], strict=True)
            begins = [begin / 1e6 for begin in at]
            for place, name in enumerate(metrics):
                lows, highs = ends[2 * place], ends[2 * place + 1]
                trace = overview(name, series["tags"]["device"], begins, lows, highs, every_s)
                if trace.at:
                    traces.append(trace)
        return _ordered(traces)


def _trace(metric: str, device_id: str, at: list[int], values: list[Any], marks: list[Any]) -> Trace:
    kept = [i for i in range(len(at)) if values[i] is not None or marks[i]]
    found = {place: marks[i] for place, i in enumerate(kept) if marks[i]}
    numbers = [None if values[i] is None else float(values[i]) for i in kept]
    return Trace(metric, device_id, [at[i] / 1e6 for i in kept], numbers, found)


def _ordered(traces: list[Trace]) -> list[Trace]:
    order = list(METRICS)
    return sorted(traces, key=lambda trace: (order.index(trace.metric), trace.device_id))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _reason(fault: Exception) -> str:
    """Return one line of what went wrong; never the address with what may be secret in it."""
    if isinstance(fault, ApiException):
        body = fault.body.decode(errors="replace") if isinstance(fault.body, bytes) else str(fault.body or "")
        return " ".join(f"{fault.status} {fault.reason}: {body}".split())[:300]
    text = re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?", "", str(fault)) or type(fault).__name__
    return " ".join(text.split())[:300]


def _retry_after(fault: ApiException) -> float:
    headers: Any = fault.headers or {}
    try:
        return min(600.0, float(headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
