// Draws how many requests took how long, from the JSON beside it: a logarithmic axis, since durations
// are spread over decades. Must not know what the run was.
(() => {
  const source = document.getElementById('durations');
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const columns = data.withoutLlm.length;
  const figure = document.querySelector('.histogram');
  const plot = figure.querySelector('.plot');
  const reading = figure.querySelector('.reading');
  const total = data.withoutLlm.map((count, at) => count + data.withLlm[at]);
  const all = total.reduce((sum, count) => sum + count, 0);
  if (columns === 0) return;
  const inAll = plot.getAttribute('aria-valuetext');
  const low = Math.log10(data.bounds[0]);
  const high = Math.log10(data.bounds[columns]);
  let read = null;
  let x = null;
  let svg = null;

  draw();
  new ResizeObserver(draw).observe(figure);
  choosable(plot, columns, nearest, readAt);

  function nearest(across) {
    for (let at = 0; at < columns - 1; at++) if (across < x(data.bounds[at + 1])) return at;
    return columns - 1;
  }

  function ticks(width) {
    const wanted = Math.max(2, width / 70);
    for (const factors of [[1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
        for (const factor of factors) {
          const tick = Number((factor * 10 ** power).toPrecision(6));
          if (tick >= data.bounds[0] * 0.999 && tick <= data.bounds[columns] * 1.001) found.push(tick);
        }
      }
      if (found.length <= wanted || factors.length === 1) return found.length ? found : [data.bounds[0], data.bounds[columns]];
    }
    return [];
  }

  function draw() {
    const width = plot.clientWidth;
    const height = plot.clientHeight;
    if (width === 0) return;
    const counts = linearTicks(Math.max(...total), 4, true);
    const left = 14 + 7 * Math.max(...counts.map((tick) => plain(tick).length));
    const right = 18;
    const top = 22;
    const foot = height - 22;
    const y = (count) => foot - (count / counts[counts.length - 1]) * (foot - top);
    x = (ms) => left + ((Math.log10(ms) - low) / (high - low)) * (width - left - right);
    svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('aria-hidden', 'true');
    for (const tick of counts) {
      element('line', { class: tick === 0 ? 'axis' : 'grid', x1: left, x2: width - right, y1: y(tick), y2: y(tick) }, svg);
      element('text', { x: left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, svg, plain(tick));
    }
    for (const tick of ticks(width - left - right)) {
      element('line', { class: 'axis', x1: x(tick), x2: x(tick), y1: foot, y2: foot + 4 }, svg);
      const anchor = x(tick) > width - 24 ? 'end' : 'middle';
      element('text', { x: x(tick), y: foot + 17, 'text-anchor': anchor }, svg, milliseconds(tick));
    }
    bars('without-llm', data.withoutLlm, () => 0, y);
    bars('with-llm', data.withLlm, (at) => data.withoutLlm[at], y);
    let free = -Infinity;
    for (const [name, ms] of data.marks) {
      const across = x(Math.min(Math.max(ms, data.bounds[0]), data.bounds[columns]));
      element('line', { class: `quantile ${name}`, x1: across, x2: across, y1: top - 6, y2: foot }, svg);
      // Labels that would stand in each other are left to the table below.
      if (across - free < 26) continue;
      const anchor = across > width - 40 ? 'end' : 'middle';
      element('text', { class: name, x: across, y: top - 9, 'text-anchor': anchor }, svg, name);
      free = across;
    }
    plot.replaceChildren(svg);
    mark();
  }

  function bars(name, counts, under, y) {
    let path = '';
    counts.forEach((count, at) => {
      if (count === 0) return;
      const from = x(data.bounds[at]);
      const wide = x(data.bounds[at + 1]) - from;
      const base = y(under(at));
      // One request in a million is still seen.
      const high = Math.max(1.5, base - y(under(at) + count));
      path += `M${round(from)} ${round(base)}h${round(Math.max(1, wide - (wide > 5 ? 1 : 0)))}v${round(-high)}H${round(from)}z`;
    });
    element('path', { class: `bar ${name}`, d: path }, svg);
  }

  function readAt(index) {
    read = index;
    if (index === null) {
      reading.textContent = '';
      plot.setAttribute('aria-valuetext', inAll);
    } else {
      const share = trim(((100 * total[index]) / all).toFixed(total[index] * 100 < all ? 3 : 1));
      const below = total.slice(0, index + 1).reduce((sum, count) => sum + count, 0);
      const text = `${milliseconds(data.bounds[index])} to ${milliseconds(data.bounds[index + 1])}: ${plain(total[index])} requests, ${share} %`;
      reading.textContent = text;
      plot.setAttribute('aria-valuetext', `${text}; ${trim(((100 * below) / all).toFixed(1))} % took no longer`);
    }
    mark();
  }

  function mark() {
    svg.querySelector('.chosen')?.remove();
    if (read === null) return;
    const from = x(data.bounds[read]);
    element('rect', { class: 'chosen', x: from, y: 22, width: x(data.bounds[read + 1]) - from, height: plot.clientHeight - 44 }, svg);
  }
})();
