// Keys of the conversation list: / to the search field, J and K along the rows, Enter opens the row.
import { bindKeys } from "./keys.js";

const links = [...document.querySelectorAll("[data-row-link]")];

function step(by) {
  const at = links.indexOf(document.activeElement);
  const next = at === -1 ? (by > 0 ? 0 : links.length - 1) : at + by;
  links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
}

bindKeys({
  "/": () => document.querySelector(".filters :is(input:not([type=hidden]), select)")?.focus(),
  j: () => step(1),
  k: () => step(-1),
});
