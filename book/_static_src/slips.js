// The word that was meant where one was mistyped: the nearest that is known, at most one letter off, or two in a long word.
window.nearestWord = (() => {
  // How many letters have to be added, left out or changed to make one word of another.
  function distance(a, b) {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const above = row;
      row = [i];
      for (let j = 1; j <= b.length; j++) row.push(Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] !== b[j - 1])));
    }
    return row.at(-1);
  }
  return (word, known) => {
    const [nearest, off] = known.map(other => [other, distance(word, other)]).reduce((one, other) => (other[1] < one[1] ? other : one), ['', Infinity]);
    return off <= (word.length > 6 ? 2 : 1) ? nearest : word;
  };
})();
