'use strict';
// The live status page: asks for /api/v1/status and shows it.  Every text of the answer reaches the
// page as textContent or as an attribute's value, never as markup.

const PHASES = ['sample', 'pull', 'compute', 'push', 'wait'];
const POLL_MS = 1000, HIDDEN_MS = 10000, TIMEOUT_MS = 8000;
const SVG = 'http://www.w3.org/2000/svg';
const $ = id => document.getElementById(id);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function svg(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text != null) node.textContent = text;
  return node;
}

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }
function setClass(node, name) { if (node.className !== name) node.className = name; }

// ---- Numbers as text ----

const isNumber = v => typeof v === 'number' && isFinite(v);
const two = v => String(v).padStart(2, '0');
const whole = v => isNumber(v) ? Math.round(v).toLocaleString('en') : '-';
const percent = v => isNumber(v) ? (100 * v).toFixed(0) + ' %' : '-';
const fixed = digits => v => isNumber(v) ? v.toFixed(digits) : '-';

function duration(s) {
  if (!isNumber(s)) return '-';
  s = Math.max(0, s);
  if (s > 0 && s < 0.9995) return s < 0.01 ? (1000 * s).toFixed(1) + ' ms' : (1000 * s).toFixed(0) + ' ms';
  if (s < 10) return s.toFixed(1) + ' s';
  s = Math.round(s);
  if (s < 100) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + 'm' + two(s % 60) + 's';
  if (s < 86400) return Math.floor(s / 3600) + 'h' + two(Math.floor(s % 3600 / 60)) + 'm';
  return Math.floor(s / 86400) + 'd' + two(Math.floor(s % 86400 / 3600)) + 'h';
}

function bytes(v) {
  if (!isNumber(v)) return '-';
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let i = 0;
  while (v >= 999.5 && i < units.length - 1) { v /= 1000; i++; }
  return (i && v < 9.95 ? v.toFixed(1) : v.toFixed(0)) + ' ' + units[i];
}

function short(v) {
  if (!isNumber(v)) return '-';
  const size = Math.abs(v);
  if (size >= 10000) return whole(v);
  if (size !== 0 && size < 0.001) return v.toExponential(2);
  return String(Number(v.toPrecision(4)));
}

function rate(v) {
  if (!isNumber(v)) return '-';
  return v >= 100 || v === 0 ? whole(v) : v.toFixed(1);
}

function clock(date) {
  const time = two(date.getHours()) + ':' + two(date.getMinutes()) + ':' + two(date.getSeconds());
  const today = date.toDateString() === new Date().toDateString();
  return today ? time : date.getFullYear() + '-' + two(date.getMonth() + 1) + '-' + two(date.getDate()) + ' ' + time;
}

// ---- Tables: sorted by the reader's choice, rows kept from answer to answer ----

