"use strict";
// line: {span, lanes: [{group, title, depth}], slices: [[lane, begin, length, name, kind, depth, details]],
//        marks: [[lane, time, name, kind, details]], arrows: [[lane, time, lane, time]]}; times in µs.

const ROW = 17, MARKS = 15, GAP = 5, AXIS = 24, GROUP = 18, CLOSEST = 0.5, PAUSE = 0.004;
const canvas = document.getElementById("line"), overview = document.getElementById("overview");
const details = document.getElementById("details"), find = document.getElementById("find");
const pen = canvas.getContext("2d"), strip = overview.getContext("2d");
const view = { begin: 0, end: line.span || 1 };
let width = 0, height = 0, gutter = 120, chosen = null, before = null, sought = "", places = [];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
let colours = {};
const MARK_COLOURS = {
  InterruptSent: "message", CauseRaised: "message", InterruptWithheld: "message", RegisterRead: "register",
  RegisterWritten: "register", FrameArrived: "frame", FrameEmitted: "frame", FrameDelivered: "frame", FrameDropped: "broken",
  GuestError: "broken", guest: "guest",
};

function readColours() {
  colours = {};
  for (const name of ["paper", "ink", "soft", "line", "panel", "hardirq", "softirq", "napi", "xmit", "masked", "message",
    "dma", "register", "frame", "guest", "broken", "link", "hit"]) colours[name] = colour(name);
}

function lay() {
  gutter = canvas.clientWidth < 560 ? 84 : 124;
  let top = AXIS, group = "";
  places = line.lanes.map(lane => {
    if (lane.group !== group) { group = lane.group; top += GROUP; }
    const place = { top, rows: lane.depth, marks: lane.marks, height: lane.depth * ROW + (lane.marks ? MARKS : 0) };
    top += place.height + GAP;
    return place;
  });
  height = top + 4;
  canvas.style.height = `${height}px`;
  for (const [each, tall] of [[canvas, height], [overview, 34]]) {
    const ratio = window.devicePixelRatio || 1;
    each.width = Math.round(each.clientWidth * ratio);
    each.height = Math.round(tall * ratio);
    each.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  width = canvas.clientWidth;
}

const x = time => gutter + (time - view.begin) / (view.end - view.begin) * (width - gutter);
const timeAt = at => view.begin + (at - gutter) / (width - gutter) * (view.end - view.begin);

function told(time, exact = false) {
  const size = Math.abs(time);
  if (exact) return `${time.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} µs`;
  return size >= 1e6 ? `${(time / 1e6).toFixed(3)} s` : size >= 1e4 ? `${(time / 1e3).toFixed(2)} ms` : `${time.toFixed(1)} µs`;
}

function axis() {
  const wanted = (view.end - view.begin) / Math.max(2, (width - gutter) / 130);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map(each => each * power).find(each => each >= wanted);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const unit = step >= 1e5 ? ["s", 1e6] : step >= 100 ? ["ms", 1e3] : ["µs", 1];
  const digits = Math.max(0, -Math.floor(Math.log10(step / unit[1]) + 1e-9));
  for (let time = Math.ceil(view.begin / step) * step; time <= view.end; time += step) {
    const at = Math.round(x(time)) + .5;
    pen.strokeStyle = colours.line;
    pen.beginPath(); pen.moveTo(at, AXIS - 4); pen.lineTo(at, height); pen.stroke();
    pen.fillStyle = colours.soft;
    pen.fillText(`${(time / unit[1]).toFixed(digits)} ${unit[0]}`, at + 3, 10);
  }
}

function labels() {
  let group = "";
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, gutter - 1, height);
  line.lanes.forEach((lane, number) => {
    const place = places[number];
    pen.textBaseline = "middle";
    if (lane.group !== group) {
      group = lane.group;
      pen.font = "600 11px system-ui, sans-serif";
      pen.fillStyle = colours.soft;
      pen.fillText(group.toUpperCase(), 6, place.top - GROUP / 2 + 1);
    }
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colours.ink;
    pen.fillText(lane.title, 6, place.top + Math.min(place.height, ROW) / 2, gutter - 10);
    pen.strokeStyle = colours.line;
    pen.beginPath(); pen.moveTo(0, place.top + place.height + 2.5); pen.lineTo(width, place.top + place.height + 2.5); pen.stroke();
  });
}

