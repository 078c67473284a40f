// Typesets a long chapter a screenful at a time, what is in view first, so that the page answers while it is at it.
// MathJax.startup.promise holds when all is set, as it always does.
(() => {
  if (!window.MathJax?.startup?.promise) return;
  const pause = () => new Promise(done => {   // not a timer: those are slow in a tab in the background
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    port2.postMessage(null);
  });
  async function typeset() {
    const rest = [...document.querySelectorAll('.math')].filter(math => !math.closest('script, .math .math'));
    rest.push(...[...document.querySelectorAll('main .text_html :is(td, th, p)')].filter(cell => cell.textContent.includes('\\(')));
    const distance = math => {
      const { top, bottom } = math.getBoundingClientRect();
      return bottom < 0 ? -bottom : Math.max(0, top - innerHeight);
    };
    const near = rest.filter(math => distance(math) === 0);
    const order = [...near, ...rest.filter(math => !near.includes(math))];
    for (let i = 0, end = performance.now() + 30; i < order.length; i += 12) {
      await MathJax.typesetPromise(order.slice(i, i + 12));
      if (performance.now() > end) {
        await pause();
        end = performance.now() + 30;
      }
    }
  }
  MathJax.startup.promise = MathJax.startup.promise.then(typeset);
})();