// columns: {title, help, value(row), show(value, row), number, minor, wrap, tone(row), node(row, cell), order}.
// order: 1 or -1 on the column that sorts at first; a table without one keeps the order of its rows.
function table(section, columns, key) {
  const root = $(section).querySelector('table');
  const first = columns.findIndex(c => c.order);
  const sort = {column: first, order: first < 0 ? 1 : columns[first].order};
  const headings = columns.map((c, i) => {
    const button = el('button', {type: 'button'}, c.title);
    const th = el('th', {scope: 'col', class: classOf(c)}, first < 0 ? c.title : button);
    if (c.help) th.title = c.help;
    button.addEventListener('click', () => {
      sort.order = sort.column === i ? -sort.order : c.number ? -1 : 1;
      sort.column = i;
      fill();
    });
    return th;
  });
  const body = el('tbody');
  const rows = new Map();
  let data = [];
  root.append(el('thead', {}, el('tr', {}, ...headings)), body);

  function classOf(c) { return [c.number ? 'n' : '', c.minor ? 'minor' : '', c.wrap ? 'wrap' : ''].join(' ').trim(); }

  function compare(a, b) {
    const c = columns[sort.column], x = c.value(a), y = c.value(b);
    if (typeof x === 'number' && typeof y === 'number') return (x - y) * sort.order;
    return String(x ?? '').localeCompare(String(y ?? ''), 'en', {numeric: true}) * sort.order;
  }

  function fillRow(tr, row) {
    columns.forEach((c, i) => {
      const td = tr.cells[i];
      if (c.node) { c.node(row, td); return; }
      const value = c.value(row);
      setText(td, c.show ? c.show(value, row) : String(value ?? ''));
      setClass(td, (classOf(c) + ' ' + (c.tone ? c.tone(row) : '')).trim());
    });
  }

  function fill() {
    const sorted = sort.column < 0 ? data : [...data].sort(compare);
    headings.forEach((th, i) => {
      if (sort.column === i) th.setAttribute('aria-sort', sort.order > 0 ? 'ascending' : 'descending');
      else th.removeAttribute('aria-sort');
    });
    const wanted = new Set(sorted.map(key));
    for (const [name, tr] of rows) if (!wanted.has(name)) { tr.remove(); rows.delete(name); }
    sorted.forEach((row, i) => {
      const name = key(row);
      let tr = rows.get(name);
      if (!tr) {
        tr = el('tr', {}, ...columns.map(c => el('td', {class: classOf(c)})));
        rows.set(name, tr);
      }
      fillRow(tr, row);
      if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] || null);
    });
    if (!sorted.length && !body.children.length) {
      body.append(el('tr', {}, el('td', {class: 'empty', colspan: columns.length}, 'none')));
    } else if (sorted.length) {
      for (const tr of [...body.children]) if (tr.cells[0] && tr.cells[0].className === 'empty') tr.remove();
    }
  }

  return {update(list) { data = list; fill(); }};
}

const seen = {title: 'last seen', value: r => r.last_seen_ms, show: v => v < 100 ? 'now' : duration(v / 1000) + ' ago', number: true, minor: true,
  tone: r => r.last_seen_ms > 5000 ? 'bad' : r.last_seen_ms > 2500 ? 'warn' : ''};
const memory = {title: 'memory', value: r => r.rss_bytes, show: bytes, number: true, minor: true};
const state = {title: 'state', value: r => r.state,
  tone: r => r.state === 'lost' ? 'bad' : r.state === 'starting' || r.state === 'draining' ? 'warn' : ''};
const process = {title: 'process', value: r => r.id, node: (r, td) => {
  setText(td, r.id);
  td.title = 'pid ' + r.pid + ', life ' + r.incarnation + (r.address ? ', ' + r.address : '');
}};

function shares(row, td) {
  let bar = td.firstChild;
  if (!bar) { bar = el('div', {class: 'mini'}, ...PHASES.map(p => el('div', {class: 'of-' + p}))); td.append(bar); }
  PHASES.forEach((p, i) => { bar.children[i].style.width = 100 * (row.time_share[p] || 0) + '%'; });
  bar.title = PHASES.map(p => p + ' ' + percent(row.time_share[p])).join(', ');
}

const workers = table('workers', [process, state,
  {title: 'slot', value: r => r.slot, show: v => v || '-', minor: true},
  {title: 'leases', value: r => r.leases, show: whole, number: true, minor: true},
  {title: 'lease age', value: r => r.lease_age_s, show: v => v ? duration(v) : '-', number: true, minor: true},
  {title: 'examples/s', value: r => r.examples_per_s, show: rate, number: true, order: 1},
  {title: 'slot p50', value: r => r.step_ms_p50, show: v => v ? duration(v / 1000) : '-', number: true, minor: true},
  {title: 'slot p99', value: r => r.step_ms_p99, show: v => v ? duration(v / 1000) : '-', number: true},
  {title: 'slots done', value: r => r.slots_done, show: whole, number: true, minor: true},
  {title: 'time', value: r => r.time_share.compute, node: shares, minor: true},
  memory, seen], r => r.id);

