// Monte Carlo estimates of a policy gradient: one prompt, three answers, three logits. An estimate depends on its N
// answers through their counts only, so all counts are listed with their probabilities (less what is below e^-40), and
// one uniform number draws one estimate. Means and variances are closed forms for every N: no sample enters them.

/** `count` uniform numbers in [0, 1) of 53 bits: xoshiro128** (Blackman and Vigna, 2021), its state from splitmix32. */
export function uniforms(seed, count) {
  let t = seed >>> 0;
  const fill = () => {
    t = (t + 0x9e3779b9) | 0;
    let x = Math.imul(t ^ (t >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return x ^ (x >>> 15);
  };
  let a = fill(), b = fill(), c = fill(), d = fill();
  const next = () => {
    const x = Math.imul(b, 5), result = Math.imul((x << 7) | (x >>> 25), 9), shifted = b << 9;
    c ^= a; d ^= b; b ^= c; a ^= d; c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const numbers = new Float64Array(count);
  for (let i = 0; i < count; i++) numbers[i] = ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
  return numbers;
}

/** Whether the baseline is computed from the group, which then needs two answers. */
export const fromGroup = baseline => baseline === 'leave_one_out' || baseline === 'group_mean';

/** R - J, so that equal rewards give exact zeros. */
function deviations({ probs, rewards }) {
  const above = rewards.map(r => r - rewards[0]), mean = above.reduce((sum, d, a) => sum + probs[a] * d, 0);
  return { J: rewards[0] + mean, parts: above.map(d => d - mean) };
}
/** J - b; null where the baseline is no number. */
function aboveBaseline({ baseline, constant, probs }, { J, parts }) {
  if (fromGroup(baseline)) return null;
  if (baseline === 'none') return J;
  if (baseline === 'constant') return J - constant;
  if (baseline === 'mean') return 0;
  // b* = E[R |s|²] / E[|s|²] makes the trace of the covariance smallest
  const square = probs.reduce((sum, p) => sum + p * p, 0), mass = probs.map(p => p * (1 - 2 * p + square));
  return -mass.reduce((sum, m, a) => sum + m * parts[a], 0) / mass.reduce((sum, m) => sum + m, 0);
}

/**
 * The truth g, and exact mean and variance of an estimate, one number a logit. For a number b the variance is
 * Var[(R - b) s] / N. Leave-one-out is the sample covariance of R and s (over N - 1), and its variance is
 * E[(R - J)² s²] / N + (Var[R] Var[s] - (N - 2) g²) / (N (N - 1)). The group's mean gives 1 - 1/N times that estimate.
 */
export function estimateMoments(problem) {
  const { probs, baseline, size } = problem, from = deviations(problem), { J, parts } = from, above = aboveBaseline(problem, from);
  const expect = f => probs[0] * f(0) + probs[1] * f(1) + probs[2] * f(2), shrink = baseline === 'group_mean' ? 1 - 1 / size : 1;
  const truth = probs.map((p, k) => p * parts[k]);
  const variance = truth.map((g, k) => {
    const score = a => (a === k) - probs[k];
    if (above !== null) return expect(a => ((parts[a] + above) * score(a) - g) ** 2) / size;
    const product = expect(a => parts[a] ** 2) * expect(a => score(a) ** 2);
    const v = expect(a => (parts[a] * score(a)) ** 2) / size + (product - (size - 2) * g * g) / (size * (size - 1));
    return shrink * shrink * Math.max(0, v);
  });
  const mean = truth.map(g => shrink * g), noise = variance.reduce((sum, v) => sum + v, 0);
  return { baseline: above === null ? null : J - above, truth, mean, variance, snr: noise > 0 ? mean.reduce((sum, g) => sum + g * g, 0) / noise : null };
}

/** Every count of answers 0 and 1 among `size` answers, with its probability. */
export function listCounts(size, probs) {
  const logFactorial = new Float64Array(size + 1), [l0, l1, l2] = probs.map(Math.log), others = probs[1] + probs[2];
  for (let n = 2; n <= size; n++) logFactorial[n] = logFactorial[n - 1] + Math.log(n);
  const odds = probs[1] / probs[2], least = Math.exp(-40), room = Math.min(((size + 1) * (size + 2)) / 2, 100 * size + 5000);
  const zero = new Uint16Array(room), one = new Uint16Array(room), probability = new Float64Array(room);
  let n = 0;
  for (let i = 0; i <= size; i++) {
    const left = size - i, start = logFactorial[size] - logFactorial[i] + i * l0;
    if (start - logFactorial[left] + left * Math.log(others) < -40) continue;
    let j = Math.min(left, Math.floor(((left + 1) * probs[1]) / others));      // from the mode down to the least, and up
    let chance = Math.exp(start - logFactorial[j] - logFactorial[left - j] + j * l1 + (left - j) * l2);
    const mode = j;
    for (; j > 0 && chance > least; j--) chance *= j / ((left - j + 1) * odds);
    for (; j <= left && (j <= mode || chance > least); j++, n++) {
      [zero[n], one[n], probability[n]] = [i, j, chance];
      chance *= ((left - j) * odds) / (j + 1);
    }
  }
  return { size, zero: zero.subarray(0, n), one: one.subarray(0, n), probability: probability.subarray(0, n) };
}

/** The estimate of logit k's slope for every entry of a list of counts. */
export function estimatesOf({ size, zero, one }, problem, k) {
  const { probs, rewards, baseline } = problem, from = deviations(problem), above = aboveBaseline(problem, from);
  const part = from.parts.map((d, a) => ((d + above) * ((a === k) - probs[k])) / size);
  const factor = 1 / (size * (baseline === 'group_mean' ? size : size - 1));
  const values = new Float64Array(zero.length), [r0, r1, r2] = rewards.map(r => factor * (rewards[k] - r));
  for (let i = 0; i < values.length; i++) {
    const n0 = zero[i], n1 = one[i], n2 = size - n0 - n1, own = k === 0 ? n0 : k === 1 ? n1 : n2;
    values[i] = above === null ? own * (n0 * r0 + n1 * r1 + n2 * r2) : n0 * part[0] + n1 * part[1] + n2 * part[2];
  }
  return values;
}

/** Draw an entry of the list for each uniform number, by inversion of the distribution function. */
export function drawCounts({ probability }, numbers) {
  const cumulative = new Float64Array(probability.length), drawn = new Int32Array(numbers.length);
  let sum = 0;
  for (let i = 0; i < cumulative.length; i++) cumulative[i] = sum += probability[i];
  for (let n = 0; n < drawn.length; n++) {
    const u = numbers[n] * sum;
    drawn[n] = lowest(cumulative.length - 1, i => cumulative[i] > u);
  }
  return drawn;
}
/** The lowest index up to `high` where a condition, once true always true, holds; `high` if nowhere below. */
function lowest(high, holds) {
  let low = 0;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle; else low = middle + 1;
  }
  return low;
}

/** Mean and standard deviation (over n - 1) of a sample. */
export function sampleMoments(values, drawn) {
  const average = (f, n) => drawn.reduce((sum, i) => sum + f(values[i]), 0) / n, mean = average(x => x, drawn.length);
  return [mean, Math.sqrt(average(x => (x - mean) ** 2, drawn.length - 1))];
}

/** The largest number of which both are multiples, or 0. */
function commonStep(x, y) {
  let [a, b] = [Math.abs(x), Math.abs(y)];
  const dust = 1e-7 * Math.max(a, b);
  while (b > dust) [a, b] = [b, Math.abs(a - b * Math.round(a / b))];
  return a > 100 * dust ? a : 0;
}

/**
 * Bars {left, right, count, expected} of the drawn estimates. Few values, or evenly spaced ones, have a bar each
 * (left = right). Else bars are equally wide, and on a grid of values as wide as a whole number of its steps.
 */
export function histogram(values, weights, drawn, sd) {
  const sample = new Float64Array(drawn.length).map((_, n) => values[drawn[n]]).sort(), total = sample.length;
  const first = sample[0], last = sample[total - 1], dust = 1e-9 * Math.max(Math.abs(first), Math.abs(last));
  const at = [], hits = [];
  for (const x of sample) {
    if (at.length && x - at[at.length - 1] <= dust) hits[at.length - 1]++;
    else if (at.push(x), hits.push(1), at.length > 130) break;
  }
  let width = 0.24 * sd, start = first, step = 0;
  for (let i = 1; i < Math.min(values.length, 60); i++) step = commonStep(step, values[i] - values[0]) || step;
  const grid = step > width / 12, [near, far] = [0.1, 0.9].map(part => sample[Math.floor(part * total)]);
  const gaps = at.slice(1).map((x, i) => (x > near && at[i] < far ? x - at[i] : 0)).filter(Boolean);
  if (at.length <= 20 || (at.length <= (grid ? 50 : 130) && Math.max(...gaps) < 2.5 * Math.min(...gaps))) {
    const bars = at.map((x, i) => ({ left: x, right: x, count: hits[i], expected: 0 }));
    for (let i = 0; i < values.length; i++) {
      const bar = bars[lowest(at.length - 1, n => at[n] >= values[i] - dust)];
      if (Math.abs(bar.left - values[i]) <= dust) bar.expected += weights[i] * total;
    }
    return bars;
  }
  if (grid) [width, start] = [Math.max(1, Math.round(width / step)) * step, values[0] - step / 2];
  const cell = x => Math.floor((x - start) / width + 1e-9), from = cell(first);
  const bars = Array.from({ length: cell(last) - from + 1 }, (_, i) => (
    { left: start + (from + i) * width, right: start + (from + i + 1) * width, count: 0, expected: 0 }));
  for (const x of sample) bars[cell(x) - from].count++;
  for (let i = 0; i < values.length; i++) {
    const bar = bars[cell(values[i]) - from];
    if (bar) bar.expected += weights[i] * total;
  }
  return bars;
}
