// What a found page says about the words: up to three passages, each with a link to the section it stands in. The search
// itself is Sphinx's; its own summary is cut from the first text of a page, which is the theme's menus and its contents.
(() => {
  const PASSAGES = 3, AROUND = 110;
  const FORMULA = /(\\\(.*?\\\))/;
  const tidy = text => text.replace(/\s+/g, ' ').trim().split(FORMULA).map((part, i) => i % 2 ? part.replaceAll(' ', '\u00a0') : part).join('');

  // The text with its formulas set: a passage is cut at blanks, and a formula has none.
  function set(text) {
    const nodes = text.split(FORMULA).map((part, i) => i % 2 ? Object.assign(document.createElement('span'), { className: 'math nohighlight', textContent: part }) : part);
    const formulas = nodes.filter(node => node.nodeType);
    if (formulas.length && window.MathJax?.startup) MathJax.startup.promise = MathJax.startup.promise.then(() => MathJax.typesetPromise(formulas));
    return nodes;
  }

  function excerpt(text, words) {
    const places = words.map(word => text.toLowerCase().indexOf(word)).filter(place => place >= 0), first = places.length && Math.min(...places);
    const from = first > AROUND ? text.indexOf(' ', first - AROUND) + 1 : 0, end = first + 2 * AROUND;
    const to = end < text.length ? text.lastIndexOf(' ', end) : text.length;
    return `${from ? '… ' : ''}${text.slice(from, Math.max(to, first + 20))}${to < text.length ? ' …' : ''}`;
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
    const words = [...keywords].map(word => word.toLowerCase()), best = new Map();
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

  // Most pages that have all the words count the same: chapters in their order, then other pages, then the reference.
  Scorer.score = ([name, , , , score]) => {
    const chapter = name.match(/^notebooks\/(\d*)/);
    return score + (chapter ? 2 - chapter[1] / 100 : name.startsWith('book/api/') ? -2 : 0);
  };

  // How many were found is said to whoever doesn't see it.
  document.addEventListener('DOMContentLoaded', () => Search.status?.setAttribute?.('role', 'status'));
})();
