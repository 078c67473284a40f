// "Copy TeX" beside a numbered equation: it shows under the pointer, on focus, and when the equation is tapped.
(() => {
  const equations = document.querySelectorAll('main div.math:has(> .eqno)');
  if (!equations.length) return;
  const said = document.createElement('p');
  said.className = 'visually-hidden';
  said.setAttribute('role', 'status');
  document.querySelector('main').append(said);

  // What MathJax is given, without the signs around it and the environment that Sphinx puts around one of the author's.
  const source = math => [...math.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.data).join('').trim()
    .replace(/^\\\[\s*([\s\S]*?)\s*\\\]$/, '$1')
    .replace(/^\\begin\{split\}\s*(\\begin\{(\w+)\}[\s\S]*\\end\{\2\})\s*\\end\{split\}$/, '$1');

  for (const math of equations) {
    const tex = source(math);                                  // now: MathJax replaces the text
    const number = math.querySelector('.eqno').textContent;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy-tex mathjax_ignore';
    button.textContent = 'Copy TeX';
    button.setAttribute('aria-label', `Copy TeX of equation ${number}`);
    button.addEventListener('click', async () => {
      const done = await navigator.clipboard?.writeText(tex).then(() => true, () => false);
      button.classList.add('done');
      button.textContent = done ? 'Copied' : 'Not copied';
      said.textContent = `${button.textContent}: TeX of equation ${number}`;
      setTimeout(() => {
        button.classList.remove('done');
        button.textContent = 'Copy TeX';
        said.textContent = '';
      }, 2000);
    });
    math.append(button);
  }
  let touch = false;   // not what a click says of itself: older browsers don't
  document.addEventListener('pointerdown', event => { touch = event.pointerType === 'touch'; });
  document.addEventListener('click', event => {
    const tapped = event.target.closest('main div.math');
    for (const math of document.querySelectorAll('main div.math.tapped')) if (math !== tapped) math.classList.remove('tapped');
    if (touch) tapped?.classList.add('tapped');
  });
})();
