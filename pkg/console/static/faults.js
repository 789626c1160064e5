// Which lines of a document an error names.

/** The faults in the text of an error: [{line, text}], line 0 where none is named. */
export function faults(text) {
  const parts = text.split(/the document:(\d+): /);
  if (parts.length === 1) return [{ line: 0, text }];
  const out = [];
  for (let i = 1; i < parts.length; i += 2) out.push({ line: Number(parts[i]), text: parts[i + 1].replace(/;\s*$/, "") });
  const who = /by node (\S+): /.exec(parts[0]); // which node refuses it
  return who ? out.map((f) => ({ ...f, text: `${f.text} (says ${who[1]})` })) : out;
}

/** Where a line of a text begins and ends, for a selection. */
export function lineRange(text, line) {
  const all = text.split("\n");
  const at = Math.min(Math.max(line, 1), all.length) - 1;
  const start = all.slice(0, at).reduce((sum, l) => sum + l.length + 1, 0);
  return [start, start + all[at].length];
}
