// Tries the modules that need no page. TestModules runs it with node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { read, write } from "./static/address.js";
import { Answer, keyOf } from "./static/answer.js";
import { Problem } from "./static/api.js";
import { Attempt } from "./static/attempt.js";
import { Booking } from "./static/booking.js";
import { clock, daysBetween, duration, money } from "./static/format.js";
import { ageWords, judge, ServerClock } from "./static/freshness.js";
import { translator } from "./static/i18n.js";
import { backoff, watch } from "./static/live.js";
import { behaviours, cancellable, countdown, moving, nextLook, payable, Reservation } from "./static/reservation.js";
import { noFilters, sift, typeKey } from "./static/sift.js";
import { exact, placeRef } from "./static/suggest.js";
import { placeWords } from "./static/ticket.js";
import { fitting, wishes } from "./static/wishes.js";

const t = translator("en");
const fare = (amount) => ({ amount, currency: "CNY" });
const run = (train, depart, arrive, minutes, ...classes) => ({
  run: `20261201.${train}`, train, depart: `2026-12-01T${depart}:00+08:00`, arrive: `2026-12-${arrive}:00+08:00`, minutes,
  from: { code: "A", name: "A", stop: 0 }, to: { code: "B", name: "B", stop: 3 }, classes,
});
const day = [
  run("G1", "07:00", "01T11:28", 268, { class: "9", state: "SOLD_OUT", remaining: 0, fare: fare(100) }, { class: "O", state: "AVAILABLE", remaining: 40, fare: fare(900) }),
  run("D5", "08:00", "01T18:00", 600, { class: "O", state: "LOW", remaining: 2, fare: fare(400) }),
  run("1461", "12:00", "02T06:45", 1125, { class: "1", state: "SOLD_OUT", remaining: 0, fare: fare(150) }),
  run("K9", "18:00", "02T00:00", 360, { class: "1", state: "UNKNOWN" }),
];
const trains = (filters) => sift(day, { ...noFilters(), ...filters }).map(({ run }) => run.train).join();

test("filters and orders mean what the API's mean", () => {
  for (const [filters, want] of [
    [{}, "G1,D5,1461,K9"],
    [{ types: new Set(["G", "-"]) }, "G1,1461"],
    [{ depart: new Set(["06:00-12:00", "18:00-24:00"]) }, "G1,D5,K9"],
    [{ arrive: new Set(["00:00-06:00"]) }, "K9"],
    [{ classes: new Set(["1"]) }, "1461,K9"],
    [{ available: true }, "G1,D5"],
    [{ classes: new Set(["9"]), available: true }, ""],
    [{ seats: 3 }, "G1"],
    [{ sort: "arrival" }, "G1,D5,K9,1461"],
    [{ sort: "duration" }, "G1,K9,D5,1461"],
    [{ sort: "fare" }, "D5,G1,1461,K9"],
  ]) assert.equal(trains(filters), want, JSON.stringify(filters, (_, v) => (v instanceof Set ? [...v] : v)));
  assert.equal(typeKey({ train: "gc 12" }), "GC");
});

test("B5: an answer that took every change is the whole answer", () => {
  const held = new Answer({ runs: day.slice(0, 3) });
  held.change({ runs: [day[0]], gone: [keyOf(day[1])] });
  assert.deepEqual([...held.runs], [...new Answer({ runs: [day[0], day[2]] }).runs]);
  const changed = { ...day[0], minutes: 1 };
  held.change({ runs: [changed], gone: [] });
  held.change({ runs: [day[3]], gone: [], order: [day[3], changed, day[2]].map(keyOf) });
  assert.deepEqual([...held.runs], [...new Answer({ runs: [day[3], changed, day[2]] }).runs]);
});

test("an address reads as it was written", () => {
  const search = "?from=city:BJP&to=AOH&date=2026-12-01&types=G,-&depart=06:00-12:00&available=true&seats=2&sort=fare&lang=ko";
  assert.equal(write(read(search)), search);
  assert.deepEqual(read("").filters, noFilters());
  assert.deepEqual(read("?seats=99&sort=none&available=1").filters, { ...noFilters(), seats: 9 });
  assert.equal(read(write({ ...read(""), from: "&<b>=北京" })).from, "&<b>=北京");
});

