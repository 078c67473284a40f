// Brings the live figures of a page to life without a kernel. A figure's output holds its module and its state; here
// they meet a model that keeps the state in the page. A classic script, so that it also runs from a folder on disk.
(() => {
  const same = (x, y) => JSON.stringify(x) === JSON.stringify(y);
  function pageModel(state) {
    const handlers = new Map();
    const fire = name => (handlers.get(name) ?? []).slice().forEach(handler => handler());
    return {
      get: name => state[name],
      set(name, value) {
        if (same(state[name], value)) return;
        state[name] = value;
        fire(`change:${name}`);
        fire('change');
      },
      save_changes() {},
      on: (name, handler) => handlers.set(name, [...(handlers.get(name) ?? []), handler]),
      off: (name, handler) => handlers.set(name, (handlers.get(name) ?? []).filter(other => other !== handler)),
    };
  }
  async function start(host) {
    const box = host.closest('.text_html');              // the theme puts outputs on a light ground in the dark
    if (box) Object.assign(box.style, { background: 'none', color: 'inherit', padding: 0 });
    try {
      const { esm, state } = JSON.parse(host.querySelector('script').textContent);
      const url = URL.createObjectURL(new Blob([esm], { type: 'text/javascript' }));
      const figure = (await import(url)).default;
      URL.revokeObjectURL(url);
      const el = document.createElement('div');
      await figure.render({ model: pageModel(state), el });
      host.querySelector('.ostrl-live-fallback')?.remove();
      host.append(el);
      host.dataset.live = 'yes';
    } catch (error) {
      console.error('live figure', error);
      const note = host.querySelector('.ostrl-live-fallback') ?? host;
      note.textContent = 'This live figure could not be started in your browser.';
    }
  }
  for (const host of document.querySelectorAll('.ostrl-live-host')) start(host);
})();
