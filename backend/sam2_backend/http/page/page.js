"use strict";

const element = (id) => document.getElementById(id);
const SAMPLES = 4;
const DRAG = 0.01;
let image = null;
let regions = [];
let pressed = null;
let asked = 0;

function say(text, problem = false) {
  element("answer").textContent = text;
  element("answer").classList.toggle("problem", problem);
}

async function call(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.error || `HTTP ${response.status}`);
  }
  return response;
}

async function open(blob) {
  say("Encoding the image…");
  clear();
  image = null;
  try {
    const begun = performance.now();
    const answer = await (await call("ui/image", { method: "POST", body: blob })).json();
    element("picture").src = URL.createObjectURL(blob);
    element("stage").hidden = false;
    image = answer;
    say(`${answer.width}×${answer.height}, ready after ${Math.round(performance.now() - begun)} ms. Click an object.`);
  } catch (error) {
    say(error.message, true);
  }
}

async function predict() {
  drawMarks();
  if (!image || !regions.length) return;
  const turn = ++asked;
  const begun = performance.now();
  try {
    const response = await call("ui/mask", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ image: image.image, result: regions }),
    });
    const mask = await response.blob();
    if (turn !== asked) return;
    URL.revokeObjectURL(element("mask").src);
    element("mask").src = URL.createObjectURL(mask);
    const server = /total;dur=([\d.]+)/.exec(response.headers.get("Server-Timing"))[1];
    const score = Number(response.headers.get("X-Score"));
    say(`Score ${score.toFixed(2)}, ${server} ms in the backend, ${Math.round(performance.now() - begun)} ms here.`);
  } catch (error) {
    if (turn === asked) say(error.message, true);
  }
}

function clear() {
  regions = [];
  asked++;
  element("mask").removeAttribute("src");
  drawMarks();
}

function region(type, value, more) {
  return { id: `ui-${regions.length}-${Date.now()}`, type, to_name: "image", value, ...more };
}

function place(event) {
  const box = element("picture").getBoundingClientRect();
  const limit = (number) => Math.min(1, Math.max(0, number));
  return [limit((event.clientX - box.left) / box.width), limit((event.clientY - box.top) / box.height)];
}

function drawMarks() {
  const marks = regions.map(({ type, value, is_positive }) => {
    const box = type === "rectangle";
    const mark = document.createElementNS("http://www.w3.org/2000/svg", box ? "rect" : "circle");
    const attributes = box
      ? { x: `${value.x}%`, y: `${value.y}%`, width: `${value.width}%`, height: `${value.height}%` }
      : { cx: `${value.x}%`, cy: `${value.y}%`, r: 5, class: is_positive ? "positive" : "negative" };
    for (const [name, text] of Object.entries(attributes)) mark.setAttribute(name, text);
    return mark;
  });
  element("marks").replaceChildren(...marks);
}

function released(event) {
  if (!pressed) return;
  const [[x0, y0], [x1, y1], negative] = [pressed.at, place(event), pressed.negative];
  pressed = null;
  if (Math.abs(x1 - x0) > DRAG && Math.abs(y1 - y0) > DRAG) {
    regions = regions.filter(({ type }) => type !== "rectangle");
    regions.push(region("rectangle", {
      x: 100 * Math.min(x0, x1), y: 100 * Math.min(y0, y1), width: 100 * Math.abs(x1 - x0), height: 100 * Math.abs(y1 - y0),
    }));
  } else {
    regions.push(region("keypoint", { x: 100 * x1, y: 100 * y1, width: 0.3 }, { is_positive: !negative }));
  }
  predict();
}

async function showModel() {
  try {
    const status = await (await call("status")).json();
    const engine = status.engine;
    const demo = status.model && status.model.demo ? " — the demo model: it knows drawn shapes only" : "";
    element("model").textContent = engine
      ? `${status.model.checkpoint} on ${engine.device}, ${engine.name} ${engine.precision}${demo}`
      : `${status.state} ${status.reason}`;
    if (status.state === "loading") setTimeout(showModel, 1000);
  } catch (error) {
    element("model").textContent = error.message;
  }
}

element("canvas").addEventListener("pointerdown", (event) => {
  pressed = { at: place(event), negative: event.altKey || event.button === 2 };
});
window.addEventListener("pointerup", released);
element("canvas").addEventListener("contextmenu", (event) => event.preventDefault());
element("clear").addEventListener("click", () => { clear(); say(""); });
element("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    element("choose").classList.toggle("over", over);
    if (name === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}
for (let number = 0; number < SAMPLES; number++) {
  const button = document.createElement("button");
  const picture = new Image();
  picture.src = `ui/sample/${number}.jpg`;
  picture.alt = `drawing ${number + 1}`;
  button.append(picture);
  button.addEventListener("click", async () => open(await (await call(picture.src)).blob()));
  element("samples").append(button);
}
showModel();
