(() => {
  const data = read("data");
  const many = data.x.length;
  const canvas = byId("map");
  const context = canvas.getContext("2d");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // colours

  const COLOURS = [
    "#3f76b5", "#e07b1f", "#3f9a52", "#d1495b", "#8a63b8", "#1f9e9e",
    "#b8860b", "#d65fa0", "#6d8f1f", "#8c6a52", "#4b6edb", "#c0562f",
  ];
  const colours = data.groups.map((name, i) => {
    if (name === "" && data.groups.length > 1) return "#8d887f";
    if (i < COLOURS.length) return COLOURS[i];
    return `hsl(${(i * 137.508) % 360} 50% ${[42, 54, 62][i % 3]}%)`;
  });
  let ground;
  let ink;

  const readTheme = () => {
    const style = getComputedStyle(document.documentElement);
    ground = style.getPropertyValue("--ground").trim();
    ink = style.getPropertyValue("--text").trim();
    inked = 0;
  };

  // Each colour's dot, side by side, in the size that is needed: copied without scaling it is quick.
  const dots = make("canvas");
  let inked = 0; // the radius that they have, in pixels of the screen
  let cell = 0;
  const drawDots = (radius) => {
    if (radius === inked) return;
    inked = radius;
    cell = 2 * Math.ceil(radius + 2);
    dots.width = cell * Math.max(1, colours.length);
    dots.height = cell;
    const brush = dots.getContext("2d");
    colours.forEach((colour, i) => {
      brush.beginPath();
      brush.arc((i + 0.5) * cell, cell / 2, radius, 0, 2 * Math.PI);
      brush.fillStyle = colour;
      brush.fill();
      brush.lineWidth = Math.min(2, 0.18 * radius);
      brush.strokeStyle = ground;
      brush.stroke();
    });
  };

  // thumbnails, in sheets that are decoded when they are first looked at, one after another

  const sheets = new Map();
  let decoding = Promise.resolve();

  const decode = async (key) => {
    const element = byId(`sheet-${key}`);
    const text = atob(JSON.parse(element.textContent).split(",")[1]);
    element.remove();
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    sheets.set(key, await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })));
    again();
    if (hovered >= 0) drawCell(byId("hover-picture"), hovered);
    if (chosen >= 0 && byId("chosen-picture").hidden) drawCell(byId("chosen-cell"), chosen);
  };

  const sheetOf = (point) => {
    const key = Math.floor(data.cell[point] / data.perSheet);
    if (!sheets.has(key)) {
      sheets.set(key, null);
      decoding = decoding.then(() => decode(key)).catch(console.error);
    }
    return sheets.get(key);
  };

  const drawFrom = (brush, point, x, y, side) => {
    const sheet = sheetOf(point);
    if (sheet === null) return;
    const at = data.cell[point] % data.perSheet;
    const left = (at % data.across) * data.side;
    const top = Math.floor(at / data.across) * data.side;
    brush.drawImage(sheet, left, top, data.side, data.side, x, y, side, side);
  };

  const drawCell = (target, point) => {
    target.hidden = data.cell[point] < 0;
    target.width = target.height = data.side;
    if (!target.hidden) drawFrom(target.getContext("2d"), point, 0, 0, data.side);
  };

  // what is seen: x on the screen = x of the map × scale + left

  let width = 0;
  let height = 0;
  let ratio = 1;
  let view = null;
  let goal = null;
  let fitting = 1; // the scale that shows all
  let drawPending = false;
  let moving = 0; // the time of the last step of a movement
  const hidden = data.groups.map(() => false);
  let lit = -1; // the group under the pointer in the legend
  let matches = null; // the points that the filter lets through
  let hovered = -1;
  let chosen = -1;

  const spanX = data.x.reduce((a, b) => Math.max(a, b), 0);
  const spanY = data.y.reduce((a, b) => Math.max(a, b), 0);

  const again = () => {
    if (drawPending) return;
    drawPending = true;
    requestAnimationFrame(frame);
  };

  // Where nothing lies over the map.
  const free = () => {
    const wide = width > 640;
    const margin = wide ? 40 : 28;
    const right = !wide ? margin : byId("legend").hidden ? 80 : byId("legend").offsetWidth + 40;
    const top = wide || byId("legend").hidden ? margin : 64;
    return { left: margin, top, w: Math.max(40, width - margin - right), h: Math.max(40, height - top - margin) };
  };

  const whole = () => {
    const { left, top, w, h } = free();
    const scale = Math.min(w / (spanX || 1e-9), h / (spanY || 1e-9), Math.max(w, h));
    return { scale, left: left + (w - spanX * scale) / 2, top: top + (h - spanY * scale) / 2 };
  };

  // What keys and buttons zoom into: what is chosen, or the middle.
  const middle = () => {
    if (chosen >= 0) {
      const x = data.x[chosen] * goal.scale + goal.left;
      const y = data.y[chosen] * goal.scale + goal.top;
      if (x > 0 && y > 0 && x < width && y < height) return [x, y];
    }
    const { left, top, w, h } = free();
    return [left + w / 2, top + h / 2];
  };

  const measure = () => {
    const box = canvas.getBoundingClientRect();
    if (box.width === width && box.height === height && ratio === devicePixelRatio) return;
    const before = view && { ...view };
    const [oldWidth, oldHeight, oldFit] = [width, height, fitting];
    width = box.width;
    height = box.height;
    ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const all = whole();
    fitting = all.scale;
    if (before === null || Math.abs(before.scale / oldFit - 1) < 1e-3) {
      view = all;
    } else {
      view = { ...before, left: before.left + (width - oldWidth) / 2, top: before.top + (height - oldHeight) / 2 };
    }
    goal = { ...view };
    forget();
    again();
  };

  const go = (to, atOnce) => {
    goal = to;
    if (atOnce || still.matches) view = { ...goal };
    else if (!moving) moving = performance.now();
    setHovered(-1);
    again();
  };

  const zoomed = (from, factor, x, y) => {
    const scale = Math.min(fitting * 1024, Math.max(fitting / 4, from.scale * factor));
    const by = scale / from.scale;
    return { scale, left: x - (x - from.left) * by, top: y - (y - from.top) * by };
  };

  const panned = (from, x, y) => {
    // Some of the map stays in sight.
    const keep = (start, span, room) => Math.min(room - 40, Math.max(40 - span, start));
    return {
      scale: from.scale,
      left: keep(from.left + x, spanX * from.scale, width),
      top: keep(from.top + y, spanY * from.scale, height),
    };
  };

  const screenX = (i) => data.x[i] * view.scale + view.left;
  const screenY = (i) => data.y[i] * view.scale + view.top;
  const isShown = (i) => !hidden[data.group[i]];

  // Which pictures are drawn in place of their dots. A level is half a doubling of the scale. A point
  // gets its picture at the first level where that touches no other and hides few dots, and keeps it
  // from there on: nothing flickers while one zooms.

  const LEVELS = 2;
  const ENOUGH = 0.04; // of the pictures must have room, or there are only dots
  const HIDES = 6; // dots at most
  const order = Uint32Array.from({ length: many }, (_, i) => i).filter((i) => data.cell[i] >= 0);
  let seed = 7;
  for (let i = order.length - 1; i > 0; i--) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    const j = seed % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const since = new Float32Array(many); // the level of each point, Infinity when it has none yet
  let levelsDone;
  let firstLevel; // the first where enough pictures have room
  let waiting;
  let drawn;
  const smallest = () => Math.min(width < 640 ? 44 : 56, data.side);

  const forget = () => {
    since.fill(Infinity);
    levelsDone = -2 * LEVELS - 1;
    firstLevel = Infinity;
    waiting = Array.from(order).filter(isShown);
    drawn = [];
  };

  const levelOf = (scale) => LEVELS * Math.log2(scale / fitting);

  const settle = (upTo) => {
    while (levelsDone < upTo) {
      levelsDone += 1;
      if (waiting.length === 0) continue;
      const scale = fitting * 2 ** (levelsDone / LEVELS);
      const side = sideAt(levelsDone) + 4;
      const cells = new Map(); // of the side of a picture → [points, points with their picture]
      const key = (column, row) => column * 2097152 + row;
      const cellAt = (i) => key(Math.floor((data.x[i] * scale) / side), Math.floor((data.y[i] * scale) / side));
      for (let i = 0; i < many; i++) {
        if (!isShown(i)) continue;
        const there = cells.get(cellAt(i));
        if (there) there[0].push(i);
        else cells.set(cellAt(i), [[i], []]);
      }
      const put = (i) => cells.get(cellAt(i))[1].push(i);
      const fits = (i) => {
        const x = data.x[i] * scale;
        const y = data.y[i] * scale;
        const column = Math.floor(x / side);
        const row = Math.floor(y / side);
        const near = (j, distance) => Math.abs(data.x[j] * scale - x) < distance && Math.abs(data.y[j] * scale - y) < distance;
        let hides = -1; // itself is none
        for (let c = column - 1; c <= column + 1; c++) {
          for (let r = row - 1; r <= row + 1; r++) {
            const there = cells.get(key(c, r));
            if (!there) continue;
            for (const j of there[1]) if (near(j, side)) return false;
            for (const j of there[0]) if (near(j, side / 2) && ++hides > HIDES) return false;
          }
        }
        return true;
      };
      drawn.forEach(put);
      waiting = waiting.filter((i) => {
        if (!fits(i)) return true;
        put(i);
        drawn.push(i);
        since[i] = levelsDone;
        return false;
      });
      if (firstLevel === Infinity && drawn.length >= ENOUGH * (drawn.length + waiting.length)) firstLevel = levelsDone;
    }
  };

  // Pictures grow half as fast as the map, once there is room.
  const sideAt = (level) => {
    const least = smallest();
    const from = Math.max(0, firstLevel) + LEVELS;
    if (!(level > from)) return least;
    return Math.min(data.side, 1.75 * least, least * 2 ** ((level - from) / LEVELS / 2));
  };

  const dotRadius = () => {
    const least = many > 4000 ? 2.5 : many > 800 ? 3.5 : 4.5;
    return Math.round(4 * Math.min(8, least * (view.scale / fitting) ** 0.3)) / 4;
  };

  const isPicture = (i, level) => level >= firstLevel && level >= since[i];

  const stands = (i) => (lit < 0 || data.group[i] === lit) && (matches === null || matches.has(i));

  const frame = (now) => {
    drawPending = false;
    if (moving) {
      const share = 1 - Math.exp(-(Math.min(64, now - moving) + 1) / 45);
      moving = now;
      for (const part of ["scale", "left", "top"]) view[part] += (goal[part] - view[part]) * share;
      const far = Math.abs(goal.scale / view.scale - 1) * Math.max(width, height) + Math.abs(goal.left - view.left) + Math.abs(goal.top - view.top);
      if (far < 0.5) {
        view = { ...goal };
        moving = 0;
      } else {
        again();
      }
    }
    draw();
  };

  const draw = () => {
    const level = levelOf(view.scale);
    settle(Math.floor(level));
    const side = sideAt(level);
    const radius = dotRadius();
    drawDots(radius * ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = ground;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingQuality = "high";
    const pictures = [];
    const front = [];
    for (let i = 0; i < many; i++) {
      if (hidden[data.group[i]]) continue;
      const x = screenX(i);
      const y = screenY(i);
      if (x < -side || y < -side || x > width + side || y > height + side) continue;
      if (isPicture(i, level) && sheetOf(i)) {
        pictures.push(i);
        continue;
      }
      if (!stands(i)) dot(i, x, y, radius, 0.12);
      else if (lit >= 0 || matches !== null) front.push(i);
      else dot(i, x, y, radius, 0.9);
    }
    for (const i of front) dot(i, screenX(i), screenY(i), radius * 1.25, 1);
    for (const i of pictures) tile(i, screenX(i), screenY(i), side, stands(i) ? 1 : 0.15);
    context.globalAlpha = 1;
    for (const i of [chosen, hovered]) if (i >= 0 && isShown(i)) ring(i, level, side, radius);
  };

  const dot = (i, x, y, radius, strength) => {
    context.globalAlpha = strength;
    const half = ((cell / 2) * radius) / inked;
    context.drawImage(dots, data.group[i] * cell, 0, cell, cell, x - half, y - half, 2 * half, 2 * half);
  };

  const tile = (i, x, y, side, strength) => {
    context.globalAlpha = strength;
    context.save();
    context.beginPath();
    context.roundRect(x - side / 2, y - side / 2, side, side, 5);
    context.clip();
    drawFrom(context, i, x - side / 2, y - side / 2, side);
    context.restore();
    context.lineWidth = 2;
    context.strokeStyle = colours[data.group[i]];
    context.beginPath();
    context.roundRect(x - side / 2, y - side / 2, side, side, 5);
    context.stroke();
  };

  const ring = (i, level, side, radius) => {
    const x = screenX(i);
    const y = screenY(i);
    context.lineWidth = 2.5;
    context.strokeStyle = ink;
    context.beginPath();
    if (isPicture(i, level)) {
      tile(i, x, y, side, 1);
      context.globalAlpha = 1;
      context.strokeStyle = ink;
      context.lineWidth = 2.5;
      context.beginPath();
      context.roundRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4, 7);
    } else {
      dot(i, x, y, radius * 1.4, 1);
      context.globalAlpha = 1;
      context.arc(x, y, radius * 1.4 + 3, 0, 2 * Math.PI);
    }
    context.stroke();
  };

  // pointing

  const pointAt = (x, y, slack) => {
    const level = levelOf(view.scale);
    const half = sideAt(level) / 2;
    const reach = dotRadius() + slack;
    let best = -1;
    let nearest = Infinity;
    for (let i = 0; i < many; i++) {
      if (!isShown(i)) continue;
      const dx = Math.abs(screenX(i) - x);
      const dy = Math.abs(screenY(i) - y);
      const large = isPicture(i, level);
      if (large ? dx > half || dy > half : dx * dx + dy * dy > reach * reach) continue;
      // Pictures lie on the dots, so they come first.
      const distance = dx * dx + dy * dy + (large ? 0 : 1e6);
      if (distance < nearest) [nearest, best] = [distance, i];
    }
    return best;
  };

  const groupName = (i) => data.groups[data.group[i]] || (data.groups.length > 1 ? "no group" : "");

  const setHovered = (i) => {
    if (i === hovered) return;
    hovered = i;
    canvas.classList.toggle("over", i >= 0);
    const card = byId("hover");
    card.hidden = i < 0 || i === chosen;
    if (i >= 0) {
      byId("hover-name").textContent = data.names[i];
      byId("hover-group").textContent = groupName(i);
      drawCell(byId("hover-picture"), i);
      const [w, h] = [card.offsetWidth, card.offsetHeight];
      const x = screenX(i);
      const y = screenY(i);
      const level = levelOf(view.scale);
      const away = 20 + (isPicture(i, level) ? sideAt(level) / 2 : 0);
      const left = x + away + w < width - 8 ? x + away : x - away - w;
      card.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, Math.min(height - h - 8, y - h / 2))}px)`;
    }
    again();
  };

  const choose = (i) => {
    chosen = i;
    setHovered(-1);
    byId("chosen").hidden = i < 0;
    if (i >= 0) {
      byId("chosen-name").textContent = data.names[i];
      byId("chosen-group").textContent = groupName(i);
      drawCell(byId("chosen-cell"), i);
      byId("chosen-picture").alt = data.names[i];
      setLink(byId("open"), data.hrefs[i]);
    }
    byId("chosen").querySelector(".picture").hidden = i < 0 || (data.cell[i] < 0 && localFile(data.hrefs[i]) === null);
    showPicture(byId("chosen-picture"), null, i < 0 ? null : data.hrefs[i]);
    again();
  };
  byId("chosen-picture").addEventListener("arrived", () => (byId("chosen-cell").hidden = true));

  const pointers = new Map();
  let travelled = 0;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 0) travelled = 0;
    pointers.set(event.pointerId, place(event));
    moving = 0;
    goal = { ...view };
  });

  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!pointers.has(event.pointerId)) {
      if (event.pointerType !== "touch") setHovered(pointAt(x, y, 4));
      return;
    }
    const before = [...pointers.values()];
    const [fromX, fromY] = pointers.get(event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    travelled += Math.hypot(x - fromX, y - fromY);
    if (travelled > 4) canvas.classList.add("dragged");
    if (pointers.size === 1) {
      if (travelled > 4) go(panned(view, x - fromX, y - fromY), true);
    } else {
      const after = [...pointers.values()];
      const between = (two) => [(two[0][0] + two[1][0]) / 2, (two[0][1] + two[1][1]) / 2];
      const apart = (two) => Math.max(8, Math.hypot(two[0][0] - two[1][0], two[0][1] - two[1][1]));
      const [midX, midY] = between(after);
      const [oldX, oldY] = between(before);
      go(panned(zoomed(view, apart(after) / apart(before), oldX, oldY), midX - oldX, midY - oldY), true);
    }
  });

  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (pointers.size > 0) {
      travelled = Infinity; // the end of a pinch is no click
      return;
    }
    canvas.classList.remove("dragged");
    if (event.type === "pointerup" && travelled <= 4) choose(pointAt(...place(event), event.pointerType === "touch" ? 14 : 4));
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => setHovered(-1));

  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      const factor = Math.exp(-Math.max(-240, Math.min(240, pixels)) * (event.ctrlKey ? 0.01 : 0.0022));
      go(zoomed(goal, factor, ...place(event)), false);
    },
    { passive: false },
  );

  canvas.addEventListener("dblclick", (event) => go(zoomed(goal, 2.5, ...place(event)), false));

  // keys

  const nextTo = (way) => {
    const [dx, dy] = way;
    let best = -1;
    let nearest = Infinity;
    for (let i = 0; i < many; i++) {
      if (i === chosen || !isShown(i) || (matches !== null && !matches.has(i))) continue;
      const along = (data.x[i] - data.x[chosen]) * dx + (data.y[i] - data.y[chosen]) * dy;
      const across = Math.abs((data.x[i] - data.x[chosen]) * dy) + Math.abs((data.y[i] - data.y[chosen]) * dx);
      if (along <= 0 || across > along * 1.2) continue;
      const distance = along + 2 * across;
      if (distance < nearest) [nearest, best] = [distance, i];
    }
    return best;
  };

  const nearMiddle = () => {
    const [x, y] = middle();
    let best = -1;
    let nearest = Infinity;
    for (let i = 0; i < many; i++) {
      if (!isShown(i) || (matches !== null && !matches.has(i))) continue;
      const distance = Math.hypot(screenX(i) - x, screenY(i) - y);
      if (distance < nearest) [nearest, best] = [distance, i];
    }
    return best;
  };

  const intoSight = (i) => {
    const x = data.x[i] * goal.scale + goal.left;
    const y = data.y[i] * goal.scale + goal.top;
    const margin = Math.min(96, width / 4, height / 4);
    const over = (at, room) => Math.min(0, room - margin - at) + Math.max(0, margin - at);
    const [dx, dy] = [over(x, width), over(y, height)];
    if (dx || dy) go({ ...goal, left: goal.left + dx, top: goal.top + dy }, false);
  };

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === byId("filter");
    if (event.key === "Escape") {
      if (typing) {
        byId("filter").value = "";
        find();
      }
      choose(-1);
      return;
    }
    if (typing) return;
    const onMap = event.target === canvas || event.target === document.body;
    if (event.key === "+" || event.key === "=") go(zoomed(goal, 1.5, ...middle()), false);
    else if (event.key === "-" || event.key === "_") go(zoomed(goal, 1 / 1.5, ...middle()), false);
    else if (event.key === "0") go(whole(), false);
    else if (event.key === "/") byId("filter").focus();
    else if (onMap && event.key === "Enter") {
      const meant = chosen >= 0 ? chosen : hovered >= 0 ? hovered : nearMiddle();
      choose(meant);
      if (meant >= 0) intoSight(meant);
    } else if (onMap && event.key in ARROWS) {
      const way = ARROWS[event.key];
      if (chosen < 0) {
        go(panned(goal, -way[0] * 80, -way[1] * 80), false);
      } else {
        const to = nextTo(way);
        if (to >= 0) {
          choose(to);
          intoSight(to);
        }
      }
    } else return;
    event.preventDefault();
  });

  byId("in").addEventListener("click", () => go(zoomed(goal, 1.7, ...middle()), false));
  byId("out").addEventListener("click", () => go(zoomed(goal, 1 / 1.7, ...middle()), false));
  byId("fit").addEventListener("click", () => go(whole(), false));
  byId("close").addEventListener("click", () => {
    choose(-1);
    canvas.focus({ preventScroll: true });
  });
  byId("copy").addEventListener("click", () => sayCopied(byId("copy"), data.names[chosen]));

  // finding

  let keys = null;
  const find = () => {
    keys = keys || data.names.map((name) => name.toLowerCase());
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = words.length ? new Set() : null;
    if (matches) keys.forEach((key, i) => words.every((word) => key.includes(word)) && matches.add(i));
    say();
    again();
  };
  byId("filter").addEventListener("input", find);

  const say = () => {
    const facts = [...data.facts];
    if (matches !== null) facts.unshift(`${matches.size.toLocaleString("en")} found`);
    byId("facts").textContent = facts.join(" \u00b7 ");
  };

  // groups

  const counts = data.groups.map(() => 0);
  for (const group of data.group) counts[group] += 1;
  const buttons = data.groups.map((name, i) => {
    const button = make("button");
    button.type = "button";
    const swatch = make("span", "swatch");
    swatch.style.borderColor = swatch.style.background = colours[i];
    button.append(swatch, make("span", "group", name || "no group"), make("span", "many", counts[i].toLocaleString("en")));
    button.title = name;
    button.addEventListener("click", () => {
      hidden[i] = !hidden[i];
      regroup();
    });
    const light = (group) => () => {
      lit = hidden[i] ? -1 : group;
      again();
    };
    button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && light(i)());
    button.addEventListener("pointerleave", light(-1));
    const line = make("li");
    line.append(button);
    return { button, line };
  });

  const regroup = () => {
    buttons.forEach(({ button }, i) => button.setAttribute("aria-pressed", String(!hidden[i])));
    byId("all").textContent = hidden.some(Boolean) ? "Show all" : "Hide all";
    if (lit >= 0 && hidden[lit]) lit = -1;
    if (chosen >= 0 && !isShown(chosen)) choose(-1);
    setHovered(-1);
    forget();
    again();
  };

  byId("all").addEventListener("click", () => {
    hidden.fill(!hidden.some(Boolean));
    regroup();
  });
  byId("groups").append(...buttons.map(({ line }) => line));
  byId("legend").hidden = data.groups.length < 2;
  byId("legend").open = innerWidth > 640;

  // the page

  byId("title").textContent = data.title;
  byId("note").textContent = data.note;
  byId("note").hidden = !data.note;
  say();
  readTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readTheme();
    again();
  });
  new ResizeObserver(measure).observe(canvas);
  measure();
  regroup();
})();
