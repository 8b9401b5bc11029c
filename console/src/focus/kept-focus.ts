/**
 * Keeps a place in the page for those who have only a keyboard, or listen. A browser drops the focus when what has it is removed or
 * disabled, and they would begin at the top again: here it goes on beside what was lost. A button that is busy, and disabled for so long,
 * gets it back; behind a dialog stands what opened it.
 */
import { isThere, neighbourOf, type Place } from './neighbour.ts';

/** What lies over the page: when it goes, the focus is below. */
const OVER = '[role="dialog"], .mantine-Notifications-root';
/** Longer than the components take to put the focus somewhere themselves. */
const WAIT_MS = 50;

interface Spot {
  readonly element: HTMLElement;
  /** Where it was; undefined while it is there. */
  place: Place | undefined;
}

/** What had the focus last: on the page, and in what lies over it. */
let below: Spot | undefined;
let over: Spot | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;
let isByPointer = false;

/** Whether somebody had the focus on something that is no longer there, or not yet again. */
export function isFocusLost(): boolean {
  return isNowhere() && (below !== undefined || over !== undefined);
}

/** Takes the focus that is lost, unless somebody points: then a field would bring up the keyboard of the screen. */
export function offerFocus(field: HTMLElement | null): void {
  if (isFocusLost() && !isByPointer) field?.focus();
}

export function keepFocus(): void {
  document.addEventListener('pointerdown', () => (isByPointer = true), { capture: true });
  document.addEventListener('keydown', () => (isByPointer = false), { capture: true });
  document.addEventListener('focusin', ({ target }) => {
    if (!(target instanceof HTMLElement)) return;
    const spot = { element: target, place: undefined };
    if (target.closest(OVER)) over = spot;
    else [below, over] = [spot, undefined];
  });
  // Who clicks beside everything wants the focus nowhere.
  document.addEventListener('focusout', ({ target, relatedTarget }) => {
    if (relatedTarget !== null || !document.hasFocus() || !(target instanceof HTMLElement)) return;
    // What has changed just before must not bring the focus back first.
    goOnLater();
    setTimeout(() => {
      if (isNowhere() && document.hasFocus() && isThere(target)) below = over = undefined;
    });
  });
  const observer = new MutationObserver((records) => {
    for (const record of records) {
      if (below) follow(below, record);
      if (over) follow(over, record);
    }
    goOnLater();
  });
  observer.observe(document.body, { subtree: true, childList: true, attributeFilter: ['disabled', 'data-disabled'] });
}

/** The page's content as a whole has it on the way to another page; what has just been disabled, until the next frame. */
function isNowhere(): boolean {
  const { activeElement: active } = document;
  return active === null || active === document.body || active.matches('main, :disabled');
}

/** What is removed may take with it what stood beside an element that was removed before. */
function follow(spot: Spot, { target, removedNodes, previousSibling }: MutationRecord): void {
  for (const removed of removedNodes) {
    const { element, place } = spot;
    if (removed.contains(place?.parent ?? element)) spot.place = { parent: target, before: previousSibling };
    else if (place && removed === place.before) spot.place = { parent: place.parent, before: previousSibling };
  }
}

function goOnLater(): void {
  clearTimeout(timer);
  timer = setTimeout(goOn, WAIT_MS);
}

function goOn(): void {
  if (!isNowhere()) return;
  for (const spot of [over, below]) {
    if (!spot) continue;
    const { element } = spot;
    if (element.isConnected && element.hasAttribute('data-loading')) return;
    const next = isThere(element) ? element : neighbourOf(spotPlace(spot), !isByPointer);
    if (!next) continue;
    next.focus();
    return;
  }
}

function spotPlace({ element, place }: Spot): Place | undefined {
  return element.isConnected && element.parentNode ? { parent: element.parentNode, before: element } : place;
}
