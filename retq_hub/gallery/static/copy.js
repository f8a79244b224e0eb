// Adds a button to each block of lines that are there to be copied.
"use strict";

async function copy(block) {
  const text = block.querySelector("code").textContent;
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  // Over plain http, as inside a clinic's network, there is no clipboard: select, and copy that.
  getSelection().selectAllChildren(block.querySelector("code"));
  return document.execCommand("copy");
}

for (const block of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${block.dataset.copy}`);
  button.addEventListener("click", async () => {
    const done = await copy(block).catch(() => false);
    button.textContent = done ? "Copied" : "Select and copy";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const frame = document.createElement("div");
  frame.className = "copyable";
  block.replaceWith(frame);
  frame.append(block, button);
}