const fits = (name, details) => sought && (`${name} ${JSON.stringify(details)}`).toLowerCase().includes(sought);

function draw() {
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, width, height);
  axis();
  pen.save();
  pen.beginPath(); pen.rect(gutter, 0, width - gutter, height); pen.clip();
  for (const each of line.slices) {
    const [lane, begin, length, name, kind, depth, more] = each;
    if (begin > view.end || begin + length < view.begin) continue;
    const left = Math.max(x(begin), gutter - 2), right = Math.min(x(begin + length), width + 2), place = places[lane];
    const wide = Math.max(1.5, right - left), top = place.top + depth * ROW + 1;
    pen.fillStyle = colours[kind] || colours.soft;
    pen.globalAlpha = kind === "masked" ? .7 : 1;
    pen.fillRect(left, top, wide, ROW - 2);
    pen.globalAlpha = 1;
    if (fits(name, more)) { pen.strokeStyle = colours.hit; pen.lineWidth = 3; pen.strokeRect(left, top, wide, ROW - 2); pen.lineWidth = 1; }
    if (each === chosen) { pen.strokeStyle = colours.ink; pen.lineWidth = 2; pen.strokeRect(left, top, wide, ROW - 2); pen.lineWidth = 1; }
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    if (wide > 30 && pen.measureText(name).width < wide - 6) {
      pen.fillStyle = kind === "masked" ? colours.ink : colours.paper;
      pen.fillText(name, left + 4, top + (ROW - 2) / 2 + .5);
    }
  }
  const room = line.lanes.map(() => -1);
  for (let number = line.marks.length - 1; number >= 0; number--) {
    const each = line.marks[number], [lane, time, name, kind, more] = each;
    if (time < view.begin || time > view.end) continue;
    const at = x(time), place = places[lane], top = place.top + place.rows * ROW + 1;
    pen.fillStyle = colours[MARK_COLOURS[kind] || "dma"];
    if (fits(name, more)) { pen.fillStyle = colours.hit; pen.fillRect(at - 4, top - 1, 8, MARKS); pen.fillStyle = colours.ink; }
    pen.fillRect(at - 1, top, each === chosen ? 4 : 2, MARKS - 3);
    pen.font = "10.5px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const text = pen.measureText(name).width + 8;
    if (room[lane] < 0 || room[lane] - at > text) {
      pen.fillStyle = colours.soft;
      pen.fillText(name, at + 4, top + (MARKS - 3) / 2 + .5);
    }
    room[lane] = at;
  }
  pen.strokeStyle = colours.message;
  for (const [from, begin, to, end] of line.arrows) {
    if (Math.max(begin, end) < view.begin || Math.min(begin, end) > view.end) continue;
    const a = [x(begin), places[from].top + ROW / 2], b = [x(end), places[to].top + places[to].rows * ROW * .3];
    pen.globalAlpha = .75;
    pen.beginPath(); pen.moveTo(...a); pen.bezierCurveTo(a[0] + 20, a[1], b[0] - 24, b[1], ...b); pen.stroke();
    pen.beginPath(); pen.moveTo(b[0], b[1]); pen.lineTo(b[0] - 6, b[1] - 3); pen.lineTo(b[0] - 6, b[1] + 3); pen.fillStyle = colours.message; pen.fill();
    pen.globalAlpha = 1;
  }
  pen.restore();
  labels();
  drawOverview();
}

