// A video: this browser plays it, and sends a frame when the one before has its answer. The bars move
// with it, and what happens, and when, stands below.

import { ask, calm, note, Problem } from "./ask.js";
import { make, ui } from "./elements.js";
import { labelOf, NONE, percent } from "./list.js";
import { question, settings } from "./words.js";

const SIDE = 640; // pixels of the shorter side of what is sent
const STEP = 0.5; // seconds of the video from one frame to the next, at least
const MOST = 3600; // frames of a video
const narrow = matchMedia("(max-width: 860px)");
const GAP = 5; // steps without a frame: what lies between is not known
const TYPING = 300; // ms until changed labels are asked for

// As unseen/video/paths.py has them: an event is a run of the path that costs least, where each change
// has its price, and no frame can pay it alone.
const SHORTEST = 2; // seconds
const FLOOR = 0.02;
const MOST_SAID = -Math.log(FLOOR);
const MARGIN = 2.6;
const SURE_PART = 0.9;
const UNKNOWN_SURE = 0.9;

let picture = null; // whose `samples` are {time, result}, by time
let page = null;
let asking = null;
let timer;

const video = make("video");
Object.assign(video, { id: "film", controls: true, muted: true, playsInline: true, hidden: true });
const canvas = make("canvas");
const panel = make("div");
panel.id = "filmPart";
panel.hidden = true;
const lane = make("div");
lane.id = "lane";
lane.setAttribute("aria-hidden", true);
const says = make("p", "muted small");
const list = make("ol");
list.id = "events";
list.setAttribute("aria-label", "What happens, and when");
panel.append(lane, says, list);

// The path

const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

// How much the best of some logarithms is above the second.
const margin = (row) => {
  const [first, second = first] = [...row].sort((a, b) => b - a);
  return first - second;
};

// Probabilities of labels that compete → evidence, whose floor is what makes the path robust.
const competing = (rows) => {
  const logs = rows.map((row) => row.map((p) => Math.log(Math.max(p, 1e-37))));
  const heat = Math.max(1, quantile(logs.map(margin), SURE_PART) / MOST_SAID);
  return logs.map((row) => {
    const scaled = row.map((x) => x / heat);
    const top = Math.max(...scaled);
    const total = top + Math.log(scaled.reduce((sum, x) => sum + Math.exp(x - top), 0));
    return scaled.map((x) => Math.max(x - total, -MOST_SAID));
  });
};

const yesOrNo = (p) => [1 - p, p].map((x) => Math.log(Math.max(x, FLOOR)));

const path = (evidence, price) => {
  let score = [...evidence[0]];
  const pointers = evidence.slice(1).map((row) => {
    const best = score.indexOf(Math.max(...score));
    const pointer = score.map((x, k) => (x >= score[best] - price ? k : best));
    score = score.map((x, k) => Math.max(x, score[best] - price) + row[k]);
    return pointer;
  });
  const states = [score.indexOf(Math.max(...score))];
  for (const pointer of pointers.reverse()) states.unshift(pointer[states[0]]);
  return states;
};

// The probability of each state of a frame; null is "none of these".
const scores = ({ unknown, ranking }) => {
  const all = new Map(ranking.map((one) => [labelOf(one), one.score]));
  if (!settings.unknown || settings.multi || all.has(null)) return all;
  const none = unknown ? UNKNOWN_SURE : 1 - UNKNOWN_SURE;
  return new Map([...all].map(([label, p]) => [label, p * (1 - none)])).set(null, none);
};

// [label, first, last] of the frames from `from` to `to` that show one label.
const runs = (states, names, from) => {
  const found = [];
  states.forEach((state, i) => {
    const last = found.at(-1);
    if (last?.state === state) last.last = from + i;
    else found.push({ state, first: from + i, last: from + i });
  });
  return found.map((one) => ({ ...one, label: names[one.state] }));
};

const eventsOf = (samples, step) => {
  const all = [];
  let from = 0;
  samples.forEach(({ time }, i) => {
    const next = samples[i + 1]?.time ?? Infinity;
    if (next - time <= GAP * step) return;
    all.push(...eventsBetween(samples.slice(from, i + 1), from, step));
    from = i + 1;
  });
  return all.map(({ label, first, last }) => {
    const end = samples[last + 1]?.time ?? Infinity;
    const seen = samples.slice(first, last + 1).map(({ result }) => scores(result).get(label) ?? 0);
    return {
      label,
      start: samples[first].time,
      end: Math.min(end, samples[last].time + 2 * step, video.duration || Infinity),
      score: seen.reduce((sum, p) => sum + p, 0) / seen.length,
    };
  });
};

const eventsBetween = (samples, from, step) => {
  const rows = samples.map(({ result }) => scores(result));
  const names = [...rows[0].keys()];
  const table = rows.map((row) => names.map((name) => row.get(name) ?? 0));
  const shortest = Math.max(1, SHORTEST / step);
  const price = (evidence) => {
    const usual = Math.min(MARGIN, quantile(evidence.map(margin), 0.5));
    return Math.min(12, Math.max(2, 0.5 * (shortest - 0.5) * usual));
  };
  if (!settings.multi) {
    const evidence = competing(table);
    const found = runs(path(evidence, price(evidence)), names, from);
    return found.filter(({ label }) => label !== null);
  }
  const chains = names.map((name, k) => {
    const evidence = table.map((row) => yesOrNo(row[k]));
    return runs(path(evidence, price(evidence)), [null, name], from);
  });
  const found = chains.flat().filter(({ label }) => label !== null);
  return found.sort((a, b) => a.first - b.first || a.last - b.last);
};

// Showing

