// The call player: sound by the audio element and Range requests, lanes by wavesurfer from stored peaks.
import { bindKeys, remember } from "./keys.js";
import { findSilences } from "./silence.js";

const BIG_STEP_SECONDS = 10;
const SMALL_STEP_SECONDS = 5;
const LANE_HEIGHT_PIXELS = 64;
const PATIENCE_MILLISECONDS = 1000;
const LONGEST_TIMER_MILLISECONDS = 2 ** 31 - 1;
const REASONS = { 401: "signedOut", 403: "ended", 404: "ended", 503: "stopped" };

function clock(seconds) {
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

class Player {
  constructor(root) {
    this.root = root;
    this.audio = root.querySelector("audio");
    this.part = (name) => root.querySelector(`[data-part=${name}]`);
    this.duration = Number(root.dataset.durationSeconds);
    this.silences = [];
    this.skips = this.part("skip").getAttribute("aria-pressed") === "true";
    this.audio.preservesPitch = true;
    this.setSpeed(this.part("speed").value);
    this.listen();
    this.show();
    const left = Number(root.dataset.endsInSeconds) * 1000;
    if (left >= 0 && left < LONGEST_TIMER_MILLISECONDS) setTimeout(() => this.end(), left);
  }

  say(name, values = {}) {
    const text = this.root.querySelector(`[data-text=${name}]`)?.textContent ?? "";
    this.said = name;
    this.part("status").textContent = text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
  }

  listen() {
    const { audio } = this;
    this.part("play").addEventListener("click", () => this.toggle());
    this.part("back").addEventListener("click", () => this.move(-BIG_STEP_SECONDS));
    this.part("forward").addEventListener("click", () => this.move(BIG_STEP_SECONDS));
    this.part("skip").addEventListener("click", () => this.toggleSkip());
    this.part("speed").addEventListener("change", (event) => {
      this.setSpeed(event.target.value);
      remember({ speed: event.target.value });
    });
    this.part("seek").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    this.part("seek").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.move(step * SMALL_STEP_SECONDS);
    });
    for (const name of ["timeupdate", "seeking", "seeked", "ended"]) audio.addEventListener(name, () => this.show());
    for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, () => this.showState());
    audio.addEventListener("waiting", () => {
      clearTimeout(this.patience);
      this.patience = setTimeout(() => this.say("waiting"), PATIENCE_MILLISECONDS);
    });
    audio.addEventListener("playing", () => this.goOn());
    audio.addEventListener("error", () => this.explainFailure());
    audio.addEventListener("loadedmetadata", () => {
      if (Number.isFinite(audio.duration)) this.duration = audio.duration;
      this.show();
    });
    audio.addEventListener("timeupdate", () => this.passSilence());
  }

  /** Takes back what was said of waiting or failing, now that sound comes. */
  goOn() {
    clearTimeout(this.patience);
    // wavesurfer sets its own rate on the first sound.
    this.setSpeed(this.part("speed").value);
    if (this.said === "waiting" || Object.values(REASONS).concat("failed", "unreachable").includes(this.said)) {
      this.say("playing");
    }
  }

  /** Stops at the end of the right to listen, although the browser may hold more sound by then. */
  end() {
    this.isOver = true;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.showState();
    this.say("ended");
  }

  get position() {
    return this.audio.currentTime;
  }

  show() {
    const { position, duration } = this;
    const seek = this.part("seek");
    seek.max = String(duration);
    seek.value = String(position);
    const text = `${clock(position)} / ${clock(duration)}`;
    seek.setAttribute("aria-valuetext", text);
    this.part("clock").textContent = text;
  }

  showState() {
    const isPlaying = !this.audio.paused && !this.audio.ended;
    this.part("play-label").textContent = this.root.querySelector(
      `[data-text=${isPlaying ? "pause" : "play"}]`,
    ).textContent;
    this.part("play").dataset.state = isPlaying ? "playing" : "paused";
  }

  async toggle() {
    if (this.isOver) {
      this.say("ended");
      return;
    }
    if (!this.audio.paused) {
      this.audio.pause();
      return;
    }
    // After a failure the element keeps its error until it is loaded anew.
    if (this.audio.error) this.reload();
    try {
      await this.audio.play();
    } catch (error) {
      // An aborted play is a pause; what failed to load is explained by the error event.
      if (error.name === "NotAllowedError") this.say("failed");
    }
  }

  reload() {
    const at = this.audio.currentTime;
    this.audio.load();
    this.audio.currentTime = at;
    this.setSpeed(this.part("speed").value);
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(Math.max(seconds, 0), this.duration);
    this.show();
  }

  move(seconds) {
    this.seek(this.position + seconds);
  }

  setSpeed(value) {
    this.audio.defaultPlaybackRate = Number(value);
    this.audio.playbackRate = Number(value);
  }

  stepSpeed(by) {
    const select = this.part("speed");
    const at = Math.min(Math.max(select.selectedIndex + by, 0), select.options.length - 1);
    select.selectedIndex = at;
    this.setSpeed(select.value);
    this.say("speed", { speed: select.options[at].text });
    remember({ speed: select.value });
  }

  toggleSkip() {
    this.skips = !this.skips;
    this.part("skip").setAttribute("aria-pressed", String(this.skips));
    this.say(this.skips ? "skipOn" : "skipOff");
    remember({ skip_silence: this.skips ? "on" : "off" });
  }

  passSilence() {
    if (!this.skips || this.audio.paused || this.audio.seeking) return;
    const at = this.position;
    const silence = this.silences.find(([from, until]) => at >= from && at < until - 0.3);
    if (!silence) return;
    this.seek(silence[1]);
    const skipped = (silence[1] - at).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 });
    this.say("skipped", { seconds: skipped });
  }

  /** Says why the sound stopped. The element does not tell the status, so one byte is asked for. */
  async explainFailure() {
    if (this.isOver) return;
    clearTimeout(this.patience);
    let reason = "failed";
    try {
      const answer = await fetch(this.audio.currentSrc || this.audio.src, {
        headers: { Range: "bytes=0-0" },
        credentials: "same-origin",
        cache: "no-store",
      });
      reason = REASONS[answer.status] ?? "failed";
    } catch {
      reason = "unreachable";
    }
    this.say(reason);
    this.root.dataset.failure = reason;
    this.showState();
  }
}

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function laneColors(channels, roles) {
  return channels.map((_, i) => ({
    waveColor: token({ agent: "agent", customer: "customer" }[roles[i]] ?? "accent"),
    progressColor: token("ink"),
  }));
}

