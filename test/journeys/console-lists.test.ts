/** The console's lists in Chromium: what was searched, chosen and unfolded is there again after Back and after a reload. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ConsoleTab } from '../support/console-browser.ts';
import { choose, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

async function rowsOf({ page }: ConsoleTab, table: string): Promise<string[]> {
  const rows = page.getByRole('region', { name: table }).locator('tbody tr');
  await rows.first().waitFor();
  return rows.locator('td:first-child').allTextContents();
}

/** Goes to another page and back, then loads the page anew: `assertSame` holds each time. */
async function leaveAndComeBack(tab: ConsoleTab, assertSame: () => Promise<void>): Promise<void> {
  const { page } = tab;
  await assertSame();
  await page.getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await page.goBack();
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor({ state: 'detached' });
  await tab.settle();
  await assertSame();
  await page.reload();
  await tab.settle();
  await assertSame();
}

test('a search among adapters stays, and the menu begins a new one', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/adapters');
  assert.deepEqual(await rowsOf(tab, 'Adapter versions'), ['acme/parity@1', 'acme/parity@2']);
  await page.getByLabel('Search').fill('ft-check 100%41');
  await page.getByText('Nothing is called so').waitFor();
  assert.equal(await page.getByLabel('Search').inputValue(), 'ft-check 100%41', 'as it was typed');
  await page.getByRole('switch', { name: 'Checkpoints of jobs' }).click();
  await page.getByLabel('Search').fill('');
  await page.getByLabel('Search').pressSequentially('ft-check');
  await page.getByText('acme/ft-checkpoints').first().waitFor();
  const found = await rowsOf(tab, 'Adapter versions');
  assert.ok(found.length > 0 && found.every((name) => name.startsWith('acme/ft-checkpoints@')), found.join());
  await leaveAndComeBack(tab, async () => {
    assert.equal(await page.getByLabel('Search').inputValue(), 'ft-check');
    assert.ok(await page.getByRole('switch', { name: 'Checkpoints of jobs' }).isChecked());
    assert.deepEqual(await rowsOf(tab, 'Adapter versions'), found);
  });
  await page.getByRole('link', { name: 'Adapters' }).click();
  await page.getByText('acme/parity@1').waitFor();
  assert.equal(await page.getByLabel('Search').inputValue(), '');
  tab.assertClean('a search');
});

test('the audit log of a tenant stays as far as it was unfolded, and no further for another', async () => {
  const { platform, url, operator } = journey.server;
  const headers = { Authorization: `Bearer ${journey.admin}` };
  for (let n = 0; n < 120; n++) {
    const body = JSON.stringify({ role: 'reader', name: `key ${n}` });
    assert.ok((await fetch(`${url}/api/keys`, { method: 'POST', headers, body })).ok);
  }
  platform.tenants.create('globex');
  await using tab = await journey.open({ key: operator });
  const { page } = tab;
  await tab.go('/audit');
  await choose(tab, 'Tenant', 'acme');
  await tab.settle();
  await page.getByRole('button', { name: 'Show more' }).click();
  const rows = page.getByRole('region', { name: 'Audit log' }).locator('tbody tr');
  await rows.nth(99).waitFor();
  await leaveAndComeBack(tab, async () => {
    await rows.nth(99).waitFor();
    assert.equal(await rows.count(), 100);
    assert.equal(await page.getByRole('combobox', { name: 'Tenant' }).inputValue(), 'acme');
  });
  await choose(tab, 'Tenant', 'globex');
  await page.getByText('Nothing has been changed yet').waitFor();
  assert.doesNotMatch(page.url(), /pages=/);
  tab.assertClean('the audit log');
});

test('of very many tasks the first are shown, and any is found by its name', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await page.route('**/api/routes', async (route) => {
    const list = (await (await route.fetch()).json()) as { data: { task: string }[] };
    const data = Array.from({ length: 200 }, (_, n) => ({ ...list.data[0], task: `task-${n}` }));
    await route.fulfill({ json: { ...list, data: [...data, ...list.data] } });
  });
  await tab.go('/routes');
  const cards = page.getByRole('button', { name: 'Roll back' });
  assert.equal(await cards.count(), 12);
  await page.getByRole('button', { name: 'Show more' }).click();
  assert.equal(await cards.count(), 24);
  await tab.go('/routes?pages=-3');
  assert.equal(await cards.count(), 12, 'whatever the address says');
  await page.getByLabel('Task').fill('Parity');
  await page.getByText('1 of 201').waitFor();
  assert.equal(await cards.count(), 1);
  await page.getByRole('link', { name: 'acme/parity@2' }).click();
  await page.goBack();
  await page.getByText('1 of 201').waitFor();
  assert.equal(await page.getByRole('heading', { level: 2 }).first().textContent(), 'parity');
});

test('a very long name leaves the other columns on the screen; all three forms of data are on a phone', async () => {
  const long = 'a-tenant-with-a-very-long-name-that-somebody-has-made.up_2026-0';
  journey.server.platform.tenants.create(long);
  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/tenants');
  await page.getByRole('link', { name: long }).waitFor();
  const [inside, room] = await page.evaluate<number[]>(
    `(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('[aria-label=Tenants]'))`,
  );
  assert.ok(inside <= room, `${inside} pixels of columns in ${room}`);
  await using phone = await journey.open({ size: 'phone' });
  await phone.go('/train');
  for (const form of ['Answers to give', 'Answers to prefer', 'Labels']) {
    const box = await phone.page.locator('label', { hasText: form }).boundingBox();
    assert.ok(box && box.x + box.width < 390 - 16, form);
  }
});

test('the days of usage and what its lines tell apart stay; what no address can say is left', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/usage');
  await page.getByText('7 days', { exact: true }).click();
  await choose(tab, 'What the lines tell apart', 'Tenant and month');
  await leaveAndComeBack(tab, async () => {
    assert.ok(await page.getByRole('radio', { name: '7 days' }).isChecked());
    await page.getByRole('columnheader', { name: 'Month' }).waitFor();
  });
  await tab.go('/usage?days=1e9&lines=nothing');
  assert.ok(await page.getByRole('radio', { name: '30 days' }).isChecked());
  await tab.go('/?minutes=15');
  assert.ok(await page.getByRole('radio', { name: '15 minutes' }).isChecked());
  tab.assertClean('usage');
});
