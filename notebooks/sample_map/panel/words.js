// Texts, numbers and times in the language of the panel.

const NAMES = { en: "English", ru: "Русский" };
const KEPT = "sample-map-language";

export class Words {
  /**
   * catalogs: translations by language and English text; wanted: a language, or empty for the one
   * that was chosen before, or else the browser's.
   */
  constructor(catalogs, wanted) {
    this.catalogs = catalogs;
    const asked = wanted || kept() || navigator.language || "en";
    this.language = Object.keys(catalogs).find((known) => asked.startsWith(known)) ?? "en";
  }

  get other() {
    return this.language === "en" ? "ru" : "en";
  }

  nameOf(language) {
    return NAMES[language];
  }

  /** Speak another language, and remember it. */
  choose(language) {
    this.language = language;
    try {
      localStorage.setItem(KEPT, language);
    } catch {
      // a browser that keeps nothing asks again
    }
  }

  /** Translate; {names} in the text are filled in afterwards. */
  t(text, values = {}) {
    const found = this.catalogs[this.language]?.[text] ?? text;
    return found.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  }

  /** The name of an operation, or of what it reads or writes, as a person would write it. */
  name(identifier) {
    const words = identifier.replace(/[-_]/g, " ");
    return this.t(words.charAt(0).toUpperCase() + words.slice(1));
  }

  number(value, digits = 0) {
    return value.toLocaleString(this.language, { maximumFractionDigits: digits });
  }

  area(metres) {
    if (metres < 10000) return `${this.number(metres)} ${this.t("m²")}`;
    if (metres < 1e6) return `${this.number(metres / 10000, 1)} ${this.t("ha")}`;
    return `${this.number(metres / 1e6, metres < 1e8 ? 1 : 0)} ${this.t("km²")}`;
  }

  time(text) {
    const when = new Date(text);
    if (Number.isNaN(when.getTime())) return "?";
    return when.toLocaleString(this.language, { dateStyle: "medium", timeStyle: "short" });
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
}
