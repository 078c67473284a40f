// The mathematics of the live figures: pure functions of numbers and arrays, nothing of the page.
// Where ostrl has the same thing, it has the same name there (in snake case), and tests/live compares the two.

export const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
export const norm = x => Math.sqrt(dot(x, x));
/** Cosine of the angle between two vectors; null where one of them is zero. */
export function cosine(x, y) {
  const size = norm(x) * norm(y);
  return size > 1e-14 ? Math.max(-1, Math.min(1, dot(x, y) / size)) : null;
}

export function softmax(logits) {
  const top = Math.max(...logits), odds = logits.map(z => Math.exp(z - top)), sum = odds.reduce((s, x) => s + x, 0);
  return odds.map(x => x / sum);
}

/** J = Σ π r (ostrl.exact.value, one prompt). */
export const value = (probs, rewards) => dot(probs, rewards);
/** ∇J with respect to the logits: π (r - J) (ostrl.exact.gradient, one prompt). */
export function gradient(probs, rewards) {
  const mean = value(probs, rewards);
  return probs.map((p, a) => p * (rewards[a] - mean));
}
/** How the probabilities move when the logits move with the velocity g: (diag π - π πᵀ) g. */
export function velocity(probs, g) {
  const mean = dot(probs, g);
  return probs.map((p, a) => p * (g[a] - mean));
}

// ---- weightings: the weight of a label of each answer, in a group that holds `counts` labels of each ------------------

const size = counts => counts.reduce((sum, n) => sum + n, 0);
function centered(rewards, counts) {
  const first = rewards[counts.findIndex(n => n > 0)];
  const mean = counts.reduce((sum, n, a) => sum + n * (rewards[a] - first), 0) / size(counts);
  const result = rewards.map(r => r - first - mean);
  const dust = 1e-13 * Math.max(...result.map((c, a) => (counts[a] ? Math.abs(c) : 0)));
  return result.map(c => (Math.abs(c) <= dust ? 0 : c));
}

/** ostrl.weighting, by the names there; `parameter` is b, τ or β. `top_k` (k = 1) is done in totals(). */
export const WEIGHTINGS = {
  one: rewards => rewards.map(() => 1),
  reward: rewards => rewards,
  constant_baseline: (rewards, counts, b) => rewards.map(r => r - b),
  mean_baseline: centered,
  leave_one_out: (rewards, counts) => centered(rewards, counts).map(c => (c * size(counts)) / (size(counts) - 1)),
  group_normalized(rewards, counts) {
    const c = centered(rewards, counts);
    const variance = counts.reduce((sum, n, a) => sum + n * c[a] * c[a], 0) / (size(counts) - 1);
    return c.map(x => x / (Math.sqrt(variance) + 1e-4));
  },
  threshold: (rewards, counts, tau) => rewards.map(r => (r >= tau ? 1 : 0)),
  exponential(rewards, counts, beta) {
    const top = Math.max(...rewards.filter((r, a) => counts[a] > 0));
    const odds = rewards.map((r, a) => (counts[a] > 0 ? Math.exp((r - top) / beta) : 0)), sum = dot(counts, odds);
    return odds.map(x => x / sum);
  },
};

/** The sum of w / Z over the labels of each answer, for a group of `shown` labels in the first slots and `own` after. */
function totals(shown, own, { rewards, weight, normalizer, parameter }) {
  const counts = own.map((n, a) => n + shown[a]);
  let sums, kept;
  if (weight === 'top_k') {                               // the best label; of equals the earliest, so chances are shared
    const best = Math.max(...rewards.filter((r, a) => counts[a] > 0));
    const among = list => list.map((n, a) => (rewards[a] === best ? n : 0));
    const first = size(among(shown)) > 0 ? among(shown) : among(own);
    sums = first.map(n => n / size(first));
    kept = 1;
  } else {
    const w = WEIGHTINGS[weight](rewards, counts, parameter);
    sums = counts.map((n, a) => (n ? n * w[a] : 0));
    kept = counts.reduce((sum, n, a) => sum + (w[a] !== 0 ? n : 0), 0);
  }
  const Z = { samples: size(counts), kept: Math.max(kept, 1), kept_per_prompt: Math.max(kept, 1), prompts: 1 }[normalizer];
  return sums.map(x => x / Z);
}

// ---- the exact mean of an estimate ---------------------------------------------------------------------------------

/** Every way to write n labels, as counts of each answer, with the number of orders it can come in. */
export function countVectors(n, answers = 3) {
  if (answers === 1) return [{ counts: [n], orders: 1 }];
  const result = [];
  for (let k = 0, choose = 1; k <= n; choose = (choose * (n - k)) / (k + 1), k++) {
    for (const rest of countVectors(n - k, answers - 1)) result.push({ counts: [k, ...rest.counts], orders: choose * rest.orders });
  }
  return result;
}
const chance = ({ counts, orders }, probs) => counts.reduce((product, n, a) => product * probs[a] ** n, orders);

