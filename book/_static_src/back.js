// Back closes what lies over the page (a drawer, a dialog, the card of a tapped link) and stays there, as in an app: it is
// a step of the tab's history. What is chosen in it is left for from the page below, and Back from there leads to the page.
window.overPage = (() => {
  let open = null, pushed = false;                              // what closes it; whether it is a step
  let going = false, gone = Promise.resolve();                  // whether the step is being taken back; when it has been

  function takeBack() {
    pushed = false;
    going = true;
    gone = new Promise(done => addEventListener('popstate', () => setTimeout(done), { once: true }));   // the page is in its place by then
    history.back();
    return gone;
  }

  async function opened(close) {
    open = close;
    await gone;
    if (open !== close || pushed) return;
    history.scrollRestoration = 'manual';                       // the page below stays where it is
    history.pushState({ over: true }, '');
    history.scrollRestoration = 'auto';
    pushed = true;
  }

  // It has closed by itself; afterwards the history is what it was.
  function closed(close) {
    if (open !== close) return gone;
    open = null;
    return pushed ? takeBack() : gone;
  }

  addEventListener('popstate', event => {
    if (event.state?.over) return takeBack();                   // Forward leads to nothing
    history.scrollRestoration = 'auto';
    const top = scrollY;
    if ((pushed || going) && location.hash) requestAnimationFrame(() => scrollTo({ top, behavior: 'instant' }));   // not to what the address names
    pushed = false;
    if (going) {                                                // what is open now has opened since
      going = false;
      return;
    }
    const close = open;
    open = null;
    close?.();
  });
  if (history.state?.over) takeBack();                          // the page was loaded anew with it open

  const closers = new Map();                                    // of the dialogs
  const closer = dialog => closers.get(dialog) ?? closers.set(dialog, () => dialog.close()).get(dialog);
  new MutationObserver(changes => {
    for (const dialog of new Set(changes.map(({ target }) => target))) {
      if (dialog.matches('dialog')) (dialog.open ? opened : closed)(closer(dialog));
    }
  }).observe(document.body, { subtree: true, attributeFilter: ['open'] });

  // What leads away does so when the history is in order again.
  function leave(event, go) {
    const dialog = event.target.closest('dialog');
    if (event.defaultPrevented || !(dialog || going)) return;
    event.preventDefault();
    const left = dialog ? closed(closer(dialog)) : gone;
    dialog?.close();
    left.then(go);
  }
  addEventListener('click', event => {                          // of the window: after all others had it
    const link = event.target.closest('a[href]'), elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (link && !link.target && !link.download && !elsewhere) leave(event, () => location.assign(link.href));
  });
  addEventListener('submit', event => leave(event, () => event.target.submit()));
  return { opened, closed };
})();
