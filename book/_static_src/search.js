// What a found page says about the words: up to three passages, each with a link to the section it stands in; what comes
// first; and what was meant by a slip. The search itself is Sphinx's; its own summary is cut from the first text of a page,
// which is the theme's menus and its contents.
(() => {
  const PASSAGES = 3, AROUND = 110;
  const FORMULA = /(\\\(.*?\\\))/;
  const tidy = text => text.replace(/\s+/g, ' ').trim().split(FORMULA).map((part, i) => i % 2 ? part.replaceAll(' ', '\u00a0') : part).join('');

  // The text with its formulas set: a passage is cut at blanks, and a formula has none.
  function set(text) {
    const nodes = text.split(FORMULA).map((part, i) => i % 2 ? Object.assign(document.createElement('span'), { className: 'math nohighlight', textContent: part }) : part);
    window.setFormulas?.(nodes.filter(node => node.nodeType));
    return nodes;
  }

  function excerpt(text, words) {
    const places = words.map(word => text.toLowerCase().indexOf(word)).filter(place => place >= 0), first = places.length && Math.min(...places);
    const from = first > AROUND ? text.indexOf(' ', first - AROUND) + 1 : 0, end = first + 2 * AROUND;
    const to = end < text.length ? text.lastIndexOf(' ', end) : text.length;
    return `${from ? '… ' : ''}${text.slice(from, Math.max(to, first + 20))}${to < text.length ? ' …' : ''}`;
  }

  // A page is found by the stem of a word, and so are its passages; the stemmer ends policy and policies in an i.
  function stem(word) {
    const stemmed = new Stemmer().stemWord(word);
    return word.startsWith(stemmed) ? stemmed : stemmed.slice(0, -1);
  }

  // What a term or a function is: the first paragraph behind it.
  function meaning(term) {
    let next = term.nextElementSibling;
    while (next?.matches('dt')) next = next.nextElementSibling;
    return tidy(next?.querySelector('p')?.textContent ?? '');
  }

  // A passage belongs to its section; in a list of terms or functions, to the term or the function.
  function owner(part) {
    const at = part?.closest('section[id], dt[id], dd');
    return at?.matches('dd') ? (at.previousElementSibling?.id ? at.previousElementSibling : owner(at.parentElement)) : at;
  }

  Search.makeSearchSummary = (html, keywords, anchor) => {
    const found = document.createDocumentFragment(), page = new DOMParser().parseFromString(html, 'text/html');
    const name = html.match(/DOCUMENTATION_OPTIONS\.pagename = '([^']+)'/)?.[1];
    const at = page.getElementById(anchor.slice(1)), root = at ?? page.querySelector('article');
    if (!name || !root) return found;
    for (const part of page.querySelectorAll('script, style, .headerlink, .viewcode-link, .ostrl-live-fallback')) part.remove();
    const words = [...keywords].map(word => stem(word.toLowerCase())), best = new Map();
    for (const part of root.querySelectorAll('h1, h2, h3, h4, dt, p, td, figcaption, pre')) {
      const text = tidy(part.textContent), low = text.toLowerCase(), hits = words.filter(word => low.includes(word)).length;
      const place = hits && owner(part);
      if (!place) continue;
      const title = part.matches('h1, h2, h3, h4, dt[id]');     // counts for its section, and is no passage
      const rank = hits - (part.matches('pre') ? 0.5 : 0), known = best.get(place) ?? { rank: 0, shown: 0, text: '' };
      if (!title && rank > known.shown) Object.assign(known, { shown: rank, text });
      known.rank = Math.max(known.rank, rank);
      best.set(place, known);
    }
    if (root.matches('dt')) best.set(root, { rank: 0, text: meaning(root) });
    for (const [place, { text }] of [...best].sort(([, a], [, b]) => b.rank - a.rank).slice(0, PASSAGES)) {
      const line = document.createElement('p'), link = document.createElement('a');
      line.className = 'context';
      link.href = `${document.documentElement.dataset.content_root}${name}.html#${place.id}`;
      link.append(...set(tidy((place.querySelector('h1, h2, h3, h4, .sig-name') ?? place).textContent)));
      line.append(link, ...text ? [': ', ...set(excerpt(text, words))] : []);
      found.append(line);
    }
    return found;
  };

  // Most pages that have all the words count the same: chapters in their order, then other pages, then the reference. A
  // function comes first only if it is called what is asked for, or has all of several words in its name.
  const asked = (new URLSearchParams(location.search).get('q') ?? '').toLowerCase().trim(), words = asked.split(/[\s.]+/);
  Scorer.score = ([name, title, anchor, descr, score]) => {
    const chapter = name.match(/^notebooks\/(\d*)/);
    if (chapter) return score + 2 - (chapter[1] || 20) / 100;
    if (!name.startsWith('book/api/')) return score;
    const parts = title.toLowerCase().split('.');
    if (descr?.includes('attribute')) return score - 20;
    if (parts.at(-1) === asked || title.toLowerCase() === asked) return score + 2;
    const all = words.length > 1 && words.every(word => parts.some(part => part.split('_').includes(word)));
    return score + (all ? 10 : -8);
  };

  // A word that no page has may be a slip: the nearest word of a heading or a term is asked back.
  function suggestion(query) {
    const { terms, titleterms, alltitles, indexentries } = Search._index, stemmer = new Stemmer();
    const said = [...Object.keys(alltitles), ...Object.keys(indexentries)].join(' ');   // headings; terms and functions
    const known = [...new Set(said.toLowerCase().match(/\p{L}{4,}/gu))];
    const better = query.replace(/\p{L}{4,}/gu, word => {
      const stem = stemmer.stemWord(word.toLowerCase());
      if (terms[stem] !== undefined || titleterms[stem] !== undefined) return word;
      const nearest = window.nearestWord(word.toLowerCase(), known);
      return nearest === word.toLowerCase() ? word : nearest;
    });
    return better === query ? null : better;
  }

  // Sphinx's own words speak of categories, and there are none.
  const NONE = "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.";
  Documentation.addTranslations({ messages: { [NONE]: 'No page has all of these words.' }, plural_expr: 'n == 1 ? 0 : 1', locale: 'en' });

  // Signs stand in the text by their names in TeX, and are asked for by these.
  const spelled = text => text.replace(/[^\x00-\x7f]/gu, sign => (searchSigns[sign] ? ` ${searchSigns[sign]} ` : sign));

  const query = Search.query;
  Search.query = text => {
    query(spelled(text));
    const better = suggestion(text);
    if (!better) return;
    const line = document.createElement('p'), link = document.createElement('a');
    line.className = 'suggestion';
    link.href = `?q=${encodeURIComponent(better)}`;
    link.textContent = better;
    line.append('Did you mean ', link, '?');
    Search.output.before(line);
  };

  // How many were found is said to whoever doesn't see it.
  document.addEventListener('DOMContentLoaded', () => Search.status?.setAttribute?.('role', 'status'));
})();
