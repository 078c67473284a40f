import { BLUE, GRAY, GREEN, ORANGE, button, choice, connect, figure, finding, format, h, output, s, set, show, slider, update } from "./drawing.mjs";
import { ticks, watchWidth } from "./axes.mjs";

// A language model's answers along training. Every token stands on a ground that is the deeper, over a bar that is the
// longer, the likelier it was under the policy at that step.

const ALL = 'all', END = '⏎', PACE = 900;                // milliseconds that a step stays while it plays
const COLORS = { sft: ORANGE, self_training: GREEN, rest: GREEN, rest_per_prompt: GREEN, raft: GREEN, rwr: GREEN };
const LOOK = `
.ostrl-live .ol-answers { display: grid; gap: .7rem 1.4rem; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); max-height: min(27rem, 60vh);
  overflow-y: auto; padding: .6rem .2rem; border: solid var(--line); border-width: 1px 0; }
.ostrl-live .ol-prompt { display: flex; flex-wrap: wrap; gap: 0 .8rem; margin-bottom: .25rem; font-family: var(--pst-font-family-monospace, monospace); font-size: .92em; }
.ostrl-live .ol-prompt :last-child { color: var(--quiet); }
.ostrl-live .ol-group { display: grid; gap: .4rem .6rem; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); }
.ostrl-live .ol-answer { display: flex; flex-wrap: wrap; gap: 2px; align-content: flex-start; }
.ostrl-live .ol-token { min-width: 1.5rem; height: 1.75rem; padding: 0 .25rem; line-height: 1.55rem; text-align: center; white-space: pre; border-radius: 2px;
  font-family: var(--pst-font-family-monospace, monospace); cursor: default; outline: 0 solid currentColor; outline-offset: -1px; box-shadow: inset 0 0 0 1px var(--line);
  background: linear-gradient(currentColor, currentColor) left bottom / var(--bar) 3px no-repeat color-mix(in srgb, ${BLUE} var(--ground-share), var(--ground)); }
.ostrl-live .ol-token.ol-here { outline-width: 2px; }
.ostrl-live .ol-token:focus-visible { outline: 3px solid currentColor; }
.ostrl-live .ol-grade { flex-basis: 100%; font-size: .8em; line-height: 1.3; min-height: 1.3em; }
.ostrl-live .ol-grade svg, .ostrl-live .ol-sample svg { display: inline-block; width: .95em; height: .95em; margin-right: .3em; vertical-align: -.1em; }
.ostrl-live .ol-sample { white-space: nowrap; }
.ostrl-live .ol-sample svg { width: 1.8em; }
.ostrl-live .ol-detail { margin: 0; min-height: 2.8em; }
@container (max-width: 559px) { .ostrl-live :is(.ol-finding, .ol-detail) { min-height: 4.2em; } }
.ostrl-live .ol-scale { font-size: .86em; gap: .25rem; }
`;

const percent = x => `${format(100 * x, Math.min(x, 1 - x) > 0 && Math.min(x, 1 - x) < 0.01 ? 1 : 0)}\u00a0%`;
/** A probability with three digits after the point, or with its first digit where that is later. */
const chance = p => (p > 0 && p < 0.0005 ? Number(p.toPrecision(1)).toFixed(Math.min(12, Math.ceil(-Math.log10(p)))) : format(p, 3));
/** A token as it can be seen, and as it is said. */
const seen = token => (/^\s+$/.test(token) ? token.replace(/\n/g, '↵').replace(/\s/g, '␣') : token);
const spoken = token => (token === END ? 'end' : /^\s+$/.test(token) ? 'space' : token);
/** The ground of a token of probability p. */
const ground = p => `--bar:${(100 * p).toFixed(1)}%;--ground-share:${(4 + 50 * p).toFixed(1)}%`;
/** Right (1 or more), wrong (0 or less), or in between. */
const verdict = reward => (reward >= 1 ? 'right' : reward <= 0 ? 'wrong' : `reward ${format(reward)}`);
const mean = list => list.reduce((sum, x) => sum + x, 0) / list.length;
/** The recorded step that is on show where `step` is wanted: the last that is not after it. */
const placeOf = (steps, step) => Math.max(0, steps.findLastIndex(x => x <= step));

