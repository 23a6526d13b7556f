"use strict";
for (const block of document.querySelectorAll(".rankings")) {
  const form = block.querySelector("form"), rows = [...block.querySelectorAll(".row")];
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = ["camera", "outcome"].some((name) => form[name].value && form[name].value !== row.dataset[name]);
      shown += !row.hidden;
    }
    block.querySelector("output").textContent = `${shown} of ${rows.length} queries`;
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
window.addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) { each.open = true; each.dataset.folded = ""; }
});
window.addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-folded]")) { each.open = false; delete each.dataset.folded; }
});
