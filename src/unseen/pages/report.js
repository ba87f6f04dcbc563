
const report = read("data");
const pictures = read("pictures");
const drawings = read("drawings");
const several = report.candidates.length > 1;
const PAIRS = 15;
const LABELS = 20;

const shown = (value, percent, sign) => {
  if (value === null || value === undefined) return "–";
  const plus = sign && value > 0 ? "+" : "";
  return plus + (percent ? (100 * value).toFixed(1) : value.toFixed(3));
};

const interval = (figure, percent, sign) =>
  figure.low === null ? "" : `${shown(figure.low, percent, sign)} … ${shown(figure.high, percent, sign)}`;

const cell = (row, tag, text, className) => {
  const element = make(tag, className, text);
  row.append(element);
  return element;
};

const head = (table, names) => {
  const row = make("tr");
  for (const [text, className] of names) {
    const element = cell(row, "th", text, className);
    element.scope = "col";
  }
  const part = make("thead");
  part.append(row);
  table.append(part);
  return row;
};

const about = (one) => {
  const parts = [one.model];
  if (one.template) parts.push(one.template);
  if (one.labels_from) parts.push(lastPart(one.labels_from));
  if (one.seen_in_training) parts.push(`${counted(one.seen_in_training, "picture")} seen in training`);
  return parts.join(" · ");
};

// The figures

const figureCell = (row, figure, metric) => {
  const box = cell(row, "td");
  if (!figure) {
    box.textContent = "–";
    return box;
  }
  box.append(make("b", "", shown(figure.value, metric.percent) + (metric.percent ? " %" : "")), " ");
  box.append(make("span", "interval", interval(figure, metric.percent)));
  if (figure.best) box.className = "best";
  return box;
};

const showFigures = () => {
  const table = byId("figures");
  const row = head(table, [["", ""]]);
  for (const one of report.candidates) {
    const element = cell(row, "th");
    element.scope = "col";
    if (several) element.append(make("span", "letter", one.letter));
    element.append(about(one));
  }
  const body = make("tbody");
  for (const metric of report.metrics) {
    const line = make("tr");
    cell(line, "th", metric.title + (metric.higher ? "" : " ↓")).scope = "row";
    for (const one of report.candidates) {
      const box = figureCell(line, one.figures[metric.name], metric);
      const against = one.against_first && one.against_first[metric.name];
      if (against) {
        const text = `${shown(against.value, metric.percent, true)} (${interval(against, metric.percent, true)})`;
        box.append(make("span", "against", against.noise ? `${text}: may be noise` : text));
      }
    }
    body.append(line);
  }
  table.append(body);
  byId("legend").textContent =
    `Beside each figure its 95 % interval, from ${report.resamples.toLocaleString("en")} resamples of the pictures. ↓: less is better.` +
    (several ? " ★: best. Small: the difference to A." : "");
};

const showLeftOut = () => {
  const list = byId("left-out");
  const out = report.left_out;
  const say = (text) => list.append(make("li", "", text));
  for (const one of out.unreadable.slice(0, 10)) say(`Could not be read: ${one.path}: ${one.error}`);
  if (out.unreadable.length > 10) say(`… and ${counted(out.unreadable.length - 10, "other picture")}.`);
  if (out.unlabelled) say(`${counted(out.unlabelled, "picture")} without a label.`);
  if (out.seen_in_training) say(`${counted(out.seen_in_training, "picture")} that a candidate learnt from.`);
  for (const one of report.candidates) {
    const of = one.held_out;
    const who = several ? `${one.letter}: when` : "When";
    if (of) say(`${who} the adapter was made it was right on ${of.right} of ${of.pictures} pictures held out, zero-shot on ${of.zero_shot}.`);
  }
  for (const one of report.candidates) {
    const who = several ? `${one.letter}: ` : "";
    if (one.sets) {
      const own = one.sets.own_reach.length;
      const worst = one.worst_coverage;
      const least = worst
        ? ` Worst label: ${worst.label}, ${shown(worst.coverage.value, true)} % (${interval(worst.coverage, true)}) of ${worst.pictures}.`
        : "";
      say(`${who}${shown(one.sets.coverage, true)} % coverage is promised ${own ? `of each of ${counted(own, "label")}` : "on average"}.${least}`);
    }
    if (one.answers) {
      say(`${who}At most ${shown(one.answers.max_wrong, true)} % of the answers are wrong: so it is promised, with ${shown(one.answers.confidence, true)} % confidence.`);
    }
  }
  const unnamed = Object.entries(out.unnamed || {});
  if (unnamed.length) {
    say("Classes that no label stands for: " + unnamed.map(([name, many]) => `${name} (${many})`).join(", "));
  }
  const idle = new Set(report.candidates.map((one) => one.idle.join(", ")).filter(Boolean));
  for (const names of idle) say(`Labels without pictures: ${names}`);
  list.hidden = !list.children.length;
};

