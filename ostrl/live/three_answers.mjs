import { BLUE, GRAY, GREEN, ORANGE, PURPLE, arrow, button, choice, connect, figure, finding, follow, format, h, handle, inside, newId, numberField, output, pathOf, policyText, s, set, show, simplex, slider, table, toXY, update, withProbability } from "./drawing.mjs";
import { cosine, expectedGradient, flow, gradient, methodName, norm, value, velocity } from "./mathematics.mjs";

const LABELS = [['on_policy', 'the model'], ['demonstrations', 'demonstrators'], ['mixture', 'half and half'], ['frozen', 'the starting model, frozen']];
const WEIGHTS = [['one', '1'], ['reward', 'R'], ['constant_baseline', 'R − b'], ['mean_baseline', 'R − mean of the group'], ['leave_one_out', 'R − mean of the others'],
  ['group_normalized', '(R − mean) / (σ + 0.0001)'], ['threshold', '1 if R ≥ τ, else 0'], ['top_k', '1 for the best, else 0'], ['exponential', 'exp(R / β) / its sum']];
const NORMALIZERS = [['samples', 'the labels, B · G'], ['kept', 'the kept, in the whole batch'], ['kept_per_prompt', 'the kept, prompt by prompt'], ['prompts', 'the prompts, B']];
const PRESETS = [['RL', 'on_policy', 'reward', 'samples'], ['SFT', 'demonstrations', 'one', 'samples'], ['Self-training', 'mixture', 'one', 'samples'],
  ['ReST', 'on_policy', 'threshold', 'kept'], ['GRPO', 'on_policy', 'group_normalized', 'samples'], ['RLOO', 'on_policy', 'leave_one_out', 'samples']];
const TITLES = { reinforce: 'REINFORCE', rloo: 'RLOO', dr_grpo: 'Dr. GRPO', grpo: 'GRPO', sft: 'Supervised fine-tuning', self_training: 'Self-training without a filter',
  rest: 'ReST', rest_per_prompt: 'ReST, prompt by prompt', raft: 'RAFT, best of the group', rwr: 'Reward-weighted regression' };
const PARAMETERS = { constant_baseline: 'baseline', threshold: 'tau', exponential: 'beta' };
const STARTS = [];                                        // of the quiet flow lines, as ostrl.plotting.simplex_grid(7)
for (let i = 1; i < 7; i++) for (let j = 1; j < 7 - i; j++) STARTS.push([i / 7, j / 7, (7 - i - j) / 7]);

/** RL, SFT and self-training keep their colors; labels of a frozen model have one of their own. */
const colorOf = ({ labels, weight }) => (labels === 'demonstrations' ? ORANGE : labels === 'frozen' ? PURPLE
  : labels === 'mixture' || ['one', 'threshold', 'top_k', 'exponential'].includes(weight) ? GREEN : BLUE);

const i = text => h('i', null, text), sub = (...parts) => h('sub', null, ...parts);
const over = (top, bottom) => h('span', { class: 'ol-fraction' }, h('span', null, ...top), h('span', null, ...bottom));
/** (1/Z) Σ w ∇ log π, with w and Z written out. */
function formula({ weight, normalizer }) {
  const R = () => [i('R'), sub(i('i'))], mean = () => h('span', { class: 'ol-mean' }, i('R'));
  const w = {
    one: [], reward: R(), constant_baseline: ['(', ...R(), ' − ', i('b'), ')'], mean_baseline: ['(', ...R(), ' − ', mean(), ')'],
    leave_one_out: ['(', ...R(), ' − ', mean(), sub('−', i('i')), ')'], group_normalized: [over([...R(), ' − ', mean()], [i('σ'), ' + ', i('ε')])],
    threshold: [h('b', null, '1'), '[', ...R(), ' ≥ ', i('τ'), ']'], top_k: [h('b', null, '1'), '[', i('i'), ' is the best]'],
    exponential: [over(['exp(', ...R(), ' / ', i('β'), ')'], ['Σ', sub(i('j')), ' exp(', i('R'), sub(i('j')), ' / ', i('β'), ')'])],
  }[weight];
  const Z = { samples: [i('BG')], kept: ['# kept'], kept_per_prompt: [i('B'), ' · # kept', sub(i('o'))], prompts: [i('B')] }[normalizer];
  return [over(['1'], Z), ' Σ', sub(i('i')), ' ', ...w, ' ∇ log ', i('π'), '(', i('a'), sub(i('i')), ' | ', i('o'), sub(i('i')), ')'];
}

