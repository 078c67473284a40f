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
  // The faces and characters that the book's formulas use: one that comes later has all of a page laid out again.
  const FACES = ['MJX-BRK', ...['ZERO', 'N', 'DS', 'C', 'S', 'LO', 'SO', 'S3', 'S4', 'S5', 'S7', 'V', 'LT', 'RB', 'EM']
    .map(face => `MJX-NCM-${face}`)];
  const CHARACTERS = ['double-struck', 'script', 'calligraphic'];
  async function faces() {
    const { font } = MathJax.startup.document.outputJax;
    await Promise.all(CHARACTERS.map(name => font.loadDynamicFile(font.CLASS.dynamicFiles[name])));
    MathJax.startup.document.updateDocument();   // the style sheet with the faces
    const needed = [...document.fonts].filter(face => FACES.includes(face.family.replace(/["']/g, '')));
    const late = new Promise(done => setTimeout(done, 2000));   // formulas don't wait for a face for ever,
    await Promise.race([Promise.allSettled(needed.map(face => face.load())), late]);   // nor miss one that can't be had
  }
  const inView = math => {
    const { top, bottom } = math.getBoundingClientRect();
    return bottom >= 0 && top <= innerHeight;
  };
  async function typeset(formulas) {
    const near = formulas.filter(inView);
    const order = [...near, ...formulas.filter(math => !near.includes(math))];
    for (let i = 0, end = performance.now() + 30; i < order.length; i += 12) {
      const some = order.slice(i, i + 12);
      for (const math of some) widths.set(math, math.clientWidth);
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
