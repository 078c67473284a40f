// What the book knows by a name (_static/names.js, from book/_ext/ostrl_names.py): terms, sections, functions, numbers,
// symbols. The search dialog offers it while something is typed, the search page above its results. The names are loaded
// when they are asked for.
(() => {
  const LISTED = 8, SYMBOL = 4, ALL = 'Return searches the text of all pages.';
  const dialog = document.getElementById('pst-search-dialog'), results = document.getElementById('search-results');
  const input = dialog?.querySelector('input');
  const root = document.documentElement.dataset.content_root;
  const tidy = text => text.trim().toLowerCase().replace(/\s+/g, ' ');

  let names = null;
  function load() {
    names ??= new Promise((done, failed) => {
      window.ostrlNames = list => done(list.map(([kind, text, where, href, keys]) => ({ kind, text, where, href: root + href, low: text.toLowerCase(), keys })));
      const script = document.createElement('script');
      script.src = `${root}_static/names.js`;
      script.onerror = failed;
      document.head.append(script);
    });
    return names;
  }

  // Names that begin with what was typed or have it for initials, then those that have all of its words, at best as the
  // beginnings of words.
  function best(known, typed) {
    const parts = typed.split(' ').map(word => new RegExp(`(?<![\\p{L}\\d])${word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`, 'u'));
    const fit = ({ low, keys }) => {
      if (typed.length > 2 && keys.split(' ').includes(typed)) return 0;
      if (low.replace(/^[\d.]+ /, '').startsWith(typed) || low.startsWith(typed)) return 0;
      if (parts.every(part => part.test(low) || (typed.length > 1 && part.test(keys)))) return 1;
      return low.includes(typed) && /^\p{L}{2}/u.test(typed) ? 2 : 3;
    };
    return known.filter(({ kind }) => typed.length > 1 || kind === SYMBOL || /\d/.test(typed)).map(name => ({ ...name, fit: fit(name) }))
      .filter(name => name.fit < 3).sort((a, b) => a.fit - b.fit || a.kind - b.kind || a.text.length - b.text.length).slice(0, LISTED);
  }

  // What was typed with its slips mended: a word that no name has becomes the nearest one that some name has.
  function mended(known, typed) {
    const words = [...new Set(known.map(({ low }) => low).join(' ').match(/\p{L}{4,}/gu))];
    return typed.replace(/\p{L}{4,}/gu, word => (words.some(other => other.startsWith(word)) ? word : window.nearestWord(word, words)));
  }

  async function find(typed) {
    const known = await load().catch(() => []), found = best(known, typed), meant = found.length ? typed : mended(known, typed);
    return { found: meant === typed ? found : best(known, meant), meant };
  }

  const items = found => found.map(({ text, where, href }) => {
    const item = document.createElement('li'), link = document.createElement('a'), place = document.createElement('span');
    link.href = href;
    link.textContent = text;
    place.textContent = where;
    link.append(' ', place);
    item.append(link);
    return item;
  });

  function listed(label) {
    const list = document.createElement('ul');
    list.className = 'suggestions';
    list.setAttribute('aria-label', label);
    list.hidden = true;
    return list;
  }

  if (results) {
    const asked = tidy(new URLSearchParams(location.search).get('q') ?? '');
    const list = listed('Known by this name');
    results.before(list);
    if (asked) find(asked).then(({ found }) => {
      list.replaceChildren(...items(found));
      list.hidden = !found.length;
    });
  }

  if (!input || results) return;
  const list = listed('Suggestions'), said = document.createElement('p');
  const HINT = `A word, a symbol (∇, π), a number (2.5) or a function. ${ALL}`;
  said.className = 'said';
  said.setAttribute('role', 'status');
  said.textContent = HINT;
  dialog.append(list, said);

  async function offer() {
    const typed = tidy(input.value), { found, meant } = typed ? await find(typed) : { found: [], meant: typed };
    if (typed !== tidy(input.value)) return;                   // typed on
    list.replaceChildren(...items(found));
    list.hidden = !found.length;
    const many = `${found.length || 'No'} ${found.length === 1 ? 'suggestion' : 'suggestions'}`;
    said.textContent = typed ? `${many}${found.length && meant !== typed ? ` for “${meant}”` : ''}. ${ALL}` : HINT;
  }

  input.addEventListener('input', offer);
  dialog.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], stops = [input, ...list.querySelectorAll('a')];
    const next = step && stops[stops.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
})();
