// A small line chart of the last values, drawn as SVG. Values may come faster than frames: a frame draws at most once.

const kSvg = "http://www.w3.org/2000/svg";
const kWidth = 120;
const kHeight = 36;
const kMargin = 2; // room for the stroke

export class Sparkline {
  constructor(host, { points = 60, fromZero = false } = {}) {
    this.points_ = points;
    this.fromZero_ = fromZero;
    this.values_ = [];
    this.drawn_ = true;
    const svg = document.createElementNS(kSvg, "svg");
    svg.setAttribute("viewBox", `0 0 ${kWidth} ${kHeight}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "spark");
    svg.setAttribute("aria-hidden", "true");
    this.area_ = svg.appendChild(document.createElementNS(kSvg, "polygon"));
    this.line_ = svg.appendChild(document.createElementNS(kSvg, "polyline"));
    host.append(svg);
  }

  push(value) {
    this.values_.push(value);
    if (this.values_.length > this.points_) this.values_.shift();
    if (!this.drawn_) return;
    this.drawn_ = false;
    requestAnimationFrame(() => this.draw_());
  }

  draw_() {
    this.drawn_ = true;
    if (this.values_.length < 2) return;
    const low = this.fromZero_ ? 0 : Math.min(...this.values_);
    const span = Math.max(...this.values_) - low || 1;
    const step = kWidth / (this.points_ - 1);
    const left = kWidth - step * (this.values_.length - 1);
    const path = this.values_.map((value, index) => {
      const y = kHeight - kMargin - ((value - low) / span) * (kHeight - 2 * kMargin);
      return `${(left + index * step).toFixed(1)},${y.toFixed(1)}`;
    });
    this.line_.setAttribute("points", path.join(" "));
    this.area_.setAttribute("points", `${left.toFixed(1)},${kHeight} ${path.join(" ")} ${kWidth},${kHeight}`);
  }
}
