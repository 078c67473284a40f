// A figure, as large as twice the window is wide, in a dialog that scrolls: by its button, or by a tap on it.
(() => {
  const buttons = document.querySelectorAll('main figcaption .enlarge');
  if (!buttons.length) return;
  const dialog = document.createElement('dialog'), room = document.createElement('div'), close = document.createElement('button');
  dialog.className = 'enlarged';
  room.tabIndex = 0;                                          // the keyboard scrolls it
  room.setAttribute('role', 'region');
  close.type = 'button';
  close.textContent = 'Close';
  close.addEventListener('click', () => dialog.close());
  dialog.append(close, room);
  document.body.append(dialog);

  for (const button of buttons) {
    const figure = button.closest('figure'), name = button.getAttribute('aria-label').replace('Enlarge ', '');
    const image = figure.querySelector('img');
    const open = () => {
      const shown = image.cloneNode();
      shown.removeAttribute('class');
      room.replaceChildren(shown);
      room.setAttribute('aria-label', `${name}, enlarged`);
      dialog.setAttribute('aria-label', name);
      dialog.showModal();
      room.scrollTo(0, 0);
    };
    button.addEventListener('click', open);
    image?.addEventListener('click', () => { if (button.offsetParent) open(); });
  }
})();
