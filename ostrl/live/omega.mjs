import { BLUE, GRAY, GREEN, ORANGE, PURPLE, choice, connect, figure, finding, format, h, output, s, set, show, slider, table, update } from "./drawing.mjs";
import { ticks, watchWidth } from "./axes.mjs";

// How strongly a method pulls on a prompt that the model solves with probability p: its mean gradient is ω(p) ∇p, so
// over many prompts it climbs the mean of φ(p) = ∫ ω dp. Returns 1 and 0, G answers a prompt.

const EPS = 1e-4;                                         // of GRPO, as in ostrl.methods.grpo
/** (1 - (1 - p)^n) / p: the chance of a right answer among n, over the chance in one. */
const atLeastOne = (p, n) => -Math.expm1(n * Math.log1p(-p)) / p;
/** What atLeastOne(p, n) is the slope of: Σ_{k<=n} (1 - (1 - p)^k) / k, less its value at p = 1. */
function tries(p, n) {
  let sum = 0;
  for (let k = 1, q = 1 - p, power = q; k <= n; k++, power *= q) sum -= power / k;
  return sum;
}
/** The standard deviation (over G - 1) of a group's returns, k of which are 1. */
const spread = (k, G) => Math.sqrt((k * (G - k)) / (G * (G - 1)));
/** Chances of k = 0 … n right answers among n. */
function binomial(n, p) {
  const chances = [(1 - p) ** n];
  let ways = 1;
  for (let k = 1; k <= n; k++) chances.push((ways = (ways * (n - k + 1)) / k) * p ** k * (1 - p) ** (n - k));
  return chances;
}

/** Each method's ω(p) and φ(p), with φ(1) = 0: names as in ostrl.METHODS, ω as in ostrl.exact.omega. */
export const PULLS = {
  reinforce: { omega: () => 1, phi: p => p - 1 },
  grpo: {
    // Σ_k C(G, k) p^k q^(G-k) k (G - k) / G² / (σ_k + ε) / (p q), and with C(G, k) k (G - k) = G (G - 1) C(G - 2, k - 1):
    omega: (p, G) => binomial(G - 2, p).reduce((sum, chance, k) => sum + (chance * (G - 1)) / G / (spread(k + 1, G) + EPS), 0),
    // the slope of P(Bin(G - 1, p) >= k) is (G - 1) C(G - 2, k - 1) p^(k-1) q^(G-1-k)
    phi(p, G) {
      const chances = binomial(G - 1, p);
      let sum = 0;
      for (let k = 1, below = chances[0]; k < G; below += chances[k], k++) sum -= below / G / (spread(k, G) + EPS);
      return sum;
    },
  },
  rest_per_prompt: { omega: atLeastOne, phi: tries },
  // The best is wrong only if all are: (1 - q^G) / p - q^G / q = (1 - q^(G-1)) / p.
  raft: { omega: (p, G) => atLeastOne(p, G - 1), phi: (p, G) => tries(p, G - 1) },
  sft: { omega: p => 1 / p, phi: Math.log },
};

const LOOKS = {
  reinforce: ['RL', BLUE, null], grpo: ['GRPO', PURPLE, null], rest_per_prompt: ['filtering', GREEN, null],
  raft: ['best of G', GRAY, '7 4'], sft: ['SFT', ORANGE, '2 3.5'],
};
const METHODS = Object.keys(LOOKS), STATE = ['success_rate', 'group_size', 'shown', 'quantity', 'axes'], LEAST = 0.001;

