// What figures with axes share.

/** As many digits as a number of the size of `scale` needs. */
export const digitsFor = scale => Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(scale || 1))));
/** Round numbers that divide low to high into about `parts` parts. */
export function ticks(low, high, parts) {
  const rough = (high - low) / parts, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find(m => m * ten >= rough * 0.999), first = Math.ceil(low / step - 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) }, (_, i) => [(first + i) * step, digits]);
}
/** Tell `fit` the width of an element in pixels, from 300 to 960, now and when it changes; returns what ends that. */
export function watchWidth(node, fit) {
  let last = null;
  const watch = new ResizeObserver(entries => {
    const width = Math.max(300, Math.min(960, Math.round(entries[0].contentRect.width)));
    if (width !== last) fit(last = width);
  });
  watch.observe(node);
  return () => watch.disconnect();
}
