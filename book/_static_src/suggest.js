// While something is typed into the search dialog, what the book knows by that name is offered: terms, sections,
// functions. Return still searches the text of all pages. The index is loaded when the first letter is typed.
(() => {
  const LISTED = 8, dialog = document.getElementById('pst-search-dialog'), input = dialog?.querySelector('input');
  if (!input || typeof Search !== 'undefined') return;         // the search page has its own results
  const root = document.documentElement.dataset.content_root;
  const list = document.createElement('ul'), said = document.createElement('p');
  list.className = 'suggestions';
  list.setAttribute('aria-label', 'Suggestions');
  list.hidden = true;
  said.className = 'visually-hidden';
  said.setAttribute('role', 'status');
  dialog.append(list, said);

  // The index writes all names in small letters; an id keeps the capitals.
  const capitals = (name, id) => [...name].map((letter, i) => (id[i]?.toLowerCase() === letter ? id[i] : letter)).join('');

  function named({ alltitles, indexentries, docnames }) {
    const known = [], pages = {};
    const add = (kind, text, where, page, id) => known.push({ kind, text, where, low: text.toLowerCase(), href: `${root}${docnames[page]}.html${id ? `#${id}` : ''}` });
    for (const [title, places] of Object.entries(alltitles)) for (const [page, id] of places) if (id === null) pages[page] = title;
    for (const [title, places] of Object.entries(alltitles)) {
      for (const [page, id] of title ? places : []) add(1, title, id === null ? '' : pages[page] ?? '', page, id);
    }
    for (const [name, [[page, id]]] of Object.entries(indexentries)) {
      if (id.startsWith('term-')) add(0, capitals(name, id.slice('term-'.length)), 'glossary', page, id);
      else if (/\(\) \(in module|\(class in/.test(name)) add(2, id.split('.').at(-1), id.split('.').slice(0, -1).join('.'), page, id);
    }
    return known;
  }

  let names = null;
  function load() {
    names ??= new Promise((done, failed) => {
      window.Search = { setIndex: index => done(named(index)) };  // what the file calls
      const script = document.createElement('script');
      script.src = `${root}searchindex.js`;
      script.onerror = failed;
      document.head.append(script);
    });
    return names;
  }

  // Names that begin with what was typed, then those with a word that does, then the others that have it.
  function best(known, typed) {
    const fit = ({ low }) => (low.startsWith(typed) ? 0 : new RegExp(`(?<![\\p{L}\\d])${typed.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`, 'u').test(low) ? 1 : 2);
    return known.filter(({ low }) => low.includes(typed)).map(name => ({ ...name, fit: fit(name) }))
      .sort((a, b) => a.fit - b.fit || a.kind - b.kind || a.text.length - b.text.length).slice(0, LISTED);
  }

  const now = () => input.value.trim().toLowerCase().replace(/\s+/g, ' ');

  async function offer() {
    const typed = now();
    const found = typed.length > 1 ? best(await load().catch(() => []), typed) : [];
    if (typed !== now()) return;                               // typed on
    list.replaceChildren(...found.map(({ text, where, href }) => {
      const item = document.createElement('li'), link = document.createElement('a'), place = document.createElement('span');
      link.href = href;
      link.textContent = text;
      place.textContent = where;
      link.append(' ', place);
      item.append(link);
      return item;
    }));
    list.hidden = !found.length;
    said.textContent = typed.length > 1 ? `${found.length || 'No'} ${found.length === 1 ? 'suggestion' : 'suggestions'}; Return searches all pages` : '';
  }

  input.addEventListener('input', offer);
  list.addEventListener('click', event => { if (event.target.closest('a')) dialog.close(); });   // it may lead to this page
  dialog.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], stops = [input, ...list.querySelectorAll('a')];
    const next = step && stops[stops.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
})();
