"use strict";
const field = (id) => document.getElementById(id);
const claims = [...document.querySelectorAll("details.claim")];
const chosen = ["verdict", "priority", "area"];
function filter() {
  const words = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = chosen.map((name) => [name, field(name).value]).filter(([, value]) => value);
  let shown = 0;
  for (const claim of claims) {
    const text = words.length ? claim.textContent.toLowerCase() : "";
    const fits = wanted.every(([name, value]) => claim.dataset[name] === value) && words.every((word) => text.includes(word));
    claim.hidden = !fits;
    shown += fits;
  }
  for (const chapter of document.querySelectorAll("section.chapter"))
    chapter.hidden = !chapter.querySelector("details.claim:not([hidden])");
  for (const button of document.querySelectorAll(".counts button"))
    button.setAttribute("aria-pressed", String(button.dataset.verdict === field("verdict").value));
  field("nothing").hidden = shown > 0;
  field("shown").textContent = shown === claims.length ? `${shown} claims` : `${shown} of ${claims.length} claims`;
}
const form = document.querySelector("form.filter");
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
for (const button of document.querySelectorAll(".counts button"))
  button.addEventListener("click", () => {
    const select = field("verdict");
    select.value = select.value === button.dataset.verdict ? "" : button.dataset.verdict;
    filter();
    field("claims").scrollIntoView();
  });
function openTarget() {
  const target = location.hash && field(decodeURIComponent(location.hash.slice(1)));
  if (!target || !target.matches("details.claim")) return;
  if (target.hidden) form.reset();
  target.open = true;
  setTimeout(() => target.scrollIntoView());
}
addEventListener("hashchange", openTarget);
let opened = [];
addEventListener("beforeprint", () => {
  opened = claims.filter((claim) => !claim.open && !claim.hidden && claim.querySelector(".checkrun"));
  for (const claim of opened) claim.open = true;
});
addEventListener("afterprint", () => { for (const claim of opened) claim.open = false; });
openTarget();
filter();