async function drawLanes(player) {
  const { root, audio } = player;
  const container = player.part("wave");
  const answer = await fetch(root.dataset.peaksUrl, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`peaks answered ${answer.status}`);
  const { duration, channels, roles } = await answer.json();
  if (duration) player.duration = duration;
  player.silences = findSilences(channels, duration);
  player.show();
  if (channels.length === 0) throw new Error("no peaks");
  // The nonce property is readable by script while the attribute is hidden from style sheets.
  const nonce = document.querySelector("script[data-player-script]").nonce;
  const { default: WaveSurfer } = await import(root.dataset.wavesurferUrl);
  const wave = WaveSurfer.create({
    container,
    media: audio,
    peaks: channels,
    duration: player.duration,
    audioRate: audio.playbackRate,
    cspNonce: nonce,
    height: LANE_HEIGHT_PIXELS,
    splitChannels: laneColors(channels, roles),
    cursorColor: token("ink"),
    cursorWidth: 2,
    barWidth: 2,
    barGap: 2,
    barRadius: 1,
    normalize: true,
    dragToSeek: true,
    hideScrollbar: true,
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    wave.setOptions({ splitChannels: laneColors(channels, roles), cursorColor: token("ink") });
  });
}

for (const root of document.querySelectorAll("[data-player]")) {
  const player = new Player(root);
  bindKeys({
    k: () => player.toggle(),
    " ": () => player.toggle(),
    j: () => player.move(-BIG_STEP_SECONDS),
    l: () => player.move(BIG_STEP_SECONDS),
    s: () => player.toggleSkip(),
    "<": () => player.stepSpeed(-1),
    ">": () => player.stepSpeed(1),
    ArrowLeft: () => player.move(-SMALL_STEP_SECONDS),
    ArrowRight: () => player.move(SMALL_STEP_SECONDS),
  });
  drawLanes(player).catch(() => player.say("noWave"));
}
