// The page works without this: it says that a photograph is being worked on, and draws the masks in
// the browser, so that thresholds can be moved.
"use strict";

const LINE_PX = 3;
const CASING_PX = 1;

async function inflated(text, length) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const level = new Uint8Array(await new Response(stream).arrayBuffer());
  if (level.length !== length) throw new Error("a map of another size");
  return level;
}

function colourOf(text, alpha) {
  const value = parseInt(text.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255];
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const CASING = colourOf("#101418", 150);

function areaText(marked, all) {
  const share = (100 * marked) / all;
  if (marked === 0) return "nothing marked";
  return share < 0.01 ? "under 0.01\u00a0%" : `${share.toFixed(2)}\u00a0%`;
}

class Layer {
  constructor(canvas, box, given, level) {
    Object.assign(this, { canvas, given, level, threshold: given.threshold, fill: 0.25 });
    this.area = box.querySelector(".area");
    this.slider = box.querySelector(".threshold");
    this.value = this.slider.closest("label").querySelector(".value");
    this.slider.addEventListener("input", () => this.setThreshold(Number(this.slider.value)));
    box.querySelector(".show").addEventListener("change", (event) => {
      canvas.hidden = !event.target.checked;
    });
    const fill = box.querySelector(".fill");
    fill.addEventListener("input", () => {
      this.fill = Number(fill.value) / 100;
      fill.closest("label").querySelector(".value").textContent = `${fill.value}\u00a0%`;
      this.draw();
    });
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    this.value.textContent = String(threshold);
    const marked = this.draw();
    const published = threshold === this.given.threshold;
    this.area.textContent = published ? this.given.area : areaText(marked, this.level.length);
  }

  reset() {
    this.slider.value = this.given.threshold;
    this.setThreshold(this.given.threshold);
  }

  // Gives the number of marked pixels. What is marked and near the rest is the outline; what is not
  // marked and next to it is the outline's dark casing, so that it shows on bright and dark alike.
  draw() {
    const { width, height } = this.canvas;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const cut = this.threshold * 255, level = this.level;
    const line = colourOf(this.given.colour, 255);
    const inner = colourOf(this.given.colour, Math.round(255 * this.fill));
    let marked = 0;
    for (let y = 0, at = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, at += 1) {
        const inside = level[at] > cut;
        const reach = inside ? LINE_PX : CASING_PX;
        const near = (x >= reach && level[at - reach] > cut !== inside)
          || (x < width - reach && level[at + reach] > cut !== inside)
          || (y >= reach && level[at - reach * width] > cut !== inside)
          || (y < height - reach && level[at + reach * width] > cut !== inside);
        if (inside) {
          marked += 1;
          pixels[at] = near ? line : inner;
        } else if (near) {
          pixels[at] = CASING;
        }
      }
    }
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    return marked;
  }
}

async function show(maps) {
  const { width, height } = maps;
  const levels = await Promise.all(maps.layers.map((one) => inflated(one.level, width * height)));
  const stage = document.getElementById("stage");
  const picture = stage.querySelector("img");
  picture.src = maps.photograph;
  await picture.decode();
  const boxes = document.querySelectorAll(".layer");
  const layers = maps.layers.map((given, number) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.setAttribute("aria-hidden", "true");
    stage.append(canvas);
    const layer = new Layer(canvas, boxes[number], given, levels[number]);
    layer.draw();
    return layer;
  });
  document.getElementById("published").addEventListener("click", () => {
    layers.forEach((layer) => layer.reset());
  });
  document.querySelectorAll(".controls").forEach((one) => { one.hidden = false; });
  document.querySelectorAll(".given").forEach((one) => { one.hidden = true; });
  stage.dataset.ready = "true";
}

function watch(form) {
  const file = document.getElementById("photograph");
  file.addEventListener("change", () => {
    const large = file.files[0] && file.files[0].size > Number(form.dataset.maxBytes);
    file.setCustomValidity(large ? `At most ${form.dataset.maxMb} MB are read.` : "");
    file.reportValidity();
  });
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
    document.getElementById("working").textContent = "Working; the first photograph takes longer.";
  });
  // The page may come back from the browser's history as it was left.
  addEventListener("pageshow", () => {
    form.removeAttribute("aria-busy");
    document.getElementById("working").textContent = "";
  });
}

const form = document.getElementById("apply");
if (form) watch(form);
const maps = document.getElementById("maps");
if (maps && "DecompressionStream" in window) show(JSON.parse(maps.textContent));
