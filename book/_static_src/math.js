// Typesets a long chapter a screenful at a time, what is in view first, so that the page answers while it is at it.
// Displayed formulas are broken into lines that fit their column, and again when its width changes: a phone is turned,
// a proof is unfolded. MathJax.startup.promise holds when all is set, as it always does.
(() => {
  if (!window.MathJax?.startup?.promise) return;
  const widths = new WeakMap();   // of the columns that formulas were broken for
  const pause = () => new Promise(done => {   // not a timer: those are slow in a tab in the background
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(null);
  });
  // The faces and characters that the book's formulas use. All faces are put into use in one step, before the first
  // formula: whenever one comes by itself, the whole page is laid out again. (From a folder on disk nothing can be fetched.)
  const FACES = ['BRK', ...['ZERO', 'N', 'DS', 'C', 'S', 'LO', 'SO', 'S3', 'S4', 'S5', 'S7', 'V', 'LT', 'RB', 'EM']
    .map(face => `NCM-${face}`)];
  const CHARACTERS = ['double-struck', 'script', 'calligraphic'];
  const home = document.querySelector('script[src*="mathjax/startup.js"]').src;
  async function fetched(name) {
    const file = `fonts/mathjax-newcm-font/chtml/woff2/mjx-ncm-${name.replace('NCM-', '').toLowerCase()}.woff2`;
    const url = new URL(file, home);
    return [`MJX-${name}`, location.protocol === 'file:' ? `url("${url}")` : await (await fetch(url)).arrayBuffer()];
  }
  const files = Promise.allSettled(FACES.map(fetched));
  async function faces() {
    const { font } = MathJax.startup.document.outputJax;
    await Promise.all(CHARACTERS.map(name => font.loadDynamicFile(font.CLASS.dynamicFiles[name])));
    const late = new Promise(done => setTimeout(done, 2000));   // formulas don't wait for a face for ever,
    const come = await Promise.race([files, late]) ?? [];         // nor miss one that can't be had
    const ours = new Map(come.filter(file => file.value).map(({ value: [family, source] }) => [family, new FontFace(family, source)]));
    for (const rules of [font.CLASS.defaultFonts, font.fontUsage]) {   // MathJax need not ask for what is there
      for (const [name, rule] of Object.entries(rules)) if (rule.src && ours.has(rule['font-family'])) delete rules[name];
    }
    for (const face of ours.values()) document.fonts.add(face);
    MathJax.startup.document.updateDocument();                    // its style sheet
    await Promise.race([Promise.allSettled([...ours.values()].map(face => face.load())), late]);
  }
  const inView = math => {
    const { top, bottom } = math.getBoundingClientRect();
    return bottom >= 0 && top <= innerHeight;
  };
  async function typeset(formulas) {
    const near = formulas.filter(inView);
    for (const math of formulas) if (math.matches('div')) widths.set(math, math.clientWidth);
    const order = [...near, ...formulas.filter(math => !near.includes(math))];
    for (let i = 0, end = performance.now() + 30; i < order.length; i += 12) {
      const some = order.slice(i, i + 12);
      await MathJax.typesetPromise(some);
      for (const { typesetRoot, math } of MathJax.startup.document.getMathItemsWithin(some)) typesetRoot.dataset.tex = math;
      if (performance.now() > end) {
        await pause();
        end = performance.now() + 30;
      }
    }
  }
  async function again() {
    const changed = [...document.querySelectorAll('main div.math')]
      .filter(math => math.clientWidth && math.clientWidth !== widths.get(math));
    for (const item of MathJax.startup.document.getMathItemsWithin(changed)) item.removeFromDocument(true);
    MathJax.typesetClear(changed);
    await typeset(changed);
  }
  const then = step => { MathJax.startup.promise = MathJax.startup.promise.then(step); };
  MathJax.config.startup.ready = () => {
    delete MathJax.config.options.menuOptions;   // the component for screen readers sets it, and warns where there is no menu
    MathJax.startup.defaultReady();
  };
  then(faces);
  then(() => typeset([...document.querySelectorAll('.math'),
    ...[...document.querySelectorAll('main .text_html :is(td, th, p)')].filter(cell => cell.textContent.includes('\\('))]));
  addEventListener('resize', () => then(again));
  addEventListener('toggle', () => then(again), true);
})();
