// Eight subscriptions on one connection, one card each. A tick is
// {"symbol":"ACME","price":"101.37","change":"+0.12","time":<unix ms>,"seq":<n>}; prices are text, so nothing is lost on
// the way to the eye.

import { number, rendered, t } from "/i18n.js";
import { Sparkline } from "/sparkline.js";

export const kSymbols = ["ACME", "BOLT", "CEDR", "DUNE", "FLUX", "GRYN", "HALO", "KITE"];

const kRateWindowMs = 5000;

export function startTicker(consumer, list, rateLine) {
  const arrivals = []; // times of the last ticks, oldest first
  for (const symbol of kSymbols) {
    const quote = new Quote(list, symbol);
    consumer.subscribe({ channel: "TickerChannel", symbol }, {
      received: (tick) => {
        arrivals.push(performance.now());
        quote.show(tick);
      },
      disconnected: () => quote.stale(),
      rejected: () => quote.refuse(),
    });
  }
  const draw = () => {
    const since = performance.now() - kRateWindowMs;
    while (arrivals.length > 0 && arrivals[0] < since) arrivals.shift();
    const rate = arrivals.length / (kRateWindowMs / 1000);
    rateLine.textContent = `· ${t("tick_rate", { n: number(rate, rate < 10 ? 1 : 0) })}`;
  };
  rendered(draw);
  setInterval(draw, 1000);
}

class Quote {
  constructor(list, symbol) {
    this.card_ = list.appendChild(document.createElement("li"));
    this.card_.className = "quote stale";
    this.card_.dataset.symbol = symbol;
    const row = this.card_.appendChild(document.createElement("div"));
    row.className = "row";
    this.symbol_ = part(row, "span", "symbol", symbol);
    this.change_ = part(row, "span", "change", "–");
    this.price_ = part(this.card_, "div", "price", "–");
    this.spark_ = new Sparkline(this.card_);
    this.last_ = NaN;
    this.refused_ = false;
    rendered(() => {
      if (this.refused_) this.change_.textContent = t("not_offered");
    });
  }

  show({ price, change }) {
    const value = Number(price);
    if (!Number.isFinite(value)) return;
    this.refused_ = false;
    this.card_.classList.remove("stale");
    this.price_.textContent = price;
    this.change_.textContent = change ?? "";
    const delta = Number.parseFloat(change);
    this.card_.dataset.trend = delta > 0 ? "up" : delta < 0 ? "down" : "flat";
    this.flash_(value > this.last_ ? "rose" : value < this.last_ ? "fell" : "");
    this.last_ = value;
    this.spark_.push(value);
  }

  // The colour is put on at once and let go in the next frame, so that it fades out.
  flash_(name) {
    this.price_.className = name ? `price ${name}` : "price";
    if (name) requestAnimationFrame(() => requestAnimationFrame(() => (this.price_.className = "price")));
  }

  stale() {
    this.card_.classList.add("stale");
  }

  refuse() {
    this.refused_ = true;
    this.stale();
    this.change_.textContent = t("not_offered");
  }
}

function part(parent, tag, className, text) {
  const element = parent.appendChild(document.createElement(tag));
  element.className = className;
  element.textContent = text;
  return element;
}
