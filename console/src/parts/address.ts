import { navigate, useLocationProperty } from 'wouter/use-browser-location';

/** How many pages of its list are shown: of what another search brings it says nothing. */
const PAGES = 'pages';
/** An address can ask for any number. */
const MAX_PAGES = 40;

/**
 * A choice of a page, kept in its address: Back, a reload and a link that is passed on find it again.
 * @param unless what holds where the address says nothing
 * @param choices what it can be, where that is known; an address can say anything
 */
export function useAddressed(
  name: string,
  unless = '',
  choices?: readonly { readonly value: string }[],
): [value: string, set: (value: string) => void] {
  const said = useLocationProperty(() => new URLSearchParams(location.search).get(name)) ?? unless;
  const isKnown = choices === undefined || choices.some(({ value }) => value === said);
  return [isKnown ? said : unless, (value) => say(name, value === unless ? '' : value)];
}

/** How many pages of the page's list are shown. */
export function useShownPages(): [pages: number, set: (pages: number) => void] {
  const [said, set] = useAddressed(PAGES, '1');
  const pages = Number(said);
  return [Number.isInteger(pages) ? Math.min(Math.max(1, pages), MAX_PAGES) : 1, (next) => set(String(next))];
}

/** In the place of the address that there is: Back leads to the page before, not through what was typed. */
function say(name: string, value: string): void {
  const search = new URLSearchParams(location.search);
  if (name !== PAGES) search.delete(PAGES);
  if (value === '') search.delete(name);
  else search.set(name, value);
  const query = search.toString();
  navigate(location.pathname + (query === '' ? '' : `?${query}`), { replace: true });
}
