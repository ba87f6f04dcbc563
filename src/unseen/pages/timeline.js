const page = read("data");
const SVG = byId("drawing").namespaceURI;
const TICKS = 5;

const two = (number) => String(number).padStart(2, "0");

const clock = (seconds) => {
  const whole = Math.floor(seconds);
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
};

const drawn = (name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

// A lane: the score as an area, and a bar at the bottom for each event.
const laneOf = (video, lane) => {
  const box = make("div", "lane");
  const picture = drawn("svg", { viewBox: `0 0 ${video.seconds || 1} 1`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (lane.scores.length) {
    const points = [];
    lane.scores.forEach((score, i) => {
      const until = i + 1 < video.times.length ? video.times[i + 1] : video.seconds;
      points.push(`${video.times[i]},${1 - score}`, `${until},${1 - score}`);
    });
    const last = video.seconds;
    picture.append(drawn("path", { d: `M${video.times[0]},1 L${points.join(" L")} L${last},1 Z` }));
  }
  for (const [start, end] of lane.events) {
    picture.append(drawn("rect", { x: start, y: 0.82, width: Math.max(end - start, video.seconds / 1000), height: 0.18 }));
  }
  box.append(picture, make("div", "cursor"));
  return box;
};

const playerOf = (video) => {
  if (video.href && video.moves) {
    const player = make("video");
    player.controls = true;
    player.preload = "metadata";
    player.src = video.href;
    return player;
  }
  if (!video.strip.length) return null;
  const image = make("img");
  image.alt = "";
  return image;
};

const show = (number) => {
  const video = read(`video-${number}`);
  const section = make("section");
  section.append(make("h2", "", lastPart(video.name)));
  const facts = [video.label, clock(video.seconds), video.note].filter(Boolean).join(" · ");
  section.append(make("p", "muted", facts));

  const player = playerOf(video);
  const stage = make("div", "stage");
  if (player) stage.append(player);
  const list = make("ul", "events");
  stage.append(list);
  const tracks = make("div", "tracks");
  section.append(stage, tracks);
  byId("videos").append(section);

  const items = [];
  const goTo = (time) => {
    if (player && player.tagName === "VIDEO") player.currentTime = time;
    mark(time);
  };
  const mark = (time) => {
    const part = video.seconds ? Math.min(1, time / video.seconds) : 0;
    for (const cursor of tracks.querySelectorAll(".cursor")) cursor.style.left = `${100 * part}%`;
    for (const [item, start, end] of items) item.className = time >= start && time < end ? "now" : "";
    if (player && player.tagName === "IMG") {
      const before = video.strip.filter(([at]) => at <= time + 0.001);
      player.src = (before.length ? before[before.length - 1] : video.strip[0])[1];
    }
    section.dataset.time = time;
  };
  const follow = (box) =>
    box.addEventListener("click", (click) => {
      const edges = box.getBoundingClientRect();
      goTo(((click.clientX - edges.left) / edges.width) * video.seconds);
    });

  if (video.strip.length) {
    const strip = make("div", "strip");
    for (const [, uri] of video.strip) {
      const image = make("img");
      image.src = uri;
      image.alt = "";
      strip.append(image);
    }
    tracks.append(make("span", "name"), strip);
    follow(strip);
  }
  const events = [];
  for (const lane of video.lanes) {
    const name = make("span", "name", lane.label);
    name.title = lane.label;
    const box = laneOf(video, lane);
    tracks.append(name, box);
    follow(box);
    for (const [start, end, score] of lane.events) events.push([start, end, lane.label, score]);
  }
  const ruler = make("div", "ruler");
  for (let i = 0; i < TICKS; i += 1) ruler.append(make("span", "", clock((video.seconds * i) / (TICKS - 1))));
  tracks.append(make("span", "name"), ruler);

  events.sort((a, b) => a[0] - b[0]);
  for (const [start, end, label, score] of events) {
    const item = make("li");
    const button = make("button");
    button.type = "button";
    button.append(make("span", "when", `${clock(start)} – ${clock(end)}`));
    button.append(make("span", "what", label), make("span", "muted", `${Math.round(100 * score)} %`));
    button.addEventListener("click", () => goTo(start));
    item.append(button);
    list.append(item);
    items.push([item, start, end]);
  }
  if (!events.length) list.append(make("li", "muted", "No events"));
  if (player && player.tagName === "VIDEO") player.addEventListener("timeupdate", () => mark(player.currentTime));
  mark(0);
};

byId("title").textContent = page.title;
byId("note").textContent = page.note;
for (let number = 0; number < page.videos; number += 1) show(number);
