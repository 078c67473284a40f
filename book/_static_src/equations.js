// The TeX of formulas. "Copy TeX" beside a displayed one: it shows under the pointer, on focus, and when the formula is
// tapped. And a selection is copied with TeX where it has formulas: what MathJax writes has no text of its own.
(() => {
  const equations = document.querySelectorAll('main div.math');
  const said = document.createElement('p');
  said.className = 'visually-hidden';
  said.setAttribute('role', 'status');
  document.querySelector('main').append(said);

  // What MathJax is given, without the environment that Sphinx puts around one of the author's.
  const bare = text => text.trim()
    .replace(/^\\begin\{split\}\s*(\\begin\{(\w+)\}[\s\S]*\\end\{\2\})\s*\\end\{split\}$/, '$1');

  for (const math of equations) {
    const tex = bare(math.querySelector('mjx-container').dataset.tex);
    const number = math.querySelector(':scope > .eqno')?.textContent, name = number ? `equation ${number}` : 'this formula';
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy-tex';
    button.textContent = 'Copy TeX';
    button.setAttribute('aria-label', `Copy TeX of ${name}`);
    button.addEventListener('click', async () => {
      const done = await navigator.clipboard?.writeText(tex).then(() => true, () => false);
      button.classList.add('done');
      button.textContent = done ? 'Copied' : 'Not copied';
      said.textContent = `${button.textContent}: TeX of ${name}`;
      setTimeout(() => {
        button.classList.remove('done');
        button.textContent = 'Copy TeX';
        said.textContent = '';
      }, 2000);
    });
    math.append(button);
  }

  document.addEventListener('copy', event => {
    const selection = getSelection(), range = selection.rangeCount ? selection.getRangeAt(0).cloneRange() : null;
    const formula = node => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement)?.closest('mjx-container');
    if (!range || selection.isCollapsed) return;
    const [first, last] = [formula(range.startContainer), formula(range.endContainer)];
    if (first) range.setStartBefore(first);                    // a formula is copied whole
    if (last) range.setEndAfter(last);
    const copy = document.createElement('div');
    copy.append(range.cloneContents());
    const formulas = copy.querySelectorAll('mjx-container[data-tex]');
    if (!formulas.length) return;
    for (const math of formulas) {
      const tex = bare(math.dataset.tex);
      if (math.matches(':has(+ mjx-container[display])')) math.remove();   // there in versions, for each width
      else math.replaceWith(math.hasAttribute('display') ? `$$${tex}$$` : `$${tex}$`);
    }
    for (const button of copy.querySelectorAll('button')) button.remove();
    event.clipboardData.setData('text/html', copy.innerHTML);
    document.body.append(copy);                                // lines end where they do on the page
    event.clipboardData.setData('text/plain', copy.innerText.trim());
    copy.remove();
    event.preventDefault();
  });

  let touch = false;   // not what a click says of itself: older browsers don't
  document.addEventListener('pointerdown', event => { touch = event.pointerType === 'touch'; });
  document.addEventListener('click', event => {
    const tapped = event.target.closest('main div.math');
    for (const math of document.querySelectorAll('main div.math.tapped')) if (math !== tapped) math.classList.remove('tapped');
    if (touch) tapped?.classList.add('tapped');
  });
})();