// Charts

const drawn = (parent, tag, attributes, className) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (className) element.setAttribute("class", className);
  parent.append(element);
  return element;
};

const chart = (box, width, height, title) => {
  box.replaceChildren();
  const svg = drawn(box, "svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, "chart");
  drawn(svg, "title", {}).textContent = title;
  return svg;
};

const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

const tips = (svg) => {
  const tip = byId("tip");
  svg.addEventListener("pointerover", (event) => {
    tip.hidden = !event.target.dataset.says;
    tip.textContent = event.target.dataset.says || "";
  });
  svg.addEventListener("pointermove", (event) => {
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  });
  svg.addEventListener("pointerleave", () => (tip.hidden = true));
};

const showHeat = (one) => {
  byId("heat-figure").hidden = !one.order;
  byId("confusion-part").querySelector(".pair").classList.toggle("alone", !one.order || one.order.length > 30);
  if (!one.order) return;
  const names = one.order;
  const side = names.length > 30 ? 11 : names.length > 15 ? 16 : 24;
  const letters = Math.max(...names.map((name) => Math.min(name.length, 18)));
  const margin = Math.round(letters * 6.2) + 10;
  const size = margin + names.length * side + 1;
  const svg = chart(byId("heat"), size, size, "Confusion: a row a true label, a column an answer");
  const place = new Map(names.map((name, i) => [name, i]));
  const rows = new Map(one.labels.map((label) => [label.label, label]));
  drawn(svg, "rect", { x: margin, y: margin, width: names.length * side, height: names.length * side }, "cell");
  const square = (true_, predicted, count, className) => {
    const of = rows.get(true_).pictures;
    const [x, y] = [margin + place.get(predicted) * side, margin + place.get(true_) * side];
    const rect = drawn(svg, "rect", { x, y, width: side - 1, height: side - 1 }, className);
    rect.style.opacity = 0.25 + (0.75 * count) / of;
    rect.dataset.says =
      true_ === predicted ? `${true_}: ${count} of ${of} right` : `${true_} taken for ${predicted}: ${count} of ${of}`;
  };
  for (const label of one.labels) if (label.right) square(label.label, label.label, label.right, "right");
  for (const pair of one.confused) square(pair.true, pair.said, pair.count, "wrong");
  names.forEach((name, i) => {
    const at = margin + (i + 0.5) * side + 4;
    drawn(svg, "text", { x: margin - 6, y: at, "text-anchor": "end" }).textContent = cut(name, 18);
    drawn(svg, "text", { transform: `translate(${at},${margin - 6}) rotate(-90)` }).textContent = cut(name, 18);
  });
  tips(svg);
  byId("heat-note").textContent =
    "A row a true label, a column the answer; the stronger the colour, the larger its part of the row. " +
    "Labels that are confused stand side by side.";
};

const showPairs = (one) => {
  const table = byId("pairs");
  table.replaceChildren();
  head(table, [["true", ""], ["answer", ""], ["pictures", "number"]]);
  const body = make("tbody");
  const rows = new Map(one.labels.map((label) => [label.label, label]));
  for (const pair of one.confused.slice(0, PAIRS)) {
    const line = make("tr");
    cell(line, "td", pair.true);
    cell(line, "td", pair.said);
    cell(line, "td", `${pair.count} of ${rows.get(pair.true).pictures}`, "number");
    body.append(line);
  }
  table.append(body);
  const more = one.confused.length - PAIRS;
  byId("pairs-note").textContent = more > 0 ? `… and ${counted(more, "other pair")}` : "";
};

const showReliability = (one) => {
  const [left, top, side, below] = [36, 8, 320, 56];
  const svg = chart(byId("reliability"), left + side + 16, top + side + below + 26, "Score against how often it was right");
  const most = Math.max(...one.reliability.map((bin) => bin.count));
  for (let tenth = 0; tenth <= 10; tenth += 2) {
    const y = top + side * (1 - tenth / 10);
    drawn(svg, "line", { x1: left, x2: left + side, y1: y, y2: y }, "line");
    drawn(svg, "text", { x: left - 6, y: y + 4, "text-anchor": "end" }).textContent = `${tenth * 10}`;
    const x = left + (side * tenth) / 10;
    drawn(svg, "text", { x, y: top + side + below + 20, "text-anchor": "middle" }).textContent = `${tenth * 10}`;
  }
  for (const bin of one.reliability) {
    const [x, width] = [left + side * bin.low + 1, side * (bin.high - bin.low) - 2];
    const says =
      `${counted(bin.count, report.kind === "multi" ? "answer" : "picture")}: ` +
      `said ${shown(bin.sure, true)} %, right ${shown(bin.right, true)} %`;
    const height = Math.max(side * bin.right, 1);
    const bar = drawn(svg, "rect", { x, width, y: top + side - height, height }, bin.count < 10 ? "right few" : "right");
    const tall = (below - 10) * (bin.count / most);
    const many = drawn(svg, "rect", { x, width, y: top + side + 6, height: Math.max(tall, 1) }, "many");
    bar.dataset.says = many.dataset.says = says;
  }
  drawn(svg, "line", { x1: left, y1: top + side, x2: left + side, y2: top }, "ideal");
  tips(svg);
};

// Pictures that went wrong

const says = (one) => {
  if (one.rank) return [`nearest: ${one.said}`, `own caption came ${one.rank}. · ${one.true.join(" / ")}`];
  const score = `${shown(one.score, true)} %`;
  if (one.missed !== undefined) {
    return [`${one.missed ? "not said" : "said"}: ${one.said}, ${score}`, `is: ${one.true.join(", ") || "none"}`];
  }
  return [`said: ${one.said}, ${score}`, `is: ${one.true[0]}, ${shown(one.score_of_true, true)} %`];
};

// What spoke for the wrong label: red, and for the right one: blue.
const whyOf = ({ why }, drawing) => {
  const part = make("details");
  part.append(make("summary", "", "Why?"));
  if (drawing) {
    const image = make("img");
    image.src = drawing;
    image.alt = why.alt;
    part.append(image);
  }
  for (const line of [why.sentence, ...(why.notes ?? [])]) part.append(make("p", "muted small", line));
  return part;
};

const showMistakes = (one) => {
  byId("mistakes-part").hidden = !one.mistakes.length;
  byId("mistakes-note").textContent =
    report.kind === "retrieval"
      ? "Pictures before whose own captions most others came."
      : "Wrong answers, the surest first.";
  byId("mistakes").replaceChildren(
    ...one.mistakes.map((mistake) => {
      const tile = make("li", "tile");
      const [href, thumbnail] = pictures[mistake.path] || [null, null];
      const link = make("a");
      setLink(link, href);
      link.hidden = false;
      const frame = make("span", "frame");
      if (thumbnail === null) frame.append(make("span", "muted", "No thumbnail"));
      else {
        const image = make("img");
        image.src = thumbnail;
        image.alt = mistake.path;
        frame.append(image);
      }
      link.append(frame);
      const [answer, is] = says(mistake);
      const name = make("p", "name", lastPart(mistake.path));
      name.title = mistake.path;
      tile.append(link, make("p", "said", answer), make("p", "", is), name);
      if (mistake.why) tile.append(whyOf(mistake, drawings[one.letter]?.[mistake.path]));
      return tile;
    }),
  );
};

// Groups and labels

const showGroups = (one) => {
  byId("groups-part").hidden = !report.group;
  if (!report.group) return;
  const { column, least } = report.group;
  byId("groups-title").textContent = `By ${column}`;
  const metrics = report.metrics.filter((metric) => metric.name in one.figures);
  const table = byId("groups");
  table.replaceChildren();
  head(table, [[column, ""], ["pictures", "number"], ...metrics.map((m) => [m.title + (m.higher ? "" : " ↓"), ""])]);
  const body = make("tbody");
  let flags = 0;
  for (const group of one.groups) {
    const line = make("tr");
    cell(line, "th", group.name).scope = "row";
    cell(line, "td", group.pictures.toLocaleString("en"), "number");
    if (!Object.keys(group.figures).length) {
      cell(line, "td", `fewer than ${least} pictures: nothing is claimed`, "muted").colSpan = metrics.length;
    } else {
      for (const metric of metrics) {
        const box = figureCell(line, group.figures[metric.name], metric);
        const gap = group.gaps[metric.name];
        if (!gap) continue;
        const text = `${shown(gap.value, metric.percent, true)} (${interval(gap, metric.percent, true)})`;
        const mark = gap.flagged ? `${text}, p = ${gap.p.toFixed(3)}` : text;
        const worse = gap.value < 0 === metric.higher ? " worse" : "";
        box.append(make("span", gap.flagged ? `against flagged${worse}` : "against", mark));
        flags += gap.flagged;
      }
    }
    body.append(line);
  }
  table.append(body);
  byId("groups-note").textContent =
    (flags ? `${counted(flags, "gap")} to the rest, in colour, ${flags === 1 ? "is" : "are"} more than noise` : "No gap to the rest is more than noise") +
    " (permutation test, corrected for all groups and figures by Holm's method). Small: the difference to all other pictures.";
};

let allLabels = false;

const showLabels = (one) => {
  const table = byId("labels");
  table.replaceChildren();
  const average = report.kind === "multi";
  const columns = [["label", ""], ["pictures", "number"], ["recall", "number"], ["precision", "number"], ["F1", "number"]];
  if (average) columns.push(["average precision", "number"]);
  if (one.sets) columns.push(["coverage", "number"], ["set size", "number"]);
  head(table, columns);
  const body = make("tbody");
  const part = (value) => (value === null ? "–" : `${shown(value, true)} %`);
  for (const label of allLabels ? one.labels : one.labels.slice(0, LABELS)) {
    const line = make("tr");
    cell(line, "th", label.label).scope = "row";
    cell(line, "td", label.pictures.toLocaleString("en"), "number");
    for (const value of [label.recall, label.precision, label.f1]) cell(line, "td", part(value), "number");
    if (average) cell(line, "td", part(label.average_precision), "number");
    if (one.sets) {
      cell(line, "td", part(label.coverage.value), "number");
      cell(line, "td", label.set_size === null ? "–" : label.set_size.toFixed(1), "number");
    }
    body.append(line);
  }
  table.append(body);
  const button = byId("more");
  button.hidden = allLabels || one.labels.length <= LABELS;
  button.textContent = `All ${one.labels.length} labels`;
  button.onclick = () => {
    allLabels = true;
    showLabels(one);
  };
};

const show = (one) => {
  const made = report.kind !== "retrieval";
  for (const button of byId("choose").children) {
    button.setAttribute("aria-pressed", String(button.dataset.letter === one.letter));
  }
  showMistakes(one);
  byId("confusion-part").hidden = !(one.confused && one.confused.length);
  byId("reliability-part").hidden = !made;
  byId("labels-part").hidden = !made;
  if (one.confused && one.confused.length) {
    showHeat(one);
    showPairs(one);
  }
  if (made) {
    showReliability(one);
    showLabels(one);
  }
  showGroups(one);
};

byId("title").textContent = report.title;
byId("note").textContent = [counted(report.pictures, "picture"), report.note].filter(Boolean).join(", ");
showFigures();
showLeftOut();
if (several) {
  byId("choose").hidden = false;
  for (const one of report.candidates) {
    const button = make("button", "action", `${one.letter} · ${about(one)}`);
    button.type = "button";
    button.dataset.letter = one.letter;
    button.addEventListener("click", () => show(one));
    byId("choose").append(button);
  }
}
show(report.candidates[0]);