/** Accuracy and the mean reward of the answers on show over training, with a marker to drag. */
function chart(onDrag) {
  const height = 178, floor = 132, top = 10, left = 44, right = 14;
  const [grid, lines, marker] = Array.from({ length: 3 }, () => s('g'));
  const svg = s('svg', { role: 'img', style: 'touch-action:pan-y;cursor:ew-resize' }, grid, lines, marker);
  let width = 640, last = null, x = null, held = false;
  const draw = state => {
    last = state;
    const { steps, now, accuracy, rewards, color, label } = state, first = steps[0], span = steps.at(-1) - first;
    const low = Math.min(0, ...rewards), high = Math.max(1, ...rewards), y = v => floor - ((v - low) / (high - low)) * (floor - top);
    x = step => left + (span ? (step - first) / span : 0.5) * (width - left - right);
    set(svg, { viewBox: `0 0 ${width} ${height}`, 'aria-label': label });
    const rows = ticks(low, high, 3), columns = span ? ticks(first, steps.at(-1), width / 80).filter(([v]) => Number.isInteger(v)) : [[first]];
    const line = values => steps.map((step, i) => `${i ? 'L' : 'M'}${x(step).toFixed(1)} ${y(values[i]).toFixed(1)}`).join('');
    const dots = (values, look) => steps.map((step, i) => s('circle', { cx: x(step).toFixed(1), cy: y(values[i]).toFixed(1), r: i === now ? 5.5 : 3, ...look }));
    grid.replaceChildren(s('path', { d: rows.map(([v]) => `M${left} ${y(v).toFixed(1)}H${width - right}`).join(''), stroke: 'var(--line)', fill: 'none' }),
      ...rows.map(([v, digits]) => s('text', { x: left - 8, y: y(v) + 4.5, 'text-anchor': 'end', 'font-size': 13 }, format(v, digits))),
      ...columns.map(([v]) => s('text', { x: x(v), y: floor + 23, 'text-anchor': 'middle', 'font-size': 13 }, format(v, 0))),
      s('text', { x: (left + width - right) / 2, y: height - 5, 'text-anchor': 'middle', 'font-size': 13.5 }, 'step of training'));
    marker.replaceChildren(s('path', { d: `M${x(steps[now]).toFixed(1)} ${floor}V${top - 6}`, stroke: 'currentColor', 'stroke-width': 1.5, 'stroke-opacity': 0.75 }),
      s('path', { d: `M${x(steps[now]).toFixed(1)} ${floor - 1}l7 11h-14Z`, fill: 'currentColor' }));
    lines.replaceChildren(s('path', { d: line(rewards), fill: 'none', stroke: GRAY, 'stroke-width': 2.2, 'stroke-dasharray': '6 4' }),
      ...dots(rewards, { fill: 'var(--ground)', stroke: GRAY, 'stroke-width': 2 }),
      s('path', { d: line(accuracy), fill: 'none', stroke: color, 'stroke-width': 2.6, 'stroke-linejoin': 'round' }), ...dots(accuracy, { fill: color }));
  };
  const drag = event => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) * width) / box.width;
    onDrag(last.steps.reduce((best, step) => (Math.abs(x(step) - at) < Math.abs(x(best) - at) ? step : best)));
  };
  svg.addEventListener('pointerdown', event => { if (!event.button) { held = true; svg.setPointerCapture(event.pointerId); drag(event); } });
  svg.addEventListener('pointermove', event => { if (held) drag(event); });
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) svg.addEventListener(name, () => { held = false; });
  return { svg, draw, fit(pixels) { width = pixels; if (last) draw(last); } };
}

