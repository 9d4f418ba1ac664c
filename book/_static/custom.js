/* Small repairs that a static book needs. No library, no network. */

/* Search: the theme fetches every hit to show a snippet. A page read from a folder may not fetch its neighbours, so
   there the hits are listed without snippets. Served over http they keep them. */
if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

/* Tables that scroll sideways must be reachable from the keyboard. */
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".pst-scrollable-table-container, .cell_output .output.text_html")) {
    if (box.scrollWidth > box.clientWidth && !box.hasAttribute("tabindex")) {
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "table, scrolls sideways");
    }
  }
});

/* Ages of runs are counted when the page is read, not when it was built. */
document.addEventListener("DOMContentLoaded", () => {
  for (const age of document.querySelectorAll("time.ea-age")) {
    const days = Math.max(0, Math.floor((Date.now() - Date.parse(age.dateTime)) / 86400000));
    age.textContent = `${days} ${days === 1 ? "day" : "days"}`;
    age.classList.toggle("ea-stale", days > 90);
  }
});
