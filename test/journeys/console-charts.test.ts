/** What the console's charts draw, read off their canvas in Chromium. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: false });
  const messages = [{ role: 'user' as const, content: 'hello' }];
  await journey.client().chat.completions.create({ model: journey.server.base, messages, max_tokens: 3 });
});
after(() => journey?.[Symbol.asyncDispose]());

/** Keeps the texts that are drawn, with their places. Texts, because the types of a page's globals are not here. */
const KEEP_TEXTS = `(() => {
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    (this.canvas.texts ??= []).push({ text, x: this.getTransform().transformPoint({ x, y }).x });
    return fillText.call(this, text, x, y);
  };
})()`;

/** The only bar: from where to where its pixels go, and the names that stand below. */
const BAR = `(() => {
  const figure = [...document.querySelectorAll('figure')].find((one) => one.textContent.startsWith('Requests by day'));
  const canvas = figure.querySelector('canvas');
  const probe = Object.assign(document.createElement('span'), { style: 'color: var(--series-2)' });
  document.body.append(probe);
  const color = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const { data, width } = canvas.getContext('2d').getImageData(0, Math.round(canvas.height / 2), canvas.width, 1);
  const inside = Array.from({ length: width }, (_, x) => x)
    .filter((x) => color.every((part, n) => Math.abs(data[4 * x + n] - part) < 3) && data[4 * x + 3] > 250);
  return { left: inside[0], right: inside.at(-1), names: canvas.texts.filter(({ text }) => /[A-Z]/.test(text)) };
})()`;

interface Bar {
  readonly left: number;
  readonly right: number;
  readonly names: readonly { readonly text: string; readonly x: number }[];
}

for (const timeZone of ['America/Los_Angeles', 'UTC', 'Pacific/Kiritimati']) {
  test(`a day's bar stands whole on the name of the day in UTC, in a browser in ${timeZone}`, async () => {
    await using tab = await journey.open({ timeZone });
    const { page } = tab;
    await page.addInitScript(KEEP_TEXTS);
    const answered = page.waitForResponse(/group=day/);
    await tab.go('/usage?days=7');
    await page.locator('figure canvas').first().waitFor();
    const { data } = (await (await answered).json()) as { data: { period: string }[] };
    await page.waitForTimeout(300);
    const { left, right, names } = await page.evaluate<Bar>(BAR);
    const day = { day: 'numeric', month: 'short', timeZone: 'UTC' } as const;
    const name = new Intl.DateTimeFormat('en-GB', day).format(new Date(data[0].period));
    const below = names.findLast(({ text }) => text === name);
    assert.ok(below, `${name} is among ${names.map(({ text }) => text).join(', ')}`);
    const off = (left + right) / 2 - below.x;
    assert.ok(Math.abs(off) < 3, `the bar is ${off} pixels beside ${name}`);
  });
}
