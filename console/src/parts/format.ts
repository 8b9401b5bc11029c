/** Figures and times as people read them, in the browser's own words. */

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export function count(value: number): string {
  return whole.format(value);
}

/** `1 epoch`, `3 epochs`; what is no number is told as it is. */
export function counted(value: string | number, what: string): string {
  return `${typeof value === 'number' ? count(value) : value} ${what}${Number(value) === 1 ? '' : 's'}`;
}

/** `12.3K`. */
export function compact(value: number): string {
  return short.format(value);
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  return `${scaled.toFixed(scaled < 10 ? 1 : 0)} ${units[power - 1]}`;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/** A score: four digits that matter. */
export function score(value: number): string {
  return Number.isInteger(value) ? count(value) : String(Number(value.toPrecision(4)));
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = seconds / 60;
  if (minutes < 90) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 36 ? `${hours.toFixed(1)} h` : `${Math.round(hours / 24)} days`;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
const exact = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** @param seconds since 1970; what is no time of a calendar is told as it is */
export function moment(seconds: number): string {
  const time = new Date(1000 * seconds);
  return Number.isNaN(time.getTime()) ? String(seconds) : dateTime.format(time);
}

export function timeOfDay(seconds: number): string {
  return clock.format(new Date(1000 * seconds));
}

/** To the second. @param ms since 1970 */
export function exactTime(ms: number): string {
  return exact.format(new Date(ms));
}

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

export function dayOfYear(seconds: number): string {
  return day.format(new Date(1000 * seconds));
}

/** `4 min ago`. @param seconds since 1970 */
export function ago(seconds: number): string {
  const passed = Date.now() / 1000 - seconds;
  return passed < 5 ? 'now' : `${duration(passed)} ago`;
}

/** The first characters of a digest: enough to know it by. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}

/** `validLoss` as `valid loss`. */
export function words(name: string): string {
  return name
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase();
}

/** A value that the server passes on as it is. */
export function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