const servers = table('servers', [process, state,
  {title: 'version', value: r => r.version, show: whole, number: true, minor: true},
  {title: 'rows', value: r => r.rows, show: whole, number: true, minor: true},
  {title: 'held', value: r => r.bytes, show: bytes, number: true},
  {title: 'pulls/s', value: r => r.pulls_per_s, show: rate, number: true},
  {title: 'pushes/s', value: r => r.pushes_per_s, show: rate, number: true, minor: true},
  {title: 'repeats', value: r => r.repeats, show: whole, number: true, minor: true},
  {title: 'commit p50', value: r => r.apply_ms_p50, show: v => v ? duration(v / 1000) : '-', number: true, minor: true},
  {title: 'commit p99', value: r => r.apply_ms_p99, show: v => v ? duration(v / 1000) : '-', number: true, order: -1},
  {title: 'last checkpoint', value: r => r.last_checkpoint_step ?? -1, show: v => v < 0 ? 'none' : 'step ' + whole(v), number: true, minor: true},
  memory, seen], r => r.id);

const samplers = table('samplers', [process, state,
  {title: 'partitions', value: r => r.partitions.length, number: true, minor: true, node: (r, td) => {
    setText(td, whole(r.partitions.length));
    td.title = r.partitions.join(', ');
  }},
  {title: 'batches/s', value: r => r.batches_per_s, show: rate, number: true, order: 1},
  {title: 'queue', value: r => r.queue, show: whole, number: true},
  {title: 'batches', value: r => r.batches, show: whole, number: true, minor: true},
  {title: 'remote', help: 'lookups of neighbours that other samplers had to answer', value: r => r.remote_share, show: percent, number: true},
  memory, seen], r => r.id);

const TONES = {death: 'bad', fail: 'bad', stalled: 'bad', rollback: 'warn', checkpoint_failed: 'bad', checkpoint_damaged: 'bad',
  manifest_failed: 'bad', refused: 'warn', reassigned: 'warn', unsaved: 'warn', checkpoint: 'good', done: 'good', join: 'good'};
const events = table('events', [
  {title: 'time', value: r => r.time, show: v => clock(new Date(v))},
  {title: 'event', value: r => r.event, tone: r => TONES[r.event] || ''},
  {title: 'who', value: r => r.who.replace(/^(scheduler|driver)-0$/, '$1')},
  {title: 'why', value: r => r.why, wrap: true}], r => r.key);

const results = table('results', [
  {title: 'stage', value: r => r.stage}, {title: 'metric', value: r => r.metric},
  {title: 'best', value: r => r.best, show: short, number: true},
  {title: 'at step', value: r => r.best_step, show: (v, r) => whole(v) + ' of ' + whole(r.steps), number: true}], r => r.stage);

const facts = section => table(section, [{title: 'name', value: r => r[0]},
  {title: 'value', value: r => r[1], wrap: true, tone: r => r[2] || ''}], r => r[0]);
const counters = facts('counters'), build = facts('build');
const config = table('config', [{title: 'key', value: r => r[0]}, {title: 'value', value: r => r[1], wrap: true}], r => r[0]);

// ---- Curves ----

function niceStep(span, most) {
  const raw = span / most, unit = 10 ** Math.floor(Math.log10(raw)), f = raw / unit;
  return unit * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 2.5 ? 2.5 : f <= 5 ? 5 : 10);
}

function ticks(low, high, most) {
  const step = niceStep(high - low, most), list = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) list.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return list;
}

// The median of the last few: one slow step is no trend.
function median(points) {
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - 10), i + 1).map(p => p[1]).sort((a, b) => a - b);
    return [x, near[near.length >> 1]];
  });
}

// Follows the trend, as the mean of what came before with weights that fade.
function smooth(points) {
  let mean = null;
  return points.map(([x, y]) => { mean = mean === null ? y : 0.8 * mean + 0.2 * y; return [x, mean]; });
}

