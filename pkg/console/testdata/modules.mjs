// Tries the modules that need no page. TestModules runs it with node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bands, decades, linear, nearest, roundUp, stretch, timeTicks } from "./static/axis.js";
import { ranges } from "./static/curve.js";
import { summary } from "./static/dialog.js";
import { diff, hunks } from "./static/diff.js";
import { faults, lineRange } from "./static/faults.js";
import { bytes, compact, goSeconds, list, moment, number, percent, seconds, short } from "./static/format.js";
import { wait } from "./static/poll.js";
import { change, rows, share } from "./static/report.js";
import { Roll, Since, verdict, warnings } from "./static/verdict.js";

const minute = 60_000;
const noon = Date.parse("2026-12-01T12:00:00Z");
const node = (name, more = {}) => ({
  id: `id-${name}`, name, program: "v1", ready: true, state: "live", age: 0.3, runs: 10, runs_behind: 0, runs_quarantined: 0, requests: 5, errors: 0, settings: { version: 0 }, ...more,
});
const fleet = (...nodes) => verdict(nodes, noon, new Since());

test("numbers keep few digits and their unit", () => {
  assert.deepEqual([0, 0.05, 3.14159, 42.42, 1234.5, NaN].map(number), ["0", "0.05", "3.1", "42.4", "1,235", "–"]);
  assert.deepEqual([0, 500, 9999, 50_000, 100_000, 2.5e6].map(compact), ["0", "500", "9,999", "50k", "100k", "2.5M"]);
  assert.deepEqual([0, 0.0012, 0.5, 0.98765, 0.99999, 1, NaN].map(percent), ["0 %", "0.12 %", "50 %", "98.8 %", "99.9 %", "100 %", "–"]);
  assert.deepEqual([0.25, 9.94, 14.2, 119, 180, 7500, 90_000, NaN].map(seconds), ["0.3 s", "9.9 s", "14 s", "119 s", "3 min", "2 h 5 min", "25 h", "–"]);
  assert.deepEqual([0, 0.000085, 0.0012, 0.1, 2, 90].map(short), ["0", "85 µs", "1.2 ms", "100 ms", "2 s", "90 s"]);
  assert.deepEqual([0, 512, 30 * 2 ** 20, 1.5 * 2 ** 30].map(bytes), ["–", "512 B", "30 MiB", "1.5 GiB"]);
  assert.deepEqual(["1m30s", "100ms", "0s", "1.5s", "auto", "", undefined].map(goSeconds), [90, 0.1, 0, 1.5, NaN, NaN, NaN]);
  assert.deepEqual([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(list), ["", "a", "a and b", "a, b and c"]);
  assert.match(moment(noon, noon), /^\d\d:\d\d:\d\d$/);
  assert.match(moment(noon - 86_400_000, noon), /^2026-11-\d\d \d\d:\d\d:\d\d$/);
  assert.equal(moment("never"), "–");
});

test("axes have round marks, few enough to read", () => {
  assert.deepEqual([0, -1, 0.3, 1, 1.01, 7, 230].map(roundUp), [1, 1, 0.5, 1, 2, 10, 500]);
  for (const minutes of [10, 20, 30, 60]) {
    const ticks = timeTicks(noon + 12_345, noon + 12_345 + minutes * minute, 4);
    assert.ok(ticks.length >= 2 && ticks.length <= 5 && ticks.every((t) => t % minute === 0), `${minutes}: ${ticks}`);
  }
  assert.deepEqual(stretch(NaN, noon), { from: noon - 10 * minute, to: noon });
  assert.deepEqual(stretch(noon - 11 * minute, noon).from, noon - 20 * minute);
  assert.deepEqual(stretch(noon - 90 * minute, noon).from, noon - 60 * minute);
  assert.deepEqual([linear(0, 1).top, linear(3.2, 1).top, linear(3.2).part(2.5), linear(3).part(99)], [1, 5, 0.5, 1]);
  const scale = decades([0, 0.1, 2]);
  assert.deepEqual(scale.ticks, [0, 0.1, 1, 10]);
  assert.deepEqual([0, 0.1, 10].map(scale.part), [0, 1 / 3, 1]);
  assert.deepEqual(decades([0, 0]).ticks, [0, 1, 10]);
});

test("the cursor finds the nearest point, and none in a gap", () => {
  const points = [1, 2, 10, 11].map((x) => ({ x }));
  assert.deepEqual([0, 1.4, 1.6, 6, 10.4, 99].map((x) => nearest(points, x, 2)?.x ?? null), [1, 1, 2, null, 10, null]);
  assert.equal(nearest([], 1, 5), null);
  const states = [{ x: 0, s: null }, { x: 1, s: "a" }, { x: 2, s: "a" }, { x: 9, s: "a" }, { x: 10, s: "b" }, { x: 11, s: null }];
  assert.deepEqual(bands(states, (p) => p.s, 3), [{ from: 1, to: 2, value: "a" }, { from: 9, to: 9, value: "a" }, { from: 10, to: 10, value: "b" }]);
});

test("the verdict names the worst first", () => {
  const gone = { silent: "gone", gone: true, seen: noon - 5000 };
  for (const [nodes, level, text, more] of [
    [[], "bad", "No node answers", 0],
    [[node("a")], "good", "The only node is live, oldest number 0.3 s old", 0],
    [[node("a"), node("b", { age: 0.4 })], "good", "All 2 nodes live, oldest number 0.4 s old", 0],
    [[node("a"), node("b", { state: "degraded", age: 14 })], "bad", "b is 14 s old", 0],
    [[node("a"), node("b", { age: undefined })], "bad", "Nothing proves how old the numbers of b are", 0],
    [[node("a"), node("b", gone)], "bad", "b does not answer", 0],
    [[node("a", gone), node("b", gone), node("c")], "bad", "a and b do not answer", 0],
    [[node("a", { state: "degraded", age: 3 }), node("b", gone)], "bad", "b does not answer", 1],
    [[node("a", { runs_quarantined: 1 })], "bad", "a hides 1 run whose counts cannot be right", 0],
    [[node("a", { runs_behind: 2 })], "warn", "a is behind with 2 runs; oldest number 0.3 s old", 0],
    [[node("a"), node("b", { state: "draining" })], "warn", "b is drained; oldest number 0.3 s old", 0],
    [[node("a"), node("b", { state: "loading", ready: false, age: undefined })], "warn", "b is loading and answers nobody yet; oldest number 0.3 s old", 0],
    [[node("a", { errors: 1.25 })], "warn", "a fails 1.3 requests a second; its log tells why; oldest number 0.3 s old", 0],
  ]) {
    const got = fleet(...nodes);
    assert.deepEqual([got.level, got.text, got.more.length], [level, text, more], text);
  }
});

test("since when: what a node tells, else what was seen, else at least that long", () => {
  const since = new Since();
  assert.equal(verdict([node("a", { state: "degraded", age: 14 })], noon, since).at, noon - 14_000);
  const behind = [node("a", { runs_behind: 1 })];
  let got = verdict(behind, noon + 1000, since);
  assert.deepEqual([got.at, got.atLeast], [noon + 1000, false]);
  got = verdict(behind, noon + 9000, since);
  assert.equal(got.at, noon + 1000);
  verdict([node("a")], noon + 10_000, since); // it is over
  assert.equal(verdict(behind, noon + 11_000, since).at, noon + 11_000);
  got = verdict(behind, noon, new Since());
  assert.deepEqual([got.at, got.atLeast], [noon, true]);
});

test("a node that is gone is missed until it is back under its name, is forgotten, or an hour has passed", () => {
  const [a, b] = [node("a"), node("b")];
  const silent = (all) => all.filter((n) => n.silent).map((n) => n.name).join();
  const roll = new Roll();
  roll.call([a, b], noon);
  const missed = roll.call([a], noon + 1000);
  assert.deepEqual(missed.map((n) => n.name), ["a", "b"]);
  assert.equal(missed[1].seen, noon);
  assert.equal(silent(new Roll(JSON.parse(JSON.stringify(roll.kept))).call([a], noon + 2000)), "b"); // a page that is loaded again
  assert.equal(silent(roll.call([a, { ...b, id: "anew" }], noon + 3000)), "");
  assert.equal(silent(roll.call([a], noon + 4000)), "b");
  roll.forget("anew");
  assert.equal(silent(roll.call([a], noon + 5000)), "");
  roll.call([a, b], noon);
  assert.equal(silent(roll.call([a], noon + 61 * minute)), "");
  roll.call([b], noon);
  assert.equal(roll.call([a, { ...b, silent: "it is connected" }], noon + 5000)[1].seen, noon);
  assert.deepEqual(new Roll().call([node("n10"), node("n9")], noon).map((n) => n.name), ["n9", "n10"]);
});

test("warnings: one name twice, other programs, other settings, refusals", () => {
  const settings = (more) => ({ settings: { version: 3, ...more } });
  for (const [nodes, want] of [
    [[node("a"), node("b")], []],
    [[node("a", { id: "1" }), node("a", { id: "2" })], [/^2 nodes are called a: .*1 and 2/]],
    [[node("a"), node("b"), node("c", { program: "v2" })], [/^c runs another program, v2; the others v1$/]],
    [[node("a", settings({})), node("b", settings({ version: 2 }))], [/^b has version 2 .* 3 was stored last$/]],
    [[node("a", settings({})), node("b", settings({ version: 2, refused: "why", refused_version: 3 }))], [/^b refuses the shared settings, version 3: why$/]],
    [[node("a", { settings: { version: 0, file_refused: "why" } })], [/^a refuses its own file: why$/]],
    [[node("a"), node("b", { silent: "gone", gone: true, program: "v2", settings: {} })], []],
  ]) {
    const got = warnings(nodes);
    assert.equal(got.length, want.length, got.join("\n"));
    want.forEach((pattern, i) => assert.match(got[i], pattern));
  }
  assert.match(warnings([node("a")], 4)[0], /^a has version none .* 4 was stored last/);
});

test("a diff makes the one text of the other", () => {
  const texts = ["", "a\n", "a\nb\nc\n", "a\nc\n", "x\na\nb\nd\nc\n", "c\nb\na\n"];
  for (const before of texts) {
    for (const after of texts) {
      const all = diff(before, after);
      const side = (kind) => all.filter((l) => l.kind === "same" || l.kind === kind).map((l) => `${l.text}\n`).join("");
      assert.deepEqual([side("gone"), side("new")], [before, after]);
    }
  }
  assert.deepEqual(diff("a\nb\nc", "a\nx\nc").map((l) => l.kind).join(), "same,gone,new,same");
  const long = Array.from({ length: 20 }, (_, i) => `${i}`).join("\n");
  assert.deepEqual(hunks(diff(long, long.replace("10", "ten"))).map((l) => l?.text ?? "…").join(), "…,8,9,10,ten,11,12,…");
});

test("an error's lines are found", () => {
  assert.deepEqual(faults("refused by node b: invalid settings: the document:2: unknown key x; the document:5: rules[0].ttl is 2x; want a duration"), [
    { line: 2, text: "unknown key x (says b)" }, { line: 5, text: "rules[0].ttl is 2x; want a duration (says b)" },
  ]);
  assert.deepEqual(faults("no server"), [{ line: 0, text: "no server" }]);
  assert.deepEqual([1, 2, 3, 9].map((line) => lineRange("ab\ncde\nf", line)), [[0, 2], [3, 6], [7, 8], [7, 8]]);
});

test("a what-if says what is better and what is worse", () => {
  const result = (more) => ({ seconds: 120, requests: 10, ttl_hits: 0, stamp_hits: 8, renders: 2, hit_ratio: 0.8, cpu: 0.2, wrong: 0, off: { mean: 0, p99: 0 }, ...more });
  const of = (name, tried) => rows({ in_force: result(), tried: result(tried) }).find((r) => r.name === name);
  assert.deepEqual(of("Hit ratio", { hit_ratio: 0.88 }), { name: "Hit ratio", before: "80 %", after: "88 %", change: "+10 %", level: "good" });
  assert.deepEqual(of("Wrong answers", { wrong: 0.00001 }), { name: "Wrong answers", before: "0 %", after: "< 0.01 %", change: "new", level: "bad" });
  assert.equal(of("CPU, of one core", { cpu: 0.1 }).level, "good");
  assert.equal(of("Served without a look a second", { ttl_hits: 5 }).level, "");
  assert.deepEqual([change(1, 1), change(2, 1), change(0, 0), share(NaN)], ["=", "−50 %", "=", "–"]);
});

test("days with the same rules stand together", () => {
  const day = (days, ttl, rule) => ({ days, quiet: { ttl_seconds: 0 }, busy: { ttl_seconds: ttl, rule } });
  assert.deepEqual(ranges([day(0, 0.1, "rush"), day(1, 0.1, "rush"), day(2, 1, "far")]).map((r) => [r.from, r.to]), [[0, 1], [2, 2]]);
  assert.deepEqual(ranges([]), []);
});

test("looks grow seldom while nothing comes", () => {
  const half = () => 0.5;
  assert.deepEqual([0, 1, 2, 3, 9].map((failures) => wait(2000, failures, half)), [2000, 2000, 4000, 8000, 15_000]);
  assert.ok(wait(2000, 9, () => 0) < wait(2000, 9, () => 1));
});

test("an act says where it is done", () => {
  const ok = { name: "a" };
  assert.deepEqual([[], [ok], [ok, ok], [ok, { name: "b", refused: "why" }]].map(summary),
    ["Done; no node is there to take it.", "Done on a.", "Done on all 2 nodes.", "Done on 1 of 2 nodes; not on b."]);
});