/**
 * The mean of the gradient estimate (1/Z) Σ w ∇ log π as a function of the policy's probabilities: one prompt, the
 * logits are the parameters, and every group is counted (ostrl.exact.moments(...).mean).
 *
 * `labels` is on_policy, demonstrations, mixture (the first G // 2 slots are shown) or frozen (a policy `start` writes).
 */
export function expectedGradient({ labels, weight, normalizer, parameter, rewards, demonstrators, start, groupSize }) {
  const G = groupSize, shownSlots = { on_policy: 0, mixture: Math.floor(G / 2), demonstrations: G, frozen: G }[labels];
  const writer = labels === 'frozen' ? start : demonstrators, A = rewards.length;
  const answer = { rewards, weight, normalizer, parameter };
  const shown = countVectors(shownSlots, A).map(x => ({ counts: x.counts, chance: chance(x, writer) })).filter(x => x.chance > 0);
  // What is shown does not depend on the policy: sum it out once, and keep a polynomial in π.
  const terms = countVectors(G - shownSlots, A).map(own => {
    const sums = new Array(A).fill(0);
    for (const x of shown) totals(x.counts, own.counts, answer).forEach((t, a) => { sums[a] += x.chance * t; });
    return { counts: own.counts, sums: sums.map(x => x * own.orders) };
  }).filter(term => term.sums.some(x => x !== 0));
  return probs => {
    const c = new Array(A).fill(0);
    for (const { counts, sums } of terms) {
      let product = 1;
      for (let a = 0; a < A; a++) for (let k = counts[a]; k > 0; k--) product *= probs[a];
      for (let a = 0; a < A; a++) c[a] += product * sums[a];
    }
    const total = c.reduce((sum, x) => sum + x, 0);
    return c.map((x, a) => x - total * probs[a]);         // Σ_a c_a (e_a - π)
  };
}

const ROWS = {
  'on_policy reward samples': 'reinforce',
  'on_policy constant_baseline samples': 'reinforce',
  'on_policy leave_one_out samples': 'rloo',
  'on_policy mean_baseline samples': 'dr_grpo',
  'on_policy group_normalized samples': 'grpo',
  'demonstrations one samples': 'sft',
  'mixture one samples': 'self_training',
  'on_policy threshold kept': 'rest',
  'on_policy threshold kept_per_prompt': 'rest_per_prompt',
  'on_policy top_k prompts': 'raft',
  'on_policy exponential prompts': 'rwr',
};
/** The row of ostrl.METHODS that three answers make, or null. */
export const methodName = (labels, weight, normalizer) => ROWS[`${labels} ${weight} ${normalizer}`] ?? null;

// ---- gradient flow ---------------------------------------------------------------------------------------------------

/**
 * Where dz/dt = field(softmax z) leads from a policy: the points on the way, the last of them its destination.
 *
 * Bogacki and Shampine's method of third order. The step follows the error relative to the movement, so that time may
 * run to any length (near a corner the flow slows down like 1/t), and no step moves the policy by more than `stride`.
 */
export function flow(field, probs, { stride = 0.025, steps = 500 } = {}) {
  let z = probs.map(p => Math.log(Math.max(p, 1e-300))), p = softmax(z), g = field(p), t = 0, h = Infinity;
  const points = [p];
  const ahead = (...terms) => z.map((x, a) => terms.reduce((sum, [k, c]) => sum + c * k[a], x));
  for (let step = 0; step < steps; step++) {
    const speed = norm(velocity(p, g)), force = norm(g);
    if (!(speed * (t + Math.min(1 / force, 1e4)) > 1e-8)) break;
    h = Math.min(h, stride / speed, 2 / force + t);
    const g2 = field(softmax(ahead([g, h / 2]))), g3 = field(softmax(ahead([g2, 0.75 * h])));
    const next = ahead([g, (2 / 9) * h], [g2, h / 3], [g3, (4 / 9) * h]), q = softmax(next), g4 = field(q);
    const error = h * norm(g.map((x, a) => (-5 / 72) * x + g2[a] / 12 + g3[a] / 9 - g4[a] / 8));
    const moved = norm(next.map((x, a) => x - z[a])), ratio = (3e-3 * moved + 1e-12) / (error + 1e-300);
    if (ratio >= 1) {
      t += h;
      const top = Math.max(...next);
      z = next.map(x => x - top); p = q; g = g4;
      points.push(p);
    }
    h *= Math.max(0.2, Math.min(3, 0.9 * Math.cbrt(ratio)));
  }
  return points;
}
