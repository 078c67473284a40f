// Small things that the pages can't do by themselves: name the columns of tables that become cards on a phone, let the
// keyboard reach what scrolls sideways, and give the theme's unnamed controls a name.
(() => {
  const label = table => {
    const names = [...table.querySelectorAll('thead th')].map(cell => cell.textContent.trim());
    for (const row of table.querySelectorAll('tbody tr')) {
      [...row.cells].forEach((cell, i) => {
        if (names[i]) cell.dataset.label = names[i];
        if (cell.textContent.trim() === '–') cell.dataset.empty = '';
      });
    }
  };
  document.querySelectorAll('table.ledger').forEach(label);
  for (const fold of document.querySelectorAll('.bd-sidebar-primary details > summary')) {
    const link = fold.closest('li')?.querySelector('a');
    fold.setAttribute('aria-label', `Pages below ${link ? link.textContent.trim() : 'this one'}`);
  }
  // From a folder on disk the search finds pages, but may not read them for a summary.
  if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  for (const button of document.querySelectorAll('.search-button-field')) button.removeAttribute('aria-label');
  const over = box => box.scrollWidth > box.clientWidth + 1;
  // What is open: to look at what is folded would have it laid out, each by itself.
  const open = words => [...document.querySelectorAll(words)].filter(box => !box.closest('details:not([open]) > :not(summary)'));
  const reach = () => {   // looks first, then changes: a page is laid out anew at each look after a change
    for (const word of document.querySelectorAll('main .wide')) word.classList.remove('wide');
    const wide = open('main span.math, main code .pre').filter(word => {   // no line can hold it: it may be broken
      const inner = word.matches('.pre') ? word : word.querySelector('mjx-math'), room = word.closest('p, li, td, dd, figcaption');
      return inner && room && inner.getBoundingClientRect().width > room.clientWidth + 1;
    });
    const words = 'main .pst-scrollable-table-container, main .text_html:has(td mjx-container)';   // not a table of numbers
    const tables = (innerWidth < 720 ? open(words) : []).filter(over).map(box => box.querySelector('table'));
    for (const word of wide) word.classList.add('wide');
    for (const table of tables.filter(table => table.tHead)) {      // on a phone, rows that don't fit become cards
      label(table);
      table.classList.add('ledger');
    }
    const boxes = open('main mjx-container[display="true"], main pre, main .pst-scrollable-table-container, main .text_html');
    const reached = new Set(boxes.filter(over));
    for (const box of boxes) {
      if (reached.has(box)) box.tabIndex = 0;
      else if (box.getAttribute('tabindex') === '0') box.removeAttribute('tabindex');
    }
  };
  if (document.readyState === 'complete') reach(); else window.addEventListener('load', reach);
  window.addEventListener('resize', reach);
  document.addEventListener('toggle', reach, true);           // a proof that is unfolded
})();
