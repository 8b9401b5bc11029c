/** The console's pages in Chromium: each for those who may see it, on both sizes and in both themes; and by keyboard. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertFits, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
let job: string;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme', 'globex', 'hooli'], hasRealBase: false });
  job = await journey.trainParity();
  const hello = { messages: [{ role: 'user' as const, content: 'hello' }], max_tokens: 3 };
  await journey.client().chat.completions.create({ model: 'acme/parity', ...hello });
});
after(() => journey?.[Symbol.asyncDispose]());

/** Path and heading of each page, and whose page it is. */
const pages = (): readonly (readonly [path: string, heading: string | RegExp, who: 'admin' | 'operator'])[] => [
  ['/', 'Overview', 'operator'],
  ['/train', 'Train', 'admin'],
  ['/jobs', 'Jobs', 'admin'],
  [`/jobs/${job}`, 'Fine-tuning job', 'admin'],
  ['/adapters', 'Adapters', 'admin'],
  ['/adapters/acme/parity@2', 'acme/parity@2', 'admin'],
  ['/routes', 'Routes', 'admin'],
  ['/playground', 'Playground', 'admin'],
  ['/tenants', 'Tenants', 'operator'],
  ['/tenants/acme', 'acme', 'operator'],
  ['/keys', 'Keys', 'admin'],
  ['/usage', 'Usage', 'admin'],
  ['/audit', 'Audit', 'admin'],
  ['/nothing-here', 'No such page', 'admin'],
];

/** A page is loaded once on each size; the themes are the same page with another wish of the system. */
describe('every page: no error, no barrier, nothing off the screen', { concurrency: 2 }, () => {
  for (const size of ['desktop', 'phone'] as const) {
    for (const who of ['admin', 'operator'] as const) {
      test(`${who}, ${size}`, async () => {
        await using tab = await journey.open({
          key: who === 'operator' ? journey.server.operator : journey.admin,
          size,
        });
        for (const [path, heading] of pages().filter(([, , whose]) => whose === who)) {
          await tab.go(path);
          const where = `${path}, ${size}`;
          assert.equal(await tab.page.getByRole('heading', { level: 1 }).textContent(), heading, where);
          assert.equal(await tab.page.getByRole('alert').count(), 0, where);
          await assertFits(tab, where, size === 'desktop' ? ['light', 'dark'] : []);
        }
      });
    }
  }
});

test('who has only a keyboard gets from the top to a page and to its content', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate<string>('document.activeElement.textContent'), 'To the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate<string>('document.activeElement.id'), 'content');
  await page.getByRole('link', { name: 'Jobs' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  const theme = page.locator('html');
  await page.getByRole('button', { name: 'Use the dark theme' }).focus();
  await page.keyboard.press('Enter');
  assert.equal(await theme.getAttribute('data-mantine-color-scheme'), 'dark');
  await page.reload();
  await tab.settle();
  assert.equal(await theme.getAttribute('data-mantine-color-scheme'), 'dark', 'the choice is kept');
});

test('a phone says whose key it is, and how to sign out', async () => {
  const writer = journey.server.keyOf('acme', 'writer');
  for (const [key, bar, menu] of [
    [writer, 'acmewriter', 'Signed in with the key ofacme, writer'],
    [journey.server.operator, 'operator', 'Signed in with the key ofthe operator'],
  ] as const) {
    await using tab = await journey.open({ key, size: 'phone' });
    const { page } = tab;
    await tab.go('/');
    const isSaid = (text: string) =>
      page
        .getByRole('banner')
        .innerText()
        .then((all) => all.replaceAll(/\s/g, '').includes(text));
    assert.ok(await isSaid(bar), bar);
    await page.getByRole('button', { name: 'Menu' }).click();
    const foot = page.getByRole('navigation', { name: 'Pages' });
    assert.ok((await foot.innerText()).replaceAll('\n', '').includes(menu), menu);
    await assertFits(tab, 'the menu', ['light', 'dark']);
    await foot.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
  }
});

test('a server that cannot be reached is told of, with what was there before, until it answers again', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go(`/jobs/${job}`);
  const steps = await page.getByText(/^Step \d+\/\d+/).count();
  assert.ok(steps > 0);
  await tab.go('/');
  const silent = page.getByRole('alert').filter({ hasText: 'The server does not answer' });
  await page.context().setOffline(true);
  await silent.getByText(/What is shown is as it was at \d+:\d+:\d+/).waitFor();
  assert.ok((await page.getByText('To the first token').count()) > 0, 'what was there stays');
  assert.deepEqual(await tab.barriers(), []);
  await page.context().setOffline(false);
  await silent.waitFor({ state: 'detached' });
});

test('a page whose code does not come leaves the menu, and is loaded again', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/');
  await page.context().setOffline(true);
  const menu = page.getByRole('navigation', { name: 'Pages' });
  await menu.getByRole('link', { name: 'Keys' }).click();
  await page.getByRole('heading', { level: 1, name: 'This page cannot be shown' }).waitFor();
  await menu.getByRole('link', { name: 'Overview' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  await menu.getByRole('link', { name: 'Keys' }).click();
  await page.context().setOffline(false);
  await page.getByRole('button', { name: 'Load it again' }).click();
  await page.getByRole('heading', { level: 1, name: 'Keys' }).waitFor();
});

test('an address that is no encoding of anything, or leads elsewhere, is an adapter that is not there', async () => {
  await using tab = await journey.open();
  for (const path of ['acme/%E0%A4%A', '..%2Fkeys', 'acme/..%2F..%2Fkeys']) {
    await tab.go(`/adapters/${path}`);
    await tab.page.getByRole('alert').getByText('no adapter').waitFor();
  }
});

test('a tab with a key comes back by itself when the server does', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/jobs');
  // The page is there, as from a cache, and the server is not.
  await page.route('**/api/session', (route) => route.abort());
  await page.reload();
  await page.getByText('The server does not answer. The key of this tab is tried again').waitFor();
  await page.unroute('**/api/session');
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
});

test('a key with letters that no key has is not known', async () => {
  await using tab = await journey.open({ key: null });
  const { page } = tab;
  await page.goto(`${journey.server.url}/console/`);
  await page.getByLabel('API key').fill('ключ');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('The server does not know this key.').waitFor();
});