function render({ model, el }) {
  const names = model.get('answers'), [home, grading, given] = ['probs', 'rewards', 'demonstrators'].map(name => model.get(name));
  const change = changes => { halt(); update(model, changes); };
  const entry = (list, a, x) => list.map((y, k) => (k === a ? x : y));

  // the three questions
  const presets = PRESETS.map(([words, labels, weight, normalizer]) => button(words, () => change({ labels, weight, normalizer }), { 'aria-pressed': 'false', style: `--accent:${colorOf({ labels, weight })}` }));
  const who = choice({ name: 'labels', label: 'Who writes the labels?', options: LABELS, onChange: labels => change({ labels }) });
  const how = choice({ name: 'weight', label: 'How much does each count, w?', options: WEIGHTS, onChange: weight => change({ weight }) });
  const what = choice({ name: 'normalizer', label: 'What is divided by, Z?', options: NORMALIZERS, onChange: normalizer => change({ normalizer }) });
  const group = slider({ name: 'group_size', label: 'Group size, G', min: 2, max: 8, step: 1, text: x => format(x, 0), onInput: x => change({ group_size: x }) });
  const parameter = Object.fromEntries(Object.entries(PARAMETERS).map(([weight, name]) => [weight, slider({
    name, label: { baseline: 'Baseline, b', tau: 'Threshold, τ', beta: 'Temperature, β' }[name], min: 0, max: 1, step: 0.05, onInput: x => change({ [name]: x }),
  })]));

  // the picture
  const triangle = simplex('The triangle of all policies', names);
  const quiet = s('g', { fill: 'none', stroke: 'currentColor', 'stroke-opacity': 0.34, 'stroke-width': 1.3 });
  triangle.back.append(quiet);
  const way = s('path', { fill: 'none', 'stroke-width': 2.6, 'stroke-linecap': 'round', 'stroke-dasharray': '1 6' });
  const end = s('circle', { r: 7, fill: 'var(--ground)', 'stroke-width': 2.6 }), begun = s('circle', { r: 8, fill: 'none', stroke: PURPLE, 'stroke-width': 2.5 });
  triangle.lines.append(way, begun, end);
  const truth = arrow(triangle.lines, GRAY, { name: 'gradient_arrow', width: 8 }), mean = arrow(triangle.lines, BLUE, { name: 'mean_arrow' });
  const shown = handle(triangle, { label: 'Demonstrators', color: ORANGE, shape: 'square', least: 0, home: () => given, onMove: p => change({ demonstrators: p }) });
  const point = handle(triangle, { label: 'Policy', color: 'currentColor', home: () => home, end: () => route.at(-1), onMove: p => change({ probs: p }) });

  // the numbers
  const fields = (name, words, bounds, next) => names.map((answer, a) => numberField({
    name: `${name}.${a}`, aria: `${words} ${answer}`, ...bounds, onInput: x => change({ [name]: next(model.get(name), a, x) }),
  }));
  const policy = fields('probs', 'Probability of', { min: 0.002, max: 0.996, step: 0.01 }, (p, a, x) => inside(withProbability(p, a, x)));
  const grades = fields('rewards', 'Reward of', { min: -1e6, max: 1e6, step: 0.1 }, entry);
  const shares = fields('demonstrators', 'How often demonstrators write', { min: 0, max: 1, step: 0.01 }, (p, a, x) => inside(withProbability(p, a, x), 0));
  const [means, slopes] = ['mean_gradient', 'gradient'].map(name => names.map((_, a) => output(`${name}.${a}`)));
  const numbers = table('The policy, the rewards, the demonstrators, and both gradients', names, [
    ['policy', policy.map(x => x.input)], ['rewards', grades.map(x => x.input)], ['demonstrators', shares.map(x => x.input)],
    ['mean of ĝ', means, BLUE], [h('span', null, '∇', i('J')), slopes, GRAY],
  ]);
  const keys = numbers.rows.map(row => row.querySelector('.ol-key'));
  const title = output('method', { class: 'ol-big' }), written = h('div', { class: 'ol-formula', 'data-name': 'formula' }), said = finding();
  const angle = output('cosine'), ratio = output('norm_ratio'), J = output('value');
  const fact = (words, number) => h('div', null, h('span', { class: 'ol-label' }, ...words), number);
  const facts = h('div', { class: 'ol-facts' }, fact(['cosine with ∇', i('J')], angle), fact(['length over ‖∇', i('J'), '‖'], ratio), fact(['return ', i('J')], J));

  let route = [home], stop = null;
  const FOLLOW = 'Follow the flow';
  const learn = button(FOLLOW, () => {
    if (stop) { halt(); return; }
    learn.textContent = 'Stop';
    stop = () => {};
    const ending = follow(route, p => update(model, { probs: inside(p) }), { onEnd: () => halt() });
    if (stop) stop = ending;
  });
  const halt = () => { stop?.(); stop = null; learn.textContent = FOLLOW; };
  const freeze = button('Freeze the model here', () => change({ start: model.get('probs') }));
  const back = button('Start again', () => change({ probs: home, rewards: grading, demonstrators: given }));
  const heading = newId(), others = h('span', null, ' or the demonstrators (square)');
  figure(el, 'The three answers that make a method',
    h('div', { class: 'ol-row', role: 'group', 'aria-labelledby': heading }, h('span', { class: 'ol-label', id: heading }, 'Begin with'), ...presets),
    h('div', { class: 'ol-fields' }, who.node, how.node, what.node),
    h('div', { class: 'ol-grid' },
      h('div', { class: 'ol-side' }, triangle.svg, h('div', { class: 'ol-row ol-center' }, learn, back, freeze),
        h('div', { class: 'ol-fields' }, group.node, ...Object.values(parameter).map(x => x.node))),
      h('div', { class: 'ol-side' }, h('div', null, title, written), said.node, facts, numbers.node)),
    h('p', { class: 'ol-note' }, 'Drag the policy (round)', others, ', or move it with the arrow keys, finer with Shift. The colored arrow is the mean of the estimate, over every group there is; ',
      'the broad gray one is ∇', i('J'), '. Both show how the probabilities move when the logits follow. One prompt, ', i('B'), ' = 1: kept in the batch and kept prompt by prompt are the same number here.'));

  let key = '', field = null;
  function choose(state) {                                // what changes with the answers, not with the policy
    if (key === (key = JSON.stringify(state))) return;
    field = expectedGradient(state);
    const color = colorOf(state), name = methodName(state.labels, state.weight, state.normalizer);
    const back = p => field(p).map(x => -x);
    quiet.replaceChildren(...STARTS.flatMap(p => {
      const before = flow(back, p, { stride: 0.05, steps: 60 }), after = flow(field, p, { stride: 0.05, steps: 120 });
      return after.length > 1 ? [s('path', { d: pathOf([...before.reverse(), ...after.slice(1)]) + barb(p, velocity(p, field(p))) })] : [];
    }));
    for (const node of [way, end, mean.shaft]) set(node, { stroke: color });
    set(mean.head, { fill: color });
    keys[3].style.background = color;
    title.style.setProperty('--accent', color);
    show(title, name, name ? TITLES[name] : 'A method without a name');
    written.replaceChildren(...formula(state));
    PRESETS.forEach(([, ...answers], k) => presets[k].setAttribute('aria-pressed', String(answers.join() === [state.labels, state.weight, state.normalizer].join())));
    who.set(state.labels); how.set(state.weight); what.set(state.normalizer);
    group.set(state.groupSize);
    const low = Math.min(0, ...state.rewards), high = Math.max(1, ...state.rewards), unit = 10 ** Math.floor(Math.log10(high - low));
    for (const [weight, control] of Object.entries(parameter)) {
      control.node.hidden = weight !== state.weight;
      control.set(model.get(PARAMETERS[weight]), weight === 'exponential' ? { min: 0.05 * unit, max: 4 * unit, step: 0.05 * unit } : { min: low, max: high, step: 0.05 * unit });
    }
    const asked = ['demonstrations', 'mixture'].includes(state.labels), frozen = state.labels === 'frozen', [x, y] = toXY(state.start);
    set(shown.node, { visibility: asked ? 'visible' : 'hidden', tabindex: asked ? 0 : -1 });
    shown.set(state.demonstrators, policyText(model.get('answers'), state.demonstrators));
    set(begun, { cx: x, cy: y, visibility: frozen ? 'visible' : 'hidden' });
    freeze.hidden = !frozen;
    others.hidden = !asked;
    numbers.rows[2].hidden = !asked;
    state.rewards.forEach((r, a) => { grades[a].set(r); shares[a].set(state.demonstrators[a], 3); });
  }
  const draw = () => {
    const get = name => model.get(name), p = get('probs'), rewards = get('rewards'), answers = get('answers');
    choose({ labels: get('labels'), weight: get('weight'), normalizer: get('normalizer'), groupSize: get('group_size'), rewards, demonstrators: get('demonstrators'),
      start: get('start'), parameter: PARAMETERS[get('weight')] ? get(PARAMETERS[get('weight')]) : null });
    const g = field(p), best = gradient(p, rewards), lengths = [norm(g), norm(best)];
    route = flow(field, p);
    const goal = route.at(-1), [x, y] = toXY(goal), still = route.length === 1;
    set(way, { d: pathOf(route) });
    set(end, { cx: x, cy: y, visibility: still ? 'hidden' : 'visible' });
    truth.set(p, velocity(p, best));
    mean.set(p, velocity(p, g));
    point.set(p, policyText(answers, p));
    triangle.rename(answers);
    answers.forEach((name, a) => {
      if (numbers.heads[a].textContent !== name) numbers.heads[a].textContent = name;
      policy[a].set(p[a], 3);
      show(means[a], g[a], format(g[a], 3, true));
      show(slopes[a], best[a], format(best[a], 3, true));
    });
    [['probs', p], ['rewards', rewards], ['demonstrators', get('demonstrators')], ['mean_gradient', g], ['gradient', best]].forEach(([name, list], k) => {
      numbers.rows[k].dataset.name = name;
      show(numbers.rows[k], list);
    });
    const tiny = 1e-12 * Math.max(1, ...rewards.map(Math.abs)), along = Math.min(...lengths) > tiny ? cosine(g, best) : null, times = lengths[1] > tiny ? lengths[0] / lengths[1] : null;
    show(angle, along, format(along, [3, 4, 5, 6].find(k => along === null || along > 1 - 1e-12 || Number(along.toFixed(k)) < 1) ?? 7));
    show(ratio, times, format(times, 2));
    show(J, value(p, rewards), format(value(p, rewards), 3));
    show(said.seen, goal);
    said.set(...sentence(along, times, still, goal, answers, get('demonstrators')));
  };
  return connect(model, ['probs', 'start', 'rewards', 'demonstrators', 'answers', 'group_size', 'labels', 'weight', 'normalizer', 'baseline', 'tau', 'beta'], draw);
}

