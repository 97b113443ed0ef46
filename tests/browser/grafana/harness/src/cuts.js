// Texts that a viewer cannot read to their end: ellipses, texts beyond their panel, and columns beyond its edge. What
// Grafana shrinks to fit is as bad where it becomes tiny.

const TOLERANCE_PX = 1.5;
const TINY_PX = 11;

/** The texts in a panel that are cut off, each with the reason. */
export function cutTexts(panel) {
  const edge = panel.getBoundingClientRect();
  const cut = new Set();
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (!text || !visible(node.parentElement)) {
      continue;
    }
    const size = parseFloat(getComputedStyle(node.parentElement).fontSize);
    if (size < TINY_PX) {
      cut.add(`${text.slice(0, 80)}: only ${size.toFixed(1)} px high`);
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const reason = beyond(box, edge) || clipped(node.parentElement, box, panel);
      if (reason) {
        cut.add(`${text.slice(0, 80)}: ${reason}`);
        break;
      }
    }
  }
  return [...cut];
}

function visible(element) {
  return element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !element.closest('style, script');
}

function beyond(box, edge) {
  return box.right > edge.right + TOLERANCE_PX || box.left < edge.left - TOLERANCE_PX ? 'beyond the panel' : '';
}

// A box that hides what is larger than itself, sideways; downwards only where it does not scroll.
function clipped(element, box, panel) {
  for (let each = element; each !== panel; each = each.parentElement) {
    const style = getComputedStyle(each);
    const own = each.getBoundingClientRect();
    if (style.overflowX !== 'visible' && (box.right > own.right + TOLERANCE_PX || box.left < own.left - TOLERANCE_PX)) {
      return 'too wide for its place';
    }
    const leading = TOLERANCE_PX + box.height / 4; // the box of a text is higher than its letters
    if (['hidden', 'clip'].includes(style.overflowY) && (box.bottom > own.bottom + leading || box.top < own.top - leading)) {
      return 'too high for its place';
    }
    if (['auto', 'scroll'].includes(style.overflowY)) {
      return '';
    }
  }
  return '';
}
