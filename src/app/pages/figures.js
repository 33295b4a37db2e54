// The server's own figures, read from /metrics (Prometheus text) every second: values of one name are summed over their
// labels, rates come from two readings. What the server does not offer stays a dash.

import { number, rendered, t } from "/i18n.js";
import { Sparkline } from "/sparkline.js";

const kPeriodMs = 1000;

const kFigures = [
  { key: "connections", metric: "ringcast_connections" },
  { key: "subscriptions", metric: "ringcast_subscriptions" },
  { key: "publish_rate", metric: "ringcast_publishes_total", rate: true },
  { key: "delivery_rate", metric: "ringcast_deliveries_total", rate: true },
  { key: "publishes", metric: "ringcast_publishes_total" },
  { key: "deliveries", metric: "ringcast_deliveries_total" },
];

// `wanted` says whether it is worth asking: not while the server is known to be away.
export function startFigures(list, wanted) {
  const figures = kFigures.map((figure) => ({ ...figure, ...row(list, figure), value: null }));
  let last = null; // the reading before: {at, totals}

  const draw = () => {
    for (const { key, label, output, value } of figures) {
      label.textContent = t(key);
      output.textContent = value === null ? "–" : number(value);
    }
  };
  const read = async () => {
    if (!wanted() || document.hidden) return;
    let now;
    try {
      const answer = await fetch("/metrics", { cache: "no-store" });
      if (!answer.ok) return;
      now = { at: performance.now(), totals: parseMetrics(await answer.text()) };
    } catch {
      return; // the server is going away; the connection's state says so
    }
    for (const figure of figures) {
      const total = now.totals.get(figure.metric);
      const before = last?.totals.get(figure.metric);
      if (total === undefined) {
        figure.value = null;
      } else if (!figure.rate) {
        figure.value = total;
      } else if (before !== undefined) {
        // Counters begin anew with the server's process.
        figure.value = Math.max(0, total - before) / ((now.at - last.at) / 1000);
        figure.spark.push(figure.value);
      }
    }
    last = now;
    draw();
  };
  rendered(draw);
  const loop = () => read().finally(() => setTimeout(loop, kPeriodMs));
  loop();
}

// name{label="value"} 12.5 [time] -> sum by name. Label values may hold any character, quotes escaped.
export function parseMetrics(text) {
  const totals = new Map();
  for (const line of text.split("\n")) {
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)/.exec(line);
    if (!sample) continue;
    const value = Number(sample[2]);
    if (Number.isFinite(value)) totals.set(sample[1], (totals.get(sample[1]) ?? 0) + value);
  }
  return totals;
}

function row(list, { key, rate }) {
  const box = list.appendChild(document.createElement("div"));
  const label = box.appendChild(document.createElement("dt"));
  const output = box.appendChild(document.createElement("dd"));
  output.dataset.figure = key;
  return { label, output, spark: rate ? new Sparkline(box, { fromZero: true }) : null };
}
