// What charts are drawn with: numbers as people read them, ticks, elements of SVG, and the slider that
// a plot is to a keyboard or a screen reader. Must not know what is drawn.
'use strict';

function plain(value) {
  if (value < 100) return trim(value.toFixed(value >= 1 ? 1 : 2));
  return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ',');
}

function milliseconds(value) {
  if (value >= 1000) return `${trim((value / 1000).toFixed(value >= 10000 ? 1 : 2))} s`;
  return `${trim(value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2))} ms`;
}

function trim(text) {
  return text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const minutes = String(Math.floor((whole % 3600) / 60));
  const rest = String(whole % 60).padStart(2, '0');
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${minutes.padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

function linearTicks(most, wanted, whole) {
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let count = 0; count * step < most + step * 0.999; count++) ticks.push(Number((count * step).toPrecision(12)));
  return ticks;
}

function element(name, attributes, parent, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function round(value) {
  return Math.round(value * 10) / 10;
}

/** Lets pointer and keys choose one of `count` points; `nearest` finds it by pixels, `chosen` gets it or null. */
function choosable(plot, count, nearest, chosen) {
  let at = null;
  const choose = (index) => {
    at = index;
    plot.setAttribute('aria-valuenow', String(index === null ? 0 : index));
    chosen(index);
  };
  const point = (event) => choose(nearest(event.clientX - plot.getBoundingClientRect().left));
  plot.setAttribute('aria-valuemax', String(count - 1));
  plot.addEventListener('pointermove', point);
  plot.addEventListener('pointerdown', point);
  plot.addEventListener('pointerleave', () => choose(null));
  plot.addEventListener('blur', () => choose(null));
  plot.addEventListener('keydown', (event) => {
    const step = {
      ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -count, End: count,
    }[event.key];
    if (event.key === 'Escape') choose(null);
    if (step === undefined) return;
    event.preventDefault();
    const from = at === null ? (step > 0 ? -1 : count) : at;
    choose(Math.min(count - 1, Math.max(0, from + step)));
  });
}
