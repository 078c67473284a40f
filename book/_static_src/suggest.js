// What the book knows by a name (_static/names.js, from book/_ext/ostrl_names.py): terms, sections, functions, numbers,
// symbols. The search dialog offers it while something is typed, and below it sections whose text says what was typed
// (_static/passages.js, from book/_ext/ostrl_passages.py); the search page has the names above its results. Both are
// loaded when they are asked for.
(() => {
  window.searchSigns = { '∇': 'nabla', '∑': 'sum', Σ: 'sum', α: 'alpha', β: 'beta', γ: 'gamma', δ: 'delta', ε: 'epsilon', η: 'eta',
    θ: 'theta', κ: 'kappa', λ: 'lambda', μ: 'mu', π: 'pi', ρ: 'rho', σ: 'sigma', τ: 'tau', φ: 'varphi', ω: 'omega' };
  const LISTED = 8, PASSAGES = 5, AROUND = 60, SYMBOL = 4, ALL = 'Return searches all pages.';
  const dialog = document.getElementById('pst-search-dialog'), results = document.getElementById('search-results');
  const input = dialog?.querySelector('input');
  const root = document.documentElement.dataset.content_root;
  const tidy = text => text.trim().toLowerCase().replace(/\s+/g, ' ');

  // A file of the site's that calls a function with what it holds: from a folder on disk, nothing else can be loaded.
  function load(file, called) {
    return new Promise(done => {
      window[called] = done;
      const script = document.createElement('script');
      script.src = `${root}_static/${file}`;
      script.onerror = () => done([]);
      document.head.append(script);
    });
  }

  let names = null, said = null;
  const known = () => names ??= load('names.js', 'ostrlNames').then(list =>
    list.map(([kind, text, where, href, keys]) => ({ kind, text, where, href: root + href, low: text.toLowerCase(), keys })));
  const passages = () => said ??= load('passages.js', 'ostrlPassages').then(pages =>
    pages.flatMap(([page, rank, sections]) => sections.map(([title, href, said]) => ({
      text: title, where: title === page ? '' : page, rank, href: root + href, said: said.map(passage => [passage, level(passage)]),
    }))));

  // What is typed with a blank may be written with a hyphen.
  const level = text => text.toLowerCase().replaceAll('-', ' ');
  const escaped = word => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const begins = word => new RegExp(`(?<![\\p{L}\\d])${escaped(word)}`, 'u');

  // Names that begin with what was typed or have it for initials, then those that have all of its words, at best as the
  // beginnings of words.
  function best(known, typed) {
    const parts = typed.split(' ').map(begins);
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
    const all = await known(), found = best(all, typed), meant = found.length ? typed : mended(all, typed);
    return { found: meant === typed ? found : best(all, meant), meant };
  }

  // Sections that say it, those first that say it in these very words, then chapters, then those that say it more often.
  // Each with its first passage, from shortly before what was typed.
  function saying(sections, typed) {
    const signs = word => Object.keys(searchSigns).filter(sign => searchSigns[sign] === word);   // the text has them
    const ends = word => (word.length < 4 && /[\p{L}\d]$/u.test(word) ? '(?![\\p{L}\\d])' : '');         // loo is no look
    const part = word => new RegExp([begins(word).source + ends(word), ...signs(word)].join('|'), 'u');
    const whole = part(typed), parts = typed.split(' ').map(part), found = [];
    for (const section of sections) {
      const hits = (...all) => section.said.filter(([, low]) => all.every(part => part.test(low)));
      const exact = hits(whole), said = exact.length ? exact : hits(...parts);
      if (said.length) found.push({ ...section, said: said[0], fit: exact.length ? 0 : 1, many: said.length, at: exact.length ? whole : parts[0] });
    }
    return found.sort((a, b) => a.fit - b.fit || a.rank - b.rank || b.many - a.many).slice(0, PASSAGES);
  }

  function passage({ said: [whole, low], at }, typed) {
    const start = low.search(at), from = start > AROUND ? whole.indexOf(' ', start - AROUND) + 1 : 0;
    const end = start + 2 * AROUND, to = end < whole.length ? Math.max(whole.lastIndexOf(' ', end), start + typed.length) : whole.length;
    const shown = `${from ? '… ' : ''}${whole.slice(from, to)}${to < whole.length ? ' …' : ''}`, line = document.createElement('small');
    const words = new RegExp(`((?<![\\p{L}\\d])(?:${[typed, ...typed.split(' ')].map(escaped).join('|')}))`, 'iu');
    line.append(...shown.split(words).map((part, i) => (i % 2 ? Object.assign(document.createElement('mark'), { textContent: part }) : part)));
    return line;
  }

  const items = (found, more = () => []) => found.map(name => {
    const item = document.createElement('li'), link = document.createElement('a'), place = document.createElement('span');
    link.href = name.href;
    link.textContent = name.text;
    place.textContent = name.where;
    link.append(' ', place, ...more(name));
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
  const list = listed('Suggestions'), inText = listed('In the text'), status = document.createElement('p');
  const HINT = `A word, a symbol (∇, π), a number (2.5) or a function. ${ALL}`;
  status.className = 'said';
  status.setAttribute('role', 'status');
  status.textContent = HINT;
  dialog.append(list, inText, status);

  const many = (number, what) => `${number || 'no'} ${what}${number === 1 ? '' : 's'}`;
  async function offer() {
    const typed = tidy(input.value), { found, meant } = typed ? await find(typed) : { found: [], meant: typed };
    const text = typed.length > 1 || searchSigns[typed] ? await passages() : [], asked = level(typed);
    const exactly = saying(text, asked), sections = exactly.length ? exactly : saying(text, meant);
    if (typed !== tidy(input.value)) return;                   // typed on
    list.replaceChildren(...items(found));
    list.hidden = !found.length;
    inText.replaceChildren(...items(sections, section => [passage(section, exactly.length ? asked : meant)]));
    inText.hidden = !sections.length;
    const slip = found.length && meant !== typed ? ` for “${meant}”` : '';
    const counts = `${many(found.length, 'suggestion')}${slip}${sections.length ? `, ${many(sections.length, 'section')} in the text` : ''}`;
    status.textContent = typed ? `${counts[0].toUpperCase()}${counts.slice(1)}. ${ALL}` : HINT;
  }

  input.addEventListener('input', offer);
  dialog.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], stops = [input, ...dialog.querySelectorAll('ul.suggestions a')];
    const next = step && stops[stops.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
})();
