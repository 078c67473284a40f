// A small card beside a link to an equation, claim, figure, citation or glossary term shows what the link leads to. The
// page brings the cards' contents itself (book/_ext/ostrl_previews.py). The pointer opens a card by resting on the link,
// the keyboard by reaching it; Escape, leaving, or following the link closes it. On a touch screen a first tap opens the
// card and a second one follows the link; Back closes the card.
(() => {
  const data = document.getElementById('previews');
  const main = document.querySelector('main');
  if (!data || !main) return;
  const contents = JSON.parse(data.textContent);
  const card = document.createElement('div');
  card.id = 'preview';
  card.className = 'preview';
  card.setAttribute('role', 'tooltip');
  card.hidden = true;
  main.append(card);
  let owner = null, timer = 0, touch = false;   // not what a click says of itself: older browsers don't

  const link = event => {
    const found = event.target.closest?.('a.internal[href]');
    return found && !card.contains(found) && contents[found.getAttribute('href')] ? found : null;
  };

  function close() {
    clearTimeout(timer);
    owner?.removeAttribute('aria-describedby');
    owner = null;
    card.hidden = true;
    return overPage.closed(close);
  }

  // Below the link, or above it where there is more room; never wider than the window.
  function place() {
    const line = owner.getClientRects()[0], origin = card.offsetParent.getBoundingClientRect();
    const width = document.documentElement.clientWidth, above = line.top - 8, below = innerHeight - line.bottom - 8;
    card.style.maxHeight = `${Math.max(Math.min(Math.max(above, below), 0.5 * innerHeight), 80)}px`;
    const box = card.getBoundingClientRect();
    const left = Math.max(8, Math.min(line.left, width - box.width - 8));
    const top = below >= box.height || below >= above ? line.bottom + 4 : line.top - 4 - box.height;
    card.style.left = `${left - origin.left + card.offsetParent.scrollLeft}px`;
    card.style.top = `${top - origin.top + card.offsetParent.scrollTop}px`;
  }

  async function open(target, hint = '') {
    if (owner === target) return;
    close();
    owner = target;
    card.innerHTML = contents[target.getAttribute('href')] + hint;
    card.style.visibility = 'hidden';                 // measured and typeset first, then shown
    card.hidden = false;
    target.setAttribute('aria-describedby', card.id);
    const formulas = card.querySelectorAll('.math');
    if (formulas.length) await window.setFormulas?.(formulas);
    if (owner !== target) return;
    place();
    card.style.visibility = '';
    card.scrollTop = 0;
  }

  const later = (what, delay) => { clearTimeout(timer); timer = setTimeout(what, delay); };

  document.addEventListener('pointerover', event => {
    if (event.pointerType === 'touch') return;
    const target = link(event);
    if (target) later(() => open(target), 300);
    else if (card.contains(event.target)) clearTimeout(timer);   // on the way to the card, or resting on it
    else if (owner && owner !== document.activeElement) later(close, 300);
    else if (!owner) clearTimeout(timer);
  });
  document.addEventListener('focusin', event => {
    const target = link(event);
    if (target?.matches(':focus-visible')) open(target);
  });
  document.addEventListener('focusout', event => { if (event.target === owner) close(); });
  document.addEventListener('click', event => {
    const target = link(event);
    if (!target) return;
    if (!touch) return close();
    event.preventDefault();
    if (target === owner) return close().then(() => location.assign(target.href));
    open(target, '<p class="preview-where">Tap the link again to go there.</p>');
    overPage.opened(close);
  });
  document.addEventListener('pointerdown', event => {
    touch = event.pointerType === 'touch';
    if (!card.contains(event.target) && !owner?.contains(event.target)) close();
  });
  document.addEventListener('keydown', event => { if (event.key === 'Escape') close(); });
  window.addEventListener('resize', close);
})();