test("times, durations and fares", () => {
  assert.equal(clock(day[0].depart), "07:00");
  assert.deepEqual(day.map(({ depart, arrive }) => daysBetween(depart, arrive)), [0, 0, 1, 1]);
  assert.equal(daysBetween("2026-12-31T23:00:00+08:00", "2027-01-02T01:00:00+08:00"), 2);
  assert.deepEqual([59, 60, 269].map((m) => duration(m, t)), ["59 min", "1h 00m", "4h 29m"]);
  assert.deepEqual([fare(55300), fare(30450), { amount: 59800, currency: "KRW" }].map((f) => money(f, "en")), ["¥553", "¥304.50", "₩59,800"]);
});

test("age is never taken for freshness", () => {
  const at = (age, link = "live", state = "live") => Object.values(judge({ age, link, state })).join();
  assert.deepEqual([at(0.3), at(2.1), at(10.1), at(NaN)], ["fresh,live", "aging,aging", "stale,aging", "stale,aging"]);
  assert.deepEqual([at(0.3, "lost"), at(0.3, "live", "degraded"), at(NaN, "connecting")], ["stale,lost", "stale,degraded", "aging,connecting"]);
  assert.deepEqual([0.34, 12.9, 125].map((age) => ageWords(age, t)), ["0.3 s old", "12 s old", "2 min old"]);
  const server = new ServerClock(); // of a reader whose own clock is an hour slow
  server.learn({ as_of: new Date(Date.now() + 3_600_000).toISOString(), age_seconds: 0.5 }, Date.now(), Date.now());
  assert.ok(Math.abs(server.now() - Date.now() - 3_600_500) < 100);
});

test("texts", () => {
  assert.equal(t("trainsOf", { n: 2, all: "{n}" }), "2 of {n} trains");
  assert.equal(t("none"), undefined);
});

test("a place is recognized when it is written whole", () => {
  const places = [{ code: "BJP", name: "北京", pinyin: "beijing", city: true }, { code: "BJP", name: "北京", pinyin: "beijing", city: false }];
  for (const [text, want] of [["Bei jing", "city:BJP"], ["北京", "city:BJP"], ["bjp", "BJP"], ["bei", undefined]]) {
    const found = exact(places, text);
    assert.equal(found && placeRef(found), want, text);
  }
});

test("tries again ever more slowly", () => {
  assert.deepEqual([0, 1, 9].map((tries) => backoff(tries, () => 1)), [1000, 2000, 15000]);
  assert.equal(backoff(0, () => 0), 500);
});

// A node in the place of fetch and EventSource: the answers it gives, and the streams that were opened.
function fakeNode(context, ...answers) {
  const opened = [];
  class Source extends EventTarget {
    static CLOSED = 2;
    readyState = 1;
    constructor() { super(); opened.push(this); }
    close() { this.readyState = Source.CLOSED; }
    say(event, data) { this.dispatchEvent(Object.assign(new Event(event), { data: JSON.stringify(data) })); }
  }
  context.mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.EventSource = Source;
  globalThis.fetch = async () => answers.shift() ?? Promise.reject(new TypeError("no network"));
  return opened;
}

const settle = async () => { for (let i = 0; i < 20; i++) await null; await new Promise(setImmediate); };
const ok = () => Response.json({ runs: [] }, { headers: { "Yupiao-State": "live" } });
const failed = (status) => Response.json({ type: "/problems/x", status }, { status });

function listen() {
  const heard = [];
  const hear = (name) => (value) => heard.push(value instanceof Problem ? value.kind : typeof value === "string" ? value : name);
  return { heard, on: { answer: hear("answer"), runs: hear("runs"), status: hear("status"), link: hear(), problem: hear() } };
}

test("a stream that restarts or falls silent is opened again", async (context) => {
  const opened = fakeNode(context, ok(), ok(), ok());
  const { heard, on } = listen();
  const stop = watch({}, on);
  await settle();
  opened[0].say("runs", {});
  opened[0].say("restart", {});
  context.mock.timers.tick(1_000);
  await settle();
  assert.deepEqual(heard, ["connecting", "answer", "status", "runs", "lost", "answer", "status"]);
  context.mock.timers.tick(16_000); // silence
  context.mock.timers.tick(2_000);
  await settle();
  assert.deepEqual(opened.map(({ readyState }) => readyState), [2, 2, 1]);
  stop();
  assert.equal(opened[2].readyState, 2);
});

