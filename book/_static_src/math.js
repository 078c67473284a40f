// Formulas are set when the book is built (ostrl_math.py). What comes later, cards and passages of a search, is set here:
// a formula that the page has is copied; for another one MathJax is fetched, once.
(() => {
  if (!window.MathJax) return;
  const home = new URL('vendor/mathjax/startup.js', document.currentScript.src);
  let fetched;
  const mathjax = () => fetched ??= new Promise((done, failed) => {
    MathJax.startup.ready = () => {
      delete MathJax.config.options.menuOptions;   // the component for screen readers sets it, and warns where there is no menu
      MathJax.startup.defaultReady();
    };
    const script = Object.assign(document.createElement('script'), { src: home, onerror: () => failed(new Error(`${home} cannot be had`)) });
    script.onload = () => MathJax.startup.promise.then(done, failed);
    document.head.append(script);
  });
  // Sets elements whose text is a formula as TeX, with the signs around it.
  window.setFormulas = async elements => {
    const other = [...elements].filter(math => {
      const [, sign, tex] = math.textContent.match(/^\s*\\([[(])\s*([\s\S]*?)\s*\\[\])]\s*$/) ?? [];
      const kind = sign === '[' ? '[display]' : ':not([display])';
      const same = tex && document.querySelector(`main mjx-container${kind}[data-tex="${CSS.escape(tex)}"]`);
      const versions = sign === '[' ? same?.parentNode.querySelectorAll(':scope > mjx-container') : [same];   // for each width
      if (same) math.replaceChildren(...[...versions].map(version => version.cloneNode(true)));
      return !same;
    });
    if (!other.length) return;
    await mathjax();
    await MathJax.typesetPromise(other);
    for (const { typesetRoot, math } of MathJax.startup.document.getMathItemsWithin(other)) typesetRoot.dataset.tex = math.trim();
    MathJax.typesetClear(other);                  // set once, and never again
  };
})();
