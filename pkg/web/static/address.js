// The page's address holds the search and the filters, so that a reload, the back button and a sent link show the same.
import { noFilters, sorts } from "./sift.js";

const lists = ["types", "classes", "depart", "arrive"];
const maxSeats = 9;

/** Reads an address's query string. Absent parts are empty; values that make no sense are left to the API to explain. */
export function read(search) {
  const params = new URLSearchParams(search);
  const text = (name) => params.get(name)?.trim() ?? "";
  return { from: text("from"), to: text("to"), date: text("date"), lang: text("lang"), filters: readFilters(params) };
}

function readFilters(params) {
  const filters = noFilters();
  for (const name of lists) filters[name] = new Set((params.get(name) ?? "").split(",").filter(Boolean));
  filters.available = params.get("available") === "true";
  filters.seats = Math.min(Math.max(Math.trunc(Number(params.get("seats"))) || 1, 1), maxSeats);
  if (sorts.includes(params.get("sort"))) filters.sort = params.get("sort");
  return filters;
}

/** Writes what read reads, from what differs from the defaults. */
export function write({ from, to, date, lang, filters }) {
  const params = new URLSearchParams();
  const put = (name, value) => value && params.set(name, value);
  put("from", from);
  put("to", to);
  put("date", date);
  for (const name of lists) put(name, [...filters[name]].join(","));
  put("available", filters.available && "true");
  put("seats", filters.seats > 1 && String(filters.seats));
  put("sort", filters.sort !== sorts[0] && filters.sort);
  put("lang", lang);
  return `?${params.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}