function plot(onDrag) {
  const height = 300, floor = 250, top = 10, left = 44, right = 12;
  const [grid, curves, marker] = Array.from({ length: 3 }, () => s('g'));
  const svg = s('svg', { role: 'img', style: 'touch-action:pan-y;cursor:ew-resize' }, grid, curves, marker);
  let width = 640, last = null, across = null, held = false;
  const draw = state => {
    last = state;
    const { p, G, shown, quantity, log, label } = state, both = log && quantity === 'omega';
    set(svg, { viewBox: `0 0 ${width} ${height}`, 'aria-label': label });
    const room = width - left - right, part = log ? q => 1 + Math.log10(q) / 3 : q => q;
    across = { x: q => left + part(q) * room, p: at => { const u = Math.min(1, Math.max(0, (at - left) / room)); return log ? 10 ** (3 * (u - 1)) : u; } };
    const value = (name, q) => PULLS[name][quantity](q, G), bounded = ['reinforce', ...shown.filter(name => name !== 'sft')];
    const ends = bounded.flatMap(name => [LEAST, 0.5, 1].map(q => value(name, q)));
    let [low, high] = both ? [0.5, 2 * Math.max(...ends)] : quantity === 'omega' ? [0, 1.15 * Math.max(...ends, 1.6)] : [1.15 * Math.min(...ends), 0];
    const scale = both ? Math.log10 : v => v, y = v => floor - ((scale(v) - scale(low)) / (scale(high) - scale(low))) * (floor - top);
    const rows = both ? [0.5, 1, 2, 5, 10, 20, 50, 100].filter(v => v <= high).map(v => [v, v < 1 ? 1 : 0]) : ticks(low, high, 5);
    const columns = log ? [0.001, 0.01, 0.1, 1].map(q => [q, String(q)]) : [0, 0.2, 0.4, 0.6, 0.8, 1].map(q => [q, String(q)]);
    grid.replaceChildren(
      s('path', { d: rows.map(([v]) => `M${left} ${y(v).toFixed(1)}H${width - right}`).join(''), stroke: 'var(--line)', fill: 'none' }),
      s('path', { d: `M${left} ${quantity === 'omega' ? floor : y(0)}H${width - right}`, stroke: 'currentColor', 'stroke-opacity': 0.6 }),
      ...rows.map(([v, digits]) => s('text', { x: left - 8, y: y(v) + 4.5, 'text-anchor': 'end', 'font-size': 13 }, format(v, digits))),
      ...columns.map(([q, text]) => s('text', { x: across.x(Math.max(q, log ? LEAST : 0)), y: floor + 20, 'text-anchor': 'middle', 'font-size': 13 }, text)),
      s('text', { x: left + room / 2, y: height - 6, 'text-anchor': 'middle', 'font-size': 13.5 }, 'p, how often the model solves the prompt'));
    const steps = 160, names = METHODS.filter(name => shown.includes(name)).reverse();
    curves.replaceChildren(...names.map(name => {
      let d = '', out = true;
      for (let i = steps; i >= 0; i--) {                  // from p = 1 down, until it leaves the picture
        const q = log ? 10 ** (-3 * (1 - i / steps)) : Math.max(LEAST, (i / steps) ** 1.5), v = value(name, q), at = y(v);
        d += `${out ? 'M' : 'L'}${across.x(q).toFixed(1)} ${Math.max(top - 4, Math.min(floor + 4, at)).toFixed(1)}`;
        out = false;
        if (at < top - 4 || at > floor + 4) break;
      }
      return s('path', { d, fill: 'none', stroke: LOOKS[name][1], 'stroke-width': 2.6, 'stroke-dasharray': LOOKS[name][2], 'stroke-linejoin': 'round' });
    }));
    const x = across.x(p).toFixed(1);
    marker.replaceChildren(s('path', { d: `M${x} ${floor}V${top}`, stroke: 'currentColor', 'stroke-width': 1.5, 'stroke-opacity': 0.75 }),
      ...names.map(name => [name, y(value(name, p))]).filter(([, at]) => at >= top - 4 && at <= floor + 4).map(([name, at]) =>
        s('circle', { cx: x, cy: at.toFixed(1), r: 5, fill: LOOKS[name][1], stroke: 'var(--ground)', 'stroke-width': 1.5 })),
      s('path', { d: `M${x} ${floor - 1}l7 11h-14Z`, fill: 'currentColor' }));
  };
  const drag = event => { const box = svg.getBoundingClientRect(); onDrag(across.p(((event.clientX - box.left) * width) / box.width)); };
  svg.addEventListener('pointerdown', event => { if (!event.button) { held = true; svg.setPointerCapture(event.pointerId); drag(event); } });
  svg.addEventListener('pointermove', event => { if (held) drag(event); });
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) svg.addEventListener(name, () => { held = false; });
  return { svg, draw, fit(pixels) { width = pixels; if (last) draw(last); } };
}

