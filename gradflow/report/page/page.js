"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const made = (parent, name, attributes = {}, text = "", space = root.namespaceURI) => {
    const element = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return parent.appendChild(element);
  };
  const ofPictures = document.querySelector("svg").namespaceURI;
  const drawn = (parent, name, attributes, text) => made(parent, name, attributes, text, ofPictures);

  // Dark or light: as the system has it, until the button is pressed.
  const theme = byId("theme");
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefers.matches ? "dark" : "light")) === "dark";
  const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; named(); });
  prefers.addEventListener("change", named);
  theme.hidden = false;
  named();

  // Numbers. The axes of a panel are [from, to, low, high, scale], from and to in the picture.
  const minus = (text) => text.replace("-", "−");
  const value = ([from, to, low, high, scale], at) => {
    const share = (at - from) / (to - from);
    return scale === "log" ? low * (high / low) ** share : low + share * (high - low);
  };
  const digits = ([, , low, high]) => Math.max(0, Math.min(3, 4 - Math.ceil(Math.log10(Math.abs(high - low)))));
  const along = (axis, at) => {
    const x = value(axis, at), whole = Math.round(x);
    return minus(Math.abs(x - whole) < 0.03 ? String(whole) : x.toPrecision(3));
  };
  const written = (parent, frame, at) => {
    const y = value(frame.y, at).toFixed(digits(frame.y)).replace(/^-(0\.?0*)$/, "$1");
    if (!frame.decades) parent.textContent = minus(y);
    else { parent.textContent = "10"; made(parent, "sup", {}, minus(y)); }
  };

  // A curve is read from its path (M and L, or differences after l), or from the marks on it.
  const read = (curve) => {
    const path = [...curve.children].find((child) => child.tagName === "path");
    if (!path) {
      return [...curve.querySelectorAll("use")].map((use) => [+use.getAttribute("x"), +use.getAttribute("y")]);
    }
    const found = [];
    let x = 0, y = 0, letter = "M", first = null;
    for (const [token] of path.getAttribute("d").matchAll(/[A-Za-z]|-?(?:\d+\.?\d*|\.\d+)/g)) {
      if (/[A-Za-z]/.test(token)) { letter = token; continue; }
      if (first === null) { first = +token; continue; }
      [x, y] = letter === "l" ? [x + first, y + +token] : [first, +token];
      found.push([x, y]);
      first = null;
    }
    return found;
  };

  // Pointing: a line and the values at it, by mouse, finger or arrow keys.
  const said = byId("said");
  const pointable = (plot) => {
    const tip = made(plot, "div", { class: "tip", "aria-hidden": "true", hidden: "" });
    let at = { panel: 0, x: 0 }, mark = null;
    const picture = () => plot.querySelector("svg");
    const panels = () => [...plot.querySelectorAll("[data-axes]")].map((group) => ({
      group,
      frame: JSON.parse(group.dataset.axes),
      curves: [...group.querySelectorAll("[data-curve]:not(.off)")],
    })).filter((panel) => panel.curves.length);
    const points = (curve) => (curve.points ??= read(curve));
    const away = () => { tip.hidden = true; mark?.remove(); };

    const show = (panel, x, y) => {
      away();
      const near = panel.curves.map((curve) => {
        const all = points(curve);
        const best = all.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a), all[0]);
        return { curve, best };
      }).filter((one) => one.best);
      if (!near.length) return "";
      const here = near.reduce((a, b) => (Math.abs(b.best[0] - x) < Math.abs(a.best[0] - x) ? b : a)).best[0];
      const all = near.filter((one) => Math.abs(one.best[0] - here) < 0.5);
      if (y !== undefined) all.sort((a, b) => Math.abs(a.best[1] - y) - Math.abs(b.best[1] - y));
      const rows = all.slice(0, 12).sort((a, b) => a.best[1] - b.best[1]);
      const { frame } = panel;
      mark = drawn(picture(), "g", { class: "mark" });
      drawn(mark, "path", { d: `M${here} ${frame.y[0]}V${frame.y[1]}` });
      tip.textContent = "";
      const title = `${frame.name} ${along(frame.x, here)}`;
      made(tip, "strong", {}, title);
      for (const { curve, best } of rows) {
        const colour = getComputedStyle(curve.querySelector("path") || curve).stroke;
        drawn(mark, "circle", { cx: best[0], cy: best[1], r: 2.2, fill: colour });
        const row = made(tip, "div");
        made(row, "i").style.background = colour;
        made(row, "span", {}, curve.dataset.curve);
        written(made(row, "b"), frame, best[1]);
      }
      if (all.length > rows.length) made(tip, "div", {}, `and ${all.length - rows.length} more`);
      tip.hidden = false;
      const box = plot.getBoundingClientRect(), svg = picture().getBoundingClientRect();
      const scale = svg.width / picture().viewBox.baseVal.width;
      const left = svg.left - box.left + here * scale;
      tip.style.left = `${left + 14 + tip.offsetWidth > box.width ? Math.max(0, left - 14 - tip.offsetWidth) : left + 14}px`;
      tip.style.top = `${svg.top - box.top + frame.y[1] * scale}px`;
      return [title, ...rows.map(({ curve, best }) => {
        const text = made(document.createElement("div"), "b");
        written(text, frame, best[1]);
        return `${curve.dataset.curve} ${text.textContent.replace(/^10(?=.)/, frame.decades ? "10 to the " : "10")}`;
      })].join(", ");
    };

    plot.addEventListener("pointermove", (event) => {
      const to = picture().getScreenCTM().inverse();
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(to);
      const all = panels();
      const i = all.findIndex(({ frame }) =>
        x > frame.x[0] - 4 && x < frame.x[1] + 4 && y < frame.y[0] + 4 && y > frame.y[1] - 4);
      if (i < 0) { away(); return; }
      at = { panel: i, x };
      show(all[i], x, y);
    });
    plot.addEventListener("pointerleave", away);
    plot.addEventListener("blur", away);
    plot.addEventListener("keydown", (event) => {
      const all = panels();
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
      const turns = { ArrowUp: -1, ArrowDown: 1 };
      if (event.key === "Escape") { away(); return; }
      if (!all.length || !(event.key in steps || event.key in turns)) return;
      event.preventDefault();
      const turn = at.panel + (turns[event.key] ?? 0);
      at.panel = Math.max(0, Math.min(all.length - 1, turn));
      const panel = all[at.panel];
      const xs = [...new Set(panel.curves.flatMap((curve) => points(curve).map(([x]) => x.toFixed(2))))]
        .map(Number).sort((a, b) => a - b);
      const now = xs.reduce((best, x, i) => (Math.abs(x - at.x) < Math.abs(xs[best] - at.x) ? i : best), 0);
      const shown = !tip.hidden || event.key in turns;
      const step = shown ? steps[event.key] ?? 0 : 0;
      at.x = xs[Math.max(0, Math.min(xs.length - 1, now + step))];
      said.textContent = show(panel, at.x);
    });
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", `${plot.getAttribute("aria-label")} Arrow keys read the values.`);
    return away;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    if (plot.querySelector("[data-curve]")) pointable(plot);
  }

  // Cells, switched in all figures at once.
  const data = JSON.parse(byId("views").textContent);
  const off = new Set();
  const switched = () => {
    for (const one of document.querySelectorAll("[data-curve], [data-band]")) {
      one.classList.toggle("off", off.has(one.dataset.curve ?? one.dataset.band));
    }
  };
  if (data.cells.length > 1) {
    const bar = byId("cells");
    for (const cell of data.cells) {
      const label = made(bar, "label");
      const box = made(label, "input", { type: "checkbox", checked: "" });
      const sample = drawn(label, "svg", { viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" });
      drawn(sample, "path", { d: "M0 4H26", class: "line", style: `stroke:${cell.colour}`, "stroke-dasharray": cell.dashes });
      made(label, "span", {}, cell.name);
      box.addEventListener("change", () => {
        if (box.checked) off.delete(cell.name); else off.add(cell.name);
        switched();
        view();
      });
    }
    bar.hidden = false;
  }

  // One view: a state at one value of every axis.
  const chosen = { state: 0, at: data.axes.map((axis) => (axis.name === "length" ? axis.values.length - 1 : 0)) };
  const controls = byId("controls"), live = byId("live");
  const control = (name, values, numeric, start, change) => {
    const label = made(controls, "label");
    made(label, "span", {}, name);
    if (!numeric) {
      const select = made(label, "select");
      values.forEach((text, i) => made(select, "option", { value: i }, text));
      select.value = start;
      select.addEventListener("change", () => { change(+select.value); view(); });
      return;
    }
    const slider = made(label, "input", { type: "range", min: 0, max: values.length - 1, value: start });
    const shown = made(label, "output");
    const tell = () => { shown.textContent = values[+slider.value]; slider.setAttribute("aria-valuetext", shown.textContent); };
    slider.addEventListener("input", () => { change(+slider.value); tell(); view(); });
    tell();
  };
  const fits = (curve, free) => curve.state === chosen.state
    && curve.at.every((at, i) => at < 0 || at === chosen.at[i] || i === free);
  const finite = (curve) => ["low", "median", "high"].flatMap((name) => curve[name] ?? []).filter(Number.isFinite);

  const step = (span, count, of = [1, 2, 2.5, 5, 10]) => {
    const power = 10 ** Math.floor(Math.log10(span / count));
    return Math.max(1, power * (of.find((one) => one * power * count >= span) ?? 10));
  };
  const ticks = (low, high, by) => {
    const found = [];
    for (let tick = Math.ceil(low / by) * by; tick <= high + 1e-9; tick += by) found.push(Math.round(tick * 10) / 10);
    return found;
  };

  const view = () => {
    const free = data.axes.findIndex((axis) => axis.numeric && axis.name !== "length");
    const long = data.axes.findIndex((axis) => axis.name === "length");
    const shown = data.curves.filter((curve) => fits(curve));
    const ghosts = data.cells.length === 1 && free >= 0 ? data.curves.filter((curve) => fits(curve, free)) : [];
    const peers = data.curves.filter((curve) => curve.state === chosen.state
      && !off.has(data.cells[curve.cell].name) && (long < 0 || curve.at[long] < 0 || curve.at[long] === chosen.at[long]));
    const numbers = [0, ...peers.flatMap(finite)];
    let low = numbers.reduce((a, b) => Math.min(a, b)), high = numbers.reduce((a, b) => Math.max(a, b));
    if (high - low < 2) [low, high] = [(low + high) / 2 - 1, (low + high) / 2 + 1];
    const room = 0.04 * (high - low);
    const last = shown.concat(ghosts).reduce((a, curve) => Math.max(a, curve.lag[curve.lag.length - 1]), 1);
    const wide = live.clientWidth < 560 ? 430 : 720, middle = wide / 2 + 22;
    const x = [64, wide - 20, -0.02 * last, 1.02 * last, "linear"], y = [300, 12, low - room, high + room, "linear"];
    const place = (axis, number) => axis[0] + (axis[1] - axis[0]) * (number - axis[2]) / (axis[3] - axis[2]);
    const px = (number) => place(x, number).toFixed(2), py = (number) => place(y, number).toFixed(2);
    const svg = live.querySelector("svg");
    svg.textContent = "";
    svg.setAttribute("viewBox", `0 0 ${wide} 345`);
    const panel = drawn(svg, "g", { "data-axes": JSON.stringify({ x, y, name: "lag", decades: true }) });
    drawn(panel, "path", { class: "frame", d: `M${x[0]} ${y[1]}V${y[0]}H${x[1]}` });
    for (const tick of ticks(0, last, step(last, wide / 90))) {
      drawn(panel, "text", { x: px(tick), y: y[0] + 18, "text-anchor": "middle" }, String(tick));
      drawn(panel, "path", { class: "frame", d: `M${px(tick)} ${y[0]}v4` });
    }
    for (const tick of ticks(y[2], y[3], step(high - low, 6, [1, 2, 3, 5, 10]))) {
      const text = drawn(panel, "text", { x: x[0] - 8, y: +py(tick) + 4, "text-anchor": "end" }, "10");
      drawn(text, "tspan", { dy: -5, class: "power" }, minus(String(tick)));
      drawn(panel, "path", { class: "grid", d: `M${x[0]} ${py(tick)}H${x[1]}` });
    }
    drawn(svg, "text", { x: middle, y: y[0] + 40, "text-anchor": "middle" }, "lag (steps back from the last loss)");
    drawn(svg, "text", { x: 14, y: 156, "text-anchor": "middle", transform: "rotate(-90 14 156)" }, `‖${data.states[chosen.state].label.split(",")[0]}‖`);
    const line = (curve) => curve.median.map((number, i) => (Number.isFinite(number)
      ? `${i && Number.isFinite(curve.median[i - 1]) ? "L" : "M"}${px(curve.lag[i])} ${py(number)}` : "")).join("");
    for (const curve of ghosts) drawn(panel, "path", { class: "ghost", d: line(curve) });
    for (const curve of shown) {
      const cell = data.cells[curve.cell];
      if (curve.low) {
        const edge = (name) => curve.lag.map((lag, i) => `${px(lag)} ${py(Number.isFinite(curve[name][i]) ? curve[name][i] : y[2])}`);
        const around = `M${edge("low").concat(edge("high").reverse()).join("L")}Z`;
        drawn(panel, "path", { class: "band", "data-band": cell.name, d: around, style: `fill:${cell.colour}` });
      }
      const group = drawn(panel, "g", { "data-curve": cell.name });
      drawn(group, "path", { class: "line", d: line(curve), style: `stroke:${cell.colour}`, "stroke-dasharray": cell.dashes });
      const zero = curve.median.indexOf("-inf");
      if (zero >= 0) drawn(panel, "text", { x: px(curve.lag[zero]), y: y[0] - 4, "text-anchor": "middle" }, "× exactly 0");
    }
    if (!shown.length) drawn(svg, "text", { x: middle, y: 150, "text-anchor": "middle" }, "nothing was measured here");
    switched();
  };

  if (data.states.length > 1) {
    control("state", data.states.map((state) => state.label), false, 0, (i) => { chosen.state = i; });
  }
  data.axes.forEach((axis, i) => control(axis.name, axis.values, axis.numeric, chosen.at[i], (to) => { chosen.at[i] = to; }));
  const away = pointable(live);
  controls.addEventListener("input", away);
  for (const one of document.querySelectorAll(".scripted")) one.hidden = false;
  view();
  addEventListener("resize", view);

  // What is folded away is printed, too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
