// Whoever presses a button by keyboard stays on it. The theme lets go of the focus of its buttons, and copying takes it
// away: a second press would then do nothing, and a sidebar opened on a phone could not give the focus back.
(() => {
  for (const button of document.querySelectorAll('.theme-switch-button, .search-button, .primary-toggle, .secondary-toggle')) {
    button.blur = () => { if (!button.matches(':focus-visible')) HTMLElement.prototype.blur.call(button); };
  }
  document.addEventListener('click', event => {
    if (event.detail === 0) event.target.closest('.copybtn')?.focus();   // 0: pressed, not clicked
  });
})();
