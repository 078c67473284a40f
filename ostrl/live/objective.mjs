import { BLUE, arrow, band, button, connect, figure, finding, follow, format, h, handle, inside, numberField, output, pathOf, policyText, s, set, show, simplex, table, toXY, update, withProbability } from "./drawing.mjs";
import { flow, gradient, norm, value, velocity } from "./mathematics.mjs";

const BANDS = 10;

/** Round levels of J between its least and greatest value: about ten, and the step between them. */
function levels(low, high) {
  if (!(high > low)) return [];
  const rough = (high - low) / BANDS, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find(k => k * unit >= rough * (1 - 1e-9));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

function render({ model, el }) {
  const names = model.get('answers'), home = model.get('probs'), given = model.get('rewards');
  const triangle = simplex('The triangle of all policies', names);
  const shades = s('g', { fill: BLUE }), lines = s('g', { fill: 'none', stroke: 'currentColor', 'stroke-opacity': 0.3, 'stroke-width': 1 });
  const marks = s('g', { 'font-size': 14, 'fill-opacity': 0.8 });
  triangle.back.append(shades, lines, marks);
  const way = s('path', { fill: 'none', stroke: BLUE, 'stroke-width': 2.6, 'stroke-linecap': 'round', 'stroke-dasharray': '1 6' });
  const end = s('circle', { r: 7, fill: 'var(--ground)', stroke: BLUE, 'stroke-width': 2.6 });
  triangle.lines.append(way, end);
  const uphill = arrow(triangle.lines, BLUE, { name: 'gradient_arrow' });

  let route = [home], stop = null;
  const move = p => update(model, { probs: inside(p) });
  const halt = () => { stop?.(); stop = null; learn.textContent = 'Follow the gradient'; };
  const place = p => { halt(); move(p); };
  const point = handle(triangle, { label: 'Policy', color: BLUE, home: () => home, end: () => route.at(-1), onMove: place });

  const policy = names.map((name, a) => numberField({
    name: `probs.${a}`, aria: `Probability of ${name}`, min: 0.002, max: 0.996, step: 0.01, onInput: x => place(withProbability(model.get('probs'), a, x)),
  }));
  const grades = names.map((name, a) => numberField({
    name: `rewards.${a}`, aria: `Reward of ${name}`, min: -1e6, max: 1e6, step: 0.1, onInput: x => update(model, { rewards: model.get('rewards').map((r, k) => (k === a ? x : r)) }),
  }));
  const slopes = names.map((_, a) => output(`gradient.${a}`)), J = output('value');
  const numbers = table('Policy, rewards and gradient', names, [
    ['probability', policy.map(x => x.input)], ['reward', grades.map(x => x.input)], [h('span', null, '∇', h('i', null, 'J')), slopes, BLUE],
  ]);
  const said = finding(), size = output('gradient_norm');
  const learn = button('Follow the gradient', () => {
    if (stop) { halt(); return; }
    learn.textContent = 'Stop';
    stop = () => {};
    const ending = follow(route, move, { onEnd: halt });
    if (stop) stop = ending;
  });
  const back = button('Start again', () => { halt(); update(model, { probs: home, rewards: given }); });
  figure(el, 'The objective over all policies', h('div', { class: 'ol-grid' },
    triangle.svg,
    h('div', { class: 'ol-side' },
      h('div', { class: 'ol-row' }, h('span', { class: 'ol-big' }, h('i', null, 'J'), ' = ', J), h('span', { class: 'ol-note' }, '‖∇', h('i', null, 'J'), '‖ = ', size)),
      said.node, numbers.node, h('div', { class: 'ol-row' }, learn, back),
      h('p', { class: 'ol-note' }, 'Drag the policy, or move it with the arrow keys (finer with Shift). The arrow is how its probabilities move when the logits follow ∇',
        h('i', null, 'J'), ', and the dotted line is where that leads.'))));

  let drawn = '';
  function landscape(rewards) {                           // changes with the rewards only
    if (drawn === (drawn = JSON.stringify(rewards))) return;
    const low = Math.min(...rewards), high = Math.max(...rewards), steps = levels(low, high);
    const edges = [low, ...steps.filter(x => x > low && x < high), high], count = edges.length - 1;
    shades.replaceChildren(...edges.slice(1).map((top, k) => s('path', { d: band(rewards, edges[k], top), 'fill-opacity': 0.03 + (0.42 * k) / Math.max(count, 1) })));
    lines.replaceChildren(...edges.slice(1, -1).map(x => s('path', { d: contour(rewards, x) })));
    marks.replaceChildren(...edges.slice(1, -1).filter((_, k) => k % 2).map(x => level(rewards, x)));
  }
  const draw = () => {
    const p = model.get('probs'), rewards = model.get('rewards'), answers = model.get('answers');
    const g = gradient(p, rewards), j = value(p, rewards);
    landscape(rewards);
    route = flow(q => gradient(q, rewards), p);
    const goal = route.at(-1), [x, y] = toXY(goal), still = route.length === 1;
    set(way, { d: pathOf(route) });
    set(end, { cx: x, cy: y, visibility: still ? 'hidden' : 'visible' });
    uphill.set(p, velocity(p, g));
    point.set(p, policyText(answers, p));
    triangle.rename(answers);
    numbers.heads.forEach((head, a) => { if (head.textContent !== answers[a]) head.textContent = answers[a]; });
    p.forEach((q, a) => { policy[a].set(q, 3); grades[a].set(rewards[a]); show(slopes[a], g[a], format(g[a], 3, true)); });
    [['probs', p], ['rewards', rewards], ['gradient', g]].forEach(([name, list], k) => { numbers.rows[k].dataset.name = name; show(numbers.rows[k], list); });
    show(J, j, format(j, 3));
    show(size, norm(g), format(norm(g), 3));
    show(said.seen, goal);
    const winner = goal.findIndex(q => q > 0.97);
    said.set(...(still ? ['The gradient is zero here: every answer the model gives earns the same, and nothing is learned.']
      : ['Uphill leads to ', h('b', null, winner >= 0 ? answers[winner] : policyText(answers, goal)), '.']));
  };
  return connect(model, ['probs', 'rewards', 'answers'], draw);
}

/** The number x beside the edge from the worst to the best answer, where J = x. */
function level(rewards, x) {
  const worst = rewards.indexOf(Math.min(...rewards)), best = rewards.indexOf(Math.max(...rewards)), other = 3 - worst - best;
  const share = (x - rewards[worst]) / (rewards[best] - rewards[worst]);
  const [u, v] = toXY([0, 1, 2].map(a => (a === best ? share : a === worst ? 1 - share : 0))), [cu, cv] = toXY([0, 1, 2].map(a => Number(a === other)));
  const [mu, mv] = toXY([0, 1, 2].map(a => (a === other ? 0 : 0.5))), far = Math.hypot(mu - cu, mv - cv), out = [(mu - cu) / far, (mv - cv) / far];
  return s('text', { x: u + 9 * out[0], y: v + 13 * out[1] + 4.5, 'text-anchor': out[0] < -0.1 ? 'end' : out[0] > 0.1 ? 'start' : 'middle' }, String(x).replace('-', '−'));
}

/** The line of policies with a mean return of x. */
function contour(rewards, x) {
  const ends = [[0, 1], [1, 2], [2, 0]].flatMap(([a, b]) => {
    const k = (x - rewards[a]) / (rewards[b] - rewards[a]);
    return k >= 0 && k <= 1 ? [[0, 1, 2].map(c => (c === a ? 1 - k : c === b ? k : 0))] : [];
  });
  return ends.length > 1 ? pathOf(ends) : '';
}

export default { render };