/** What the picture shows, in two sentences. */
function sentence(along, times, still, goal, answers, shown) {
  const J = () => ['∇', i('J')], same = times !== null && Math.abs(times - 1) < 1e-9;
  const first = still ? ['The mean estimate is zero: on average, nothing is learned.']
    : along === null ? [...J(), ' is zero here, the mean estimate is not.']
    : along > 1 - 1e-12 ? (same ? ['Exactly ', ...J(), '.'] : ['The direction of ', ...J(), `, ${format(times, 2)} times as long.`])
    : along > 0.995 ? ['Almost the direction of ', ...J(), '.'] : along > 0.1 ? ['Uphill, but not along ', ...J(), '.']
    : along > -0.1 ? ['Neither up nor down.'] : ['Downhill: against ', ...J(), '.'];
  if (still) return first;
  const winner = goal.findIndex(q => q > 0.97);
  const imitates = winner < 0 && goal.every((q, a) => Math.abs(q - shown[a]) < 1e-3);
  return [...first, ' Following it leads to ', h('b', null, winner >= 0 ? answers[winner] : imitates ? 'what the demonstrators write' : policyText(answers, goal)), '.'];
}

/** A small arrowhead at p, along v. */
function barb(p, v) {
  const [x, y] = toXY(p), [u, w] = toXY(p.map((q, a) => q + v[a])), size = Math.hypot(u - x, w - y);
  const [c, d] = size > 1e-12 ? [(5 * (u - x)) / size, (5 * (w - y)) / size] : [0, 0];
  return [[-c - 0.7 * d, -d + 0.7 * c], [-c + 0.7 * d, -d - 0.7 * c]].map(([a, b]) => `M${(x + a).toFixed(1)} ${(y + b).toFixed(1)}L${x.toFixed(1)} ${y.toFixed(1)}`).join('');
}

export default { render };