test("what is wrong with the question is not asked again, what is wrong with the node is", async (context) => {
  for (const [answer, kind, again] of [[failed(400), "x", 0], [failed(503), "x", 1], [undefined, "offline", 1]]) {
    const opened = fakeNode(context, ...(answer ? [answer, ok()] : []));
    const { heard, on } = listen();
    const stop = watch({}, on);
    await settle();
    globalThis.fetch = async () => ok();
    context.mock.timers.tick(20_000);
    await settle();
    assert.equal(heard[1], kind);
    assert.equal(opened.length, again);
    stop();
    context.mock.timers.reset();
  }
});

test("a second try of an order has the same key, another order another", () => {
  const attempt = new Attempt();
  const order = { run: "r", passengers: 1 };
  const keys = [attempt.key(order)];
  const after = (problem, next = order) => {
    attempt.end(problem);
    keys.push(attempt.key(next));
    return keys.at(-1) === keys.at(-2);
  };
  assert.match(keys[0], /^[\w-]{32,64}$/);
  assert.ok(after(new Problem({ type: "offline" })), "a network failure");
  assert.ok(after(new Problem({ type: "/problems/unavailable", status: 503 })), "503");
  assert.ok(!after(new Problem({ status: 503 }), { ...order, passengers: 2 }), "changed input");
  assert.ok(!after(new Problem({ type: "/problems/sold-out", status: 409 }), { ...order, passengers: 2 }), "refusal");
  assert.ok(!after(undefined, { ...order, passengers: 2 }), "success");
});

test("wishes fit the places", () => {
  for (const [accommodation, passengers, want] of [
    ["SEAT", 1, ",window,aisle"], ["SEAT", 2, ",window,aisle,same_coach"], ["BERTH", 9, ",lower,same_coach"], ["STANDING", 2, ""], [undefined, 2, wishes.join()],
  ]) assert.equal(fitting(accommodation, passengers).join(), want);
});

const noon = Date.parse("2026-11-23T12:00:00Z");
const reserved = (more) => ({ id: "r_1", state: "RESERVED", deadline: "2026-11-23T12:10:00Z", ...more });
const paying = (state) => ({ payment: { state } });

test("what can be done with a reservation", () => {
  for (const [data, want] of [
    [reserved(), "pay cancel"], [reserved(paying("PENDING")), "cancel moving"], [reserved(paying("FAILED")), "pay cancel"],
    [reserved({ state: "PAID", ...paying("SUCCEEDED") }), "cancel"], [reserved({ state: "EXPIRED", ...paying("REFUND_DUE") }), "moving"],
    [reserved({ state: "CANCELLED" }), ""], [reserved({ state: "REFUNDED", ...paying("REFUNDED") }), ""],
  ]) assert.equal([payable(data) && "pay", cancellable(data) && "cancel", moving(data) && "moving"].filter(Boolean).join(" "), want, JSON.stringify(data));
  assert.deepEqual([0, 1_000, 540_500, 600_000, 700_000].map((ms) => countdown(reserved().deadline, noon + ms)), ["10:00", "9:59", "0:59", "0:00", "0:00"]);
});

test("a reservation is looked at as often as it may change", () => {
  const wait = (data, after = 0, since = 0, watched = true) => nextLook(data, { now: noon + after, since: noon + since, watched });
  assert.equal(wait(reserved(paying("PENDING"))), 300);
  assert.equal(wait(reserved(paying("PENDING")), 10_000), 2_000);
  assert.equal(wait(reserved(paying("PENDING")), 1_000, 0, false), 599_000, "out of sight its deadline alone matters");
  assert.equal(wait(reserved()), 600_000);
  assert.equal(wait(reserved(), 600_000), 2_000);
  assert.equal(wait(reserved({ state: "EXPIRED", ...paying("REFUND_DUE") }), 20_000), 2_000);
  assert.equal(wait(reserved({ deadline: "2036-01-01T00:00:00Z" })), 2 ** 31 - 1, "what a timer takes");
  for (const state of ["PAID", "CANCELLED", "EXPIRED", "REFUNDED"]) assert.equal(wait(reserved({ state, ...paying("SUCCEEDED") })), null);
});

