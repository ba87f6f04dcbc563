// A zero-shot picture classifier: const c = await load("./"); await c.classify(blob)
import * as ort from "./{{module}}";

const INTEGRITY = "{{integrity}}"; // SHA-256 of classifier.json
const TOLERANCE = 2e-3; // of a probability, between processors
const EVIDENCE_TOLERANCE = 0.05;
const LARGEST_PIXELS = 100_000_000;

/** Loads the classifier of a folder. It is checked: each file by its digest, the whole by two pictures. */
export async function load(base = "./", { onProgress = () => {}, threads, webgpu = true } = {}) {
  const root = new URL(base, location.href);
  const facts = JSON.parse(new TextDecoder().decode(await fetched(root, "classifier.json", INTEGRITY)));
  const model = new Uint8Array(facts.model.bytes);
  const total = model.length + facts.runtime.bytes;
  let done = 0;
  onProgress(0, total);
  for (const { file, bytes, sha256 } of facts.model.chunks) {
    const chunk = await fetched(root, file, sha256, bytes);
    model.set(new Uint8Array(chunk), done);
    done += chunk.byteLength;
    onProgress(done, total);
  }
  const count = threads ?? bestThreads(facts.model.sha256);
  const { file, bytes, sha256 } = facts.runtime;
  ort.env.wasm.wasmBinary ??= await unpacked(file, await fetched(root, file, sha256, bytes));
  ort.env.wasm.numThreads = count;
  onProgress(total, total);
  // A graphics card may compute something else and say nothing: then the processor does it.
  let refused;
  if (facts.runtime.webgpu && webgpu) {
    try { return await tested(model, facts, "webgpu", count); } catch (error) { refused = error.message; }
  }
  return tested(model, facts, "wasm", count, refused);
}

async function tested(model, facts, provider, threads, refused) {
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider] });
  const classifier = new Classifier(session, facts, { provider, threads, refused });
  try { await classifier.test(); } catch (error) {
    await session.release();
    throw error;
  }
  return classifier;
}

class Classifier {
  #session; #facts; #turn = Promise.resolve();

  constructor(session, facts, how) {
    this.#session = session;
    this.#facts = facts;
    Object.assign(this, how);
  }

  get labels() { return this.#facts.labels; }
  get facts() { return this.#facts; }

  /** Every label with its probability, the most probable first. `yes` where several labels may fit. */
  async classify(source) {
    const { data, width, height } = await pixels(source);
    const { probabilities, evidence, embedding } = await this.#run(data, width, height);
    const { labels, thresholds, least_evidence } = this.#facts;
    const rows = labels.map((label, i) => {
      const row = { label, probability: probabilities[i] };
      return thresholds ? { ...row, yes: row.probability >= thresholds[label] } : row;
    });
    rows.sort((a, b) => b.probability - a.probability);
    if (evidence) Object.assign(rows, { evidence: evidence[0], unknown: evidence[0] < least_evidence });
    return embedding ? Object.assign(rows, { embedding }) : rows;
  }

  /** Throws unless two tiny pictures get the probabilities that they had where the file was made. */
  async test() {
    let started;
    for (const { image, size: [height, width], probabilities, evidence } of this.#facts.golden) {
      started = performance.now();
      const outputs = await this.#run(Uint8Array.from(atob(image), (c) => c.charCodeAt(0)), width, height);
      equal("probability", outputs.probabilities, probabilities, TOLERANCE);
      if (evidence) equal("evidence", outputs.evidence, evidence, EVIDENCE_TOLERANCE);
    }
    if (this.provider === "wasm") remember(this.#facts.model.sha256, this.threads, performance.now() - started);
  }

  #run(data, width, height) {
    const tensor = new ort.Tensor("uint8", data, [height, width, 3]);
    // One picture after another: a session runs one at a time.
    const run = this.#turn.then(async () => {
      const outputs = await this.#session.run({ image: tensor });
      return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, value.data]));
    });
    this.#turn = run.catch(() => {});
    return run;
  }
}

function equal(what, values = [], right, tolerance) {
  const off = Math.max(...right.map((value, i) => Math.abs(value - values[i])));
  if (values.length === right.length && off <= tolerance) return;
  throw new Error(`the self-test failed: a ${what} is off by ${off}; this device or a file computes something else.`);
}

/** A file's bytes, or an error that names it. What is damaged is taken out of every cache. */
async function fetched(root, file, sha256, bytes) {
  const url = new URL(file, root);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${file} is missing: the server answered ${response.status}.`);
  const content = await response.arrayBuffer();
  // Only pages from https and localhost can compute digests.
  const digest = globalThis.crypto?.subtle && hex(await crypto.subtle.digest("SHA-256", content));
  if ((bytes ?? content.byteLength) !== content.byteLength || (digest ?? sha256) !== sha256) {
    if (globalThis.caches) for (const name of await caches.keys()) (await caches.open(name)).delete(url);
    throw damaged(file);
  }
  return content;
}

const damaged = (file) =>
  new Error(`${file} is damaged: it is not the file that was exported. Load the page again, or export again.`);

/** ONNX Runtime is stored compressed: not every host compresses what it sends. */
async function unpacked(file, content) {
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  try { return await new Response(stream).arrayBuffer(); } catch { throw damaged(file); }
}

const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");

/** Blob, image, canvas, video, ImageBitmap or ImageData → upright RGB bytes, transparency on white. */
async function pixels(source) {
  if (source instanceof ImageData) return rgb(source);
  const how = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
  let bitmap;
  try {
    bitmap = source instanceof ImageBitmap ? source : await createImageBitmap(source, source instanceof Blob ? how : {});
  } catch {
    throw new Error("this picture cannot be read by the browser; give a JPEG, PNG, WebP or AVIF.");
  }
  const { width, height } = bitmap;
  if (width * height > LARGEST_PIXELS) throw new Error(`${width} × ${height} pixels are too many.`);
  const canvas = globalThis.OffscreenCanvas ? new OffscreenCanvas(width, height)
    : Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  if (bitmap !== source) bitmap.close();
  return rgb(context.getImageData(0, 0, width, height));
}

function rgb({ data: rgba, width, height }) {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; j < data.length; i += 4) {
    const alpha = rgba[i + 3];
    for (let c = 0; c < 3; c++) data[j++] = alpha === 255 ? rgba[i + c] : Math.round((rgba[i + c] * alpha + 255 * (255 - alpha)) / 255);
  }
  return { data, width, height };
}

// Threads are fixed for a page, and more of them are not always quicker: the first visit takes one,
// the second all, and from then on the quicker number, by the time of the self-test.
function bestThreads(model) {
  const most = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  const times = timesOf(model);
  const options = [...new Set([1, most])];
  return options.find((n) => !(n in times)) ?? options.reduce((a, b) => (times[b] < times[a] ? b : a));
}

function timesOf(model) {
  try { return JSON.parse(localStorage.getItem(`unseen-${model}`)) ?? {}; } catch { return {}; }
}

function remember(model, threads, milliseconds) {
  try {
    localStorage.setItem(`unseen-${model}`, JSON.stringify({ ...timesOf(model), [threads]: milliseconds }));
  } catch { /* private windows keep nothing */ }
}
