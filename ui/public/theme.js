// Runs before the first paint, so that nobody sees the other theme flash. A file of its own, since a strict
// content security policy forbids inline scripts.
try {
  const kept = localStorage.getItem('corpgrid.theme');
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
} catch {
  // Storage may be closed to us (private windows): the dark theme stays.
}
