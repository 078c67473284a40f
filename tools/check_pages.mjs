// Open every built page in Chromium with the network cut, and write down what happens.
//
//   node tools/check_pages.mjs build/_build/html build/pages.json [--shots build/shots] [--only notebooks/,book/intro]
//
// Each page is opened 390 and 1,440 pixels wide and looked at in light and in dark, through a server on this machine;
// anything that asks for another machine is refused and recorded. Recorded too: answers of 400 and above, console errors,
// uncaught errors, content wider than the window, mathematics that did not render, what axe-core finds, and how much the
// page loads. Of the three pages that load most: how long they take to answer, and what holds them up after that. On one
// chapter the buttons are pressed by keyboard, the previews of links are opened by keyboard, by pointer and by a tap,
// served and from a folder on disk, the window is made wider, and web fonts are refused. Judging the record is the work of tools/gate_pages.py.
// --shots keeps a picture of every page for people to look at.
//
// Chromium is $CHROMIUM or the first of chromium, chromium-browser, google-chrome on PATH. Without it nothing is
// checked: a loud line says so, and with CI=true that is an error.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const WIDTHS = [390, 1440];
const SCHEMES = ['light', 'dark'];
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css',
  '.png': 'image/png', '.svg': 'image/svg+xml', '.json': 'application/json', '.woff': 'font/woff',
  '.woff2': 'font/woff2', '.webp': 'image/webp', '.ico': 'image/x-icon', '.xml': 'application/xml', '.txt': 'text/plain' };

function options(argv) {
  const positional = [], named = {};
  for (let i = 0; i < argv.length; i++) {
    if (argv[i].startsWith('--')) named[argv[i].slice(2)] = argv[++i]; else positional.push(argv[i]);
  }
  if (positional.length !== 2) {
    console.error('usage: node tools/check_pages.mjs SITE REPORT.json [--shots FOLDER] [--only PREFIX,PREFIX]');
    process.exit(2);
  }
  return { site: path.resolve(positional[0]), report: positional[1], shots: named.shots, only: named.only?.split(',') };
}

export function findChromium(env = process.env) {
  const candidates = env.CHROMIUM ? [env.CHROMIUM]
    : ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
      .flatMap(name => (env.PATH ?? '').split(path.delimiter).map(folder => path.join(folder, name)));
  return candidates.find(file => { try { fs.accessSync(file, fs.constants.X_OK); return true; } catch { return false; } });
}

function pages(site) {
  return fs.readdirSync(site, { recursive: true }).map(file => file.split(path.sep).join('/'))
    .filter(file => file.endsWith('.html') && !/^(_static|_modules|_sources)\//.test(file) && file !== 'index.html').sort();
}

// Where the site is on its host: the one page that has to know says it (/ where there is none).
function rootOf(site) {
  const page = path.join(site, '404.html');
  return (fs.existsSync(page) && fs.readFileSync(page, 'utf8').match(/data-content_root="([^"]*)"/)?.[1]) || '/';
}

// Serves as a static host does, text compressed, 404.html for an unknown address; every answer says how long its file is.
function serve(site, root) {
  const packed = new Map();
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, 'http://x').pathname);
    const known = name.startsWith(root) && path.join(site, name.slice(root.length), name.endsWith('/') ? 'index.html' : '');
    const status = known && fs.statSync(known, { throwIfNoEntry: false })?.isFile() ? 200 : 404;
    const file = status === 200 ? known : path.join(site, '404.html');
    fs.readFile(file, (error, body) => {
      if (error) { response.writeHead(404); response.end('not found'); return; }
      const type = TYPES[path.extname(file)] ?? 'application/octet-stream', headers = { 'content-type': type, 'x-length': body.length };
      if (/^text|json|xml/.test(type)) {
        if (!packed.has(file)) packed.set(file, zlib.gzipSync(body));
        body = packed.get(file);
        headers['content-encoding'] = 'gzip';
      }
      response.writeHead(status, { ...headers, 'content-length': body.length });
      response.end(body);
    });
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function settled(page) {
  await page.evaluate(async () => {
    await document.fonts.ready;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  });
}

// Whether something that is waited for comes.
const comes = promise => promise.then(() => true, () => false);