/** A place for an answer: its tokens, and under them the teacher's grade. What does not change from step to step stays. */
function answerRow() {
  const sign = s('path', { fill: 'none', 'stroke-width': 2.6, 'stroke-linecap': 'round' }), words = h('span');
  const grade = h('span', { role: 'gridcell', class: 'ol-grade' }, s('svg', { viewBox: '0 0 14 14', 'aria-hidden': 'true' }, sign), words);
  const node = h('div', { role: 'row', class: 'ol-answer' }, grade), cells = [];
  return {
    node,
    token(k, text, p) {
      const cell = cells[k] ??= h('span', { role: 'gridcell', class: 'ol-token', tabindex: -1 });
      if (cell.parentNode !== node) grade.before(cell);
      show(cell, p, seen(text));
      return set(cell, { style: ground(p), 'aria-label': `${spoken(text)}, probability ${chance(p)}` });
    },
    grade(reward, note) {
      show(node, reward);
      show(words, reward, note ?? verdict(reward));
      set(grade, { 'aria-label': note ? `${verdict(reward)}: ${note}` : verdict(reward) });
      set(sign, { stroke: reward >= 1 ? GREEN : ORANGE, d: reward >= 1 ? 'M2 8l3.5 4L12 2.5' : reward <= 0 ? 'M2.5 2.5l9 9M11.5 2.5l-9 9' : 'M2 7h10' });
    },
    /** Without the tokens from place k on. */
    cut(k) { for (const cell of cells.slice(k)) cell.remove(); },
  };
}

/** The answers to some prompts at one step, as a grid whose tokens can be pointed at or walked over; `onLook(place)` is told which. */
function answerGrid(onLook) {
  const node = h('div', { class: 'ol-answers', role: 'grid', 'aria-label': 'Answers, with the probability of every token', 'data-name': 'answers', 'data-lm-suppress-shortcuts': 'true' });
  let rows = [], cells = [], places = new Map(), chosen = null, stop = null, at = [0, 0], hovered = null, entered = false;
  const cellAt = ([i, k]) => cells[Math.min(i, cells.length - 1)]?.[Math.min(k, cells[Math.min(i, cells.length - 1)].length - 1)];
  const mark = () => {
    const here = hovered ?? (entered ? at : null);
    chosen?.classList.remove('ol-here');
    chosen = here && cellAt(here);
    chosen?.classList.add('ol-here');
    onLook(chosen ? places.get(chosen) : null);
  };
  const rove = place => { stop?.setAttribute('tabindex', -1); at = place; stop = cellAt(at); stop.setAttribute('tabindex', 0); };
  node.addEventListener('pointerover', event => { const cell = event.target.closest('.ol-token'); if (cell) { hovered = places.get(cell); mark(); } });
  node.addEventListener('pointerleave', () => { hovered = null; mark(); });
  node.addEventListener('focusin', event => { const place = places.get(event.target); if (place) { entered = true; hovered = null; rove(place); mark(); } });
  node.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [i, k] = places.get(event.target) ?? at, end = cells[i].length - 1;
    const there = { ArrowLeft: k ? [i, k - 1] : i ? [i - 1, cells[i - 1].length - 1] : null, ArrowRight: k < end ? [i, k + 1] : cells[i + 1] ? [i + 1, 0] : null,
      ArrowUp: i ? [i - 1, k] : null, ArrowDown: cells[i + 1] ? [i + 1, k] : null, Home: [i, 0], End: [i, end] };
    if (!(event.key in there)) return;
    event.preventDefault();
    if (there[event.key]) cellAt(there[event.key]).focus();
  });
  return {
    node,
    /** Other prompts: a card each, with as many places for answers as the fullest step needs. */
    build(prompts) {
      at = [0, 0];
      hovered = null;
      entered = false;
      rows = [];
      node.replaceChildren(...prompts.map(({ prompt, key, samples }) => {
        const own = Array.from({ length: Math.max(...samples.map(group => group.length)) }, answerRow);
        rows.push(own);
        return h('div', { role: 'rowgroup', class: 'ol-card' },
          h('div', { role: 'row', class: 'ol-prompt' }, h('b', { role: 'rowheader' }, prompt), ...(key ? [h('span', { role: 'gridcell' }, `right: ${key}`)] : [])),
          h('div', { role: 'presentation', class: 'ol-group' }, ...own.map(row => row.node)));
      }));
    },
    /** The answers of each prompt. */
    fill(groups) {
      const inside = node.contains(document.activeElement);
      cells = [];
      places = new Map();
      groups.forEach((group, i) => rows[i].forEach((row, j) => {
        const answer = group[j];
        row.node.hidden = !answer;
        if (!answer) return;
        const { tokens, probs, reward, note } = answer, own = tokens.map((token, k) => row.token(k, token, probs[k]));
        row.cut(tokens.length);
        row.grade(reward, note);
        own.forEach((cell, k) => places.set(cell, [cells.length, k]));
        cells.push(own);
      }));
      rove(at);
      if (inside) cellAt(at).focus({ preventScroll: true });
      mark();
    },
  };
}

