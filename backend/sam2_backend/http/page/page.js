import { call, encoded, masked, newestOnly } from "./asking.js";
import { say, showScore, showStatus, showTimes } from "./panel.js";

const element = (id) => document.getElementById(id);
const SAMPLES = ["cells", "leaves", "bench"];
const DRAG = 0.01;
const STEP = 0.01;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let image = null;
let regions = [];
let pressed = null;
let cross = null;
let asked = 0;

function show(id, blob) {
  URL.revokeObjectURL(element(id).src);
  if (blob) element(id).src = URL.createObjectURL(blob);
  else element(id).removeAttribute("src");
}

async function open(blob) {
  say("The image encoder reads the image…");
  image = null;
  clear();
  try {
    const answer = await encoded(blob);
    show("picture", blob);
    element("work").hidden = false;
    image = answer;
    showTimes("the image", answer);
    say(`${answer.width}×${answer.height}, ready after ${Math.round(answer.here)} ms. Click an object.`);
    showCache();
  } catch (error) {
    say(error.message, true);
  }
}

async function predict() {
  const turn = ++asked;
  drawMarks();
  show("preview", null);
  if (!image || !regions.length) {
    show("mask", null);
    showScore(null);
    return;
  }
  try {
    const answer = await masked("ui/mask", image.image, regions);
    if (turn !== asked) return;
    show("mask", answer.mask);
    showScore(answer.score);
    showTimes(regions.length === 1 ? "this click" : `click ${regions.length}`, answer);
    say(`Score ${answer.score.toFixed(2)} after ${Math.round(answer.here)} ms.`);
  } catch (error) {
    if (turn === asked) say(error.message, true);
  }
}

// Before the first click, what a click would give.
const preview = newestOnly(async ([x, y]) => {
  const turn = asked;
  const still = () => turn === asked && image && !regions.length && element("previewing").checked;
  if (!still()) return;
  try {
    const answer = await masked("ui/preview", image.image, [keypoint(x, y, true)]);
    if (!still() || !hovered()) return;
    show("preview", answer.mask);
    showTimes("the mask under the mouse", answer);
    showScore(answer.score);
  } catch {
    show("preview", null); // a click would say why
  }
});

const hovered = () => cross !== null || element("canvas").matches(":hover");

function clear() {
  regions = [];
  predict();
}

function undo() {
  if (!regions.pop()) return;
  if (!regions.length) say("");
  predict();
}

function keypoint(x, y, positive) {
  return region("keypoint", { x: 100 * x, y: 100 * y, width: 0.3 }, { is_positive: positive });
}

function region(type, value, more) {
  return { id: `ui-${regions.length}-${Date.now()}`, type, to_name: "image", value, ...more };
}

function click(x, y, positive) {
  if (!positive && !regions.length) {
    say("Click the object first; then what does not belong to it.", true);
    return;
  }
  regions.push(keypoint(x, y, positive));
  predict();
}

function box(from, to) {
  const [[x0, x1], [y0, y1]] = [0, 1].map((axis) => [from[axis], to[axis]].sort((one, other) => one - other));
  regions = regions.filter(({ type }) => type !== "rectangle");
  regions.push(region("rectangle", { x: 100 * x0, y: 100 * y0, width: 100 * (x1 - x0), height: 100 * (y1 - y0) }));
  predict();
}

const inside = (number) => Math.min(1, Math.max(0, number));

function place(event) {
  const frame = element("picture").getBoundingClientRect();
  return [inside((event.clientX - frame.left) / frame.width), inside((event.clientY - frame.top) / frame.height)];
}

const dragged = (from, to) => Math.abs(from[0] - to[0]) > DRAG && Math.abs(from[1] - to[1]) > DRAG;

