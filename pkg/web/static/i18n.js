// Which language the page speaks, and its texts.
import en from "./lang/en.js";
import ko from "./lang/ko.js";
import zh from "./lang/zh.js";

const tables = { en, zh, ko };
const memory = "yupiao.lang";

/** The value of <html lang>: it also chooses the glyphs of Han characters. */
export const tags = { en: "en", zh: "zh-CN", ko: "ko" };

/** The first known language of: the address, what was chosen before, what the browser prefers, English. */
export function preferred(asked) {
  const wishes = [asked, remembered(), ...(navigator.languages ?? [])];
  return wishes.map((wish) => wish?.slice(0, 2).toLowerCase()).find((lang) => Object.hasOwn(tables, lang ?? "")) ?? "en";
}

function remembered() {
  try {
    return localStorage.getItem(memory);
  } catch {
    return null; // storage may be forbidden; the page works without
  }
}

/** Keeps the choice for the next visit. */
export function remember(lang) {
  try {
    localStorage.setItem(memory, lang);
  } catch {
    // as above
  }
}

/** A function from a key and values to a text; undefined for a key that the page does not have. */
export function translator(lang) {
  return (key, values = {}) => tables[lang][key]?.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Writes the texts of all elements that name one: data-t the content, data-t-label, -title and -placeholder attributes. */
export function translate(root, t) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of root.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
  for (const node of root.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}