function render({ model, el }) {
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let shown = [], answers = [], built = null, timer = null;
  const data = () => model.get('data'), now = () => placeOf(data().steps, model.get('step'));
  const go = place => update(model, { step: data().steps[place] });
  const words = () => { play.textContent = still.matches ? 'Next step' : timer ? 'Stop' : 'Play'; };
  const halt = () => { clearInterval(timer); timer = null; words(); };
  const next = () => {
    const place = (now() + 1) % data().steps.length;
    if (place === data().steps.length - 1) halt();
    go(place);
  };
  const play = button('Play', () => {
    if (timer) { halt(); return; }
    if (!still.matches) timer = setInterval(next, PACE);
    next();
    words();
  });
  const picture = chart(step => { halt(); update(model, { step }); });
  const step = slider({ name: 'step', label: 'Step of training', min: 0, max: 1, step: 1, text: i => String(data().steps[i] ?? ''), onInput: i => { halt(); go(i); } });
  const kind = choice({ name: 'kind', label: 'Prompts', options: [], onChange: x => update(model, { kind: x }) });
  const says = finding(), accuracy = output('accuracy'), reward = output('mean_reward'), count = output('answers_shown'), right = output('answers_right');
  const sample = (text, ...marks) => h('span', { class: 'ol-sample' }, s('svg', { viewBox: '0 0 28 14', 'aria-hidden': 'true' }, ...marks), text);
  const stroke = s('path', { d: 'M0 7H28', 'stroke-width': 3 });
  const legend = h('div', { class: 'ol-row', style: 'gap:.1rem 1.2rem;font-size:.88em' },
    sample('accuracy', stroke), h('span', null, sample('mean reward of the answers below: ', s('path', { d: 'M0 7H28', stroke: GRAY, 'stroke-width': 2.6, 'stroke-dasharray': '6 4' })), reward));
  const swatch = p => h('span', { class: 'ol-token', style: `${ground(p)};height:1.5rem;line-height:1.3rem`, 'aria-hidden': 'true' }, format(p, 2));
  const scale = h('div', { class: 'ol-row ol-scale' }, 'Probability of a token: ', h('span', { class: 'ol-spoken' }, 'the longer the bar below it and the deeper its ground, the likelier'), ...[0, 0.25, 0.5, 0.75, 1].map(swatch));
  const token = output('token_prob'), log = output('token_log_prob'), whole = output('answer_prob'), grade = output('answer_reward'), detail = h('p', { class: 'ol-detail', 'data-name': 'detail' });
  const grid = answerGrid(place => {
    if (!place) { detail.replaceChildren('Point at a token, or walk over the answers with the arrow keys, to read how likely it was.'); return; }
    const [i, k] = place, { tokens, probs, reward: r, note } = answers[i], product = probs.reduce((a, b) => a * b, 1);
    show(token, probs[k], chance(probs[k]));
    show(log, Math.log(probs[k]), `${format(Math.log(probs[k]), 2)} nats`);
    show(whole, product, chance(product));
    show(grade, r, format(r, Number.isInteger(r) ? 0 : 2));
    detail.replaceChildren(`Token ${k + 1} of ${tokens.length}, “${seen(tokens[k])}”: probability `, token, ', log-probability ', log, `. The whole answer “${tokens.map(seen).join('')}”: probability `, whole, ', reward ', grade, `${note ? ` (${note})` : ''}.`);
  });
  const body = h('div', { style: 'display:grid;gap:.7rem' }, h('div', null, legend, picture.svg),
    h('div', { class: 'ol-row', style: 'gap:.4rem 1rem;align-items:end' }, play, h('div', { style: 'flex:1 1 14rem' }, step.node), h('div', { style: 'flex:0 1 11rem' }, kind.node)),
    says.node, scale, grid.node, detail);
  const empty = h('p', { class: 'ol-note' }, 'Nothing is recorded yet.');
  const root = figure(el, 'Answers along training', h('style', null, LOOK), empty, body);

  const draw = () => {
    const { steps, prompts, accuracy: rates, method } = data(), kinds = [...new Set(prompts.map(prompt => prompt.kind))], wanted = model.get('kind');
    body.hidden = !steps.length;
    empty.hidden = !body.hidden;
    if (body.hidden) { halt(); return; }
    const of = kinds.includes(wanted) ? wanted : ALL, place = now();
    if (built?.data !== data()) kind.select.replaceChildren(...[[ALL, 'all'], ...kinds.map(x => [x, x || 'other'])].map(([key, text]) => h('option', { value: key }, text)));
    if (built?.data !== data() || built.of !== of) {
      built = { data: data(), of };
      shown = prompts.filter(prompt => of === ALL || prompt.kind === of);
      grid.build(shown);
    }
    kind.node.parentNode.hidden = kinds.length < 2;
    kind.set(of);
    play.disabled = step.input.disabled = steps.length < 2;
    const groups = shown.map(prompt => prompt.samples[place]), color = COLORS[method] ?? BLUE;
    const rewards = steps.map((_, t) => mean(shown.flatMap(prompt => prompt.samples[t].map(answer => answer.reward))));
    answers = groups.flat();
    grid.fill(groups);
    step.set(place, { min: 0, max: steps.length - 1 });
    show(step.node.querySelector('output'), steps[place], String(steps[place]));
    set(step.input, { 'aria-valuetext': `step ${steps[place]}` });
    set(stroke, { stroke: color });
    const good = answers.filter(answer => answer.reward >= 1).length, most = tally(answers);
    show(accuracy, rates[place], percent(rates[place]));
    show(reward, rewards[place], format(rewards[place]));
    show(count, answers.length, String(answers.length));
    show(right, good, String(good));
    says.set(`Step ${steps[place]}: `, accuracy, ' right. Of the ', count, ` answers ${of === ALL ? 'here' : `to “${of || 'other'}”`}, `, right, good === 1 ? ' is' : ' are', ` right${most.length ? `; most frequent mistakes: ${most.join(', ')}` : ''}.`);
    picture.draw({ steps, now: place, accuracy: rates, rewards, color,
      label: `Accuracy${method ? ` of ${method}` : ''} and mean reward of the answers on show, over ${steps.length} recorded steps, with a marker at step ${steps[place]}: accuracy ${percent(rates[place])}, mean reward ${format(rewards[place])}` });
    words();
  };
  const unwatch = watchWidth(root, picture.fit), end = connect(model, ['data', 'step', 'kind'], draw);
  still.addEventListener('change', halt);
  return () => { halt(); still.removeEventListener('change', halt); unwatch(); end(); };
}

/** The most frequent mistakes, at most two: ["forgot the carry (3)", …]. */
function tally(answers) {
  const times = new Map();
  for (const { note } of answers) if (note) times.set(note, (times.get(note) ?? 0) + 1);
  return [...times].sort((a, b) => b[1] - a[1]).slice(0, 2).map(([note, n]) => `${note} (${n})`);
}
export default { render };
