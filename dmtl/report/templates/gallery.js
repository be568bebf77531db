"use strict";
(() => {
  const gallery = document.getElementById("images");
  const all = (selector, from = gallery) => [...from.querySelectorAll(selector)];
  gallery.classList.add("js");

  // The label is in the page once a task; each stack gets a copy to slide away from.
  for (const strip of all(".strip")) {
    for (const stack of all(".stack", strip)) {
      const label = strip.querySelector(".label").cloneNode(true);
      label.classList.remove("label");
      label.dataset.stage = "label";
      stack.prepend(label);
    }
  }

  // Slider: between two stops the later picture lies over the earlier one, half transparent.
  const show = (slider) => {
    const stops = slider.dataset.slider.split(",");
    const value = Number(slider.value), low = Math.floor(value), share = value - low;
    const image = slider.closest("details");
    for (const stack of all(".stack", image)) {
      const pictures = new Map(all(".picture", stack).map((picture) => [picture.dataset.stage, picture]));
      const at = (stop) => {
        while (!pictures.has(stops[stop])) stop += 1; // a method that predicts once shows its final prediction
        return pictures.get(stops[stop]);
      };
      const below = at(low), above = share ? at(low + 1) : below;
      for (const picture of pictures.values()) {
        const on = picture === below || picture === above;
        picture.style.opacity = picture === below ? 1 : on ? share : 0;
        picture.style.zIndex = on && picture !== below ? 1 : 0;
        picture.setAttribute("aria-hidden", String(!on));
        picture.classList.toggle("seen", picture === (share > 0.5 ? above : below));
      }
    }
    const percent = Math.round(share * 100);
    slider.setAttribute("aria-valuetext", share ? `${100 - percent} % ${stops[low]}, ${percent} % ${stops[low + 1]}` : stops[low]);
    for (const button of all("[data-stop]", image)) button.setAttribute("aria-pressed", String(Number(button.dataset.stop) === value));
  };
  for (const slider of all("[data-slider]")) {
    slider.addEventListener("input", () => show(slider));
    show(slider);
    for (const button of all("[data-stop]", slider.closest("details"))) {
      button.addEventListener("click", () => {
        slider.value = button.dataset.stop;
        show(slider);
      });
    }
  }

  // One zoom for all pictures.
  const zoom = Object.fromEntries(all("[data-zoom]").map((input) => [input.dataset.zoom, input]));
  const applyZoom = () => {
    gallery.style.setProperty("--zoom", zoom.zoom.value);
    gallery.style.setProperty("--x", `${zoom.x.value}%`);
    gallery.style.setProperty("--y", `${zoom.y.value}%`);
    for (const [name, unit] of [["zoom", " times"], ["x", " %"], ["y", " %"]]) {
      zoom[name].setAttribute("aria-valuetext", zoom[name].value + unit);
    }
  };
  for (const input of Object.values(zoom)) input.addEventListener("input", applyZoom);
  gallery.addEventListener("click", (event) => {
    const frame = event.target.closest(".frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    const enlarged = Number(zoom.zoom.value) > 1;
    zoom.zoom.value = enlarged ? 1 : 4;
    zoom.x.value = enlarged ? 50 : (100 * (event.clientX - box.left)) / box.width;
    zoom.y.value = enlarged ? 50 : (100 * (event.clientY - box.top)) / box.height;
    applyZoom();
  });

  // Scores: any column sorts; the last one compares the two chosen columns.
  for (const part of all(".scores")) {
    const body = part.querySelector("tbody"), heads = all("thead th", part), last = heads.length - 1;
    const rows = all("tr", body), pick = Object.fromEntries(all("[data-pick]", part).map((select) => [select.dataset.pick, select]));
    const number = (row, column) => {
      const value = row.cells[column].dataset.value;
      return value === undefined ? NaN : Number(value);
    };
    const compare = () => {
      for (const row of rows) {
        const a = number(row, 2 + Number(pick.a.value)), b = number(row, 2 + Number(pick.b.value));
        const middle = (Math.abs(a) + Math.abs(b)) / 2, gain = "lower" in row.dataset ? a - b : b - a;
        const share = middle ? (100 * gain) / middle : gain, cell = row.cells[last];
        if (Number.isNaN(share)) delete cell.dataset.value;
        else cell.dataset.value = share;
        cell.textContent = Number.isNaN(share) ? "–" : (share < 0 ? "−" : "+") + Math.abs(share).toFixed(1);
        row.hidden = pick.task.value !== "" && row.dataset.task !== pick.task.value;
      }
    };
    const sort = (column, key, direction) => {
      const missing = (value) => typeof value === "number" && Number.isNaN(value);
      const order = (x, y) => (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
      const keyed = rows.map((row) => [key(row), row]);
      keyed.sort(([x], [y]) => missing(x) - missing(y) || (missing(x) ? 0 : direction * order(x, y)));
      body.append(...keyed.map(([, row]) => row));
      heads.forEach((head, k) => head.removeAttribute("aria-sort") || (k === column && head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending")));
      part.querySelector("[role=status]").textContent = `Sorted by ${heads[column].textContent}`;
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const key = column < 2 ? (row) => row.cells[column].textContent : (row) => number(row, column);
      button.addEventListener("click", () => sort(column, key, head.getAttribute("aria-sort") === "ascending" ? -1 : 1));
    });
    for (const select of Object.values(pick)) select.addEventListener("change", compare);
    part.querySelector("[data-most]").addEventListener("click", () => sort(last, (row) => Math.abs(number(row, last)), -1));
    compare();
  }

  // A link to an image opens it.
  for (const link of all('a[href^="#image-"]')) {
    link.addEventListener("click", () => (document.getElementById(link.hash.slice(1)).open = true));
  }
})();
