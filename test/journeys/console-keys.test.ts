/** Keys at the console: signing in, what is offered to whose key, and keys that are made and revoked there. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ConsoleTab } from '../support/console-browser.ts';
import { ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme', 'globex'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

test('a key signs in, stays in its tab, and a wrong one is told', async () => {
  await using tab = await journey.open({ key: null });
  const { page } = tab;
  await tab.go('/');
  assert.deepEqual(await tab.barriers(), []);
  await page.getByLabel('API key').fill('esp_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The server does not know this key.').waitFor();
  // The browser itself notes the refusal.
  assert.ok(tab.complaints.every((text) => text.includes('401')));
  tab.complaints.length = 0;
  await page.getByLabel('API key').fill(journey.admin);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  tab.assertClean('signed in');
  assert.deepEqual(
    await page.evaluate<string[]>('Object.values(localStorage).filter((value) => value.includes("esp_"))'),
    [],
  );
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('API key').waitFor();
  assert.equal(await page.evaluate<number>('sessionStorage.length'), 0);
});

/** Everything that the navigation can hold. */
const ALL = ['Overview', 'Train', 'Jobs', 'Adapters', 'Routes', 'Playground', 'Tenants', 'Keys', 'Usage', 'Audit'];

async function navigation({ page }: ConsoleTab): Promise<string[]> {
  return page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
}

test('what a key may not do is not offered', async () => {
  await using asAdmin = await journey.open();
  await asAdmin.go('/');
  assert.deepEqual(await navigation(asAdmin), ALL);

  await using asReader = await journey.open({ key: journey.server.keyOf('acme', 'reader') });
  await asReader.go('/routes');
  assert.deepEqual(
    await navigation(asReader),
    ALL.filter((name) => !['Train', 'Keys', 'Audit'].includes(name)),
  );
  assert.equal(await asReader.page.getByRole('button', { name: 'Roll back' }).count(), 0);
  assert.equal(await asReader.page.getByRole('slider').count(), 0);
  await asReader.go('/adapters/acme/parity@1');
  assert.equal(await asReader.page.getByRole('button', { name: 'Make it latest' }).count(), 0);
  await asReader.go('/tenants/acme');
  assert.equal(await asReader.page.getByRole('button', { name: 'Save the limits' }).count(), 0);
  asReader.assertClean('reader');

  await using asOperator = await journey.open({ key: journey.server.operator });
  await asOperator.go('/');
  assert.deepEqual(
    await navigation(asOperator),
    ALL.filter((name) => !['Train', 'Routes'].includes(name)),
  );
});

test('another tenant’s things are not there', async () => {
  await using tab = await journey.open({ key: journey.server.keyOf('globex') });
  await tab.go('/adapters');
  await tab.page.getByText('Nothing has been published yet').waitFor();
  await tab.go('/jobs');
  await tab.page.getByText('No job has been made yet').waitFor();
  await tab.go('/adapters/acme/parity@1');
  await tab.page.getByRole('alert').getByText('no adapter "acme/parity@1"').waitFor();
});

test('a list comes page by page, in its order', async () => {
  const { audit } = journey.server.platform;
  const entry = { actor: 'cli', tenant: 'acme', action: 'tenant.change', target: 'acme' };
  for (let n = 0; n < 60; n++) audit.record(entry);
  const newest = audit.list({ tenant: undefined, limit: 1 }).items[0].seq;
  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/audit');
  const numbers = page.getByRole('region', { name: 'Audit log' }).locator('tbody tr td:first-child');
  assert.equal(await numbers.count(), 50);
  await page.getByRole('button', { name: 'Show more' }).click();
  await numbers.nth(50).waitFor();
  const shown = (await numbers.allTextContents()).map((text) => Number(text.replaceAll(/\D/g, '')));
  assert.deepEqual(
    shown.slice(0, 60),
    Array.from({ length: 60 }, (_, n) => newest - n),
  );
  assert.equal(new Set(shown).size, shown.length);
  tab.assertClean('the second page');
});

interface Description {
  readonly paths: Readonly<Record<string, unknown>>;
}

test('a key is shown once and revoked, where the server keeps keys over HTTP; where not, the page says so', async () => {
  const { paths } = (await (await fetch(`${journey.server.url}/openapi.json`)).json()) as Description;
  await using tab = await journey.open();
  const { page } = tab;
  for (const [path, name] of [
    ['/api/usage', 'Usage'],
    ['/api/audit', 'Audit'],
    ['/api/keys', 'Keys'],
  ] as const) {
    await tab.go(`/${name.toLowerCase()}`);
    const says = await page.getByText(`${name}: not offered by this server`).count();
    assert.equal(says > 0, paths[path] === undefined, name);
  }
  if (paths['/api/keys'] === undefined) return;
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByLabel('Name').fill('from the console');
  await page.getByRole('button', { name: 'Make it' }).click();
  const secret = (await page.getByTestId('secret').textContent()) ?? '';
  assert.equal(journey.server.platform.keys.authenticate(secret).role, 'reader');
  // As over plain HTTP on another machine, where a page has no clipboard.
  await page.evaluate('delete Navigator.prototype.clipboard');
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  await page.evaluate(
    `document.querySelector('[role=dialog]').append(Object.assign(document.createElement('input'), { id: 'pasted' }))`,
  );
  await page.locator('#pasted').focus();
  await page.keyboard.press('Control+V');
  assert.equal(await page.locator('#pasted').inputValue(), secret);
  await page.getByRole('button', { name: 'Done' }).click();
  const row = page.getByRole('row', { name: 'from the console' });
  await row.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('button', { name: 'Revoke it' }).click();
  await row.getByText('revoked').waitFor();
  assert.throws(() => journey.server.platform.keys.authenticate(secret), /revoked/);
  assert.ok(!(await page.content()).includes(secret));
  tab.assertClean('keys');
});
