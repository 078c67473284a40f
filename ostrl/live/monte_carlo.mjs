import { BLUE, ORANGE, button, choice, connect, figure, finding, format, h, handle, numberField, output, policyText, s, set, show, simplex, slider, table, update, withProbability } from "./drawing.mjs";
import { digitsFor, ticks, watchWidth } from "./axes.mjs";
import { drawCounts, estimateMoments, estimatesOf, fromGroup, histogram, listCounts, sampleMoments, uniforms } from "./sampling.mjs";

// Many Monte Carlo estimates of one slope of J, as a histogram beside the truth. The same state gives the same picture.

const STATE = ['probs', 'rewards', 'answers', 'size', 'baseline', 'constant', 'replicas', 'logit', 'seed', 'zoom'];
const SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640, 800, 1000];
const BASELINE_WORDS = [['none', 'none'], ['constant', 'a number b'], ['mean', 'the mean reward J'], ['optimal', 'the best number b*'],
  ['leave_one_out', 'mean of the other answers'], ['group_mean', 'mean of the group, itself included']];
const count = x => String(x).replace(/\B(?=(\d{3})+$)/g, ',');
const percent = x => (x > 0 && x < 0.001 ? 'less than 0.1\u00a0%' : `${format(100 * x, x > 0 && x < 0.0995 ? 1 : 0)}\u00a0%`);

function plot() {
  const height = 216, floor = 164, top = 4;
  const [band, bars, exact, lines, axis] = Array.from({ length: 5 }, () => s('g'));
  const svg = s('svg', { role: 'img', 'data-name': 'histogram' }, band, bars, exact, axis, lines);
  let width = 640, last = null;
  const draw = state => {
    last = state;
    const { low, high, shown, peak, truth, mean, sd, title, label } = state;
    const inset = 10, x = v => inset + ((v - low) / (high - low)) * (width - 2 * inset), y = n => floor - (n / peak) * (floor - top - 10);
    set(svg, { viewBox: `0 0 ${width} ${height}`, 'aria-label': label });
    show(svg, shown);
    band.replaceChildren(s('rect', { x: x(mean - sd), y: top, width: Math.max(0, x(mean + sd) - x(mean - sd)), height: floor - top, fill: ORANGE, 'fill-opacity': 0.13 }));
    const path = [], dots = [], apart = i => (shown[i] && shown[i - 1] ? x(shown[i].left) - x(shown[i - 1].left) : Infinity);
    shown.forEach((bar, i) => {
      const alone = bar.left === bar.right, gap = Math.min(apart(i), apart(i + 1)), thick = Math.max(1.2, Math.min(16, 0.72 * gap));
      const l = x(bar.left) - (alone ? thick / 2 : 0), w = alone ? thick : x(bar.right) - l;
      const cut = !alone && w > 4 ? 0.5 : 0, q = y(bar.count), at = y(bar.expected);
      path.push(`M${(l + cut).toFixed(1)} ${floor}V${q.toFixed(1)}h${(w - 2 * cut).toFixed(1)}V${floor}Z`);
      if (bar.expected > 0.004 * peak) dots.push(`M${(l + w / 2).toFixed(1)} ${at.toFixed(1)}h0`);
    });
    bars.replaceChildren(s('path', { d: path.join(''), fill: BLUE, 'fill-opacity': 0.78 }));
    exact.replaceChildren(s('path', { d: dots.join(''), fill: 'none', stroke: 'currentColor', 'stroke-width': Math.max(2, Math.min(4.4, (0.6 * (x(shown[shown.length - 1].right) - x(shown[0].left))) / (shown.length - 1 || 1))), 'stroke-linecap': 'round' }));
    lines.replaceChildren(s('path', { d: `M${x(truth)} ${floor + 5}V${top}`, stroke: 'currentColor', 'stroke-width': 2 }),
      s('path', { d: `M${x(mean)} ${floor}V${top}`, stroke: ORANGE, 'stroke-width': 2.4, 'stroke-dasharray': '6 5' }));
    const marks = ticks(low, high, width / 70).map(([v, digits]) => [x(v), format(v, digits)]);
    axis.replaceChildren(s('path', { d: `M0 ${floor}H${width}${marks.map(([at]) => `M${at.toFixed(1)} ${floor}v5`).join('')}`, fill: 'none', stroke: 'currentColor', 'stroke-opacity': 0.6 }),
      ...marks.filter(([at]) => at > 20 && at < width - 20).map(([at, text]) => s('text', { x: at, y: floor + 21, 'text-anchor': 'middle', 'font-size': 13 }, text)),
      s('text', { x: width / 2, y: height - 7, 'text-anchor': 'middle', 'font-size': 13.5 }, title));
  };
  const sign = (words, ...marks) => h('span', { style: 'white-space:nowrap' }, h('span', { 'aria-hidden': 'true' },
    s('svg', { viewBox: '0 0 18 14', style: 'display:inline-block;width:1.2em;vertical-align:-.12em' }, ...marks)), ` ${words}`);
  const legend = h('div', { class: 'ol-row', style: 'gap:.1rem 1rem;font-size:.88em' },
    sign('drawn', s('rect', { x: 3, width: 12, height: 14, fill: BLUE, 'fill-opacity': 0.78 })), sign('expected', s('circle', { cx: 9, cy: 7, r: 3, fill: 'currentColor' })),
    sign('the truth', s('path', { d: 'M9 0V14', stroke: 'currentColor', 'stroke-width': 2.4 })),
    sign('exact mean', s('path', { d: 'M9 0V14', stroke: ORANGE, 'stroke-width': 3, 'stroke-dasharray': '6 2' })),
    sign('± one SD, exact', s('rect', { width: 18, height: 14, fill: ORANGE, 'fill-opacity': 0.25 })));
  return { node: h('div', null, legend, svg), draw, fit(pixels) { width = pixels; if (last) draw(last); } };
}