// options: smooth, zero (the axis starts there), count (whole numbers, drawn as stairs), dots, best (marked), robust (what is
// rarely reached is cut off), show(value) and tick(value) as text, empty (said while there is nothing).
function curve(title, options) {
  const now = el('span'), root = svg('svg', {role: 'img', 'aria-label': title});
  const card = el('div', {class: 'curve'}, el('h3', {}, title, now), root);
  let points = [], place = null;
  $('curves').append(card);

  function range() {
    let low = Math.min(...points.map(p => p[1])), high = Math.max(...points.map(p => p[1]));
    if (options.robust && points.length > 20) high = points.map(p => p[1]).sort((a, b) => a - b)[Math.floor(0.97 * points.length)] * 1.4;
    if (options.zero) low = Math.min(0, low);
    if (high - low < 1e-12) { high += options.zero ? 1 : Math.abs(high) * 0.1 || 1; if (!options.zero) low -= Math.abs(low) * 0.1 || 1; }
    const pad = 0.05 * (high - low);
    return [options.zero && low >= 0 ? 0 : low - pad, high + pad];
  }

  function path(list, stairs) {
    return list.map(([x, y], i) => {
      const px = place.x(x).toFixed(1), py = Math.max(0, place.y(y)).toFixed(1);
      return i === 0 ? 'M' + px + ' ' + py : stairs ? 'H' + px + 'V' + py : 'L' + px + ' ' + py;
    }).join('');
  }

  function axes(width, height, left, bottom, low, high, x0, x1) {
    for (const v of ticks(low, high, 4)) {
      const y = place.y(v);
      if (y < 6 || (options.count && v !== Math.floor(v))) continue;
      root.append(svg('line', {class: 'grid', x1: left, x2: width - 4, y1: y, y2: y}),
        svg('text', {x: left - 5, y: y + 4, 'text-anchor': 'end'}, options.tick ? options.tick(v) : short(v)));
    }
    for (const v of ticks(x0, x1, Math.max(2, Math.floor(width / 90)))) {
      if (v !== Math.floor(v)) continue;
      const x = place.x(v), edge = x > width - 24;
      root.append(svg('text', {x: edge ? width - 2 : x, y: height - 4, 'text-anchor': edge ? 'end' : 'middle'}, whole(v)));
    }
  }

  function draw() {
    const width = root.clientWidth, height = root.clientHeight, left = 46, bottom = 20, top = 8;
    root.replaceChildren();
    place = null;
    if (!width) return;
    root.setAttribute('viewBox', '0 0 ' + width + ' ' + height);
    if (points.length < (options.dots ? 1 : 2)) {
      root.append(svg('text', {x: width / 2, y: height / 2, 'text-anchor': 'middle'}, options.empty || 'nothing yet'));
      return;
    }
    const [low, high] = range(), x0 = points[0][0], x1 = Math.max(points[points.length - 1][0], x0 + 1);
    place = {x: v => left + (width - left - 8) * (v - x0) / (x1 - x0), y: v => height - bottom - (height - bottom - top) * (v - low) / (high - low)};
    axes(width, height, left, bottom, low, high, x0, x1);
    if (options.smooth && points.length > 20) {
      root.append(svg('path', {class: 'raw', d: path(points)}), svg('path', {class: 'line', d: path((options.robust ? median : smooth)(points))}));
    } else {
      if (options.zero) {
        const base = place.y(Math.max(low, 0)).toFixed(1);
        root.append(svg('path', {class: 'area', d: path(points, options.count) + 'V' + base + 'H' + place.x(points[0][0]).toFixed(1) + 'Z'}));
      }
      root.append(svg('path', {class: 'line', d: path(points, options.count)}));
    }
    if (options.dots) {
      const best = options.best ? points.reduce((a, b) => b[1] > a[1] ? b : a) : null;
      for (const p of points.length > 60 ? [] : points) root.append(svg('circle', {class: 'dot', cx: place.x(p[0]), cy: place.y(p[1]), r: 2.2}));
      if (best) root.append(svg('circle', {class: 'best', cx: place.x(best[0]), cy: place.y(best[1]), r: 5}));
    }
  }

  function point(event) {
    for (const old of root.querySelectorAll('.cross')) old.remove();
    $('tip').style.display = 'none';
    if (!place || event.type === 'pointerleave') return;
    const box = root.getBoundingClientRect(), at = event.clientX - box.left;
    const near = points.reduce((a, b) => Math.abs(place.x(b[0]) - at) < Math.abs(place.x(a[0]) - at) ? b : a);
    const x = place.x(near[0]);
    root.append(svg('line', {class: 'cross', x1: x, x2: x, y1: 4, y2: root.clientHeight - 20}));
    const tip = $('tip');
    tip.textContent = 'step ' + whole(near[0]) + ': ' + (options.show || short)(near[1]);
    tip.style.display = 'block';
    tip.style.left = Math.min(box.left + x + 8, innerWidth - tip.offsetWidth - 4) + 'px';
    tip.style.top = box.top + 4 + 'px';
  }

  root.addEventListener('pointermove', point);
  root.addEventListener('pointerdown', point);
  root.addEventListener('pointerleave', point);
  new ResizeObserver(draw).observe(root);
  return {update(x, y, text) {
    const before = points;
    points = x.map((v, i) => [v, y[i]]).filter(p => isNumber(p[1]));
    const same = before.length === points.length && points.every((p, i) => p[0] === before[i][0] && p[1] === before[i][1]);
    if (!same) draw();
    setText(now, text != null ? text : points.length ? (options.show || short)(points[points.length - 1][1]) : '');
  }};
}

