/** Prices and costs at the console: set by the operator, seen by the tenant that pays them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SIZES, type ConsoleTab } from '../support/console-browser.ts';
import { assertFits, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

test('the operator sets prices, and usage has its cost from then on; a tenant sees what it pays', async () => {
  const cost = ({ page }: ConsoleTab, row: RegExp) =>
    page.getByRole('region', { name: 'Bill lines' }).getByRole('row', { name: row }).first().getByRole('cell').last();
  await using asAdmin = await journey.open();
  await asAdmin.go('/usage');
  assert.equal(await cost(asAdmin, /^acme/).textContent(), '–');
  await asAdmin.page.getByText('No price has been set').waitFor();
  assert.equal(await asAdmin.page.getByRole('button', { name: 'Set prices' }).count(), 0);

  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/usage');
  await page.getByRole('button', { name: 'Set prices' }).click();
  assert.ok(await page.getByRole('button', { name: 'Set them' }).isDisabled());
  await page.getByLabel('Currency').fill('eur');
  await page.getByLabel('Prompt', { exact: true }).fill('1000');
  await page.getByLabel('Answers', { exact: true }).fill('2.5');
  await assertFits(tab, 'the form of prices', ['dark', 'light']);
  await page.getByRole('button', { name: 'Set them' }).click();
  await page.getByText('The prices hold from today on').waitFor();
  const [row] = journey.server.platform.prices.list();
  assert.deepEqual([row?.tenant, row?.currency, row?.prompt, row?.completion], [null, 'EUR', 1000, 2.5]);
  await page
    .getByRole('region', { name: 'Prices' })
    .getByRole('row', { name: /^everybody.*1000.*EUR$/ })
    .waitFor();
  await cost(tab, /^acme/)
    .getByText(/^\d+\.\d+ EUR$/)
    .waitFor();
  await assertFits(tab, 'usage with prices', ['dark', 'light']);
  await page.setViewportSize(SIZES.phone);
  await assertFits(tab, 'the same on a phone', []);
  await asAdmin.go('/usage');
  await asAdmin.page
    .getByRole('region', { name: 'Prices' })
    .getByRole('row', { name: /^acme.*1000.*EUR$/ })
    .waitFor();
  assert.match((await cost(asAdmin, /^acme/).textContent()) ?? '', /EUR$/);
});
