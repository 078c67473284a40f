// What every live figure is drawn with: elements, controls, numbers, arrows, and the triangle of three answers.
//
// A figure is `export default { render({ model, el }) }`. Controls are native and labeled; every number on show sits in
// an <output> or <input> whose `data-name` says what it is and whose `data-value` holds it in full.

export const BLUE = '#1f7fc0', ORANGE = '#cf5a00', GREEN = '#008a64', PURPLE = '#b3609b', GRAY = '#7a7a7a';

// ---- elements -------------------------------------------------------------------------------------------------------

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}
/** An HTML element: h('p', { class: 'x', onclick: f }, 'text', child). */
export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
/** An SVG element, likewise. */
export const s = (tag, attributes, ...children) => build(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
export const set = (node, attributes) => build(node, attributes, []);
let made = 0;
const family = Math.random().toString(36).slice(2, 8);
export const newId = () => `ol-${family}-${++made}`;      // figures on one page must not share ids

const STYLE = `
.ostrl-live { container-type: inline-size; color: var(--pst-color-text-base, var(--jp-content-font-color1, inherit));
  --ground: var(--pst-color-background, var(--jp-layout-color0, Canvas)); --line: color-mix(in srgb, currentColor 24%, transparent);
  --quiet: color-mix(in srgb, currentColor 72%, var(--ground)); font-size: .95rem; line-height: 1.4; margin: .75rem 0; max-width: 60rem;
  display: flex; flex-direction: column; gap: .8rem; }
.ostrl-live [hidden] { display: none !important; }
.ostrl-live *, .ostrl-live *::before { box-sizing: border-box; }
.ostrl-live .ol-grid { display: grid; gap: .75rem 1.5rem; grid-template-columns: minmax(0, 1fr); }
.ostrl-live .ol-side { display: flex; flex-direction: column; gap: .75rem; min-width: 0; }
.ostrl-live .ol-row { display: flex; flex-wrap: wrap; gap: .4rem .5rem; align-items: center; }
.ostrl-live .ol-fields { display: grid; gap: .5rem .9rem; grid-template-columns: minmax(0, 1fr); }
@container (min-width: 560px) {
  .ostrl-live .ol-grid { grid-template-columns: minmax(0, 11fr) minmax(0, 10fr); align-items: start; }
  .ostrl-live .ol-fields { grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
}
.ostrl-live svg { display: block; width: 100%; height: auto; overflow: visible; font-family: inherit; user-select: none; -webkit-user-select: none; }
.ostrl-live svg text { fill: currentColor; }
.ostrl-live label, .ostrl-live .ol-label { display: block; font-size: .86em; color: var(--quiet); margin: 0; padding: 0; font-weight: 400; }
.ostrl-live .ol-slider { display: grid; grid-template-columns: 1fr auto; column-gap: .75rem; align-items: baseline; }
.ostrl-live .ol-slider input { grid-column: 1 / -1; }
.ostrl-live input[type=range] { appearance: none; width: 100%; height: 1.6rem; margin: 0; background: none; cursor: pointer; }
.ostrl-live input[type=range]::-webkit-slider-runnable-track { height: .25rem; border-radius: .25rem; background: color-mix(in srgb, currentColor 38%, var(--ground)); }
.ostrl-live input[type=range]::-moz-range-track { height: .25rem; border-radius: .25rem; background: color-mix(in srgb, currentColor 38%, var(--ground)); }
.ostrl-live input[type=range]::-webkit-slider-thumb { appearance: none; width: 1.2rem; height: 1.2rem; margin-top: -.475rem; border-radius: 50%; background: ${BLUE}; border: 2px solid var(--ground); }
.ostrl-live input[type=range]::-moz-range-thumb { width: 1.05rem; height: 1.05rem; border-radius: 50%; background: ${BLUE}; border: 2px solid var(--ground); }
.ostrl-live :is(select, input[type=number], button) { font: inherit; line-height: 1.25; color: inherit; background: var(--ground);
  border: 1px solid color-mix(in srgb, currentColor 46%, transparent); border-radius: .3rem; padding: .3rem .45rem; min-height: 2rem; max-width: 100%; margin: 0; }
.ostrl-live :is(select, input[type=number]) { width: 100%; font-variant-numeric: tabular-nums; }
.ostrl-live input[aria-invalid=true] { border-color: ${ORANGE}; outline: 1px solid ${ORANGE}; }
.ostrl-live button { padding: .3rem .8rem; cursor: pointer; }
.ostrl-live button:hover { border-color: currentColor; }
.ostrl-live button[aria-pressed=true] { background: color-mix(in srgb, var(--accent, ${BLUE}) 20%, var(--ground)); border-color: var(--accent, ${BLUE}); font-weight: 600; }
.ostrl-live output { font-variant-numeric: tabular-nums; font-weight: 600; }
.ostrl-live .ol-finding { margin: 0; min-height: 2.8em; }
.ostrl-live .ol-big { font-size: 1.25em; font-weight: 700; }
.ostrl-live output.ol-big { display: block; color: color-mix(in srgb, var(--accent, currentColor) 72%, currentColor); }
.ostrl-live .ol-center { justify-content: center; }
.ostrl-live .ol-facts { display: grid; grid-template-columns: repeat(3, auto); justify-content: space-between; gap: 0 .75rem; }
.ostrl-live .ol-facts output { display: block; font-size: 1.15em; }
.ostrl-live .ol-formula { font-family: "STIX Two Text", "Latin Modern Roman", Cambria, Georgia, serif; font-size: 1.12em; line-height: 2.9em; }
.ostrl-live sub { font-size: .72em; line-height: 0; bottom: auto; vertical-align: -.3em; }
.ostrl-live .ol-fraction { display: inline-flex; flex-direction: column; text-align: center; vertical-align: middle; line-height: 1.45; margin: 0 .15em; }
.ostrl-live .ol-fraction > :first-child { border-bottom: 1px solid currentColor; padding: 0 .25em; }
.ostrl-live .ol-mean { border-top: 1px solid currentColor; line-height: 1; }
.ostrl-live .ol-note { margin: 0; font-size: .86em; color: var(--quiet); }
.ostrl-live table.ol-table { width: 100%; table-layout: fixed; border-collapse: collapse; margin: 0; font-size: .9em; border: 0; }
.ostrl-live table.ol-table :is(th, td) { padding: .2rem .15rem; text-align: right; border: 0; background: none; font-weight: 400; font-variant-numeric: tabular-nums; vertical-align: middle; overflow-wrap: anywhere; }
.ostrl-live table.ol-table tr { background: none; border: 0; }
.ostrl-live table.ol-table tr > :first-child { text-align: left; width: 32%; color: var(--quiet); }
.ostrl-live table.ol-table thead th { border-bottom: 1px solid var(--line); color: inherit; }
.ostrl-live table.ol-table input[type=number] { text-align: right; padding: .2rem .3rem; appearance: textfield; -moz-appearance: textfield; }
.ostrl-live table.ol-table input::-webkit-inner-spin-button { appearance: none; margin: 0; }
.ostrl-live .ol-key { display: inline-block; width: 1.1em; height: .5em; margin-right: .35em; vertical-align: .1em; }
.ostrl-live .ol-handle { cursor: grab; outline: none; }
.ostrl-live .ol-handle * { touch-action: none; }
.ostrl-live .ol-handle:active { cursor: grabbing; }
.ostrl-live .ol-handle .ol-ring { fill: none; stroke: none; }
.ostrl-live .ol-handle:focus-visible .ol-ring { stroke: currentColor; stroke-width: 2; }
.ostrl-live :is(button, select, input):focus-visible { outline: 2px solid ${BLUE} !important; outline-offset: 1px; }
.ostrl-live .ol-spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

/** The figure's root in `el`, with its style; keys pressed in it stay in it. */
export function figure(el, label, ...children) {
  const root = h('div', { class: 'ostrl-live', role: 'group', 'aria-label': label }, h('style', null, STYLE), ...children);
  // Notebooks listen for keys too: JupyterLab while they bubble, Notebook 7 before, minding an attribute on the element.
  root.addEventListener('keydown', event => {
    if (!(event.ctrlKey || event.metaKey || event.altKey || event.key === 'Escape' || (event.key === 'Enter' && event.shiftKey))) event.stopPropagation();
  });
  for (const node of root.querySelectorAll('input, select, button, [tabindex]')) node.dataset.lmSuppressShortcuts = 'true';
  el.replaceChildren(root);
  return root;
}

/** Draw now and whenever one of the model's values changes; returns what ends that (for render to return). */
export function connect(model, names, draw) {
  const events = names.map(name => `change:${name}`);
  for (const event of events) model.on(event, draw);
  draw();
  return () => { for (const event of events) model.off(event, draw); };
}
/** Write values to the model, and to the kernel where there is one. */
export function update(model, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  model.save_changes();
}

// ---- numbers --------------------------------------------------------------------------------------------------------

/** A number for people: rounded, with a true minus, without a negative zero. */
export function format(x, digits = 2, sign = false) {
  if (x === null || x === undefined || !Number.isFinite(x)) return '–';
  const text = Math.abs(x) >= 1e6 ? x.toExponential(1) : x.toFixed(digits), zero = Number(text) === 0;
  return (zero ? text.replace('-', '') : text.replace('-', '−').replace(/^(?=\d)/, sign ? '+' : '')).replace('e+', 'e');
}
/** Write a value: in full for programs, as text for people. */
export function show(node, value, text) {
  node.dataset.value = JSON.stringify(value ?? null);
  if (text !== undefined && node.textContent !== text) node.textContent = text;
}
/** A number on show. */
export const output = (name, attributes) => h('output', { 'data-name': name, ...attributes });

// ---- controls -------------------------------------------------------------------------------------------------------

/** A labeled slider. `.set(value, { min, max, step })` moves it; `text` writes its number. */
export function slider({ name, label, min, max, step, text = x => format(x), onInput }) {
  const id = newId(), number = h('output', { for: id, 'data-name': name });
  const input = h('input', { type: 'range', id, min, max, step, oninput: () => onInput(Number(input.value)) });
  const node = h('div', { class: 'ol-slider' }, h('label', { for: id }, label), number, input);
  return {
    node, input,
    set(x, range = {}) {
      for (const [key, bound] of Object.entries(range)) input[key] = bound;
      if (x < Number(input.min)) input.min = x;
      if (x > Number(input.max)) input.max = x;
      if (Number(input.value) !== x) input.value = x;
      input.setAttribute('aria-valuetext', text(x));
      show(number, x, text(x));
    },
  };
}

/** A number to type, named by `label` (shown) or `aria` (spoken). What is not a number from min to max is marked, not passed on, and said when the hand rests. */
export function numberField({ name, label, aria, min, max, step, onInput }) {
  const id = newId(), range = `from ${min} to ${max}`;
  let rest;
  const say = words => { clearTimeout(rest); input.setCustomValidity(words); };
  const input = h('input', { type: 'number', id, 'data-name': name, inputmode: 'decimal', min, max, step, title: range, 'aria-label': aria, autocomplete: 'off',
    oninput() {
      const x = input.valueAsNumber, good = Number.isFinite(x) && !(x < min) && !(x > max);
      input.setAttribute('aria-invalid', String(!good));
      say('');
      if (good) onInput(x);
      else rest = setTimeout(() => { say(`A number ${range}, please.`); input.reportValidity(); }, 600);
    },
    onblur() {
      const x = input.valueAsNumber;
      if (input.getAttribute('aria-invalid') === 'true' && Number.isFinite(x)) onInput(Math.min(Math.max(x, min), max));
      input.value = text;
      input.removeAttribute('aria-invalid');
      say('');
    },
  });
  let text = '';
  return {
    node: label ? h('div', null, h('label', { for: id }, label), input) : input, input,
    set(x, digits = 6) {
      text = String(Number(Math.abs(x) < 1e-3 ? x.toPrecision(3) : x.toFixed(digits)));
      show(input, x);
      const typing = document.activeElement === input && (input.getAttribute('aria-invalid') === 'true' || input.valueAsNumber === x);
      if (!typing && input.value !== text) input.value = text;
    },
  };
}

/** A labeled choice; `options` are [value, words]. */
export function choice({ name, label, options, onChange }) {
  const id = newId(), select = h('select', { id, 'data-name': name, onchange: () => onChange(select.value) },
    ...options.map(([key, words]) => h('option', { value: key }, words)));
  return { node: h('div', null, h('label', { for: id }, label), select), select, set(x) { select.value = x; show(select, x); } };
}

export const button = (words, onClick, attributes) => h('button', { type: 'button', onclick: onClick, ...attributes }, words);

/** A table of numbers, one column for each answer; `rows` are [words, cells, color of its arrow]. Returns its `node` and the `heads` and `rows` in it. */
export function table(caption, columns, rows) {
  const heads = columns.map(name => h('th', { scope: 'col' }, name));
  const body = rows.map(([words, cells, color]) => h('tr', null,
    h('th', { scope: 'row' }, ...(color ? [h('span', { class: 'ol-key', style: `background:${color}` })] : []), words), ...cells.map(cell => h('td', null, cell))));
  const node = h('table', { class: 'ol-table', 'aria-label': caption }, h('thead', null, h('tr', null, h('td', null), ...heads)), h('tbody', null, ...body));
  return { node, heads, rows: body };
}

/** One sentence for the eye at once, and for the ear (politely) when the hand has come to rest. */
export function finding() {
  const spoken = h('p', { class: 'ol-spoken', 'aria-live': 'polite' }), seen = h('p', { class: 'ol-finding', 'data-name': 'finding' });
  let timer, last = null;
  return {
    node: h('div', null, seen, spoken), seen,
    /** `parts` are strings and nodes. */
    set(...parts) {
      seen.replaceChildren(...parts);
      const text = seen.textContent;
      if (text === last) return;
      clearTimeout(timer);
      if (last !== null) timer = setTimeout(() => { spoken.textContent = text; }, 600);
      last = text;
    },
  };
}

// ---- the triangle of all policies over three answers ------------------------------------------------------------------

const SIDE = 380, LEFT = 40, BASE = 370, TOP = BASE - SIDE * Math.sqrt(0.75), WIDTH = SIDE + 2 * LEFT, HEIGHT = 404;
const CORNERS = [[LEFT, BASE], [LEFT + SIDE, BASE], [LEFT + SIDE / 2, TOP]];
/** Distributions to the plane of the drawing, as ostrl.plotting.simplex_xy does (there the y axis points up). */
export const toXY = p => [0, 1].map(k => p.reduce((sum, x, a) => sum + x * CORNERS[a][k], 0));
export function fromXY([x, y]) {
  const top = (BASE - y) / (BASE - TOP), right = (x - LEFT) / SIDE - top / 2;
  return [1 - right - top, right, top];
}
/** The nearest policy in which every answer keeps at least the probability `least`, rounded to 1e-6 with a sum of 1. */
export function inside(p, least = 0.002) {
  // Projection onto a simplex (Duchi et al., 2008), in the plane where the triangle is drawn.
  const room = 1 - p.length * least, u = p.map(x => x - least).sort((a, b) => b - a);
  let sum = 0, shift = 0;
  u.forEach((x, k) => { sum += x; if (x - (sum - room) / (k + 1) > 0) shift = (sum - room) / (k + 1); });
  const q = p.map(x => least + Math.max(x - least - shift, 0)).map(x => Math.round(x * 1e6) / 1e6), last = q.indexOf(Math.max(...q));
  q[last] = 1 - q.reduce((s, x, a) => (a === last ? s : s + x), 0);
  return q;
}
const path = points => points.map((xy, i) => `${i ? 'L' : 'M'}${xy[0].toFixed(1)} ${xy[1].toFixed(1)}`).join('');
/** Typed probabilities: answer a gets x, and the others keep their proportions. */
export function withProbability(p, a, x) {
  const others = 1 - p[a];
  return p.map((y, k) => (k === a ? x : others > 0 ? (y / others) * (1 - x) : (1 - x) / (p.length - 1)));
}
/** The path of a list of policies. */
export const pathOf = policies => path(policies.map(toXY));

/** The empty triangle: an SVG with the layers `back`, `lines` and `front`, and its corners' names. */
export function simplex(label, names) {
  const [back, lines, front] = [0, 1, 2].map(() => s('g'));
  const words = CORNERS.map(([x, y], a) => s('text', { x, y: y + (a < 2 ? 24 : -12), 'text-anchor': 'middle', 'font-size': 16 }, names[a]));
  const outline = s('path', { d: `${path(CORNERS)}Z`, fill: 'none', stroke: 'currentColor', 'stroke-opacity': 0.55, 'stroke-width': 1.5, 'stroke-linejoin': 'round' });
  const picture = s('g', { 'aria-hidden': 'true' }, back, outline, lines, ...words);
  const svg = s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'group', 'aria-label': label }, picture, front);
  return { svg, back, lines, front, rename: list => list.forEach((name, a) => { if (words[a].textContent !== name) words[a].textContent = name; }) };
}

/** The part of the triangle where low <= Σ p r < high, as a path (a convex polygon, cut twice). */
export function band(rewards, low, high) {
  const at = p => p.reduce((sum, x, a) => sum + x * rewards[a], 0);
  const cut = (polygon, keeps) => polygon.flatMap((p, i) => {
    const q = polygon[(i + 1) % polygon.length], [u, v] = [keeps(p), keeps(q)], k = u / (u - v);
    return [...(u >= 0 ? [p] : []), ...(u * v < 0 ? [p.map((x, a) => x + k * (q[a] - x))] : [])];
  });
  const polygon = cut(cut([[1, 0, 0], [0, 1, 0], [0, 0, 1]], p => at(p) - low), p => high - at(p));
  return polygon.length > 1 ? `${pathOf(polygon)}Z` : '';
}

/** An arrow; `.set(p, v)` draws it from the policy p along the velocity v. One scale for all arrows; long ones are drawn shorter. */
export function arrow(layer, color, { name, width = 3.2, scale = 900, longest = 150 } = {}) {
  const halo = s('path', { fill: 'none', stroke: 'var(--ground)', 'stroke-width': width + 3, 'stroke-opacity': 0.75, 'stroke-linecap': 'round' });
  const shaft = s('path', { fill: 'none', stroke: color, 'stroke-width': width, 'stroke-linecap': 'round' });
  const head = s('path', { fill: color, stroke: 'var(--ground)', 'stroke-width': 1 }), node = s('g', { 'data-name': name }, halo, shaft, head);
  layer.append(node);
  return {
    node, shaft, head,
    set(p, v) {
      const [x, y] = toXY(p), [u, w] = [0, 1].map(k => v.reduce((sum, d, a) => sum + d * CORNERS[a][k], 0) / SIDE), size = Math.hypot(u, w);
      const length = longest * Math.tanh((scale * size) / longest);
      set(node, { visibility: length < 2 ? 'hidden' : 'visible' });
      if (length < 2) return;
      const [c, d] = [u / size, w / size], tip = Math.min(13, 4 + length / 3), at = (along, across) => [x + c * along - d * across, y + d * along + c * across];
      const line = path([[x, y], at(Math.max(length - tip * 0.8, 0), 0)]);
      set(halo, { d: line });
      set(shaft, { d: line });
      set(head, { d: `${path([at(length, 0), at(length - tip, tip * 0.48), at(length - tip, -tip * 0.48)])}Z` });
    },
  };
}

/**
 * A point of the triangle to drag or to move by keys: arrows by 0.02, with Shift by 0.002; Home and End where given.
 * `onMove(p)` is asked to put it somewhere else; `.set(p, text)` puts it there.
 */
export function handle(triangle, { label, color, shape = 'circle', home, end, least, onMove }) {
  const body = shape === 'circle' ? s('circle', { r: 10 }) : s('rect', { x: -8.5, y: -8.5, width: 17, height: 17, rx: 2 });
  set(body, { fill: color, stroke: 'var(--ground)', 'stroke-width': 2.5 });
  const node = s('g', { class: 'ol-handle', tabindex: 0, role: 'slider', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 100 },
    s('circle', { r: 24, fill: 'transparent' }), s('circle', { r: 16, class: 'ol-ring' }), body);
  triangle.front.append(node);
  let at, grip = null;
  const point = event => {                                // the window's pixels to the drawing's
    const { a, d, e, f } = grip.matrix;
    return [(event.clientX - e) / a, (event.clientY - f) / d];
  };
  node.addEventListener('pointerdown', event => {
    if (event.button) return;
    event.preventDefault();
    node.focus({ preventScroll: true });
    node.setPointerCapture(event.pointerId);
    grip = { matrix: triangle.svg.getScreenCTM() };
    const [x, y] = point(event), xy = toXY(at);
    grip.offset = [xy[0] - x, xy[1] - y];
  });
  node.addEventListener('touchstart', event => event.preventDefault(), { passive: false });  // a finger here drags, and does not scroll
  node.addEventListener('pointermove', event => {
    if (!grip) return;
    const [x, y] = point(event);
    onMove(inside(fromXY([x + grip.offset[0], y + grip.offset[1]]), least));
  });
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) node.addEventListener(name, () => { grip = null; });
  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  node.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const there = event.key === 'Home' ? home?.() : event.key === 'End' ? end?.() : null, way = KEYS[event.key];
    if (!way && !there) return;
    event.preventDefault();
    const step = (event.shiftKey ? 0.002 : 0.02) * SIDE, [x, y] = toXY(at);
    onMove(inside(there ?? fromXY([x + way[0] * step, y + way[1] * step]), least));
  });
  return {
    node,
    set(p, text) {
      at = p;
      const [x, y] = toXY(p);
      set(node, { transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})`, 'aria-valuenow': Math.round(100 * p[1]), 'aria-valuetext': text });
    },
  };
}
/** "Sydney 60 %, Canberra 30 %, Melbourne 10 %": rounded so that the sum is 100. */
export function policyText(names, p) {
  const whole = p.map(x => Math.floor(100 * x)), left = p.map((x, a) => [whole[a] - 100 * x, a]).sort((x, y) => x[0] - y[0]);
  for (let k = 0; k < Math.round(100 - whole.reduce((sum, x) => sum + x, 0)); k++) whole[left[k][1]] += 1;
  return names.map((name, a) => `${name} ${whole[a]}\u00a0%`).join(', ');
}

/** Move along a list of policies, one frame at a time; at once for people who asked for less motion. Returns what stops it. */
export function follow(policies, onMove, { seconds = 1.6, onEnd = () => {} } = {}) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) { onMove(policies.at(-1)); onEnd(); return () => {}; }
  const from = performance.now();
  let frame = requestAnimationFrame(function step(now) {
    const part = Math.min(1, Math.max(0, now - from) / (1000 * seconds));
    onMove(policies[Math.round(part * (policies.length - 1))]);
    if (part < 1) frame = requestAnimationFrame(step); else onEnd();
  });
  return () => cancelAnimationFrame(frame);
}
