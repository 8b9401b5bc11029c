/** A tab of the console that was in the background, and comes back: with its key, and with what has changed meanwhile. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

/** Without a window there is no other tab to look at: the page is told what the browser would tell it. */
function show(page: Page, state: 'hidden' | 'visible'): Promise<unknown> {
  return page.evaluate(`(() => {
    Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  })()`);
}

/** Longer than an answer counts as fresh. */
const AWAY_MS = 2_500;

test('what has changed meanwhile is there, without a click; so is what the key may no longer see', async () => {
  const { platform } = journey.server;
  const { secret, key } = platform.keys.create({ tenant: 'acme', role: 'reader', label: 'away' });
  await using tab = await journey.open({ key: null });
  const { page } = tab;
  await page.goto(`${journey.server.url}/console/adapters`);
  await page.getByLabel('API key').fill(secret);
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'acme/parity@2' }).waitFor();

  await show(page, 'hidden');
  platform.registry.tag('acme', 'acme/parity@2', { add: ['reviewed'], remove: [] });
  await page.waitForTimeout(AWAY_MS);
  assert.equal(await page.getByText('reviewed').count(), 0, 'nothing is asked for a tab that nobody sees');
  await show(page, 'visible');
  await page.getByText('reviewed').waitFor({ timeout: 10_000 });

  // A browser that was short of memory has thrown the page away, and loads it anew.
  await page.reload();
  await page.getByRole('link', { name: 'acme/parity@2' }).waitFor({ timeout: 10_000 });
  tab.assertClean('a tab that comes back');

  await show(page, 'hidden');
  platform.keys.revoke(key.keyId);
  await page.waitForTimeout(AWAY_MS);
  await show(page, 'visible');
  await page.getByText('The server does not take the key any more.').waitFor({ timeout: 10_000 });
  assert.equal(await page.evaluate<number>('sessionStorage.length'), 0);
});
