// The sign beside a heading, a claim, a figure or a function leads to it, and copies its address: the published one where
// the page knows it, so that a copy on a disk gives out what others can open.
(() => {
  const main = document.querySelector('main'), said = document.createElement('p');
  if (!main.querySelector('a.headerlink')) return;
  said.className = 'visually-hidden';
  said.setAttribute('role', 'status');
  main.append(said);
  const page = (document.querySelector('link[rel=canonical]') ?? location).href;
  main.addEventListener('click', async event => {
    const link = event.target.closest('a.headerlink');
    if (!link) return;
    const address = new URL(link.hash, page).href;
    if (!await navigator.clipboard?.writeText(address).then(() => true, () => false)) return;
    said.textContent = 'Address copied';
    link.classList.add('copied');
    setTimeout(() => {
      said.textContent = '';
      link.classList.remove('copied');
    }, 2000);
  });
})();
