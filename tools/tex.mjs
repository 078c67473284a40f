// TeX to MathML, SVG or HTML, by the MathJax of the pages: `mathml`, `svg` or `html` as argument, a list of
// [tex, displayed] on standard input, a list of strings on standard output. What TeX does not know stops it.
//
// HTML has a second argument, {output, widths, broken}: MathJax's options, and widths of columns in em of the text around,
// narrowest first. Of each formula it gives versions [width from which on it fits, HTML], widest first: a displayed one whole,
// and where it is wider than the narrowest of widths, broken into lines for each that is asked for. Last comes the style sheet.
import fs from 'node:fs';
import MathJax from 'mathjax';

const form = process.argv[2];
const { output: { fontPath, ...output } = {}, widths = [], broken = [] } = JSON.parse(process.argv[3] ?? '{}');   // fontPath is the pages'
const load = { mathml: ['input/tex'], svg: ['input/tex', 'output/svg'], html: ['input/tex', 'output/chtml', 'a11y/assistive-mml'] }[form];
await MathJax.init({
  loader: { load }, tex: { tags: 'none', packages: { '[-]': ['noerrors', 'noundefined'] } },
  svg: { fontCache: 'none', linebreaks: { inline: false } }, chtml: { ...output, fontURL: 'FONTS' }, startup: { typeset: false },
});
const adaptor = MathJax.startup.adaptor;
// What stands left of a row of relation signs stays in one line: V(b) = ... has room for lines on the right.
const left = cell => cell.isKind('mtd') && cell.parent.childNodes[0] === cell && cell.parent.childNodes.length > 1;
if (form === 'html') {
  MathJax.startup.document.inputJax[0].postFilters.add(({ data }) => data.root.walkTree(cell => {
    if (left(cell)) cell.walkTree(part => part.isKind('mo') && part.attributes.set('linebreak', 'nobreak'));
  }));
}

async function html(tex, display, width) {
  const ex = MathJax.startup.document.outputJax.font.params.x_height;   // lengths in em, then
  const containerWidth = (width - 0.3) / (output.scale ?? 1);            // a container's padding is 2 px on each side
  const container = await MathJax.tex2chtmlPromise(tex, { display, em: 1, ex, containerWidth });
  return adaptor.outerHTML(container);
}

async function versions(tex, display) {
  const whole = await html(tex, display, 1e6), found = [[0, whole]];
  if (!display) return found;
  for (const width of widths.toReversed()) {   // as narrow as it can stand
    if (await html(tex, display, width) !== whole) break;
    found[0][0] = width;
  }
  for (const width of broken.filter(width => width < found[0][0]).toReversed()) {
    const lines = await html(tex, display, width), last = found.at(-1);
    if (lines === last[1]) last[0] = width;
    else found.push([width, lines]);
  }
  found.at(-1)[0] = 0;   // scrolls in a column that is narrower still
  return found;
}

const formulas = JSON.parse(fs.readFileSync(0, 'utf8')), result = [];
for (const [tex, display] of formulas) {
  const mathml = await MathJax.tex2mmlPromise(tex, { display });
  const error = mathml.match(/<merror data-mjx-error="([^"]*)"/);
  if (error) throw new Error(`${error[1]}: ${tex}`);
  if (form === 'mathml') result.push(mathml);
  else if (form === 'html') result.push(await versions(tex, display));
  else result.push(adaptor.serializeXML(adaptor.tags(await MathJax.tex2svgPromise(tex, { display }), 'svg')[0]));
}
if (form === 'html') result.push(adaptor.textContent(MathJax.chtmlStylesheet()));
process.stdout.write(JSON.stringify(result));
