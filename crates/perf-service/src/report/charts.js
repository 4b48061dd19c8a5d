// Draws the charts from the JSON beside it. Owns axes, lines and what is read off by pointing.
// Must not know what the run was. Without it the report is whole but for the charts.
(() => {
  const source = document.getElementById('timeline');
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const points = data.at.length;
  const begin = data.at[0];
  const end = data.at[points - 1] + data.span[points - 1];

  const WIDEST_BAR = 48;
  const KINDS = {
    duration: { series: ['p50', 'p95', 'p99'], show: milliseconds },
    requests: { series: ['requests'], show: plain, area: true },
    failed: { series: ['failed'], show: plain, bars: true, none: 'No request failed' },
    users: { series: ['users'], show: plain, steps: true, area: true, whole: true },
    tokens: { series: ['tokens'], show: plain, bars: true, none: 'No tokens were used' },
  };
  const charts = Array.from(document.querySelectorAll('.charts .chart'), (figure) => {
    const kind = KINDS[figure.dataset.chart];
    return { figure, kind, plot: figure.querySelector('.plot'), log: false, marks: null };
  });

  // The point that is being read, or null: the same one in all charts.
  let read = null;

  for (const chart of charts) {
    if (chart.kind.show === milliseconds) offerLogScale(chart);
    choosable(chart.plot, points, (across) => nearest(chart, across), readAt);
  }
  const redraw = () => charts.forEach(draw);
  redraw();
  new ResizeObserver(redraw).observe(document.querySelector('.charts'));
  readAt(null);

  function known(chart) {
    return chart.kind.series.flatMap((name) => data[name]).filter((value) => value !== null);
  }

  // ---- scales ----

  function logTicks(least, most) {
    const low = Math.floor(Math.log10(Math.max(least, 0.001)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(most, 0.001)) - 1e-9));
    const ticks = [];
    for (let power = low; power <= high; power++) ticks.push(Number((10 ** power).toPrecision(12)));
    return ticks;
  }

  function timeTicks(seconds, width) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = steps.find((size) => seconds / size <= Math.max(2, width / 70)) || 86400;
    const ticks = [];
    for (let at = Math.ceil(begin / step) * step; at <= end; at += step) ticks.push(at);
    return ticks;
  }

  // ---- drawing ----

  function draw(chart) {
    const { plot, kind } = chart;
    const width = plot.clientWidth;
    const height = plot.clientHeight;
    if (width === 0) return;
    const values = known(chart);
    const most = values.reduce((a, b) => Math.max(a, b), 0);
    const least = values.filter((value) => value > 0).reduce((a, b) => Math.min(a, b), Infinity);
    const log = chart.log && most > 0;
    const ticks = log ? logTicks(least, most) : linearTicks(most, 4, kind.whole);
    const top = 8;
    const left = 14 + 7 * Math.max(...ticks.map((tick) => kind.show(tick).length));
    const right = 10;
    const foot = height - 22;
    const floor = ticks[0];
    const ceiling = ticks[ticks.length - 1];
    const part = log
      ? (value) => Math.log10(Math.max(value, floor) / floor) / Math.log10(ceiling / floor)
      : (value) => value / ceiling;
    const x = (seconds) => left + ((seconds - begin) / (end - begin)) * (width - left - right);
    const y = (value) => foot - part(value) * (foot - top);
    const middle = (index) => x(data.at[index] + data.span[index] / 2);
    chart.x = middle;
    chart.y = y;
    chart.top = top;
    chart.foot = foot;

    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('aria-hidden', 'true');
    shadeWarmUp(svg, x, top, foot);
    for (const tick of ticks) {
      element('line', { class: tick === floor ? 'axis' : 'grid', x1: left, x2: width - right, y1: y(tick), y2: y(tick) }, svg);
      element('text', { x: left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, svg, kind.show(tick));
    }
    for (const tick of timeTicks(end - begin, width - left - right)) {
      element('line', { class: 'axis', x1: x(tick), x2: x(tick), y1: foot, y2: foot + 4 }, svg);
      const anchor = x(tick) > width - 24 ? 'end' : 'middle';
      element('text', { x: x(tick), y: foot + 17, 'text-anchor': anchor }, svg, clock(tick));
    }
    if (values.length === 0 || (kind.none && most === 0)) {
      const note = kind.none || 'Nothing was asked';
      element('text', { x: (left + width - right) / 2, y: (top + foot) / 2, 'text-anchor': 'middle' }, svg, note);
    } else {
      for (const name of kind.series) (kind.bars ? drawBars : drawLine)(svg, name, kind, x, y, middle, foot);
    }
    chart.marks = element('g', {}, svg);
    plot.querySelector('svg')?.remove();
    plot.prepend(svg);
    mark(chart);
  }

  function shadeWarmUp(svg, x, top, foot) {
    for (let first = 0; first < points; first++) {
      if (!data.warmUp[first]) continue;
      let last = first;
      while (last + 1 < points && data.warmUp[last + 1]) last++;
      const from = x(data.at[first]);
      const wide = x(data.at[last] + data.span[last]) - from;
      element('rect', { class: 'warm-up', x: from, y: top, width: wide, height: foot - top }, svg);
      if (wide > 62) element('text', { x: from + 6, y: top + 14 }, svg, 'warm-up');
      first = last;
    }
  }

  function drawBars(svg, name, kind, x, y, middle, foot) {
    let path = '';
    data[name].forEach((value, index) => {
      if (!(value > 0)) return;
      const from = x(data.at[index]);
      const to = x(data.at[index] + data.span[index]);
      const gap = to - from > 4 ? Math.min(2, (to - from) * 0.15) : 0;
      const wide = Math.min(WIDEST_BAR, Math.max(1, to - from - gap));
      const high = Math.max(1.5, foot - y(value));
      path += `M${round((from + to - wide) / 2)} ${round(foot)}h${round(wide)}v${round(-high)}h${round(-wide)}z`;
    });
    element('path', { class: `bar ${name}`, d: path }, svg);
  }

  // A line is drawn between neighbours only; what stands alone is a dot.
  function drawLine(svg, name, kind, x, y, middle, foot) {
    const runs = [];
    let run = [];
    data[name].forEach((value, index) => {
      const follows = index > 0 && data.at[index] === data.at[index - 1] + data.span[index - 1];
      if (value === null || !follows) {
        if (run.length) runs.push(run);
        run = [];
      }
      if (value !== null) run.push(index);
    });
    if (run.length) runs.push(run);
    let line = '';
    let area = '';
    for (const run of runs) {
      const corners = run.flatMap((index) => {
        const level = y(data[name][index]);
        return kind.steps
          ? [[x(data.at[index]), level], [x(data.at[index] + data.span[index]), level]]
          : [[middle(index), level]];
      });
      if (corners.length === 1) {
        element('circle', { class: `dot ${name}`, cx: corners[0][0], cy: corners[0][1], r: points > 200 ? 1.5 : 2.5 }, svg);
        continue;
      }
      const path = corners.map(([across, up]) => `${round(across)} ${round(up)}`).join('L');
      line += `M${path}`;
      area += `M${round(corners[0][0])} ${round(foot)}L${path}L${round(corners[corners.length - 1][0])} ${round(foot)}z`;
    }
    if (kind.area && area) element('path', { class: `area ${name}`, d: area }, svg);
    if (line) element('path', { class: `line ${name}`, d: line }, svg);
  }

  // ---- reading ----

  function peaks(chart) {
    const said = chart.kind.series.map((name) => {
      const peak = data[name].reduce((a, b) => (b === null ? a : Math.max(a, b)), 0);
      return `${name} up to ${chart.kind.show(peak)}`;
    });
    return said.join(', ');
  }

  function said(chart, index) {
    if (index === null) return peaks(chart);
    const values = chart.kind.series.map((name) => `${name} ${data[name][index] === null ? 'not known' : chart.kind.show(data[name][index])}`);
    return `${clock(data.at[index])}${data.warmUp[index] ? ', warm-up' : ''}: ${values.join(', ')}`;
  }

  function offerLogScale(chart) {
    const p50 = data.p50.filter((value) => value > 0).sort((a, b) => a - b);
    const peak = known(chart).reduce((a, b) => Math.max(a, b), 0);
    if (p50.length === 0) return;
    // With LLM calls among quick reads a linear axis shows the former only.
    chart.log = peak > 30 * p50[p50.length >> 1];
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'scale';
    button.textContent = 'log scale';
    button.setAttribute('aria-pressed', String(chart.log));
    button.addEventListener('click', () => {
      chart.log = !chart.log;
      button.setAttribute('aria-pressed', String(chart.log));
      draw(chart);
    });
    chart.figure.querySelector('h3').after(button);
  }

  function nearest(chart, across) {
    let found = 0;
    for (let index = 1; index < points; index++) {
      if (Math.abs(chart.x(index) - across) < Math.abs(chart.x(found) - across)) found = index;
    }
    return found;
  }

  /** Shows the values of one point in all charts, or the peaks when `index` is null. */
  function readAt(index) {
    read = index;
    for (const chart of charts) {
      for (const key of chart.figure.querySelectorAll('.key')) {
        const column = data[key.dataset.key];
        const peak = column.reduce((a, b) => (b === null ? a : a === null ? b : Math.max(a, b)), null);
        const value = index === null ? peak : column[index];
        const text = value === null ? '–' : chart.kind.show(value);
        key.querySelector('b').textContent = index === null ? `peak ${text}` : text;
      }
      chart.plot.setAttribute('aria-valuetext', said(chart, index));
      mark(chart);
    }
  }

  function mark(chart) {
    if (!chart.marks) return;
    chart.marks.replaceChildren();
    chart.plot.querySelector('.moment')?.remove();
    if (read === null) return;
    const across = chart.x(read);
    element('line', { class: 'cursor', x1: across, x2: across, y1: chart.top, y2: chart.foot }, chart.marks);
    if (!chart.kind.bars) {
      for (const name of chart.kind.series) {
        const value = data[name][read];
        if (value !== null) element('circle', { class: `dot ${name}`, cx: across, cy: chart.y(value), r: 3.5 }, chart.marks);
      }
    }
    const moment = document.createElement('div');
    moment.className = 'moment';
    const from = clock(data.at[read]);
    const until = clock(data.at[read] + data.span[read]);
    moment.textContent = `${data.span[read] > 1 ? `${from} to ${until}` : from}${data.warmUp[read] ? ', warm-up' : ''}`;
    chart.plot.append(moment);
    const half = moment.offsetWidth / 2;
    moment.style.left = `${Math.min(chart.plot.clientWidth - half, Math.max(half, across))}px`;
  }
})();
