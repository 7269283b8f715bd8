// Shows what is in stock: one cacheable read for all items, then a stream of changes.
"use strict";

// What a shop's own catalogue knows. Stockade knows skus and counts; names, prices and
// pictures are the shop's.
const CATALOGUE = [
  ["MUG-EMBER", "Stoneware mug, ember", 18], ["MUG-SLATE", "Stoneware mug, slate", 18],
  ["BOWL-OAK", "Oak salad bowl", 64], ["BOARD-WALNUT", "Walnut cutting board", 49],
  ["TEAPOT-IRON", "Cast iron teapot", 72], ["KETTLE-COPPER", "Copper kettle", 96],
  ["SPOON-SET", "Cherry wood spoons, set of 3", 21], ["APRON-LINEN", "Linen apron", 38],
  ["TOWEL-PAIR", "Waffle towels, pair", 24], ["JAR-1L", "Preserving jar, 1 litre", 9],
  ["KNIFE-PARING", "Paring knife", 42], ["GRINDER-SALT", "Salt mill, ash", 34],
  ["LAMP-DESK", "Brass desk lamp", 128], ["CLOCK-BIRCH", "Birch wall clock", 58],
  ["PEN-BRASS", "Brass pen", 29], ["NOTEBOOK-A5", "Notebook, A5, dotted", 12],
  ["TRAY-CORK", "Cork desk tray", 16], ["VASE-SAND", "Sand-glazed vase", 33],
  ["CANDLE-CEDAR", "Cedar candle", 22], ["BLANKET-WOOL", "Wool blanket", 110],
];
const QUERY = CATALOGUE.map(([sku]) => "sku=" + encodeURIComponent(sku)).join("&");

// After about this long a page that was refused a stream tries again.
const POLL_MS = 5000;

const cards = new Map();
const price = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });

function build() {
  const list = document.getElementById("items");
  const template = document.getElementById("card");
  CATALOGUE.forEach(([sku, name, euros], place) => {
    const card = template.content.firstElementChild.cloneNode(true);
    card.querySelector(".picture").style.setProperty("--hue", (place * 47 + 18) % 360);
    card.querySelector(".picture").textContent = name[0];
    card.querySelector("h2").textContent = name;
    card.querySelector(".price").textContent = price.format(euros);
    const button = card.querySelector("button");
    button.setAttribute("aria-label", "Add to basket: " + name);
    button.disabled = true;
    list.append(card);
    cards.set(sku, { card, button, stock: card.querySelector(".stock") });
  });
}

// The words for one entry of the read, and whether one may try to buy.
function words({ status, everywhere }) {
  switch (status) {
    case "in_stock": return ["In stock", true];
    case "low_stock": return [everywhere === 1 ? "Only 1 left" : `Only ${everywhere} left`, true];
    case "sold_out": return ["Sold out", false];
    // Nothing known to be free, but not proved: trying costs nothing and decides it.
    case "uncertain": return ["Checking availability", true];
    default: return ["Not for sale yet", false];
  }
}

function show(item) {
  const known = cards.get(item.sku);
  if (!known) return;
  const [text, mayBuy] = words(item);
  const { card, stock, button } = known;
  if (stock.textContent !== text && stock.dataset.status !== "loading") {
    // Restarts the highlight.
    delete stock.dataset.fresh;
    void stock.offsetWidth;
    stock.dataset.fresh = "";
  }
  stock.textContent = text;
  stock.dataset.status = item.status;
  button.disabled = !mayBuy;
  card.toggleAttribute("data-gone", !mayBuy);
}

function live(state, text) {
  const line = document.querySelector(".live");
  line.dataset.state = state;
  const label = document.getElementById("live-text");
  if (label.textContent !== text) label.textContent = text;
}

// Everything at once. The browser and every cache on the way may answer it for a second.
async function read() {
  const response = await fetch("/v1/availability?" + QUERY);
  if (!response.ok) throw new Error("HTTP " + response.status);
  const answer = await response.json();
  answer.items.forEach(show);
  document.getElementById("source").textContent =
    `Stock is read from node ${answer.node} in region ${answer.region}.`;
}

// A browser resumes a broken stream by itself, with the id of the last event it got; it gives
// up when it is answered anything but a stream (503 while a node starts, say). Then this reads
// now and again until a new stream can be opened.
function follow() {
  const stream = new EventSource("/v1/availability/stream?" + QUERY);
  stream.addEventListener("open", () => live("live", "Live"));
  stream.addEventListener("availability", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    live("away", "Reconnecting");
    if (stream.readyState === EventSource.CLOSED) setTimeout(fallBack, POLL_MS * (0.5 + Math.random()));
  });
  return stream;
}

async function fallBack() {
  try { await read(); } catch { /* The next try follows. */ }
  current = follow();
}

let current = null;
build();
read().catch(() => live("away", "Stock is unknown at the moment"));
current = follow();

// A page that comes back from the browser's memory has lost its stream.
window.addEventListener("pagehide", () => current.close());
window.addEventListener("pageshow", (event) => { if (event.persisted) current = follow(); });
