// TeX to MathML, by the MathJax of the pages: a list of [tex, displayed] on standard input, a list of MathML on standard
// output. What TeX does not know stops it.
import fs from 'node:fs';
import MathJax from 'mathjax';

await MathJax.init({ loader: { load: ['input/tex'] }, tex: { packages: { '[-]': ['noerrors', 'noundefined'] } }, startup: { typeset: false } });
const formulas = JSON.parse(fs.readFileSync(0, 'utf8')), result = [];
for (const [tex, display] of formulas) {
  const mathml = await MathJax.tex2mmlPromise(tex, { display });
  const error = mathml.match(/<merror data-mjx-error="([^"]*)"/);
  if (error) throw new Error(`${error[1]}: ${tex}`);
  result.push(mathml);
}
process.stdout.write(JSON.stringify(result));
