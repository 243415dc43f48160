"use strict";
// Loaded in the head, so that a chosen theme is there before the page is drawn.
const THEMES = { auto: "◐", light: "☀", dark: "☾" };

function storedTheme() {
  try { return localStorage.getItem("iqa-bench-theme") || "auto"; } catch { return "auto"; }
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

applyTheme(storedTheme());

function setUpTheme(button) {
  const show = (theme) => {
    button.textContent = THEMES[theme] || THEMES.auto;
    button.setAttribute("aria-label", `Colour theme: ${theme}`);
    button.title = `Colour theme: ${theme}`;
  };
  button.hidden = false;
  show(storedTheme());
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(storedTheme()) + 1) % names.length];
    try { localStorage.setItem("iqa-bench-theme", next); } catch { /* private mode: this page only */ }
    applyTheme(next);
    show(next);
  });
}

// A cell's number is in data-v; an empty one (incomplete, none) stays at the end either way.
function valueOf(cell) {
  if (!("v" in cell.dataset)) return cell.textContent.trim();
  return cell.dataset.v === "" ? null : Number(cell.dataset.v);
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

// Published rows have a body of their own: sorting does not rank them among measured ones.
function sortBy(table, column, direction) {
  Array.from(table.tBodies, (body) => sortBody(body, column, direction));
}

function sortBody(body, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const rows = Array.from(body.rows, (row) => ({ row, value: valueOf(row.cells[column]) }));
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return sign * compare(a.value, b.value);
  });
  body.append(...rows.map((item) => item.row));
}

function setUpSorting(table) {
  const heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells);
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = column === 0 ? "ascending" : table.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      const next = now === first ? other : first;
      heads.forEach((item) => item.hasAttribute("aria-sort") && item.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      sortBy(table, column, next);
    });
  });
}

function bodyRows(table) {
  return Array.from(table.tBodies).flatMap((body) => Array.from(body.rows));
}

function filterTable(table, method, dataset) {
  const heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells);
  const shown = heads.map((head) => !dataset || !head.dataset.dataset || head.dataset.dataset === dataset);
  table.querySelectorAll("thead th[data-dataset]").forEach((head) => {
    head.hidden = Boolean(dataset) && head.dataset.dataset !== dataset;
  });
  let count = 0;
  for (const row of bodyRows(table)) {
    Array.from(row.cells).forEach((cell, column) => { cell.hidden = !shown[column]; });
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(method);
    count += row.hidden ? 0 : 1;
  }
  return count;
}

function setUpTools(form) {
  const section = form.closest("section");
  const boards = Array.from(section.querySelectorAll("[data-metric]"));
  const update = () => {
    const metric = form.querySelector("input[type=radio]:checked");
    const method = form.querySelector("[data-filter=method]").value.trim().toLowerCase();
    const dataset = form.querySelector("[data-filter=dataset]").value;
    let count = 0;
    boards.forEach((board) => {
      board.hidden = Boolean(metric) && board.dataset.metric !== metric.value;
      const here = filterTable(board.querySelector("table"), method, dataset);
      if (!board.hidden) count = here;
    });
    form.querySelector(".found").textContent = method ? `${count} of ${bodyRows(boards[0].querySelector("table")).length} methods` : "";
  };
  form.hidden = false;
  form.addEventListener("input", update);
  update();
}

// One table of the comparison page at a time, where there are many.
function setUpPick(form) {
  const select = form.querySelector("select");
  const tables = Array.from(form.closest("section").querySelectorAll("[data-task]"));
  const update = () => tables.forEach((item) => {
    item.hidden = select.value !== "" && item.dataset.task !== select.value;
  });
  form.hidden = false;
  form.addEventListener("input", update);
  update();
}

// A link to one cell opens what ran there.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const details = target && target.querySelector("details");
  if (details) details.open = true;
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("button.theme").forEach(setUpTheme);
  document.querySelectorAll("table.board, table.sortable").forEach(setUpSorting);
  document.querySelectorAll("form.tools:not(.pick)").forEach(setUpTools);
  document.querySelectorAll("form.pick").forEach(setUpPick);
  const menus = Array.from(document.querySelectorAll("details.menu"));
  document.addEventListener("click", (event) => {
    menus.forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && menus.find((menu) => menu.open);
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });
  addEventListener("hashchange", openTarget);
  openTarget();
});
