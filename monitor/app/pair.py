"""Two monitors for one site: one is active, the other follows and takes over (R-20, P-46; ``docs/pair.md``).

Law: the follower is a journal that is written to, nothing else; taking over is a start after a crash, with
the same MQTT client id, so that the broker itself cuts off the old connection and gives us what nobody has
confirmed. Whoever sees a higher token becomes another program before it says a word. Misses are not
allowed, duplicates are.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from monitor import notify, snapshot
from monitor.app.lease import BEATS, Beat, Lease, Standing, Token
from monitor.app.messenger import Messenger
from monitor.app.replica import BASE, KNOWN, Follower, Parcel, Seal, Shipper, dump_known, load
from monitor.app.site import Site
from monitor.app.standby_page import StandbyPage
from monitor.app.ward import STATION, Ward
from monitor.clock import SystemClock
from monitor.config import Configuration
from monitor.core import inputs as given
from monitor.core.bed import Bed, advance
from monitor.core.protocol import Priority
from monitor.journal import Journal, JournalError
from monitor.mqtt import Envelope, Link, Will, presence

log = logging.getLogger("afterwatch")

LOOK_S = 0.1
WORD_S = 2.0  # how often a follower says that it follows
UNFOLLOWED_S = 20.0
ALONE_S = 30.0  # a follower that hears nobody and cannot take over tells people
SKEW_S = 2.0  # between the clocks of the two
BASE_EVERY_S = 3.0
MOST_AT_ONCE = 200  # parcels in one commit
LAST_WORDS_S = 2.0


def seconds() -> float:
    """Return seconds that never go back, and go on while the machine sleeps where the system can say so."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Pair:
    """This one of the two, from start to end: follower first, active when nobody else is."""

    def __init__(self, configuration: Configuration, version: str = "") -> None:
        """Open the journal as a follower.

        Raises:
            JournalError: the journal cannot be used.
        """
        self.configuration, self.version = configuration, version
        clinic, root = configuration.clinic, configuration.root
        self.name = clinic.pair.name
        self._topic = f"{root}/monitor/lease"
        self._batches, self._words = f"{root}/monitor/pair/batch", f"{root}/monitor/pair/word"
        self._seal = Seal(clinic.pair.secret())
        self._clock = SystemClock()
        self._journal = Journal(configuration.store)
        self._follower = Follower(self._journal, configuration.store)
        self._lease = Lease(self.name, clinic.pair.lease_s, self._follower.token)
        self._lock = threading.Lock()  # of the lease
        self._heard: queue.SimpleQueue[Envelope] = queue.SimpleQueue()
        self._unconfirmed: list[Envelope] = []
        self._parcels: list[Parcel] = []
        self._due_at: dict[str, float] = {}
        self._word: tuple[float, Mapping[str, Any]] = (seconds(), {})
        self._cut_off_at = seconds()
        self._told = False
        self._claimed_at = 0.0
        self._trouble = ""
        self._site: Site | None = None
        self._shipper: Shipper | None = None
        self._wiring = ""
        self._is_ours = self._closing = False
        self._changed, self._ended = threading.Event(), threading.Event()
        self._link = self._make_link()
        self._keeper = threading.Thread(target=self._keep, name="pair", daemon=True)

    def _make_link(self) -> Link:
        broker = self.configuration.clinic.broker
        own = broker.model_copy(update={"client_id": f"{broker.client_id}-{self.name}"})
        said = partial(presence, boot_id=self.name)
        topic = f"{self.configuration.root}/monitor/pair/{self.name}/status"
        will = Will(topic, said("offline"), said("online"))
        return Link(own, [self._topic, self._batches, self._words], will, self, self._clock)

    # --- life -----------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Follow, take over when it is due, watch until told to end; return whether all became durable."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        web = self.configuration.clinic.web
        page = StandbyPage(web.host, web.port, self.says)
        page.start()
        self._link.start()
        self._keeper.start()
        log.info("monitor %s follows", self.name)
        self._changed.wait()
        page.stop()
        durable = True
        if self._is_ours and not self._ended.is_set():
            self._journal.close()
            durable = self._watch()
        self._close()
        return durable

    def _end(self, *_: Any) -> None:
        self._ended.set()
        self._changed.set()

    def _watch(self) -> bool:
        """Be the site's monitor until told to end; return whether everything became durable."""
        web = self.configuration.clinic.web
        try:
            site, shipper = self._take_over()
        except OSError as fault:
            log.error("%s:%d: %s; choose another [web] port", web.host, web.port, fault)
            return False
        print(f"{notify.DISCLAIMER}\nwall: http://{site.server.host}:{site.server.port}/", flush=True)
        self._ended.wait()
        durable = site.stop()
        deadline = seconds() + LAST_WORDS_S
        while shipper.waiting() and seconds() < deadline:
            time.sleep(LOOK_S)
        return durable

    def _take_over(self) -> tuple[Site, Shipper]:
        """Start the site as after a crash; its first batch is the state of every bed."""
        began, mine = seconds(), self._lease.mine
        site = Site(self.configuration, self.version)
        monitor = site.monitor
        self._wiring = monitor.ward.batch.meta.get("wiring", "")
        shipper = Shipper(mine, self.configuration.store, self._send_batch, monitor.left_due)
        shipper.now = began
        monitor.ship = shipper.ship
        monitor.link.may_connect = lambda: self.standing() == "holds"
        site.messenger.may_speak = lambda: self.standing() in ("holds", "alone")
        self._add_base(monitor.ward)
        self._shipper = shipper
        site.start()
        self._site = site
        log.info(
            "monitor %s is active, term %d, started in %.2f s", self.name, mine.number, seconds() - began
        )
        return site, shipper

    def _close(self) -> None:
        """Let go of the lease, so that the other need not wait for it to run out."""
        if self.standing() == "holds":
            with self._lock:
                self._beat(self._lease.beat(seconds(), released=True))
        self._closing = True
        self._keeper.join(5.0)
        self._link.stop()

    def _step_down(self) -> None:
        """Become a follower before saying another word: a new program in our place (as after a crash)."""
        log.error("monitor %s steps down: term %d is of %s", self.name, *self._lease.highest)
        logging.shutdown()
        if self._ended.is_set():
            os._exit(0)  # it was leaving anyway: a new program would never hear of that
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  ourselves

    def standing(self) -> Standing:
        """Return what we may do now; from any thread."""
        with self._lock:
            return self._lease.standing(seconds())

    def says(self) -> str:
        """Return in words how we follow, for the page."""
        if not self._link.connected:
            return f"no link to the broker: {self._link.reason}"
        if self._trouble:
            return self._trouble
        if not self._follower.whole:
            return "it waits for the state of every bed"
        return f"it follows monitor {self._follower.token.holder}, batch {self._follower.number}"

    # --- the link's inbox, in its thread --------------------------------------------------------------------

    def put(self, several: list[Envelope]) -> None:
        """Take messages."""
        for one in several:
            self._heard.put(one)

    def link_changed(self, connected: bool, reason: str) -> None:
        """Take note that the link is up or down."""
        log.info("pair: %s", f"connected, {reason}" if connected else reason)
        shipper = self._shipper
        if connected and shipper is not None:
            shipper.again()

    # --- the keeper, in its own thread ----------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing:
            try:
                self._listen()
                if self._is_ours:
                    self._hold()
                else:
                    self._follow()
            except Exception:  # the keeper outlives any mistake of ours
                log.exception("the pair met a mistake of its own and goes on")
                time.sleep(LOOK_S)

    def _every(self, name: str, every_s: float) -> bool:
        """Say whether something that is done every so often is due now, and take it as done."""
        now = seconds()
        if now < self._due_at.get(name, 0.0):
            return False
        self._due_at[name] = now + every_s
        return True

    def _listen(self) -> None:
        try:
            envelope = self._heard.get(timeout=LOOK_S)
            for _ in range(MOST_AT_ONCE):
                self._unconfirmed.append(envelope)
                self._read(envelope)
                envelope = self._heard.get_nowait()
            self._unconfirmed.append(envelope)
            self._read(envelope)
        except queue.Empty:
            pass
        if not self._parcels:
            self._confirm()

    def _confirm(self) -> None:
        self._link.confirm(self._unconfirmed)
        self._unconfirmed.clear()

    def _read(self, envelope: Envelope) -> None:
        try:
            plain = self._seal.open(envelope.topic, envelope.payload)
            if envelope.topic == self._topic:
                token, *more = orjson.loads(plain)
                with self._lock:
                    self._lease.hear(Beat(Token(*token), *more), seconds())
                self._cut_off_at, self._told = seconds(), False
            elif envelope.topic == self._batches:
                self._take(load(plain))
            else:
                self._take_word(orjson.loads(plain), envelope)
        except (ValueError, TypeError) as fault:
            if envelope.topic == self._topic:
                with self._lock:
                    self._lease.hear_stranger(seconds())
            self._trouble = f"what comes on {envelope.topic} cannot be used: {str(fault)[:100]}"
            if self._every(f"refused {envelope.topic}", 10.0):
                log.warning("%s; both monitors need the same secret and version", self._trouble)

    def _take(self, parcel: Parcel) -> None:
        if not self._is_ours:
            self._parcels.append(parcel)
        elif self._shipper is not None and parcel.token == self._lease.mine:
            self._shipper.come_back(parcel.number)

    def _take_word(self, word: Mapping[str, Any], envelope: Envelope) -> None:
        if word["name"] != self.name:
            skew_s = envelope.received_at.timestamp() - word["at"]
            self._word = (seconds(), {**word, "skew_s": skew_s})
            above = Token(*word["token"])
            # Only while the lease is beyond doubt: an old word must not lift us above one who took over.
            if self._shipper is not None and above > self._lease.mine and self.standing() == "holds":
                self._rise(self._shipper, above)

    def _beat(self, beat: Beat) -> None:
        token, *more = beat
        self._publish(self._topic, [list(token), *more])

    def _publish(self, topic: str, words: Any) -> None:
        self._link.publish(topic, self._seal.close(topic, orjson.dumps(words)))

    def _send_batch(self, body: bytes) -> None:
        self._link.publish(self._batches, self._seal.close(self._batches, body))

    # --- following ------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        self._write()
        now = seconds()
        with self._lock:
            standing = self._lease.standing(now)
            due = standing == "follows" and self._lease.is_due(self._link.connected, now)
            if due:
                self._claimed_at = now
                log.warning("monitor %s claims the lease: its holder is silent", self.name)
                self._beat(self._lease.claim(now))
            elif standing == "lost" or (
                standing == "claims" and now - self._claimed_at > self._lease.lease_s
            ):
                self._lease.give_up(now)
                log.warning("monitor %s follows on: %s", self.name, "another was first" if standing == "lost"
                            else f"the broker does not say our claim back on {self._topic}")  # fmt: skip
        if standing == "holds":
            self._is_ours = True
            self._changed.set()
            return
        if now - self._cut_off_at > ALONE_S and not self._told:
            self._told = True
            self._tell_people(f"monitor {self.name} hears neither the other nor the broker: {self.says()}")
        if standing == "follows" and self._every("word", WORD_S):
            word = {"name": self.name, "at": self._clock.now().timestamp(), "whole": self._follower.whole,
                    "trouble": self._trouble, "token": list(self._lease.highest)}  # fmt: skip
            self._publish(self._words, word)

    def _write(self) -> None:
        """Put what came into the journal; it is confirmed only then."""
        if not self._parcels:
            return
        try:
            self._follower.take(self._parcels, self._clock.now())
        except JournalError as fault:
            self._trouble = f"the follower's record is not durable: {fault}"
            if self._every("disk", 10.0):
                log.error(self._trouble)
            return
        self._parcels.clear()
        self._trouble = ""
        self._confirm()

    def _tell_people(self, text: str) -> None:
        """Tell people what nobody else may be there to tell."""
        log.error(text)
        messenger = Messenger(self.configuration, self._clock, lambda *_: None)
        now = self._clock.now()
        bed, outcomes = advance(Bed(STATION), given.ReportCondition("pair", "high", text), now)
        messenger.submit(messenger.plan(outcomes, bed, now))

    # --- holding --------------------------------------------------------------------------------------------

    def _hold(self) -> None:
        now, standing = seconds(), self.standing()
        if standing == "lost":
            self._step_down()
        if self._every("beat", self._lease.lease_s / BEATS):
            with self._lock:
                self._beat(self._lease.beat(now))
        shipper, site = self._shipper, self._site
        if shipper is None or site is None:
            return
        shipper.look(now)
        at, word = self._word
        asked = at > now - WORD_S and word["whole"] is False
        if (asked or shipper.overrun) and self._every("base", BASE_EVERY_S):
            shipper.overrun = False
            site.monitor.inbox.ask(lambda: self._add_base(site.monitor.ward))
        if self._every("condition", WORD_S):
            site.monitor.report_condition("pair", *self._judge(now, standing))

    def _rise(self, shipper: Shipper, above: Token) -> None:
        """Take a token above what the follower remembers: it must follow us, not we it."""
        with self._lock:
            self._lease.rise(above)
        shipper.rise(self._lease.mine)
        number = self._lease.mine.number
        log.warning("monitor %s goes on as term %d: the follower knew one above", self.name, number)

    def _judge(self, now: float, standing: Standing) -> tuple[Priority | None, str]:
        """Return what is wrong with the pair, as a technical alarm of the station."""
        at, word = self._word
        if standing != "holds":
            return "medium", "the broker does not confirm the lease; another monitor may have taken over"
        if now - at > UNFOLLOWED_S:
            return "medium", "no other monitor follows: if this one stops, nobody takes over"
        if word.get("trouble"):
            return "medium", f"monitor {word['name']} does not follow: {word['trouble']}"[:200]
        if abs(word.get("skew_s", 0.0)) > SKEW_S:
            return "low", f"the clocks of the two monitors differ by {word['skew_s']:.0f} s; set both by NTP"
        return None, ""

    def _add_base(self, ward: Ward) -> None:
        """Put the state of every bed into the next batch: a follower can begin from it."""
        batch = ward.batch
        for bed_id, bed in ward.beds.items():
            batch.snapshots[bed_id] = (ward.now, snapshot.dump(bed))
            if bed.session is not None:
                protocol = bed.session.protocol
                batch.protocols[protocol.digest] = (protocol.name, snapshot.dump_protocol(protocol))
        batch.meta |= {BASE: ward.now.isoformat(), KNOWN: dump_known(self._lease.mine)}
        if self._wiring:
            batch.meta["wiring"] = self._wiring