let density = [];
function measure() {
  density = new Array(400).fill(0);
  const add = time => { const at = Math.min(399, Math.max(0, Math.floor(time / (line.span || 1) * 400))); density[at]++; };
  for (const each of line.slices) if (each[4] !== "masked") add(each[1]);
  for (const each of line.marks) add(each[1]);
}

function drawOverview() {
  const wide = overview.clientWidth, most = Math.max(1, ...density), each = wide / density.length;
  strip.fillStyle = colours.paper;
  strip.fillRect(0, 0, wide, 34);
  strip.fillStyle = colours.napi;
  density.forEach((count, at) => { if (count) { const tall = 4 + 26 * Math.sqrt(count / most); strip.fillRect(at * each, 32 - tall, Math.max(1, each - .5), tall); } });
  const left = view.begin / (line.span || 1) * wide, right = view.end / (line.span || 1) * wide;
  strip.fillStyle = colours.message;
  strip.globalAlpha = .2;
  strip.fillRect(left, 0, Math.max(3, right - left), 34);
  strip.globalAlpha = 1;
  strip.fillRect(left, 0, 1.5, 34);
  strip.fillRect(Math.max(left + 2, right - 1.5), 0, 1.5, 34);
}

function show(begin, end) {
  const span = Math.min(Math.max(end - begin, CLOSEST), Math.max(line.span * 1.02, CLOSEST));
  const middle = (begin + end) / 2;
  view.begin = Math.max(-span * .02, Math.min(middle - span / 2, line.span * 1.01 - span));
  view.end = view.begin + span;
  requestAnimationFrame(draw);
}
const zoom = (factor, around) => show(around + (view.begin - around) * factor, around + (view.end - around) * factor);
const shift = part => { const by = (view.end - view.begin) * part; show(view.begin + by, view.end + by); };

const times = [...line.slices.filter(each => each[4] !== "masked").map(each => [each[1], each[1] + each[2]]), ...line.marks.map(each => [each[1], each[1]])]
  .sort((one, other) => one[0] - other[0]);
const bursts = [];
for (const [begin, end] of times) {
  const last = bursts[bursts.length - 1];
  if (last && begin - last[1] < Math.max(200, line.span * PAUSE)) last[1] = Math.max(last[1], end);
  else bursts.push([begin, end]);
}
function burst(step) {
  const middle = (view.begin + view.end) / 2;
  const at = step > 0 ? bursts.find(each => (each[0] + each[1]) / 2 > middle + 1e-6 * (line.span || 1) + (view.end - view.begin) * .02)
    : [...bursts].reverse().find(each => (each[0] + each[1]) / 2 < middle - (view.end - view.begin) * .02);
  if (at) { const room = Math.max(50, (at[1] - at[0]) * .06); show(at[0] - room, at[1] + room); }
}

function under(px, py) {
  const lane = places.findIndex(place => py >= place.top - 2 && py <= place.top + place.height + 3);
  if (lane < 0 || px < gutter) return null;
  const time = timeAt(px), near = (view.end - view.begin) / (width - gutter) * 5, place = places[lane];
  let best = null, distance = near;
  for (const each of line.marks) {
    const far = Math.abs(each[1] - time);
    if (each[0] === lane && far < distance && py >= place.top + place.rows * ROW - 3) { best = each; distance = far; }
  }
  if (best) return best;
  const depth = Math.floor((py - place.top) / ROW);
  return line.slices.find(each => each[0] === lane && each[5] === depth && each[1] - near / 2 <= time && time <= each[1] + each[2] + near / 2) || null;
}

