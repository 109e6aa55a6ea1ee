import { plain } from "/panel/pictures.js";
import { equal } from "./expect.js";

export function attributionIsTextAndNothingElse() {
  equal(plain('© A & B <img onerror="x">'), "© A &amp; B &lt;img onerror=&quot;x&quot;&gt;");
}