const clock = (seconds) => {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  const tail = `${two(whole % 60)}.${Math.floor(10 * (seconds - whole))}`;
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${tail}`;
};

const step = () => Math.max(STEP, (video.duration || 0) / MOST);

const eventsOfSet = (samples, set) => {
  const own = samples.map(({ time, result }) => ({ time, result: result.facets[set] }));
  return eventsOf(own, step()).map((one) => ({ ...one, label: `${set}: ${one.label}` }));
};

const draw = () => {
  const { samples } = picture;
  const facets = Object.keys(samples[0]?.result.facets ?? {});
  const events = facets.length
    ? facets.flatMap((set) => eventsOfSet(samples, set)).sort((a, b) => a.start - b.start)
    : eventsOf(samples, step());
  const sent = samples.length === 1 ? "1 frame was" : `${samples.length} frames were`;
  says.textContent = samples.length
    ? `${sent} sent; the server had no more of the video.`
    : "Play it, and what happens stands here. Single frames go to the server, and nothing else.";
  const all = video.duration || 1;
  const names = [...new Set(events.map(({ label }) => label))];
  lane.replaceChildren(...events.map(({ label, start, end }) => {
    const part = make("i");
    part.style.insetInlineStart = `${(100 * start) / all}%`;
    part.style.width = `${(100 * (end - start)) / all}%`;
    part.style.opacity = 1 - (0.6 * names.indexOf(label)) / names.length;
    return part;
  }));
  events.forEach((event, i) => {
    const button = list.children[i]?.firstChild ?? row();
    button.event = event;
    button.children[0].textContent = `${clock(event.start)} – ${clock(event.end)}`;
    button.children[1].textContent = event.label ?? NONE;
    button.children[2].textContent = percent(event.score);
  });
  while (list.children.length > events.length) list.lastChild.remove();
  mark();
};

const row = () => {
  const item = make("li");
  const button = make("button", "event");
  button.append(make("span", "muted"), make("span", "word"), make("span", "number"));
  button.children[1].dir = "auto";
  button.onclick = () => (video.currentTime = button.event.start);
  item.append(button);
  list.append(item);
  return button;
};

// Which events are now.
const mark = () => {
  for (const { firstChild: button } of list.children) {
    const { start, end } = button.event;
    const now = start <= video.currentTime && video.currentTime < end;
    button.setAttribute("aria-current", now);
  }
};

const nearest = () => {
  const far = ({ time }) => Math.abs(time - video.currentTime);
  const by = (best, one) => (best && far(best) <= far(one) ? best : one);
  const one = picture.samples.reduce(by, null);
  return one && far(one) < step() ? one : null;
};

const show = (result) => {
  if (picture.result === result) return;
  picture.result = result;
  page.show(picture);
};

// A frame that is there already is shown; else it is sent, unless one is on its way.
const look = () => {
  if (!picture || picture.state === "failed") return;
  mark();
  const one = nearest();
  if (one) show(one.result);
  const near = one && Math.abs(one.time - video.currentTime) < step() - 0.01;
  const ready = video.readyState >= 2 && page.info() && settings.labels.length;
  if (!near && !asking && ready && picture.samples.length < MOST) send();
};

const frame = () => {
  const scale = Math.min(1, SIDE / Math.min(video.videoWidth, video.videoHeight));
  canvas.width = Math.max(1, Math.round(scale * video.videoWidth));
  canvas.height = Math.max(1, Math.round(scale * video.videoHeight));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
};

const send = async () => {
  const mine = picture;
  const control = (asking = new AbortController());
  const time = video.currentTime;
  const form = new FormData();
  const fields = { ...question(page.info().evidence), ...(settings.multi && { min_score: 0 }) };
  for (const [name, value] of Object.entries(fields)) {
    form.append(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  try {
    form.append("image", await frame(), "frame.jpg");
    const { predictions } = await ask("/v1/classify", { body: form, signal: control.signal });
    if (control.signal.aborted) return;
    const [result] = predictions;
    if (result.error) return note(result.error);
    result.source = mine.name;
    mine.samples.push({ time, result });
    mine.samples.sort((a, b) => a.time - b.time);
    show(result);
    draw();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    video.pause();
    note(error.message);
  } finally {
    if (asking === control) {
      asking = null;
      if (!video.paused) look();
    }
  }
};

const stop = () => {
  asking?.abort();
  asking = null;
  clearTimeout(timer);
};

// Other labels: what was seen is seen anew.
export const changed = () => {
  if (!picture) return;
  stop();
  picture.samples = [];
  picture.result = null;
  page.show(picture);
  draw();
  timer = setTimeout(look, TYPING);
};

// The page shows this video now, or none. `facts`: info() and show(picture) of the page.
export const open = (selected, facts) => {
  page = facts;
  if (selected === picture) return;
  stop();
  video.pause();
  picture = selected;
  const failed = picture?.state === "failed";
  video.hidden = !picture || failed;
  panel.hidden = !picture || failed;
  ui.stage.classList.toggle("moving", Boolean(picture));
  if (!picture) return video.removeAttribute("src");
  picture.samples ||= [];
  if (narrow.matches) ui.words.after(panel); // the bars stay beside the video
  else ui.files.before(panel);
  video.src = picture.url;
  video.setAttribute("aria-label", picture.name);
  draw();
  if (!calm.matches) video.play().catch(() => {});
};

video.ontimeupdate = video.onseeked = video.onloadeddata = video.onplay = look;
video.ondurationchange = () => picture && draw();
video.onerror = () => {
  if (!picture || !video.hasAttribute("src")) return;
  picture.state = "failed";
  picture.error = "This browser cannot play this video; `unseen video` can read more kinds.";
  video.hidden = panel.hidden = true;
  page.show(picture);
};

const style = make("link");
style.rel = "stylesheet";
style.href = "/page/film.css";
document.head.append(style);
ui.shown.after(video);
