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

// Links to messages lead to the message, as they do in Slack, and not to a web page.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const found = link && new URL(link.href).pathname.match(/^\/archives\/(\w+)\/p(\d{10})(\d{6})$/);
  if (!found) return;
  event.preventDefault();
  const thread = new URL(link.href).searchParams.get("thread_ts");
  emitEvent("permalink", { channel: found[1], ts: thread || `${found[2]}.${found[3]}` });
});

// Threads are opened from here and not by handlers of their buttons: a message that is redrawn has new buttons, and the
// server would no longer know the one that was clicked.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-thread]");
  if (button) emitEvent("thread", { ts: button.dataset.thread });
});

// Esc closes what lies over the channel, wherever the focus is; lists and questions of their own close by themselves.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
  if (!document.querySelector(".q-menu, .modal.small")) emitEvent("leave");
});