function drawMarks(dragging = null) {
  const marks = regions.map(({ type, value, is_positive }) =>
    type === "rectangle"
      ? mark("rect", value, ["x", "y", "width", "height"])
      : mark("circle", { cx: value.x, cy: value.y }, ["cx", "cy"], is_positive ? "positive" : "negative"));
  if (dragging) marks.push(mark("rect", dragging, ["x", "y", "width", "height"]));
  if (cross) {
    const [x, y] = cross.map((share) => 100 * share);
    marks.push(mark("line", { x1: x, x2: x, y1: 0, y2: 100 }, ["x1", "x2", "y1", "y2"], "cross"));
    marks.push(mark("line", { x1: 0, x2: 100, y1: y, y2: y }, ["x1", "x2", "y1", "y2"], "cross"));
  }
  element("marks").replaceChildren(...marks);
  for (const id of ["undo", "clear"]) element(id).disabled = !regions.length;
}

function mark(tag, value, names, className = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const name of names) made.setAttribute(name, `${value[name]}%`);
  if (tag === "circle") made.setAttribute("r", 6);
  made.setAttribute("class", className);
  return made;
}

function moved(event) {
  const here = place(event);
  if (cross) {
    cross = null;
    drawMarks();
  }
  if (pressed && dragged(pressed.at, here)) {
    const [x, y] = [0, 1].map((axis) => 100 * Math.min(pressed.at[axis], here[axis]));
    const [width, height] = [0, 1].map((axis) => 100 * Math.abs(pressed.at[axis] - here[axis]));
    drawMarks({ x, y, width, height });
  } else if (!pressed && event.pointerType === "mouse") {
    preview(here);
  }
}

function released(event) {
  if (!pressed) return;
  const { at, negative } = pressed;
  const here = place(event);
  pressed = null;
  if (dragged(at, here)) box(at, here);
  else click(...here, !negative);
}

function moveCross([right, down], far) {
  const step = STEP * (far ? 5 : 1);
  const [x, y] = cross || [0.5, 0.5];
  cross = cross ? [inside(x + right * step), inside(y + down * step)] : [0.5, 0.5];
  drawMarks();
  preview(cross);
}

async function take(number) {
  if (SAMPLES[number]) open(await (await call(`ui/samples/${SAMPLES[number]}.jpg`)).blob());
}

function key(event) {
  if (event.ctrlKey || event.metaKey ? event.key !== "z" : event.target.matches("input[type=file], button")) return;
  const arrow = ARROWS[event.key];
  if (event.key === "Escape") clear();
  else if (event.key === "z") undo();
  else if (event.key === "p") element("previewing").click();
  else if (/^[1-9]$/.test(event.key)) take(Number(event.key) - 1);
  else if (arrow && image && event.target === element("canvas")) moveCross(arrow, event.shiftKey);
  else if (event.key === "Enter" && image && cross) click(...cross, !event.altKey);
  else return;
  event.preventDefault();
}

async function showCache() {
  try {
    const status = await (await call("status")).json();
    showStatus(status);
    if (status.state === "loading" || status.jobs.length) setTimeout(showCache, 1000);
  } catch (error) {
    say(error.message, true);
  }
}

element("canvas").addEventListener("pointerdown", (event) => {
  pressed = { at: place(event), negative: event.altKey || event.button === 2 };
});
element("canvas").addEventListener("pointermove", moved);
element("canvas").addEventListener("pointerleave", () => show("preview", null));
element("canvas").addEventListener("contextmenu", (event) => event.preventDefault());
window.addEventListener("pointerup", released);
window.addEventListener("keydown", key);
element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);
element("previewing").addEventListener("change", () => show("preview", null));
element("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("choose").classList.toggle("over", over);
    if (name === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}
SAMPLES.forEach((name, number) => {
  const button = document.createElement("button");
  const picture = new Image();
  picture.src = `ui/samples/${name}.jpg`;
  picture.alt = name;
  button.append(picture);
  button.addEventListener("click", () => take(number));
  element("samples").append(button);
});
showCache();
