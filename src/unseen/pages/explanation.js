(() => {
  const data = read("data");

  const signed = (value, digits) =>
    (value > 0 ? "+" : "") + value.toFixed(digits).replace("-", "\u2212");

  // Names, each with a number and a bar: as long as the largest is whole.
  const rows = (title, entries, show) => {
    const part = make("div");
    part.append(make("h3", "", title));
    const list = make("ul", "rows");
    list.setAttribute("role", "list");
    const largest = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-9);
    for (const [name, value] of entries) {
      const line = make("li");
      const label = make("span");
      label.append(make("bdi", "", name));
      const track = make("span", "track");
      const bar = make("span", value < 0 ? "bar below" : "bar");
      bar.style.width = `${(100 * Math.abs(value)) / largest}%`;
      track.append(bar);
      line.append(label, track, make("span", "number", show(value)));
      list.append(line);
    }
    part.append(list);
    return part;
  };

  const card = (entry) => {
    const element = make("article");
    const name = make("h2");
    name.append(make("bdi", "", lastPart(entry.source)));
    name.title = entry.source;
    if (entry.error) {
      element.append(name, make("p", "error", entry.error));
      return element;
    }
    const figure = make("figure");
    const image = make("img");
    image.src = entry.drawing;
    image.alt = entry.alt;
    figure.append(image);
    if (entry.picture) {
      const button = make("button", "action", "Show the picture");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const plain = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(plain));
        button.textContent = plain ? "Show the map" : "Show the picture";
        image.src = plain ? entry.picture : entry.drawing;
        image.alt = plain ? entry.source : entry.alt;
      });
      const caption = make("figcaption");
      caption.append(button);
      figure.append(caption);
    }
    const about = make("div");
    about.append(name);
    const answer = entry.against ? `${entry.label}, against ${entry.against}` : entry.label;
    about.append(make("p", "", `${answer}: ${(100 * entry.probability).toFixed(1)} %`));
    about.append(make("p", "trust", entry.sentence));
    for (const line of entry.lines) about.append(make("p", "muted small", line));
    if (entry.words.length) about.append(rows("Words of the prompt", entry.words, (v) => signed(v, 3)));
    if (entry.concepts.length)
      about.append(rows("Concepts in the picture", entry.concepts, (v) => v.toFixed(2)));
    if (entry.neighbours.length)
      about.append(rows("Nearest labelled pictures", entry.neighbours, (v) => `${(100 * v).toFixed(0)} %`));
    element.append(figure, about);
    return element;
  };

  byId("title").textContent = data.title;
  byId("note").textContent = data.note;
  byId("note").hidden = !data.note;
  byId("nothing").hidden = data.cards > 0;
  for (let number = 0; number < data.cards; number++) {
    byId("cards").append(card(read(`card-${number}`)));
  }
})();