// What can only be seen in the page itself.
function look() {
  const width = document.documentElement.clientWidth;
  const wide = [];
  if (document.documentElement.scrollWidth > width + 1) {
    for (const element of document.querySelectorAll('main *')) {
      const box = element.getBoundingClientRect();
      if (box.width && box.right > width + 1 && wide.length < 5) wide.push(`${element.tagName.toLowerCase()}.${element.className} to ${Math.round(box.right)} px`);
    }
    wide.unshift(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${width} px`);
  }
  const raw = [...document.querySelectorAll('main .math')].filter(m => !m.querySelector('mjx-container')).map(m => m.textContent.slice(0, 60));
  const texts = document.createTreeWalker(document.querySelector('main') ?? document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (/\\[([]|\\(frac|sum|pi)\b/.test(text.data) && !text.parentElement.closest('pre, code, script, style, .math, mjx-container')) raw.push(text.data.trim().slice(0, 60));
  }
  const broken = [...document.querySelectorAll('mjx-merror')].map(m => (m.getAttribute('data-mjx-error') ?? m.textContent).slice(0, 120));
  const images = [...document.querySelectorAll('main img')].filter(i => i.complete && !i.naturalWidth).map(i => i.getAttribute('src'));
  const code = '.highlight-python pre, .highlight-default pre, .highlight-bash pre';
  for (const block of document.querySelectorAll(code)) {
    if (block.scrollWidth > block.clientWidth + 1) wide.push(`code that scrolls sideways: ${block.textContent.trim().slice(0, 60)}`);
  }
  for (const math of document.querySelectorAll('main mjx-container[display="true"]')) {
    if (math.scrollWidth > math.clientWidth + 1) wide.push(`an equation that scrolls sideways: ${math.dataset.tex.slice(0, 60)}`);
  }
  return { wide, math: [...raw.map(t => `not rendered: ${t}`), ...broken], images };
}

// Open one page, and hand over what it does on the way.
async function open(context, url, record) {
  const page = await context.newPage();
  await page.route('**/*', route => {
    const target = new URL(route.request().url());
    if (target.hostname === '127.0.0.1' || ['data:', 'blob:', 'file:'].includes(target.protocol)) return route.continue();
    record.external.push(target.href);
    return route.abort();
  });
  page.on('console', message => { if (message.type() === 'error') record.console.push(message.text().slice(0, 300)); });
  page.on('pageerror', error => record.console.push(`uncaught ${String(error).slice(0, 300)}`));
  page.on('response', response => {
    record.weight += Number(response.headers()['x-length'] ?? 0);
    if (response.status() >= 400) record.missing.push(`${response.status()} ${new URL(response.url()).pathname}`);
  });
  await page.goto(url, { waitUntil: 'load' });
  await settled(page);
  Object.assign(record, await page.evaluate(look));
  return page;
}

// Every rule in the light; in the dark only what the colors change.
async function accessibility(page, scheme) {
  return page.evaluate(async rules => {
    const result = await window.axe.run(document, { runOnly: rules, resultTypes: ['violations'] });
    return result.violations.flatMap(v => v.nodes.map(n => ({ rule: v.id, impact: v.impact, target: n.target.flat().join(' '), html: n.html.slice(0, 160) })));
  }, scheme === 'dark' ? { type: 'rule', values: ['color-contrast'] }
    : { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
}

async function visit(context, url, axe, shot) {
  const records = {};
  const first = records[SCHEMES[0]] = blank();
  const page = await open(context, url, first);
  await page.evaluate(axe);
  for (const scheme of SCHEMES) {
    const record = records[scheme] ??= blank();
    if (scheme !== SCHEMES[0]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForFunction(name => document.documentElement.dataset.theme === name, scheme);
      Object.assign(record, await page.evaluate(look));
    }
    if (scheme === SCHEMES[0] || page.viewportSize().width === WIDTHS.at(-1)) record.axe = await accessibility(page, scheme);   // colors are the same at every width
    if (shot) await shot(page, scheme);
  }
  await page.close();
  return records;
}

// What is wrong with the previews of a chapter's links: each kind by keyboard, one by pointer.
const KINDS = { equation: '#equation-eq-', citation: 'bibliography.html#', term: 'glossary.html#term-' };

async function previews(context, url, axe, record) {
  const page = await open(context, url, record);
  const problems = [], card = page.locator('#preview'), article = page.locator('main article');
  const gone = () => comes(card.waitFor({ state: 'hidden', timeout: 5_000 }));
  const shown = () => comes(card.waitFor({ state: 'visible', timeout: 5_000 }));
  await page.keyboard.press('Tab');                          // from here on the focus is a keyboard's
  for (const [kind, part] of Object.entries(KINDS)) {
    const link = article.locator(`a.internal[href*="${part}"]`).first();
    await link.focus();
    if (!await shown()) { problems.push(`${kind}: nothing appears on focus`); continue; }
    const text = (await card.innerText()).trim();
    if (text.length < 10) problems.push(`${kind}: the preview says only "${text}"`);
    const raw = await card.evaluate(e => [...e.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length);
    if (raw || (kind === 'equation' && !await card.locator('mjx-container').count())) problems.push(`${kind}: mathematics did not render`);
    if (await link.getAttribute('aria-describedby') !== 'preview') problems.push(`${kind}: the link does not name its preview`);
    const box = await card.boundingBox(), width = await page.evaluate(() => document.documentElement.clientWidth);
    if (box.x < 0 || box.x + box.width > width) problems.push(`${kind}: the preview is cut off by the window`);
    if (axe) {
      await page.evaluate(axe);
      problems.push(...(await page.evaluate(async () => (await window.axe.run('#preview')).violations.map(v => v.id))).map(id => `${kind}: axe ${id}`));
    }
    await page.keyboard.press('Escape');
    if (!await gone()) problems.push(`${kind}: Escape does not close the preview`);
  }
  const link = article.locator(`a.internal[href*="${KINDS.term}"]`).first();
  await page.evaluate(() => document.activeElement.blur());
  await link.hover();
  if (!await shown()) problems.push('nothing appears under the pointer');
  else {
    await card.hover();
    await page.waitForTimeout(600);                          // longer than a card outlives its link
    if (!await card.isVisible()) problems.push('the pointer cannot reach the preview');
    await page.mouse.move(1, 1);
    if (!await gone()) problems.push('the preview stays when the pointer leaves');
  }
  await page.close();
  return problems;
}

// On a touch screen the first tap on a link shows the preview, the second follows the link.
async function tapped(browser, url) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, reducedMotion: 'reduce' });
  const page = await open(context, url, blank()), card = page.locator('#preview'), problems = [];
  const link = page.locator(`main article a.internal[href*="${KINDS.term}"]`).first();
  await link.tap();
  if (!await comes(card.waitFor({ state: 'visible', timeout: 5_000 }))) problems.push('a tap shows no preview');
  if (page.url() !== url) problems.push('the first tap leaves the page');
  else {
    await link.tap();
    const there = page.waitForURL(`**/${KINDS.term.split('#')[0]}*`, { timeout: 5_000 });
    if (!await comes(there)) problems.push('a second tap does not follow the link');
  }
  await context.close();
  return problems;
}

// A phone is turned: equations that were broken for the narrow page are whole on the wide one.
async function turned(context, url) {
  const page = await open(context, url, blank());
  const broken = () => page.locator('main div.math > mjx-container:has(mjx-linebox):visible').count();
  const before = await broken();
  await page.setViewportSize({ width: 1000, height: 600 });
  await settled(page);
  const after = await broken();
  await page.close();
  return after < before || !before ? [] : [`${after} of ${before} equations stay broken into lines on a page that is wider now`];
}

// A face that can't be had (a blocker, a bad line) costs its look, not the mathematics.
async function faceless(context, url) {
  const page = await context.newPage();
  await page.route(/\.woff2/, route => route.abort());
  await page.goto(url, { waitUntil: 'load' });
  await settled(page);
  const { math } = await page.evaluate(look);
  await page.close();
  return math.length ? [`without web fonts ${math.length} formulas are not set`] : [];
}

// What is wrong for whoever presses the buttons of a page by keyboard: each keeps the focus, a sidebar gives it back.
async function keyboard(context, url) {
  const page = await open(context, url, blank());
  const problems = [];
  await page.keyboard.press('Tab');                          // from here on the focus is a keyboard's
  for (const [name, sidebar] of [['.theme-switch-button'], ['.copybtn'], ['.copy-tex'], ['.primary-toggle', '#pst-primary-sidebar-modal'], ['.secondary-toggle', '#pst-secondary-sidebar-modal']]) {
    const button = page.locator(`${name}:visible`).first();
    await button.focus();
    await page.keyboard.press('Enter');
    if (sidebar) {
      if (!await comes(page.locator(`${sidebar}[open]`).waitFor({ timeout: 5_000 }))) problems.push(`${name} opens nothing`);
      await page.keyboard.press('Escape');
    }
    await page.waitForTimeout(100);
    if (name === '.copy-tex' && !(await page.locator('main [role=status]').allInnerTexts()).some(text => /^Copied/.test(text))) problems.push('.copy-tex does not say that it copied');
    if (!await button.evaluate(element => element === document.activeElement)) problems.push(`${name} loses the focus when it is pressed`);
  }
  await page.close();
  return problems;
}

const blank = () => ({ external: [], missing: [], console: [], wide: [], math: [], images: [], axe: [], weight: 0 });

// How long until a page answers: its live figures run and the mathematics in view is set; and what holds it up after that.
async function answers(browser, url) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 } });
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.tasks = [];
    new PerformanceObserver(list => window.tasks.push(...list.getEntries())).observe({ type: 'longtask', buffered: true });
  });
  await page.goto(url, { waitUntil: 'load' });
  const time = await page.evaluate(async () => {
    const seen = element => { const box = element.getBoundingClientRect(); return box.height && box.top < innerHeight && box.bottom > 0; };
    const waits = () => [...document.querySelectorAll('.ostrl-live-host')].some(host => !host.dataset.live)
      || [...document.querySelectorAll('main .math')].some(math => seen(math) && !math.querySelector('mjx-container'));
    while (waits() && performance.now() < 15_000) await new Promise(done => setTimeout(done, 5));
    return performance.now();
  });
  await settled(page);
  const held = await page.evaluate(time => Math.max(0, ...window.tasks.filter(task => task.startTime > time).map(task => task.duration)), time);
  await context.close();
  return { time: Math.round(time), held: Math.round(held) };
}

async function main() {
  const { site, report, shots, only } = options(process.argv.slice(2));
  fs.mkdirSync(path.dirname(path.resolve(report)), { recursive: true });
  const chromiumPath = findChromium();
  if (!chromiumPath) {
    fs.writeFileSync(report, JSON.stringify({ skipped: 'no Chromium' }) + '\n');
    console.error('*** BROWSER CHECKS SKIPPED: no Chromium found. Install it (Debian: apt-get install chromium) or set $CHROMIUM. ***');
    process.exit(process.env.CI === 'true' ? 1 : 0);
  }
  const modules = process.env.NODE_MODULES ?? path.join(ROOT, 'node_modules');
  const require = createRequire(path.join(path.resolve(modules), 'x.js'));
  const { chromium } = require('playwright-core');
  const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

  const list = pages(site).filter(name => !only || only.some(prefix => name.startsWith(prefix)));
  if (!list.length) { console.error(`no pages under ${site}`); process.exit(1); }
  const root = rootOf(site), server = await serve(site, root);
  const origin = `http://127.0.0.1:${server.address().port}${root}`.replace(/\/$/, '');
  const browser = await chromium.launch({ executablePath: chromiumPath, headless: true, args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] });
  const result = { pages: {} };
  try {
    for (const width of WIDTHS) {
      const context = await browser.newContext({ viewport: { width, height: width < 800 ? 844 : 1000 }, colorScheme: SCHEMES[0], reducedMotion: 'reduce' });
      context.setDefaultTimeout(60_000);
      const queue = [...list];
      const worker = async () => {
        for (let name = queue.shift(); name; name = queue.shift()) {
          const shot = shots && (async (page, scheme) => {
            const file = path.join(shots, `${width}-${scheme}`, name.replaceAll('/', '_').replace(/\.html$/, '.png'));
            fs.mkdirSync(path.dirname(file), { recursive: true });
            await page.screenshot({ path: file, fullPage: true });
          });
          const records = await visit(context, `${origin}/${name}`, axe, shot);
          for (const scheme of SCHEMES) (result.pages[name] ??= {})[`${width} ${scheme}`] = records[scheme];
        }
      };
      await Promise.all(Array.from({ length: Math.max(2, Math.min(4, os.cpus().length)) }, worker));
      if (width === WIDTHS[0]) {
        if (fs.existsSync(path.join(site, 'search.html'))) {   // the search of the built site finds something
          const page = await open(context, `${origin}/search.html?q=gradient`, blank());
          const hits = page.locator('#search-results ul.search li a');
          await hits.first().waitFor({ timeout: 15_000 }).catch(() => {});
          result.search = await hits.count();
          const passage = page.locator('#search-results p.context:has(a)').first();
          result.passage = await passage.innerText({ timeout: 15_000 }).catch(() => '');
          await page.close();
          const slip = await open(context, `${origin}/search.html?q=gradinet`, blank());   // and knows what was meant
          result.meant = await slip.locator('#search-results .suggestion a').innerText({ timeout: 15_000 }).catch(() => '');
          await slip.close();
          const number = await open(context, `${origin}/search.html?q=Theorem+2.2`, blank());   // and what has a number
          result.named = await number.locator('ul.suggestions a').first().innerText({ timeout: 15_000 }).catch(() => '');
          await number.close();
          const sign = await open(context, `${origin}/search.html?q=${encodeURIComponent('∇')}`, blank());   // and signs, in the text
          result.signs = await comes(sign.locator('#search-results ul.search li a').first().waitFor({ timeout: 15_000 }));
          await sign.close();
        }
        if (fs.existsSync(path.join(site, '404.html'))) {      // an unknown address, deep down, is answered with a whole page
          const lost = result.lost = blank(), page = await open(context, `${origin}/no/such/page.html`, lost);
          for (const kind of ['missing', 'console']) lost[kind] = lost[kind].filter(what => !/no\/such\/page|status of 404/.test(what));
          await page.close();
        }
        const record = result.disk = blank();                  // and a page works from a folder on disk
        const name = list.find(file => file.startsWith('notebooks/')) ?? list[0];
        await (await open(context, `file://${path.join(site, name)}`, record)).close();
        const chapter = pages(site).find(file => file.startsWith('notebooks/') && Object.values(KINDS).every(part =>
          fs.readFileSync(path.join(site, file), 'utf8').match(new RegExp(`<a class="reference internal" href="[^"]*${part}`))));
        if (chapter) {
          result.turned = [...await turned(context, `${origin}/${chapter}`), ...await faceless(context, `${origin}/${chapter}`)].map(p => `${chapter}: ${p}`);
          result.keyboard = (await keyboard(context, `${origin}/${chapter}`)).map(p => `${chapter}: ${p}`);
          const served = await previews(context, `${origin}/${chapter}`, axe, blank());
          const disk = await previews(context, `file://${path.join(site, chapter)}`, null, record);
          served.push(...await tapped(browser, `${origin}/${chapter}`));
          result.previews = [...served.map(p => `${chapter}: ${p}`), ...disk.map(p => `${chapter} from a folder on disk: ${p}`)];
        }
      }
      await context.close();
    }
    const weight = name => result.pages[name][`${WIDTHS[1]} ${SCHEMES[0]}`].weight;
    for (const name of [...list].sort((a, b) => weight(b) - weight(a)).slice(0, 3)) {   // alone, the best of three
      const runs = [];
      for (let i = 0; i < 3; i++) runs.push(await answers(browser, `${origin}/${name}`));
      const least = what => Math.min(...runs.map(run => run[what]));   // noise of the machine only adds
      (result.answers ??= {})[name] = { time: least('time'), held: least('held') };
    }
  } finally {
    await browser.close();
    server.close();
  }
  fs.writeFileSync(report, JSON.stringify(result, null, 1) + '\n');
  console.log(`${list.length} pages, ${WIDTHS.length * SCHEMES.length} views each: ${report}`);
}

await main();
