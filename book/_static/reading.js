/* A folded part opens when a link, or the address of the page, leads into it; and on paper everything is open. */
(() => {
  const open = (target) => {
    for (let node = target; node; node = node.parentElement) {
      if (node instanceof HTMLDetailsElement) node.open = true;
    }
  };
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const folded = target.closest("details:not([open])");
    open(target);
    for (const inside of target.querySelectorAll(":scope > details.ea-deeper")) inside.open = true;
    if (folded || target.querySelector(":scope > details.ea-deeper")) target.scrollIntoView();
  };
  document.addEventListener("DOMContentLoaded", follow);
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details.ea-deeper")) part.open = true;
  });
})();
