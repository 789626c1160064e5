// Times, durations, days and money as people read them. Times of trains are the railway's own, whatever the reader's zone.
import { tags } from "./i18n.js";

/** "07:00" of "2026-12-01T07:00:00+08:00". */
export const clock = (time) => time.slice(11, 16);

/** How many midnights lie between two times of one zone. */
export function daysBetween(depart, arrive) {
  return Math.round((Date.parse(arrive.slice(0, 10)) - Date.parse(depart.slice(0, 10))) / 86_400_000);
}

/** 269 as "4 h 29 min". */
export function duration(minutes, t) {
  const h = Math.floor(minutes / 60);
  const m = minutes % 60;
  return h ? t("hours", { h, m: String(m).padStart(2, "0") }) : t("minutes", { m });
}

/** A fare in minor units as "¥553": how many minor units make one is the currency's own matter. */
export function money({ amount, currency }, lang) {
  const format = moneyFormat(currency, lang);
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

const moneyFormats = new Map(); // making one is slow, and a page writes hundreds of fares

function moneyFormat(currency, lang) {
  const key = `${lang} ${currency}`;
  if (!moneyFormats.has(key)) {
    const style = { style: "currency", currency, currencyDisplay: "narrowSymbol", trailingZeroDisplay: "stripIfInteger" };
    moneyFormats.set(key, new Intl.NumberFormat(tags[lang], style));
  }
  return moneyFormats.get(key);
}

/** A day in parts: weekday, day of the month, month, and the whole in words. */
export function dayParts(date, lang) {
  const day = new Date(`${date}T00:00:00Z`);
  const say = (options) => new Intl.DateTimeFormat(tags[lang], { ...options, timeZone: "UTC" }).format(day);
  return {
    weekday: say({ weekday: "short" }),
    day: String(day.getUTCDate()),
    month: say({ month: "short" }),
    words: say({ weekday: "short", day: "numeric", month: "short" }),
    weekend: day.getUTCDay() % 6 === 0,
  };
}

/** A day in words; the text itself if it is no day. */
export function dayWords(date, lang) {
  return Number.isNaN(Date.parse(date)) ? date : dayParts(date, lang).words;
}
