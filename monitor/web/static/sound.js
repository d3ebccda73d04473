// The sound of the wall: bursts per ALARMS §1.2, made here, scheduled ahead on the audio clock.
//
// Law: a page counts as heard only while its audio clock runs and its self-test came through (AL-35). When frames
// stop, a tone that was scheduled beforehand sounds by itself: it needs no timer that a sleeping page would miss.

// Melodies: the general one of IEC 60601-1-8 as ALARMS §1.2 gives it (C4 C4 C4 - C4 C5), in Hz.
const C4 = 261.63;
const C5 = 523.25;
// Fundamental and harmonics within 300-4000 Hz, each within 15 dB of the others.
const HARMONICS = [0, 1, 0.85, 0.7, 0.6, 0.5, 0.4];

/** Pulses of one burst: seconds after its begin, length in seconds, fundamental in Hz. */
export const BURSTS = {
  high: pulses([C4, C4, C4, C4, C5, C4, C4, C4, C4, C5], 0.14, (n) => (n === 4 ? 0.5 : n % 5 === 2 ? 0.34 : 0.1)),
  medium: pulses([C4, C4, C4], 0.18, () => 0.18),
  low: pulses([C4], 0.2, () => 0),
};
/** Seconds from the begin of one burst to the next. */
export const EVERY_S = { high: 8, medium: 15, low: 30 };
const EDGE = 0.2; // rise and fall, as a part of the pulse
const LEVEL = { high: 0.5, medium: 0.4, low: 0.3 };
const DEAD_MAN_S = 6;
const PROOF_MS = 3000;
const AUDIBLE = 0.02;

function pulses(notes, length, gap) {
  let at = 0;
  return notes.map((hertz, n) => {
    const pulse = { at, length, hertz };
    at += length + gap(n);
    return pulse;
  });
}

/** Schedule one burst on any audio context; returns what can be stopped. */
export function burst(context, destination, priority, at) {
  const wave = context.createPeriodicWave(new Float32Array(HARMONICS.length), Float32Array.from(HARMONICS));
  return BURSTS[priority].map((pulse) => {
    const tone = new OscillatorNode(context, { periodicWave: wave, frequency: pulse.hertz });
    const gain = new GainNode(context, { gain: 0 });
    const begin = at + pulse.at;
    const edge = pulse.length * EDGE;
    gain.gain.setValueAtTime(0, begin);
    gain.gain.linearRampToValueAtTime(LEVEL[priority], begin + edge);
    gain.gain.setValueAtTime(LEVEL[priority], begin + pulse.length - edge);
    gain.gain.linearRampToValueAtTime(0, begin + pulse.length);
    tone.connect(gain).connect(destination);
    tone.start(begin);
    tone.stop(begin + pulse.length);
    return tone;
  });
}

export class Sound {
  constructor() {
    this.context = null;
    this.meter = null;
    this.proved = false;
    this.clock = { audio: 0, page: 0 };
    this.priority = "";
    this.next = 0;
    this.deadMan = null;
    this.deadManBurst = null;
    this.playing = [];
    this.heard = 0;
  }

  /** Switch on after a person's gesture; plays and measures a test tone. Returns whether it is proved. */
  async unlock() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    this.meter ??= new AnalyserNode(this.context, { fftSize: 2048 });
    this.meter.connect(this.context.destination);
    await Promise.race([this.context.resume(), new Promise((done) => setTimeout(done, PROOF_MS))]);
    if (this.context.state !== "running") return false;
    this.deadManBurst ??= await rendered("high", EVERY_S.high, this.context.sampleRate);
    burst(this.context, this.meter, "low", this.context.currentTime + 0.05);
    this.proved = (await this.loudest(PROOF_MS, AUDIBLE)) >= AUDIBLE;
    this.note();
    return this.running();
  }

  /** The highest level that is measured within a time; `enough` ends the wait, so that a busy machine may be late. */
  async loudest(ms, enough = Infinity) {
    const samples = new Float32Array(this.meter.fftSize);
    let most = 0;
    const until = performance.now() + ms;
    while (performance.now() < until && most < enough) {
      this.meter.getFloatTimeDomainData(samples);
      for (const sample of samples) most = Math.max(most, Math.abs(sample));
      await new Promise((done) => setTimeout(done, 20));
    }
    return most;
  }

  note() {
    this.clock = { audio: this.context.currentTime, page: performance.now() };
  }

  async off() {
    this.proved = false;
    this.quiet();
    this.quietDeadMan();
    await this.context?.suspend();
  }

  /** Whether the sound runs now: state, self-test, and an audio clock that moved since the last look. */
  running() {
    if (!this.context || !this.proved || this.context.state !== "running") return false;
    const page = performance.now() - this.clock.page;
    if (page < 500) return true;
    const moved = this.context.currentTime - this.clock.audio;
    this.note();
    return moved > 0.2;
  }

  /** With every frame: sound for the worst priority that signals, and put off the dead man's tone. */
  frame(priority, fresh) {
    if (!this.context || !this.proved) return;
    const now = this.context.currentTime;
    this.quietDeadMan();
    this.deadMan = new AudioBufferSourceNode(this.context, { buffer: this.deadManBurst, loop: true });
    this.deadMan.connect(this.meter);
    this.deadMan.start(now + DEAD_MAN_S);
    if (priority !== this.priority || fresh) {
      this.priority = priority;
      this.quiet();
      this.next = now + 0.05;
    }
    if (priority && this.next <= now + 1.5) {
      const at = Math.max(this.next, now + 0.05);
      this.playing = burst(this.context, this.meter, priority, at);
      this.next = at + EVERY_S[priority];
      this.heard += 1;
    }
  }

  quiet() {
    for (const tone of this.playing) stop(tone);
    this.playing = [];
  }

  quietDeadMan() {
    if (this.deadMan) stop(this.deadMan);
    this.deadMan = null;
  }
}

/** One burst and the pause after it, as samples. */
export async function rendered(priority, seconds, rate) {
  const offline = new OfflineAudioContext(1, Math.ceil(seconds * rate), rate);
  burst(offline, offline.destination, priority, 0);
  return offline.startRendering();
}

function stop(tone) {
  tone.stop();
  tone.disconnect();
}