const curves = {
  loss: curve('Loss', {smooth: true, empty: 'after the second step'}),
  validation: curve('Validation', {dots: true, best: true, empty: 'after the first validation'}),
  examples_per_s: curve('Examples/s', {zero: true, show: rate, tick: rate}),
  step_s: curve('Time of a step', {zero: true, robust: true, smooth: true, show: duration, tick: duration}),
  staleness: curve('Staleness in steps', {zero: true, count: true, show: whole}),
  workers: curve('Workers', {zero: true, count: true, show: whole}),
};

function showCurves(s) {
  const c = s.curves;
  for (const name of ['loss', 'examples_per_s', 'step_s', 'staleness', 'workers']) curves[name].update(c.step, c[name]);
  const v = s.validation;
  curves.validation.update(c.validation.map(p => p[0]), c.validation.map(p => p[1]),
    isNumber(v.last) ? v.metric + ' ' + short(v.last) : v.metric);
}

// ---- The parts of the page ----

function showHead(s) {
  const tone = {RUNNING: 'good', VALIDATING: 'good', DONE: 'good', STALLED: 'bad', FAILED: 'bad', ROLLING: 'warn', STOPPING: 'warn'};
  setText($('job'), s.job);
  setText($('state'), s.state);
  setClass($('state'), 'badge ' + (tone[s.state] || ''));
  document.title = (s.state === 'RUNNING' || s.state === 'VALIDATING' ? percent(s.progress) + ' ' + s.stage : s.state) + ' - ' + s.job;
}

function showStages(s) {
  const at = s.stages.indexOf(s.stage), list = $('stages');
  while (list.children.length > s.stages.length) list.lastChild.remove();
  s.stages.forEach((name, i) => {
    if (!list.children[i]) list.append(el('li'));
    setText(list.children[i], name);
    setClass(list.children[i], s.state === 'DONE' || i < at ? 'was' : i === at ? 'is' : '');
  });
  $('bar').style.width = 100 * (s.state === 'DONE' ? 1 : s.progress) + '%';
}

function notesOf(s) {
  const list = [], c = s.counters;
  if (s.failure) list.push(['bad', 'Failed: ' + s.failure]);
  if (s.stopped_by) list.push(['warn', (s.state === 'STOPPING' ? 'Stopped by ' : 'Stops, asked by ') + s.stopped_by + '.']);
  if (s.state === 'DONE') list.push(['good', 'Done after ' + duration(s.elapsed_s) + '.']);
  if (s.waiting) {
    const since = new Date(Date.now() - 1000 * s.waiting.since_s);
    list.push([s.state === 'STALLED' ? 'bad' : 'warn',
      'Waiting for ' + s.waiting.whom + ' (' + s.waiting.for + ') since ' + clock(since) + ', ' + duration(s.waiting.since_s) + '.']);
  }
  if (s.checkpoint.failed && (!s.checkpoint.last || s.checkpoint.under_way)) list.push(['warn', 'A checkpoint could not be made: see the events.']);
  if (c.hash_mismatches) list.push(['bad', c.hash_mismatches + ' repeated pushes had other bytes: two workers do not compute the same. See the servers\' logs.']);
  if (c.void_slots) list.push(['warn', whole(c.void_slots) + ' slots had gradients that were not finite and were left out.']);
  if (s.bits !== 'guaranteed') list.push(['warn', 'A process with other numerics has joined: the bits of the result are not guaranteed.']);
  return list;
}

