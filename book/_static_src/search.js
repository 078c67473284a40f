// What a found page says about the words: up to three passages, each with a link to the section it stands in. The search
// itself is Sphinx's; its own summary is cut from the first text of a page, which is the theme's menus and its contents.
(() => {
  const PASSAGES = 3, AROUND = 110;
  const tidy = text => text.replace(/\\[()[\]]/g, '').replace(/\s+/g, ' ').trim();

  function excerpt(text, words) {
    const first = Math.min(...words.map(word => text.toLowerCase().indexOf(word)).filter(place => place >= 0));
    const from = first > AROUND ? text.indexOf(' ', first - AROUND) + 1 : 0, end = first + 2 * AROUND;
    const to = end < text.length ? text.lastIndexOf(' ', end) : text.length;
    return `${from ? '… ' : ''}${text.slice(from, Math.max(to, first + 20))}${to < text.length ? ' …' : ''}`;
  }

  // A passage belongs to its section; in a list of terms or functions, to the term or the function.
  function owner(part) {
    const at = part?.closest('section[id], dt[id], dd');
    return at?.matches('dd') ? (at.previousElementSibling?.id ? at.previousElementSibling : owner(at.parentElement)) : at;
  }

  Search.makeSearchSummary = (html, keywords, anchor) => {
    const found = document.createDocumentFragment(), page = new DOMParser().parseFromString(html, 'text/html');
    const name = html.match(/DOCUMENTATION_OPTIONS\.pagename = '([^']+)'/)?.[1];
    const at = page.getElementById(anchor.slice(1)), root = (at?.matches('dt') ? at.nextElementSibling : at) ?? page.querySelector('article');
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
    for (const [place, { text }] of [...best].sort(([, a], [, b]) => b.rank - a.rank).slice(0, PASSAGES)) {
      const line = document.createElement('p'), link = document.createElement('a');
      line.className = 'context';
      link.href = `${document.documentElement.dataset.content_root}${name}.html#${place.id}`;
      link.textContent = tidy((place.querySelector('h1, h2, h3, h4, .sig-name') ?? place).textContent);
      line.append(link, text && `: ${excerpt(text, words)}`);
      found.append(line);
    }
    return found;
  };

  // How many were found is said to whoever doesn't see it.
  document.addEventListener('DOMContentLoaded', () => Search.status?.setAttribute?.('role', 'status'));
})();
