// Keys of a page: a help dialog that lists them and a switch that turns single-character keys off (WCAG 2.1.4).

const FIELDS = "input:not([type=range], [type=checkbox], [type=radio]), select, textarea, [contenteditable]";
const ACTS_ON_SPACE_OR_ENTER = "button, a, summary, input, select, textarea";

const toggle = document.querySelector("[data-keys-switch]");

/**
 * Sends changed preferences to the server, which remembers them; nothing is kept in the browser.
 * @param {Record<string, string>} changes `keys` and `skip_silence` "on" or "off", `speed` a number
 */
export function remember(changes) {
  const url = toggle?.dataset.preferencesUrl;
  if (!url) return;
  const token = document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";
  fetch(url, {
    method: "POST",
    headers: { "X-CSRFToken": token },
    body: new URLSearchParams(changes),
    credentials: "same-origin",
  }).catch(() => {});
}

/**
 * Binds keys to actions until single-character keys are switched off; arrows and Space always work.
 * @param {Record<string, () => void>} actions by KeyboardEvent.key, letters in lower case
 */
export function bindKeys(actions) {
  const dialog = document.querySelector("[data-keys-dialog]");
  let areOn = toggle?.getAttribute("aria-pressed") !== "false";
  const open = () => dialog?.showModal();

  document.querySelectorAll("[data-keys-open]").forEach((button) => button.addEventListener("click", open));
  toggle?.addEventListener("click", () => {
    areOn = !areOn;
    toggle.setAttribute("aria-pressed", String(areOn));
    remember({ keys: areOn ? "on" : "off" });
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (dialog?.open || event.target.closest(FIELDS)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === " " && event.target.closest(ACTS_ON_SPACE_OR_ENTER)) return;
    if (key.length === 1 && key !== " " && !areOn) return;
    const action = key === "?" ? open : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
