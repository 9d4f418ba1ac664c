// Sorts and filters the leaderboard. Rows that ignore the network stay in their block below, whatever the column.
document.querySelectorAll(".ea-board").forEach((board) => {
  const form = board.querySelector("form"), told = form.querySelector("output");
  const bodies = [...board.querySelectorAll("tbody")];
  const rowsOf = (body) => [...body.querySelectorAll("tr[data-family]")];

  const filter = () => {
    const words = form.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    bodies.forEach((body) => {
      body.hidden = body.dataset.readout !== form.readout.value;
      let seen = 0;
      rowsOf(body).forEach((row) => {
        const text = row.textContent.toLowerCase();
        const ranked = row.cells[3].dataset.key !== "";
        const family = form.family.value === "" || row.dataset.family === form.family.value;
        row.hidden = !(family && (ranked || !form.ranked.checked) && words.every((word) => text.includes(word)));
        seen += row.hidden ? 0 : 1;
      });
      const divide = body.querySelector(".ea-divide");
      if (divide) divide.hidden = seen === 0;
      count += body.hidden ? 0 : seen;
    });
    told.textContent = count === 1 ? "1 row" : `${count} rows`;
  };

  const sort = (column, down, numbers) => {
    const value = (row) => row.cells[column].dataset.key;
    bodies.forEach((body) => {
      rowsOf(body)
        .sort((a, b) => {
          const x = value(a), y = value(b);
          if ((x === "") !== (y === "")) return x === "" ? 1 : -1;  // what has no value is last either way
          const order = numbers ? Number(x) - Number(y) : x.localeCompare(y);
          return down ? -order : order;
        })
        .forEach((row) => body.append(row));
    });
  };

  board.querySelectorAll("thead th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const numbers = head.dataset.kind === "number", before = head.getAttribute("aria-sort");
      const ascends = head.textContent === "Rank" || head.textContent === "Cost" || !numbers;
      const down = before ? before === "ascending" : !ascends;
      board.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(column, down, numbers);
    });
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
});
