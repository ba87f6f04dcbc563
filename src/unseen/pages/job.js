const job = read("data");

const fill = (id, rows) => {
  for (const [name, ...values] of rows) {
    const row = make("tr");
    const head = make("th", "", name);
    head.scope = "row";
    row.append(head, ...values.map((value) => make("td", "", value)));
    byId(id).append(row);
  }
};

document.title = job.title;
byId("title").textContent = job.title;
byId("note").textContent = job.note;
byId("share").textContent = job.share;
byId("bar").value = job.fraction;
fill("facts", job.facts);
for (const part of ["errors", "runners"]) {
  byId(`${part}-part`).hidden = job[part].length === 0;
  fill(part, job[part]);
}
