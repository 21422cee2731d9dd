// Keeps each list of messages at its end while the reader is there, as people expect of a chat.
(() => {
  const NEAR = 80;
  const follow = (box) => {
    let atEnd = true;
    const toEnd = () => { if (atEnd) box.scrollTop = box.scrollHeight; };
    box.addEventListener("scroll", () => {
      atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
    }, { passive: true });
    const seen = new ResizeObserver(toEnd);
    seen.observe(box);
    seen.observe(box.firstElementChild);
    toEnd();
  };
  new MutationObserver(() => {
    for (const box of document.querySelectorAll(".scroll:not([data-follows])")) {
      box.dataset.follows = "yes";
      follow(box);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