function tell(each) {
  const isSlice = each.length === 7, [lane, begin] = each, name = each[isSlice ? 3 : 2], more = each[isSlice ? 6 : 4];
  const rows = [["lane", `${line.lanes[lane].group}: ${line.lanes[lane].title}`], ["at", told(begin, true)]];
  if (isSlice) rows.push(["for", told(each[2], true)], ["kind", each[4]]);
  for (const [key, value] of Object.entries(more)) rows.push([key, String(value)]);
  details.replaceChildren();
  const head = document.createElement("h2");
  head.textContent = name;
  details.append(head);
  if (before && before !== each) {
    const between = document.createElement("p");
    between.className = "between";
    between.textContent = `${told(begin - before[1], true)} after ${before[before.length === 7 ? 3 : 2]} (${line.lanes[before[0]].title})`;
    details.append(between);
  }
  const list = document.createElement("dl");
  for (const [key, value] of rows) {
    const term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = key; said.textContent = value;
    list.append(term, said);
  }
  details.append(list);
}
function choose(each) {
  if (!each) return;
  before = chosen; chosen = each;
  tell(each);
  draw();
}

const fingers = new Map();
let moved = 0;
canvas.addEventListener("pointerdown", event => { fingers.set(event.pointerId, event); moved = 0; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", event => {
  const old = fingers.get(event.pointerId);
  if (!old) { canvas.style.cursor = under(event.offsetX, event.offsetY) ? "pointer" : "crosshair"; return; }
  const others = [...fingers.values()].filter(each => each.pointerId !== event.pointerId);
  if (others.length) {
    const other = others[0].offsetX, was = Math.abs(old.offsetX - other), now = Math.abs(event.offsetX - other);
    if (was > 4 && now > 4) zoom(was / now, timeAt((event.offsetX + other) / 2));
    moved += 10;
  } else {
    moved += Math.abs(event.offsetX - old.offsetX);
    if (moved > 4) shift((old.offsetX - event.offsetX) / (width - gutter));
  }
  fingers.set(event.pointerId, event);
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => {
  fingers.delete(event.pointerId);
  if (end === "pointerup" && moved <= 4) choose(under(event.offsetX, event.offsetY));
});
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) shift((event.deltaX || event.deltaY) / 800);
  else zoom(Math.exp(event.deltaY / 300), timeAt(Math.max(event.offsetX, gutter)));
}, { passive: false });
const centre = event => {
  const time = event.offsetX / overview.clientWidth * line.span, span = view.end - view.begin;
  show(time - span / 2, time + span / 2);
};
overview.addEventListener("pointerdown", event => { overview.setPointerCapture(event.pointerId); centre(event); });
overview.addEventListener("pointermove", event => { if (event.buttons) centre(event); });

const KEYS = {
  ArrowLeft: () => shift(-.2), ArrowRight: () => shift(.2), "+": () => zoom(.5, (view.begin + view.end) / 2),
  "-": () => zoom(2, (view.begin + view.end) / 2), 0: () => show(0, line.span), n: () => burst(1), p: () => burst(-1),
};
document.addEventListener("keydown", event => {
  if (event.target === find || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
for (const [name, key] of [["earlier", "p"], ["later", "n"], ["closer", "+"], ["wider", "-"], ["fit", "0"]])
  document.getElementById(name).addEventListener("click", () => KEYS[key]());
find.addEventListener("input", () => {
  sought = find.value.trim().toLowerCase();
  const hits = [...line.slices.filter(each => fits(each[3], each[6])), ...line.marks.filter(each => fits(each[2], each[4]))];
  document.getElementById("found").textContent = sought ? `${hits.length} found` : "";
  if (hits.length) {
    const first = hits.reduce((one, other) => (one[1] <= other[1] ? one : other)), span = view.end - view.begin;
    if (!hits.some(each => view.begin <= each[1] && each[1] <= view.end)) show(first[1] - span / 2, first[1] + span / 2);
  }
  draw();
});

function start() { readColours(); lay(); measure(); draw(); }
window.addEventListener("resize", () => { lay(); draw(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
start();
const first = line.arrows.length ? bursts.find(each => each[1] >= line.arrows[0][1]) : bursts[0];
if (first && bursts.length > 1) show(first[0] - 50, first[1] + 50);
