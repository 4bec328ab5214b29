// Draws the charts of a page. Their options are JSON beside them, made by the server; whole strings of the form var(--name)
// stand for the style sheet's colours, so that charts follow the light and the dark theme, and print in the light one.
(() => {
  'use strict';
  const root = document.documentElement;
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  const drawn = new Map();

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const resolve = (v) => {
    if (typeof v === 'string') {
      const m = /^var\((--[\w-]+)\)$/.exec(v);
      return m ? colour(m[1]) : v;
    }
    if (Array.isArray(v)) return v.map(resolve);
    if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, resolve(x)]));
    return v;
  };

  const theme = () => {
    const axis = {
      axisLine: { lineStyle: { color: colour('--line-strong') } },
      axisTick: { lineStyle: { color: colour('--line-strong') } },
      axisLabel: { color: colour('--soft') },
      nameTextStyle: { color: colour('--soft') },
      splitLine: { lineStyle: { color: colour('--line') } },
    };
    return {
      textStyle: { color: colour('--ink'), fontFamily: getComputedStyle(document.body).fontFamily },
      legend: { textStyle: { color: colour('--ink') }, inactiveColor: colour('--line-strong') },
      tooltip: { backgroundColor: colour('--raised'), borderColor: colour('--line-strong'), textStyle: { color: colour('--ink') } },
      categoryAxis: { ...axis, splitLine: { show: false } },
      valueAxis: { ...axis, axisLine: { show: false }, axisTick: { show: false } },
      timeAxis: { ...axis, splitLine: { show: false } },
    };
  };

  const figure = (suffix) => (v) => {
    const n = Array.isArray(v) ? v[v.length - 1] : v;
    if (n === null || n === undefined || n === '-' || Number.isNaN(n)) return 'no data';
    return Number(n).toLocaleString('en', { maximumSignificantDigits: 5 }).replace('-', '−') + suffix;
  };

  const draw = (place) => {
    const option = resolve(JSON.parse(place.parentElement.querySelector('script[type="application/json"]').textContent));
    // Rich text is painted on the canvas: as HTML it would need inline styles, which the page's policy forbids.
    option.tooltip = { ...option.tooltip, renderMode: 'richText', confine: true, valueFormatter: figure(place.dataset.suffix || '') };
    option.useUTC = true; // times were shifted by the server to the clock of the reporting time zone
    option.animation = !(calm.matches || 'print' in root.dataset);
    option.animationDuration = 300;
    for (const s of option.series) {
      if (s.stack === 'interval') Object.assign(s, { stackStrategy: 'all', silent: true, tooltip: { show: false } });
    }
    drawn.get(place)?.dispose();
    const chart = echarts.init(place, theme());
    chart.setOption(option);
    drawn.set(place, chart);
  };

  const all = () => document.querySelectorAll('[data-chart]').forEach(draw);
  const sized = new ResizeObserver((entries) => entries.forEach((e) => drawn.get(e.target)?.resize()));

  all();
  document.querySelectorAll('[data-chart]').forEach((place) => sized.observe(place));
  dark.addEventListener('change', all);
  window.addEventListener('beforeprint', () => { root.dataset.print = ''; all(); });
  window.addEventListener('afterprint', () => { delete root.dataset.print; all(); });
  root.dataset.charts = String(drawn.size);
})();
