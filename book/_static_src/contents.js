// "On this page" says where the reader is after a jump too (Home, End, a dragged scroll bar): the theme looks only at
// headings that come into view near the top, and after a jump that passes them keeps the one before.
(() => {
  const contents = document.getElementById('pst-page-toc-nav');
  if (!contents) return;
  const sections = [...contents.querySelectorAll('a[href^="#"]')].map(link => [link, document.getElementById(link.getAttribute('href').slice(1))]).filter(([, section]) => section);
  function follow() {
    const near = section => section.getBoundingClientRect().top < 0.3 * innerHeight;   // the theme's own line
    const shown = sections.find(([link]) => link.classList.contains('active'))?.[1];
    if (shown && near(shown) && shown.getBoundingClientRect().top > -1) return;
    const here = sections.filter(([, section]) => near(section)).at(-1)?.[0];
    for (const [link] of sections) {
      link.classList.toggle('active', link === here);
      if (link === here) link.setAttribute('aria-current', 'true'); else link.removeAttribute('aria-current');
    }
    for (const item of contents.querySelectorAll('.toc-entry')) item.classList.toggle('active', item.contains(here ?? null));
  }
  let timer;
  const later = () => { clearTimeout(timer); timer = setTimeout(follow, 150); };
  addEventListener('scroll', later, { passive: true });
  addEventListener('load', later);
})();
