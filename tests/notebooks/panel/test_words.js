import { Words } from "/panel/words.js";
import { equal } from "./expect.js";

const CATALOGS = { ru: { "{count} of {all}": "{count} из {all}", ha: "га" } };

export function namesAreFilledInAfterTranslation() {
  equal(new Words(CATALOGS, "ru").t("{count} of {all}", { count: 1, all: 2 }), "1 из 2");
  equal(new Words(CATALOGS, "en").t("{count} of {what}", { count: 1 }), "1 of {what}");
}

export function countryOfLanguageDoesNotMatter() {
  equal(new Words(CATALOGS, "ru-RU").language, "ru");
  equal(new Words(CATALOGS, "fi").language, "en");
}

export function areasHaveTheUnitThatSuitsThem() {
  const words = new Words(CATALOGS, "en");
  equal(words.area(9999), "9,999 m²");
  equal(words.area(25500), "2.6 ha");
  equal(words.area(5.54e6), "5.5 km²");
  equal(words.area(1234e6), "1,234 km²");
  equal(new Words(CATALOGS, "ru").area(25500), "2,6 га");
}

export function timeThatIsNoneIsAsked() {
  equal(new Words(CATALOGS, "en").time("yesterday"), "?");
}
