/** The console in Chromium: every page for those who may see it, on both sizes and in both themes; what is offered to whom; keys and keyboard. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import type { Browser } from 'playwright-core';
import { ConsoleTab, launchBrowser, type ConsoleOptions, type Size, type Theme } from '../support/console-browser.ts';
import { startConsoleServer, type ConsoleServer } from '../support/console-server.ts';
import { chatLines } from '../support/tuning-data.ts';

let server: ConsoleServer;
let browser: Browser;
let job: string;
let admin: string;

before(async () => {
  [server, browser] = await Promise.all([
    startConsoleServer({ tenants: ['acme', 'globex'], hasRealBase: false }),
    launchBrowser(),
  ]);
  admin = server.keyOf('acme');
  // Two versions of a task, by jobs; the first answers.
  for (const first of [0, 100]) job = await train(first);
  server.platform.registry.promote('acme', 'acme/parity@1');
  server.platform.registry.promote('acme', 'acme/parity@2');
  const client = clientOf(admin);
  const hello = { messages: [{ role: 'user' as const, content: 'hello' }], max_tokens: 3 };
  await client.chat.completions.create({ model: 'acme/parity', ...hello });
});
after(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

function clientOf(key: string): OpenAI {
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: key, maxRetries: 0 });
}

async function train(first: number): Promise<string> {
  const client = clientOf(admin);
  const file = await toFile(Buffer.from(chatLines(12, first)), 'parity.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const { id } = await client.fineTuning.jobs.create({ model: server.base, training_file, suffix: 'parity' });
  for (;;) {
    const { status, error } = await client.fineTuning.jobs.retrieve(id);
    if (status === 'succeeded') return id;
    assert.notEqual(status, 'failed', error?.message);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function open(options: Partial<ConsoleOptions> = {}): Promise<ConsoleTab> {
  return ConsoleTab.open(browser, { url: server.url, key: admin, ...options });
}

const ALL = ['Overview', 'Train', 'Jobs', 'Adapters', 'Routes', 'Playground', 'Tenants', 'Keys', 'Usage', 'Audit'];
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

for (const [size, theme] of [
  ['desktop', 'light'],
  ['desktop', 'dark'],
  ['phone', 'light'],
  ['phone', 'dark'],
] as const satisfies readonly (readonly [Size, Theme])[]) {
  test(`every page on the ${size}, ${theme}: no error, no barrier, nothing off the screen`, async () => {
    for (const who of ['admin', 'operator'] as const) {
      await using tab = await open({ key: who === 'operator' ? server.operator : admin, size, theme });
      for (const [path, heading] of pages().filter(([, , whose]) => whose === who)) {
        await tab.go(path);
        const where = `${path}, ${size}, ${theme}`;
        assert.equal(await tab.page.getByRole('heading', { level: 1 }).textContent(), heading, where);
        assert.equal(await tab.page.getByRole('alert').count(), 0, where);
        assert.deepEqual(await tab.barriers(), [], where);
        assert.ok((await tab.overflow()) <= 0, `${where} is wider than the screen`);
        tab.assertClean(where);
      }
      const scheme = await tab.page.locator('html').getAttribute('data-mantine-color-scheme');
      assert.equal(scheme, theme);
    }
  });
}

test('a key signs in, stays in its tab, and a wrong one is told', async () => {
  await using tab = await open({ key: null });
  const { page } = tab;
  await tab.go('/');
  assert.deepEqual(await tab.barriers(), []);
  await page.getByLabel('API key').fill('esp_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The server does not know this key.').waitFor();
  // The browser itself notes the refusal.
  assert.ok(tab.complaints.every((text) => text.includes('401')));
  tab.complaints.length = 0;
  await page.getByLabel('API key').fill(admin);
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

async function navigation({ page }: ConsoleTab): Promise<string[]> {
  return page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
}

test('what a key may not do is not offered', async () => {
  await using asAdmin = await open();
  await asAdmin.go('/');
  assert.deepEqual(await navigation(asAdmin), ALL);

  await using asReader = await open({ key: server.keyOf('acme', 'reader') });
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

  await using asOperator = await open({ key: server.operator });
  await asOperator.go('/');
  assert.deepEqual(
    await navigation(asOperator),
    ALL.filter((name) => !['Train', 'Routes'].includes(name)),
  );
});

test('another tenant’s things are not there', async () => {
  await using tab = await open({ key: server.keyOf('globex') });
  await tab.go('/adapters');
  await tab.page.getByText('Nothing has been published yet').waitFor();
  await tab.go('/jobs');
  await tab.page.getByText('No job has been made yet').waitFor();
  await tab.go('/adapters/acme/parity@1');
  await tab.page.getByRole('alert').getByText('no adapter "acme/parity@1"').waitFor();
});

test('a split is set by keys alone, and undone; a rollback and a promotion hold at once', async () => {
  await using tab = await open();
  const { page } = tab;
  await tab.go('/routes');
  await page.getByRole('combobox', { name: 'Add a version' }).click();
  await page.getByRole('option', { name: '1', exact: true }).click();
  const slider = page.getByRole('slider', { name: 'Share of parity@1' });
  await slider.focus();
  for (let press = 0; press < 15; press++) await page.keyboard.press('ArrowRight');
  await page.getByRole('button', { name: 'Save the split' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('The split of parity holds from the next request on').waitFor();
  const split = server.platform.registry.split('acme', 'parity')?.entries;
  assert.deepEqual(
    split?.map(({ version, weight }) => [version, weight]),
    [
      ['latest', 100],
      ['1', 25],
    ],
  );
  await page.getByRole('button', { name: 'All to latest' }).click();
  await page.getByRole('slider').first().waitFor({ state: 'detached' });
  assert.equal(server.platform.registry.split('acme', 'parity')?.entries.length ?? 0, 0);

  const latest = () => server.platform.registry.resolve('acme', 'acme/parity').version;
  assert.equal(latest(), 2);
  await page.getByRole('button', { name: 'Roll back' }).click();
  await page.getByText('parity is answered by acme/parity@1 again').waitFor();
  assert.equal(latest(), 1);
  await tab.go('/adapters/acme/parity@2');
  await page.getByRole('button', { name: 'Make it latest' }).click();
  await page.getByText('parity is answered by version 2 from the next request on').waitFor();
  assert.equal(latest(), 2);
  tab.assertClean('routes');
});

test('the operator changes limits, and they hold', async () => {
  await using tab = await open({ key: server.operator });
  await tab.go('/tenants/globex');
  await tab.page.getByLabel('Requests a minute').fill('120');
  await tab.page.getByLabel('Weight').fill('3');
  await tab.page.getByRole('button', { name: 'Save the limits' }).click();
  await tab.page.getByText('The limits hold from the next request on').waitFor();
  const { requestsPerMinute, weight } = server.platform.tenants.limitsOf('globex');
  assert.deepEqual([requestsPerMinute, weight], [120, 3]);
  tab.assertClean('limits');
});

test('who has only a keyboard gets from the top to a page and to its content', async () => {
  await using tab = await open();
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

interface Description {
  readonly paths: Readonly<Record<string, unknown>>;
}

test('a key is shown once and revoked, where the server keeps keys over HTTP; where not, the page says so', async () => {
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as Description;
  await using tab = await open();
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
  assert.equal(server.platform.keys.authenticate(secret).role, 'reader');
  await page.getByRole('button', { name: 'Done' }).click();
  const row = page.getByRole('row', { name: 'from the console' });
  await row.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('button', { name: 'Revoke it' }).click();
  await row.getByText('revoked').waitFor();
  assert.throws(() => server.platform.keys.authenticate(secret), /revoked/);
  assert.ok(!(await page.content()).includes(secret));
  tab.assertClean('keys');
});
