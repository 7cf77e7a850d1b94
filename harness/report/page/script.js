"use strict";
const field = (id) => document.getElementById(id);
const claims = [...document.querySelectorAll("details.claim")];
function filter() {
  const words = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const area = field("area").value, verdict = field("verdict").value, must = field("must").checked;
  let shown = 0;
  for (const claim of claims) {
    const text = claim.textContent.toLowerCase();
    const fits = (!area || claim.dataset.area === area) && (!verdict || claim.dataset.verdict === verdict) &&
      (!must || claim.dataset.priority === "P0") && words.every((word) => text.includes(word));
    claim.hidden = !fits;
    shown += fits;
  }
  for (const chapter of document.querySelectorAll("section.chapter"))
    chapter.hidden = !chapter.querySelector("details.claim:not([hidden])");
  field("shown").textContent = shown === claims.length ? "" : `${shown} of ${claims.length} claims`;
}
for (const id of ["text", "area", "verdict", "must"]) field(id).addEventListener("input", filter);
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.matches("details.claim")) target.open = true;
}
addEventListener("hashchange", openTarget);
let opened = [];
addEventListener("beforeprint", () => { opened = claims.filter((claim) => !claim.open && claim.dataset.verdict !== "todo");
  for (const claim of opened) claim.open = true; });
addEventListener("afterprint", () => { for (const claim of opened) claim.open = false; });
openTarget();
filter();