function render({ model, el }) {
  const put = (name, value) => update(model, { [name]: value });
  const picture = plot(), says = finding();
  const names = model.get('answers'), home = model.get('probs'), triangle = simplex('The triangle of all policies', names);
  const policy = handle(triangle, { label: 'Policy', color: BLUE, home: () => home, onMove: p => put('probs', p) });
  const probs = names.map((name, a) => numberField({ name: `probs.${a}`, aria: `Probability of ${name}`, min: 0.002, max: 0.996, step: 0.01,
    onInput: x => put('probs', withProbability(model.get('probs'), a, x)) }));
  const rewards = names.map((name, a) => numberField({ name: `rewards.${a}`, aria: `Reward of ${name}`, min: -1e6, max: 1e6, step: 0.1,
    onInput: x => put('rewards', model.get('rewards').map((r, i) => (i === a ? x : r))) }));
  const truths = names.map((_, a) => output(`gradient.${a}`));
  const grid = table('Policy, rewards and slopes of J', names, [
    ['probability', probs.map(f => f.input)], ['reward', rewards.map(f => f.input)], ['slope of J', truths]]);
  const least = () => (fromGroup(model.get('baseline')) ? 1 : 0);
  const size = slider({ name: 'size', label: 'N, answers behind one estimate', min: 0, max: SIZES.length - 1, step: 1,
    text: i => count(SIZES[i] ?? i), onInput: i => put('size', SIZES[Math.max(i, least())]) });
  const baseline = choice({ name: 'baseline', label: 'Baseline, subtracted from every reward', options: BASELINE_WORDS,
    onChange: name => update(model, { ...(fromGroup(name) && model.get('size') < 2 ? { size: 2 } : {}), baseline: name }) });
  const constant = slider({ name: 'constant', label: 'b', min: -1, max: 2, step: 0.01, onInput: x => put('constant', Number(x.toPrecision(3))) });
  const logit = choice({ name: 'logit', label: 'Whose slope', options: names.map((name, a) => [a, name]), onChange: x => put('logit', Number(x)) });
  const replicas = choice({ name: 'replicas', label: 'Estimates drawn', options: [200, 2000, 20000].map(n => [n, count(n)]), onChange: x => put('replicas', Number(x)) });
  const again = button('Draw again', () => put('seed', (model.get('seed') + 1) % 2 ** 32));
  const zoom = h('input', { type: 'checkbox', style: `width:1.15rem;height:1.15rem;margin:0;accent-color:${BLUE}`, 'data-name': 'zoom', onchange: () => put('zoom', zoom.checked) });
  const numbers = Object.fromEntries(['truth', 'mean', 'sd', 'snr', 'baseline_value', 'sample_mean', 'sample_sd', 'wrong', 'silent'].map(name => [name, output(name)]));
  grid.heads.forEach(head => { head.style.fontSize = '.85em'; });
  const results = table('What is exact, and what was drawn', ['truth', 'exact', 'drawn'], [
    ['mean', [numbers.truth, numbers.mean, numbers.sample_mean]], ['SD', ['', numbers.sd, numbers.sample_sd]],
    ['SNR, all slopes', ['', numbers.snr, '']]]);
  const root = figure(el, 'Monte Carlo estimates of a slope of J',
    h('div', { style: 'display:grid;gap:.9rem' }, picture.node, says.node, h('div', { class: 'ol-grid' },
      h('div', { class: 'ol-side' }, size.node, baseline.node, constant.node,
        h('div', { class: 'ol-fields' }, logit.node, replicas.node),
        h('div', { class: 'ol-row', style: 'gap:.4rem 1.2rem' }, again, h('label', { class: 'ol-row', style: 'display:flex;min-height:2rem' }, zoom, 'zoom in on the estimates')),
        results.node),
      h('div', { class: 'ol-side' }, triangle.svg, grid.node))));

  let counts = null, key = '', random = null, randomKey = '';
  const draw = () => {
    const state = Object.fromEntries(STATE.map(name => [name, model.get(name)]));
    const { answers, logit: k, replicas: drawn } = state;
    const problem = { ...state, size: Math.max(state.size, fromGroup(state.baseline) ? 2 : 1) };
    if (key !== (key = `${problem.size} ${problem.probs}`)) counts = listCounts(problem.size, problem.probs);
    if (randomKey !== (randomKey = `${state.seed} ${drawn}`)) random = uniforms(state.seed, drawn);
    const exact = estimateMoments(problem), values = estimatesOf(counts, problem, k), picked = drawCounts(counts, random);
    const truth = exact.truth[k], mean = exact.mean[k], sd = Math.sqrt(exact.variance[k]), [sampleMean, sampleSD] = sampleMoments(values, picked);
    const dust = 1e-12 * Math.max(...problem.rewards.map(Math.abs), Math.abs(exact.baseline));  // what rounding can leave of a zero
    let wrong = 0, silent = 0;
    for (let i = 0; i < values.length; i++) {
      if (Math.abs(values[i]) <= dust) silent += counts.probability[i];
      else if (values[i] * truth < 0) wrong += counts.probability[i];
    }
    const noise = sd > dust ? sd : 0, shown = histogram(values, counts.probability, picked, noise || 1), digits = digitsFor(Math.max(noise, Math.abs(truth)));
    // The axis reaches, in whole SDs, as far as the estimates. Unless it zooms in, it also shows what one answer's R s can
    // be, so that it holds still while N and the baseline change.
    const reach = (x, round) => mean + noise * Math.max(1, Math.ceil(Math.abs(x - mean) / (noise || 1))) * round;
    let low = Math.min(truth, reach(shown[0].left, -1)), high = Math.max(truth, reach(shown[shown.length - 1].right, 1));
    if (!state.zoom) for (let a = 0; a < 3; a++) {
      const product = problem.rewards[a] * ((a === k) - problem.probs[k]);
      [low, high] = [Math.min(low, product), Math.max(high, product)];
    }
    const pad = 0.03 * (high - low) || 0.5 * Math.abs(truth) || 0.5;
    picture.draw({ low: low - pad, high: high + pad, shown, truth, mean, sd: noise, peak: shown.reduce((most, bar) => Math.max(most, bar.count, bar.expected), 0),
      title: `estimates of ${answers[k]}’s slope of J`,
      label: `Histogram of ${count(drawn)} estimates. Truth ${format(truth, digits)}, exact mean ${format(mean, digits)}, standard deviation ${format(sd, digits)}.` });

    triangle.rename(answers);
    policy.set(problem.probs, policyText(answers, problem.probs));
    probs.forEach((field, a) => field.set(problem.probs[a], 3));
    rewards.forEach((field, a) => field.set(problem.rewards[a]));
    truths.forEach((node, a) => show(node, exact.truth[a], format(exact.truth[a], digitsFor(Math.max(...exact.truth.map(Math.abs))), true)));
    answers.forEach((name, a) => { grid.heads[a].textContent = logit.select.options[a].textContent = name; });
    [['probs', problem.probs], ['rewards', problem.rewards], ['gradient', exact.truth]].forEach(([name, list], i) => { grid.rows[i].dataset.name = name; show(grid.rows[i], list); });
    logit.set(k);
    size.set(SIZES.findIndex(n => n >= problem.size), { min: fromGroup(state.baseline) ? 1 : 0 });
    set(size.input, { 'aria-valuetext': count(problem.size) });
    show(size.node.querySelector('output'), problem.size, count(problem.size));
    baseline.set(state.baseline);
    const [worst, best] = [Math.min(...problem.rewards), Math.max(...problem.rewards)], span = best - worst || 1;
    constant.node.style.display = state.baseline === 'constant' ? '' : 'none';
    constant.set(state.constant, { min: Math.min(0, worst) - span / 2, max: best + span / 2, step: 'any' });
    if (![...replicas.select.options].some(o => Number(o.value) === drawn)) replicas.select.add(new Option(count(drawn), drawn));
    replicas.set(drawn);
    zoom.checked = state.zoom;
    const write = (name, value, text = format(value, digits)) => show(numbers[name], value, text);
    write('truth', truth); write('mean', mean); write('sd', sd); write('sample_mean', sampleMean); write('sample_sd', sampleSD);
    write('snr', exact.snr, format(exact.snr, digitsFor(exact.snr)));
    write('baseline_value', exact.baseline); write('wrong', wrong, percent(wrong)); write('silent', silent, percent(silent));
    const right = Math.abs(mean - truth) <= dust;
    says.set(right ? 'Right on average' : `Too short on average, by the factor 1\u00a0−\u00a01/N\u00a0=\u00a0${format(1 - 1 / problem.size, 3)}`,
      ...(exact.baseline === null || state.baseline === 'none' ? ['.'] : [' with b = ', numbers.baseline_value, '.']), ' One estimate has the wrong sign in ', numbers.wrong,
      ' of all cases and is exactly zero in ', numbers.silent, '.');
  };
  const unwatch = watchWidth(root, picture.fit), end = connect(model, STATE, draw);
  return () => { unwatch(); end(); };
}
export default { render };