function showNotes(list) {
  const root = $('notes');
  while (root.children.length > list.length) root.lastChild.remove();
  list.forEach(([tone, text], i) => {
    if (!root.children[i]) root.append(el('p'));
    setText(root.children[i], text);
    setClass(root.children[i], tone);
  });
}

function tilesOf(s) {
  const v = s.validation, here = s.workers.filter(w => w.state !== 'lost').length, last = s.checkpoint.last;
  const list = [['Progress', (100 * s.progress).toFixed(s.progress < 0.1 ? 1 : 0) + ' %', s.steps ? 'step ' + whole(s.step) + ' of ' + whole(s.steps) : s.stage],
    ['Left in stage', s.eta_s == null ? '-' : duration(s.eta_s), s.epoch ? 'epoch ' + s.epoch : ''],
    ['Examples/s', s.steps ? rate(s.examples_per_s) : '-', whole(s.examples) + ' so far'],
    ['Loss', s.loss == null ? '-' : short(s.loss), ''],
    ['Best ' + (v.metric || 'validation'), short(v.best), isNumber(v.best) ? 'at step ' + whole(v.best_step) + ', last ' + short(v.last) : ''],
    ['Workers', here + ' of ' + s.wanted.workers, s.servers.length + ' servers, ' + s.samplers.length + ' samplers'],
    ['Last checkpoint', s.checkpoint.under_way ? s.checkpoint.under_way : last ? duration(last.age_s) + ' ago' : 'none yet',
      last ? last.stage + ' step ' + whole(last.step) + ', ' + last.reason.replace('_', ' ') : ''],
    ['Running for', duration(s.elapsed_s), 'since ' + clock(new Date(s.started))]];
  return list;
}

function showTiles(list) {
  const root = $('tiles');
  list.forEach(([name, value, note], i) => {
    if (!root.children[i]) root.append(el('div', {class: 'tile'}, el('small'), el('b'), el('i')));
    const tile = root.children[i];
    setText(tile.children[0], name);
    setText(tile.children[1], value);
    setText(tile.children[2], note);
    tile.title = name + ': ' + value + (note ? ' (' + note + ')' : '');
  });
}

function showShare(share) {
  const bar = $('share'), key = $('share-key');
  PHASES.forEach((p, i) => {
    if (!bar.children[i]) bar.append(el('div', {class: 'of-' + p}));
    if (!key.children[i]) key.append(el('span', {style: '--swatch: var(--' + p + ')'}));
    bar.children[i].style.width = 100 * (share[p] || 0) + '%';
    bar.children[i].title = p + ' ' + percent(share[p]);
    setText(key.children[i], p + ' ' + percent(share[p]));
  });
}

function note(section, text) { setText($(section).querySelector('h2 small'), text); }

function showPeers(s) {
  const lost = list => { const n = list.filter(p => p.state === 'lost').length; return n ? ', ' + n + ' lost' : ''; };
  workers.update(s.workers);
  servers.update(s.servers);
  samplers.update(s.samplers);
  note('workers', s.workers.length + lost(s.workers) + ', slowest first');
  note('servers', s.servers.length + lost(s.servers) + (s.wanted.servers !== s.servers.length ? ', ' + s.wanted.servers + ' wanted' : ''));
  note('samplers', s.samplers.length + lost(s.samplers));
}

let last = null;

function showEvents() {
  const words = $('event-filter').value.toLowerCase();
  // Two events may be alike: counted, so that each keeps its row.
  const counts = new Map();
  const list = last.events.map(e => {
    const text = [e.time, e.event, e.who, e.why].join(' '), n = (counts.get(text) || 0) + 1;
    counts.set(text, n);
    return {...e, key: text + ' ' + n, text: text.toLowerCase()};
  });
  const shown = list.reverse().filter(e => e.text.includes(words));
  events.update(shown);
  note('events', shown.length + (words ? ' of ' + list.length : '') + ', newest first');
}

