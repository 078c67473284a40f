// TeX to MathML or SVG, by the MathJax of the pages: `mathml` or `svg` as argument, a list of [tex, displayed] on standard
// input, a list of strings on standard output. What TeX does not know stops it.
import fs from 'node:fs';
import MathJax from 'mathjax';

const form = process.argv[2];
const load = form === 'svg' ? ['input/tex', 'output/svg'] : ['input/tex'];
await MathJax.init({
  loader: { load }, tex: { packages: { '[-]': ['noerrors', 'noundefined'] } },
  svg: { fontCache: 'none', linebreaks: { inline: false } }, startup: { typeset: false },
});
const formulas = JSON.parse(fs.readFileSync(0, 'utf8')), result = [];
for (const [tex, display] of formulas) {
  const mathml = await MathJax.tex2mmlPromise(tex, { display });
  const error = mathml.match(/<merror data-mjx-error="([^"]*)"/);
  if (error) throw new Error(`${error[1]}: ${tex}`);
  if (form === 'mathml') result.push(mathml);
  else {
    const adaptor = MathJax.startup.adaptor, container = await MathJax.tex2svgPromise(tex, { display });
    result.push(adaptor.serializeXML(adaptor.tags(container, 'svg')[0]));
  }
}
process.stdout.write(JSON.stringify(result));