test("places in words", () => {
  const seat = (coach, seat, kind) => ({ coach, seat, kind });
  assert.equal(placeWords([seat(5, "12A", "window"), seat(5, "12B", "middle"), seat(6, "1F", "x")], t), "Coach 5: 12A (window), 12B (middle) · Coach 6: 1F (x)");
  assert.equal(placeWords([], t), t("noPlaces"));
});

test("all behaviours, wishes and states have words", () => {
  for (const name of behaviours) assert.ok(t(`behaviour_${name}`), name);
  for (const name of wishes) assert.ok(t(`wish_${name || "none"}`), name);
  for (const name of ["RESERVED", "PAID", "CANCELLED", "EXPIRED", "REFUNDED"]) assert.ok(t(`order_${name}`), name);
  for (const name of ["PENDING", "SUCCEEDED", "FAILED", "REFUND_DUE", "REFUNDED"]) assert.ok(t(`payment_${name}`), name);
});

// A booking backend in the place of fetch: what it was asked, and what it answers next. undefined is a network failure.
function fakeBackend(context, ...answers) {
  const asked = [];
  context.mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.fetch = async (url, { method, body, headers }) => {
    asked.push([method, url, body, headers["Idempotency-Key"]].filter(Boolean).join(" "));
    const answer = answers.shift();
    return answer ? Response.json(answer, { status: answer.status ?? 200 }) : Promise.reject(new TypeError("no network"));
  };
  return asked;
}

const tools = () => ({ booking: new Booking("http://b"), clock: { now: () => noon } });
const at = "http://b/v1/reservations";

test("an order is sent with its key, and what is refused is a problem", async (context) => {
  const asked = fakeBackend(context, { id: "r_1" }, { type: "/problems/sold-out", title: "Sold out", status: 409 });
  const { booking } = tools();
  assert.equal((await booking.reserve({ run: "x" }, "key")).id, "r_1");
  await assert.rejects(booking.reserve({ run: "x" }, "key"), { kind: "sold-out", status: 409, passing: false });
  await assert.rejects(booking.reservation("a/b"), { kind: "offline", passing: true });
  assert.deepEqual(asked, [`POST ${at} {"run":"x"} key`, `POST ${at} {"run":"x"} key`, `GET ${at}/a%2Fb`]);
});

test("a payment is followed to its end, and no further", async (context) => {
  const asked = fakeBackend(context, reserved(paying("PENDING")), reserved(paying("PENDING")), reserved({ state: "PAID", ...paying("SUCCEEDED") }));
  const reservation = new Reservation("r_1", tools(), reserved());
  const unwatch = reservation.watch();
  await reservation.pay("succeed");
  for (let i = 0; i < 5; i++) {
    context.mock.timers.tick(300);
    await settle();
  }
  assert.equal(reservation.data.state, "PAID");
  assert.deepEqual(asked, [`POST ${at}/r_1/payment {"behaviour":"succeed"}`, `GET ${at}/r_1`, `GET ${at}/r_1`]);
  unwatch();
});

test("after an act that failed the truth is asked for", async (context) => {
  const asked = fakeBackend(context, { type: "/problems/wrong-state", status: 409 }, reserved({ state: "EXPIRED" }));
  const reservation = new Reservation("r_1", tools(), reserved());
  await reservation.pay("succeed");
  assert.deepEqual([reservation.problem.kind, reservation.data.state, reservation.busy], ["wrong-state", "EXPIRED", false]);
  assert.equal(asked.length, 2);
});

test("a look that fails is repeated; that there is no such reservation is final", async (context) => {
  const asked = fakeBackend(context, undefined, reserved({ state: "PAID" }), { type: "/problems/unknown-reservation", status: 404 });
  const reservation = new Reservation("r_1", tools());
  await reservation.look();
  assert.equal(reservation.problem.kind, "offline");
  context.mock.timers.tick(1_000);
  await settle();
  assert.deepEqual([reservation.problem, reservation.data.state], [null, "PAID"]);
  await reservation.look();
  assert.equal(reservation.problem.kind, "unknown-reservation");
  context.mock.timers.tick(60_000);
  await settle();
  assert.equal(asked.length, 3);
});
