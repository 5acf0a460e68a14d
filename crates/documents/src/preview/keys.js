
'use strict';
(() => {
  const pages = [...document.querySelectorAll('section.page')];
  const links = new Map([...document.querySelectorAll('nav a')].map((a) => [a.hash.slice(1), a]));
  const here = document.getElementById('here');
  let at = 0;
  const show = (now) => {
    const before = links.get(pages[at].id);
    if (before) before.removeAttribute('aria-current');
    at = now;
    const link = links.get(pages[at].id);
    if (link) {
      link.setAttribute('aria-current', 'location');
      const list = link.closest('ol');
      const gap = link.offsetTop - list.offsetTop;
      if (list.scrollTop > gap || gap > list.scrollTop + list.clientHeight - 30) list.scrollTop = gap - 40;
    }
    here.textContent = (at + 1) + ' of ' + pages.length;
  };
  const bar = document.querySelector('header.bar');
  const find = () => {
    const line = bar.offsetHeight + 48;
    let found = 0;
    pages.forEach((page, place) => { found = line >= page.getBoundingClientRect().top ? place : found; });
    // The last pages may be too short to come to the top.
    const end = innerHeight + scrollY + 2 >= document.documentElement.scrollHeight;
    if (found !== at) show(end ? Math.max(found, at) : found);
  };
  const go = (place) => {
    if (place === undefined || !pages[place]) return;
    show(place);
    scrollTo({ top: scrollY + pages[place].getBoundingClientRect().top - bar.offsetHeight - 12 });
    pages[place].focus({ preventScroll: true });
  };
  const odd = (page) => page.dataset.state === 'poor' || page.dataset.state === 'fair';
  const next = () => { const n = pages.findIndex((page, place) => place > at ? odd(page) : false); if (n >= 0) go(n); };
  const last = () => { for (let n = at - 1; n >= 0; n -= 1) { if (odd(pages[n])) { go(n); return; } } };
  const own = () => { const more = pages[at].querySelector('details'); if (more) more.open = !more.open; };
  const wide = () => { document.body.classList.toggle('wide'); go(at); };
  const keys = {
    ArrowRight: () => go(at + 1), j: () => go(at + 1), ArrowLeft: () => go(at - 1), k: () => go(at - 1),
    n: next, b: last, o: own, z: wide, Home: () => go(0), End: () => go(pages.length - 1),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest('input, textarea, select')) return;
    const act = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (act) { event.preventDefault(); act(); }
  });
  const buttons = { before: () => go(at - 1), after: () => go(at + 1), odd: next, wide };
  Object.keys(buttons).forEach((id) => document.getElementById(id).addEventListener('click', buttons[id]));
  let waits = false;
  document.addEventListener('scroll', () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; find(); });
  }, { passive: true });
  if (pages.length > 0) { show(0); find(); }
})();
