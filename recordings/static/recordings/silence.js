// Finds silence in waveform peaks, so that the player can pass over it.

const SHORTEST_SECONDS = 1;
const LEAD_IN_SECONDS = 0.15;
const OF_LOUDEST = 0.03;
const ALWAYS_SILENT = 0.004;

/**
 * Stretches in which nobody speaks, as [from, until] in seconds; until leaves the lead-in audible.
 * @param {number[][]} channels peaks between -1 and 1, evenly spread over the duration
 * @param {number} durationSeconds
 */
export function findSilences(channels, durationSeconds) {
  const length = Math.min(...channels.map((peaks) => peaks.length));
  if (!Number.isFinite(length) || length === 0) return [];
  const loudness = Array.from({ length }, (_, i) => Math.max(...channels.map((peaks) => Math.abs(peaks[i]))));
  const threshold = Math.max(ALWAYS_SILENT, OF_LOUDEST * loudness.reduce((a, b) => Math.max(a, b), 0));
  const secondsPerPeak = durationSeconds / length;
  const silences = [];
  let start = -1;
  for (let i = 0; i <= length; i += 1) {
    const isSilent = i < length && loudness[i] <= threshold;
    if (isSilent && start === -1) start = i;
    if (!isSilent && start !== -1) {
      const from = start * secondsPerPeak;
      const until = i * secondsPerPeak - LEAD_IN_SECONDS;
      if (i * secondsPerPeak - from > SHORTEST_SECONDS) silences.push([from, until]);
      start = -1;
    }
  }
  return silences;
}