function showConfig() {
  const words = $('config-filter').value.toLowerCase();
  const list = Object.entries(last.config).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)]);
  const shown = list.filter(r => r.join(' ').toLowerCase().includes(words));
  config.update(shown);
  note('config', shown.length + (words ? ' of ' + list.length : '') + ' keys in force');
}

function showFacts(s) {
  const c = s.counters, bad = (v, tone) => v ? tone : '';
  results.update(s.results);
  counters.update([['leases', whole(c.leases)], ['reassigned', whole(c.reassigned)],
    ['void slots', whole(c.void_slots), bad(c.void_slots, 'warn')], ['pulls of a past version', whole(c.gone)],
    ['repeated pushes', whole(c.repeats)], ['of these with other bytes', whole(c.hash_mismatches), bad(c.hash_mismatches, 'bad')],
    ['refused', whole(c.refused_peers), bad(c.refused_peers, 'warn')], ['rollbacks', whole(c.rollbacks), bad(c.rollbacks, 'warn')],
    ['checkpoints', whole(s.checkpoint.made) + (s.checkpoint.last ? ', the last one ' + bytes(s.checkpoint.last.bytes) + ' in ' + duration(s.checkpoint.last.took_s) : '')],
    ['failed checkpoints', whole(s.checkpoint.failed), bad(s.checkpoint.failed, 'bad')]]);
  build.update([['weft', s.weft], ['commit', s.commit], ['numerics', s.numerics], ['bits', s.bits], ['plan', s.plan_hash], ['seed', String(s.seed)],
    ['generation', String(s.generation)], ['life of the scheduler', String(s.term)], ['shard map', String(s.map)]]);
}

function show(s) {
  last = s;
  showHead(s);
  showStages(s);
  showNotes(notesOf(s));
  showTiles(tilesOf(s));
  showCurves(s);
  showShare(s.time_share);
  showPeers(s);
  showEvents();
  showConfig();
  showFacts(s);
}

// ---- Asking ----

let answered = 0;

function showLive() {
  const live = $('live'), age = (Date.now() - answered) / 1000;
  if (!answered) return;
  const ended = last && (last.state === 'DONE' || last.state === 'FAILED' || last.state === 'STOPPING');
  if (age < 3.5) { setText(live, 'live'); setClass(live, 'live on'); return; }
  setText(live, (ended ? 'ended, last seen ' : 'no answer since ') + clock(new Date(answered)));
  setClass(live, ended ? 'live' : 'live off');
}

async function ask() {
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
  try {
    const answer = await fetch('/api/v1/status', {signal: stop.signal, cache: 'no-store'});
    if (!answer.ok) throw new Error('HTTP ' + answer.status);
    const status = await answer.json();
    answered = Date.now();
    show(status);
    showLive();
  } catch (e) {
    if (e instanceof TypeError || e.name === 'AbortError') return; // nobody there: showLive says since when
    setText($('live'), e.message);
    console.error(e);
  } finally {
    clearTimeout(timer);
  }
}

async function live() {
  await ask();
  setTimeout(live, document.hidden ? HIDDEN_MS : POLL_MS);
}

function useTheme(name) {
  if (name === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  setText($('theme'), name);
}

function startTheme() {
  const themes = ['auto', 'light', 'dark'];
  let theme = 'auto';
  try { theme = localStorage.getItem('weft-theme') || 'auto'; } catch (e) { /* no storage: as the system says */ }
  useTheme(themes.includes(theme) ? theme : 'auto');
  $('theme').addEventListener('click', () => {
    const next = themes[(themes.indexOf($('theme').textContent) + 1) % themes.length];
    useTheme(next);
    try { localStorage.setItem('weft-theme', next); } catch (e) { /* for this visit only */ }
  });
}

startTheme();
$('event-filter').addEventListener('input', () => last && showEvents());
$('config-filter').addEventListener('input', () => last && showConfig());
document.addEventListener('visibilitychange', () => document.hidden || ask());
setInterval(showLive, 1000);
live();
