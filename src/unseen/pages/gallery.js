(() => {
  const data = read("data");
  const items = []; // of all sections, in order
  let shown = []; // their numbers, as far as the filter lets them through
  let current = -1; // where the keyboard stands
  let viewed = -1;

  // Pictures lie in chunks; a chunk is read when one of its pictures comes near.
  const chunks = new Map();
  const picture = (number) => {
    const key = Math.floor(number / data.chunk);
    if (!chunks.has(key)) {
      const element = byId(`pictures-${key}`);
      chunks.set(key, JSON.parse(element.textContent));
      element.remove();
    }
    return chunks.get(key)[number % data.chunk];
  };

  const number = (score) => score.toFixed(3).replace("-", "\u2212");

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        const image = items[target.dataset.item].image;
        image.onload = () => image.classList.add("there");
        image.src = picture(items[target.dataset.item].picture);
      }
    },
    { rootMargin: "800px" },
  );

  const tile = (item, index, full) => {
    const cell = make("li", "tile");
    const button = make("button");
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.item = index;
    button.title = item.name;
    const description = [item.name];
    const frame = make("span", "frame");
    if (item.picture === null) {
      frame.append(make("span", "none muted", "No thumbnail"));
    } else {
      item.image = make("img");
      item.image.alt = "";
      item.image.decoding = "async";
      frame.append(item.image);
      watcher.observe(button);
    }
    if (item.mark) {
      frame.append(make("span", "mark", item.mark));
      description.push(item.mark);
    }
    button.append(frame);
    if (item.score !== null) {
      const score = make("span", "score");
      const track = make("span", "track");
      const bar = make("span", "bar");
      bar.style.width = `${Math.min(1, Math.max(0, item.score / full)) * 100}%`;
      track.append(bar);
      score.append(track, make("span", "number", number(item.score)));
      button.append(score);
      description.push(number(item.score));
    }
    const name = make("span", "name");
    name.append(make("bdi", "", lastPart(item.name)));
    button.append(name);
    if (item.caption) {
      button.append(make("span", "caption", item.caption));
      description.push(item.caption);
    }
    button.setAttribute("aria-label", description.join(", "));
    cell.append(button);
    item.cell = cell;
    item.button = button;
    return cell;
  };

  const sections = data.sections.map((section) => {
    const element = make("section");
    const head = make("header");
    const many = make("p", "many muted");
    many.hidden = data.sections.length === 1; // the page says it
    head.append(make("h2", "", section.title));
    if (section.note) head.append(make("p", "muted", section.note));
    head.append(many);
    const list = make("ul", "tiles");
    list.setAttribute("role", "list");
    const first = items.length;
    for (const [name, picture, href, score, caption, mark] of section.items) {
      const item = { name, picture, href, score, caption, mark, key: name.toLowerCase() };
      items.push(item);
      list.append(tile(item, items.length - 1, section.full));
    }
    element.append(head);
    element.append(section.items.length ? list : make("p", "muted", "No pictures."));
    return { element, many, first, last: items.length };
  });

  const stand = (index, focus) => {
    if (current >= 0) items[current].button.tabIndex = -1;
    current = index;
    if (index < 0) return;
    items[index].button.tabIndex = 0;
    if (focus) {
      items[index].cell.scrollIntoView({ block: "nearest" });
      items[index].button.focus({ preventScroll: true });
    }
  };

  // How high a section will be that has not been looked at yet.
  const height = (many) => {
    const width = Math.min(innerWidth, 1728);
    const columns = Math.max(1, Math.floor(width / (innerWidth > 640 ? 184 : 120)));
    return 56 + Math.ceil(many / columns) * (width / columns + 56);
  };

  const narrow = () => {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = [];
    for (const { element, many, first, last } of sections) {
      let left = 0;
      for (let i = first; i < last; i++) {
        const fits = words.every((word) => items[i].key.includes(word));
        items[i].cell.hidden = !fits;
        if (!fits) continue;
        shown.push(i);
        left += 1;
      }
      element.hidden = words.length > 0 && left === 0;
      element.style.containIntrinsicBlockSize = `auto ${Math.round(height(left))}px`;
      many.textContent =
        left === last - first ? counted(left, "picture") : `${left.toLocaleString("en")} of ${counted(last - first, "picture")}`;
    }
    const all = counted(items.length, "picture");
    byId("count").textContent = words.length ? `${shown.length.toLocaleString("en")} of ${all}` : all;
    byId("nothing").hidden = shown.length > 0 || (sections.length > 0 && !words.length);
    byId("nothing").textContent = words.length ? "No name has this in it." : "No pictures.";
    if (!shown.includes(current)) stand(shown.length ? shown[0] : -1, false);
  };

  // The tile above or below: of the next row, the one whose middle is nearest.
  const inNextRow = (way) => {
    const here = items[current].cell.getBoundingClientRect();
    let best = current;
    let distance = Infinity;
    let row = null;
    for (let at = shown.indexOf(current) + way; at >= 0 && at < shown.length; at += way) {
      const there = items[shown[at]].cell.getBoundingClientRect();
      if (Math.abs(there.top - here.top) < 2) continue;
      if (row !== null && Math.abs(there.top - row) >= 2) break;
      row = there.top;
      const apart = Math.abs(there.left - here.left);
      if (apart < distance) [distance, best] = [apart, shown[at]];
    }
    return best;
  };

  const moved = (key) => {
    const at = shown.indexOf(current);
    if (key === "ArrowRight") return shown[Math.min(at + 1, shown.length - 1)];
    if (key === "ArrowLeft") return shown[Math.max(at - 1, 0)];
    if (key === "ArrowDown") return inNextRow(1);
    if (key === "ArrowUp") return inNextRow(-1);
    if (key === "Home") return shown[0];
    if (key === "End") return shown[shown.length - 1];
    return null;
  };

  // the larger view

  const viewer = byId("viewer");

  const view = (index) => {
    viewed = index;
    const item = items[index];
    const at = shown.indexOf(index);
    byId("viewer-name").textContent = item.name;
    const facts = [`${at + 1} of ${shown.length.toLocaleString("en")}`];
    if (item.score !== null) facts.push(number(item.score));
    if (item.mark) facts.push(item.mark);
    if (item.caption) facts.push(item.caption);
    byId("viewer-facts").textContent = facts.join(" \u00b7 ");
    byId("viewer-empty").hidden = item.picture !== null;
    const image = byId("viewer-picture");
    image.alt = item.name;
    showPicture(image, item.picture === null ? null : picture(item.picture), item.href);
    setLink(byId("open"), item.href);
    byId("previous").disabled = at <= 0;
    byId("next").disabled = at >= shown.length - 1;
    if (!viewer.open) viewer.showModal();
  };

  const turn = (way) => {
    const at = shown.indexOf(viewed) + way;
    if (at >= 0 && at < shown.length) view(shown[at]);
  };

  byId("viewer-picture").addEventListener("arrived", () => (byId("viewer-empty").hidden = true));
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("close").addEventListener("click", () => viewer.close());
  byId("copy").addEventListener("click", () => sayCopied(byId("copy"), items[viewed].name));
  viewer.addEventListener("close", () => {
    showPicture(byId("viewer-picture"), null, null);
    stand(viewed, true);
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") turn(1);
    else if (event.key === "ArrowLeft") turn(-1);
    else return;
    event.preventDefault();
  });

  let touched = null;
  const stage = viewer.querySelector(".stage");
  stage.addEventListener("pointerdown", (event) => {
    touched = event.isPrimary && event.pointerType !== "mouse" ? event.clientX : null;
  });
  stage.addEventListener("pointerup", (event) => {
    if (touched === null || !event.isPrimary) return;
    const way = event.clientX - touched;
    if (Math.abs(way) > 40) turn(way < 0 ? 1 : -1);
    touched = null;
  });
  stage.addEventListener("click", (event) => {
    if (event.target === stage) viewer.close();
  });

  // the page

  byId("title").textContent = data.title;
  byId("note").textContent = data.note;
  byId("note").hidden = !data.note;
  const main = byId("sections");
  main.append(...sections.map(({ element }) => element));
  main.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) view(Number(button.dataset.item));
  });
  main.addEventListener("focusin", (event) => {
    const button = event.target.closest("button");
    if (button) stand(Number(button.dataset.item), false);
  });
  main.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || current < 0) return;
    const to = moved(event.key);
    if (to === null) return;
    event.preventDefault();
    stand(to, true);
  });
  byId("filter").addEventListener("input", narrow);
  byId("filter").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && shown.length) {
      event.preventDefault();
      stand(shown[0], true);
    } else if (event.key === "Escape") {
      byId("filter").value = "";
      narrow();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || viewer.open || event.target === byId("filter")) return;
    event.preventDefault();
    byId("filter").focus();
  });
  narrow();
})();
