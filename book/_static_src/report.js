// A report or a suggestion that is begun on a page says where the reader is, and quotes what they have marked.
(() => {
  const article = document.querySelector('article.bd-article'), QUOTED = 400;
  const links = document.querySelectorAll('a[href*="/issues/new?"]');
  if (!article || !links.length) return;
  const page = (document.querySelector('link[rel=canonical]') ?? location).href.split('#')[0];
  let marked = null;                                            // stays while the menu is opened
  document.addEventListener('selectionchange', () => {
    const selection = getSelection(), node = selection.anchorNode;
    if (node && article.contains(node)) marked = selection.isCollapsed ? null : { words: `${selection}`.trim(), node: node.parentElement };
  });
  const inView = () => [...article.querySelectorAll('section[id]')].filter(section => section.getBoundingClientRect().top < 0.3 * innerHeight).at(-1);
  for (const link of links) {
    const plain = new URL(link.href);
    link.addEventListener('click', () => {
      const section = marked?.node.closest('section[id]') ?? inView(), address = new URL(plain);
      const quote = marked?.words ? `\n> ${marked.words.slice(0, QUOTED).replace(/\n+/g, '\n> ')}\n` : '';
      address.searchParams.set('body', `${page}${section ? `#${section.id}` : ''}\n${quote}\n${plain.searchParams.get('body')}`);
      link.href = address;
    });
  }
})();
