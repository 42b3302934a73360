// The figures beside the image.

const element = (id) => document.getElementById(id);
const CACHE = { miss: "made just now", memory: "was in memory", disk: "was on disk" };
const STEPS = {
  read: "read from disk",
  restore: "back to the device",
  decode_image: "open the image",
  encode: "image encoder",
  decode_prompt: "mask decoder",
  render: "draw the mask",
};

export function say(text, problem = false) {
  element("answer").textContent = text;
  element("answer").classList.toggle("problem", problem);
}

export function showScore(score) {
  element("score").textContent = score === null ? "–" : score.toFixed(2);
}

// milliseconds: of each step in the backend, and their total; here: until the answer was in this browser.
export function showTimes(what, { milliseconds, cache, here }) {
  const { total, ...steps } = milliseconds;
  const named = Object.entries(steps).map(([step, took]) => [STEPS[step] || step, took]);
  const rest = total - named.reduce((sum, [, took]) => sum + took, 0);
  const rows = [...named, ["waiting and the rest", rest], ["network", here - total]];
  const longest = Math.max(...rows.map(([, took]) => took), 1);
  element("timed").textContent = `Time per step: ${what}`;
  element("steps").replaceChildren(...rows.map((row) => line(...row, longest)), line("together", here, null));
  element("embedding").textContent = CACHE[cache];
}

function line(name, took, longest) {
  const row = document.createElement("tr");
  row.insertCell().textContent = name;
  row.insertCell().textContent = `${took < 10 ? Math.max(took, 0).toFixed(1) : Math.round(took)} ms`;
  const bar = row.insertCell();
  if (longest === null) {
    row.className = "sum";
  } else {
    bar.append(document.createElement("meter"));
    Object.assign(bar.firstChild, { max: longest, value: Math.max(took, 0) });
  }
  return row;
}

export function showStatus({ state, reason, model, engine, cache, jobs }) {
  showJobs(jobs);
  const demo = model && model.demo ? ". It is the demo model, which knows drawn shapes only" : "";
  element("model").textContent = engine
    ? `${model.checkpoint} on ${engine.device}, ${engine.name} ${engine.precision}${demo}.`
    : `${state} ${reason}`;
  if (!cache) return;
  const share = (entries, bytes) => `${entries} ${entries === 1 ? "image" : "images"} (${Math.round(bytes / 1e6)} MB)`;
  element("cache").textContent =
    `${share(cache.memory_entries, cache.memory_bytes)} in memory, ${share(cache.disk_entries, cache.disk_bytes)} on disk`;
}

// Of `samstudio masks`, as samstudio jobs shows them, and what is prewarmed, whose tasks are images.
function showJobs(jobs) {
  element("jobs").hidden = !jobs.length;
  element("jobs").replaceChildren(...jobs.map(({ name, total, done, failed, rate, left_seconds: left }) => {
    const item = document.createElement("li");
    const wrong = failed ? `, ${failed} failed` : "";
    const pace = left === null ? "" : `, ${rate.toFixed(1)} tasks/s, ${Math.ceil(left / 60)} min left`;
    item.textContent = `${name}: ${done + failed} of ${total} tasks${wrong}${pace}`;
    return item;
  }));
}
