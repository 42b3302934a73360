// What the page asks the backend.

export async function call(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.error || `HTTP ${response.status}`);
  }
  return response;
}

// The image's hash and size, where its embedding was, and the milliseconds of each step.
export async function encoded(blob) {
  const begun = performance.now();
  const answer = await (await call("ui/image", { method: "POST", body: blob })).json();
  return { ...answer, here: performance.now() - begun };
}

// path: `ui/mask` for clicks, `ui/preview` for a place that nobody clicked yet.
export async function masked(path, image, regions) {
  const begun = performance.now();
  const response = await call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ image, result: regions }),
  });
  const mask = await response.blob();
  const timing = response.headers.get("Server-Timing").matchAll(/(\w+);dur=([\d.]+)/g);
  return {
    mask,
    score: Number(response.headers.get("X-Score")),
    cache: response.headers.get("X-Cache"),
    milliseconds: Object.fromEntries([...timing].map(([, step, duration]) => [step, Number(duration)])),
    here: performance.now() - begun,
  };
}

// One question at a time, and behind it only the newest: a mouse asks no faster than the backend answers.
export function newestOnly(ask) {
  let waiting = null;
  let asking = false;
  return async (question) => {
    waiting = question;
    if (asking) return;
    asking = true;
    while (waiting !== null) {
      const next = waiting;
      waiting = null;
      await ask(next);
    }
    asking = false;
  };
}