function render({ model, el }) {
  const put = (name, value) => update(model, { [name]: value });
  const log = () => model.get('axes') === 'log', keep = p => Math.min(0.999, Math.max(LEAST, Number(p.toPrecision(3))));
  const picture = plot(p => put('success_rate', keep(log() ? p : Math.round(200 * p) / 200))), says = finding();
  const rate = slider({ name: 'success_rate', label: 'p, how often the model is right', min: 0, max: 1, step: 0.005,
    onInput: x => put('success_rate', keep(log() ? 10 ** x : x)) });
  const size = slider({ name: 'group_size', label: 'G, answers a prompt', min: 2, max: 64, step: 1, text: String, onInput: x => put('group_size', x) });
  const quantity = choice({ name: 'quantity', label: 'Show', options: [['omega', 'ω, weight on ∇p'], ['phi', 'φ, the objective']], onChange: x => put('quantity', x) });
  const axes = choice({ name: 'axes', label: 'Axes', options: [['linear', 'linear'], ['log', 'logarithmic']], onChange: x => put('axes', x) });
  const cells = {}, toggles = {};
  const rows = METHODS.map(name => {
    const [words, color, dash] = LOOKS[name];
    cells[name] = ['omega', 'ratio', 'phi'].map(kind => output(`${kind}_${name}`));
    toggles[name] = h('input', { type: 'checkbox', 'data-name': `show_${name}`, style: `width:1.1rem;height:1.1rem;margin:0;flex:none;accent-color:${BLUE}`,
      onchange: () => put('shown', METHODS.filter(other => toggles[other].checked)) });
    const sample = h('span', { 'aria-hidden': 'true' }, s('svg', { viewBox: '0 0 26 8', style: 'width:1.6em;display:inline-block' },
      s('path', { d: 'M0 4H26', stroke: color, 'stroke-width': 3, 'stroke-dasharray': dash })));
    return [h('label', { style: 'display:flex;align-items:center;gap:.45em;min-height:1.75rem;color:inherit;font-size:1em;white-space:nowrap' }, toggles[name], sample, words), cells[name]];
  });
  const results = table('Weight and objective of each method at p', ['ω(p)', 'ω(p) / ω(½)', 'φ(p)'], rows);
  results.node.querySelector('td').style.width = '37%';
  const said = Object.fromEntries(METHODS.map(name => [name, output(`said_${name}`)]));
  const root = figure(el, 'The weight of a prompt, by how often the model solves it',
    h('div', { style: 'display:grid;gap:.9rem' }, picture.svg, says.node, h('div', { class: 'ol-grid' },
      h('div', { class: 'ol-side' }, rate.node, size.node, h('div', { class: 'ol-fields' }, quantity.node, axes.node)),
      h('div', { class: 'ol-side' }, results.node)),
    h('p', { class: 'ol-note' }, 'A method’s mean gradient is ω(p) ∇p. The gradient ∇p depends on p, too: between a right and a wrong answer it is proportional to p (1 − p). SFT: demonstrators who are always right. φ is 0 at p = 1.')));

  const draw = () => {
    const [p, G, shown, kind] = ['success_rate', 'group_size', 'shown', 'quantity'].map(name => model.get(name));
    const text = String(Number(p.toFixed(4))), times = x => `${format(x, x < 9.995 ? 2 : 1)} times`;
    picture.draw({ p, G, shown, quantity: kind, log: log(), label: `${kind === 'omega' ? 'ω' : 'φ'} of ${shown.map(name => LOOKS[name][0]).join(', ') || 'no method'} over p, with a marker at p = ${p}` });
    for (const name of METHODS) {
      const w = PULLS[name].omega(p, G), ratio = w / PULLS[name].omega(0.5, G), phi = PULLS[name].phi(p, G);
      [w, ratio, phi].forEach((x, i) => show(cells[name][i], x, format(x, Math.abs(x) < 99.5 ? 2 : 0)));
      show(said[name], ratio, times(ratio));
      toggles[name].checked = shown.includes(name);
    }
    const u = log() ? Math.log10(p) : p;
    rate.set(u, log() ? { min: -3, max: 0, step: 0.05 } : { min: 0, max: 1, step: 0.005 });
    show(rate.node.querySelector('output'), p, text);
    set(rate.input, { 'aria-valuetext': text });
    size.set(G);
    quantity.set(kind);
    axes.set(model.get('axes'));
    const parts = METHODS.filter(name => shown.includes(name)).reverse().flatMap(name => [', ', said[name], ` in ${LOOKS[name][0]}`]).slice(1);
    says.set(...(parts.length ? [`A prompt solved with p = ${text} has, next to one solved half the time, `, parts[0], ' the weight', ...parts.slice(1), '.'] : ['Choose a method.']));
  };
  const unwatch = watchWidth(root, picture.fit), end = connect(model, STATE, draw);
  return () => { unwatch(); end(); };
}
export default { render };
