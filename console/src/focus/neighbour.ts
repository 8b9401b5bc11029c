/** Where something stood that is gone: in `parent`, behind `before`. */
export interface Place {
  readonly parent: Node;
  /** Null: it was the first. */
  readonly before: Node | null;
}

/** Parts of a page that have a heading, which stands for all of them. */
const PARTS = '[role="dialog"], .section, .panel, .page-head, main';
/** Nothing is looked for outside of these: a page that is being fetched is on its way. */
const WHOLE = '[role="dialog"], main';
const REACHABLE = 'a[href], button, [tabindex="0"]';
const FIELDS = 'input, textarea';

/**
 * What stands behind a place, as near to it as can be, else before it; where the part of the page has nothing else, its heading.
 * @param withFields false where a finger pointed: a field would bring up the keyboard of the screen
 */
export function neighbourOf(place: Place | undefined, withFields: boolean): HTMLElement | undefined {
  if (!place?.parent.isConnected) return undefined;
  const selector = withFields ? `${REACHABLE}, ${FIELDS}` : REACHABLE;
  const innermost = place.parent instanceof Element ? place.parent : place.parent.parentElement;
  if (!innermost?.closest(WHOLE)) return undefined;
  for (let around: Element | null = innermost; around; around = around.parentElement) {
    const elements: HTMLElement[] = [...around.querySelectorAll<HTMLElement>(selector)].filter(
      (element) => element.tabIndex >= 0 && isThere(element),
    );
    const near: HTMLElement | undefined = elements.find((element) => isBehind(element, place)) ?? elements.at(-1);
    const found: HTMLElement | undefined = near ?? (around.matches(PARTS) ? headingOf(around) : undefined);
    if (found || around.matches(WHOLE)) return found;
  }
  return undefined;
}

/** Whether the focus can be on it. */
export function isThere(element: HTMLElement): boolean {
  return element.isConnected && !element.matches(':disabled') && element.checkVisibility();
}

function isBehind(element: Element, { parent, before }: Place): boolean {
  if (before === null || !before.isConnected) {
    return parent.contains(element) || isAfter(parent, element);
  }
  return isAfter(before, element) && !before.contains(element);
}

function isAfter(first: Node, second: Node): boolean {
  return (first.compareDocumentPosition(second) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
}

/** A heading is no stop of the key Tab, and can have the focus all the same. */
export function headingOf(part: Element): HTMLElement | undefined {
  const heading = part.querySelector<HTMLElement>('h1, h2, h3') ?? undefined;
  if (heading) heading.tabIndex = -1;
  return heading;
}
