/** The console in Chromium: every page for those who may see it, on both sizes and in both themes; what is offered to whom; keys and keyboard. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import type { Browser } from 'playwright-core';
import { EspalierClient } from '../../src/client/index.ts';
import { ConsoleTab, launchBrowser, SIZES, type ConsoleOptions, type Theme } from '../support/console-browser.ts';
import { startConsoleServer, type ConsoleServer } from '../support/console-server.ts';
import { chatLines } from '../support/tuning-data.ts';

let server: ConsoleServer;
let browser: Browser;
let job: string;
let admin: string;

before(async () => {
  [server, browser] = await Promise.all([
    startConsoleServer({ tenants: ['acme', 'globex', 'hooli'], hasRealBase: false }),
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

/** A page is loaded once on each size; the themes are the same page with another wish of the system. */
describe('every page: no error, no barrier, nothing off the screen', { concurrency: 2 }, () => {
  for (const size of ['desktop', 'phone'] as const) {
    for (const who of ['admin', 'operator'] as const) {
      test(`${who}, ${size}`, async () => {
        await using tab = await open({ key: who === 'operator' ? server.operator : admin, size });
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

/** As it is: nothing wider than the screen, no complaint, and no barrier in these themes. */
async function assertFits(tab: ConsoleTab, where: string, themes: readonly Theme[]): Promise<void> {
  assert.ok((await tab.overflow()) <= 0, `${where} is wider than the screen`);
  for (const [n, theme] of themes.entries()) {
    await tab.wish(theme);
    assert.equal(await tab.page.locator('html').getAttribute('data-mantine-color-scheme'), theme);
    assert.deepEqual(await tab.barriers(n === 0 ? 'all' : 'colours'), [], `${where}, ${theme}`);
  }
  tab.assertClean(where);
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

test('a gate holds a version back and tells both scores; only an admin passes by it', async () => {
  const { registry, delivery } = server.platform;
  const latest = () => registry.resolve('acme', 'acme/parity').version;
  registry.promote('acme', 'acme/parity@2');
  await using tab = await open();
  const { page } = tab;
  await tab.go('/routes');
  await page.getByRole('button', { name: 'Set a gate' }).click();
  await page
    .locator('input[type=file]')
    .setInputFiles({ name: 'held-out.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(chatLines(6, 300)) });
  await page
    .getByRole('combobox', { name: 'Held-out examples' })
    .and(page.locator('[value^="held-out.jsonl"]'))
    .waitFor();
  await choose(tab, 'Metric', 'loss');
  await page.getByLabel('Threshold').fill('0.1');
  await page.getByLabel('Tolerance').fill('0.5');
  await assertFits(tab, 'the form of a gate', ['dark', 'light']);
  await page.getByRole('dialog').getByRole('button', { name: 'Set the gate' }).click();
  await page.getByText('The gate of parity is set').waitFor();
  const gate = delivery.gates.find('acme', 'parity');
  assert.deepEqual(
    [gate?.metric, gate?.threshold, gate?.tolerance, gate?.dataName],
    ['loss', 0.1, 0.5, 'held-out.jsonl'],
  );

  await page.getByRole('button', { name: 'Promote' }).click();
  await choose(tab, 'Version', '1');
  await page.getByRole('button', { name: 'Promote it' }).click();
  await page
    .getByRole('alert')
    .getByText(/may not be promoted: loss \d.* at most 0\.1 is asked/s)
    .waitFor();
  const scores = page.getByRole('region', { name: 'Scores by the gate' }).getByRole('row');
  await scores.filter({ hasText: /^2, answers now\d/ }).waitFor();
  await scores.filter({ hasText: /^1\d/ }).waitFor();
  // The browser itself notes the refusal.
  assert.ok(tab.complaints.every((text) => text.includes('409')));
  tab.complaints.length = 0;
  await assertFits(tab, 'a refused promotion', ['dark', 'light']);
  assert.equal(latest(), 2);

  await using asWriter = await open({ key: server.keyOf('acme', 'writer') });
  await asWriter.go('/routes');
  assert.equal(await asWriter.page.getByRole('button', { name: 'Change the gate' }).count(), 1);
  assert.equal(await asWriter.page.getByRole('button', { name: 'Remove the gate' }).count(), 0);
  await asWriter.page.getByRole('button', { name: 'Promote' }).click();
  await asWriter.page.getByRole('button', { name: 'Promote it' }).waitFor();
  assert.equal(await asWriter.page.getByRole('switch').count(), 0);

  await page.getByRole('switch', { name: 'Without the gate' }).click();
  await page.getByRole('button', { name: 'Promote it' }).click();
  await page.getByText('parity is answered by version 1 from the next request on').waitFor();
  assert.equal(latest(), 1);
  const events = page.getByRole('region', { name: 'Events' });
  await events.getByText('promoted without gate, version 1').waitFor();
  await events.getByText('promotion refused, version 1').waitFor();
  await page.getByRole('button', { name: 'Remove the gate' }).click();
  await page.getByText('None: whatever is promoted answers.').waitFor();
  assert.equal(delivery.gates.find('acme', 'parity'), undefined);
  tab.assertClean('gate');
});

/** Takes an option of a field by its name. */
async function choose({ page }: ConsoleTab, field: string, option: string): Promise<void> {
  await page.getByRole('combobox', { name: field, exact: true }).click();
  await page.getByRole('option', { name: option, exact: true }).click();
}

test('a canary counts both sides as they answer, a shadow reports, and both stop', async () => {
  const { registry, delivery } = server.platform;
  delivery.gates.remove('acme', 'parity');
  registry.promote('acme', 'acme/parity@1');
  const client = clientOf(admin);
  const ask = async (user: string): Promise<string> => {
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const body = { model: server.base, metadata: { task: 'parity' }, user, messages, max_tokens: 2 };
    return (await client.chat.completions.create(body)).model;
  };
  await using tab = await open();
  const { page } = tab;
  await tab.go('/routes');
  await page.getByRole('button', { name: 'Start a canary' }).click();
  await choose(tab, 'Version', '2');
  await page.getByLabel('Share of the sessions, %').fill('50, 100');
  await page.getByLabel('Score below the others').fill('0.2');
  await assertFits(tab, 'the form of a canary', ['dark', 'light']);
  await page.getByRole('button', { name: 'Start the canary' }).click();
  await page.getByText('The canary of parity answers from the next request on').waitFor();
  const settings = delivery.canaries.report('acme', 'parity')?.canary.settings;
  assert.deepEqual(
    [settings?.shares, settings?.maxErrorIncrease, settings?.maxScoreDrop, settings?.maxErrorRate],
    [[0.5, 1], 0.02, 0.2, null],
  );
  const answered = [];
  for (let user = 0; user < 12; user++) answered.push(await ask(`user-${user}`));
  const byCanary = answered.filter((model) => model === 'acme/parity@2').length;
  const arms = page.getByRole('region', { name: 'Canary beside the others' });
  const cell = (row: string) => arms.getByRole('row', { name: row }).getByRole('cell').nth(1);
  await cell('version 2').getByText(String(byCanary), { exact: true }).waitFor();
  await cell('the others')
    .getByText(String(12 - byCanary), { exact: true })
    .waitFor();
  await page.getByRole('button', { name: 'Stop the canary' }).click();
  await page.getByRole('button', { name: 'Start a canary' }).waitFor();
  assert.equal(delivery.canaries.report('acme', 'parity')?.canary.status, 'stopped');

  await page.getByRole('button', { name: 'Start a shadow' }).click();
  await choose(tab, 'Version', '2');
  await page.getByRole('button', { name: 'Start the shadow' }).click();
  await page.getByText('The shadow of parity is asked from the next request on').waitFor();
  await ask('somebody');
  await page.getByText('1 compared, 0 failed').waitFor();
  await page
    .getByRole('region', { name: 'Shadow beside what answered' })
    .getByRole('row', { name: 'version 2' })
    .waitFor();
  await page.getByRole('button', { name: 'Stop the shadow' }).click();
  await page.getByRole('button', { name: 'Start a shadow' }).waitFor();
  assert.notEqual(delivery.shadows.report('acme', 'parity')?.shadow.endedAt, null);
  await assertFits(tab, 'routes with a canary and a shadow', ['dark', 'light']);
  await page.setViewportSize(SIZES.phone);
  await assertFits(tab, 'the same on a phone', []);
});

test('an answer of a task with a canary is scored by keys alone, and the score can be changed', async () => {
  const { registry, delivery } = server.platform;
  registry.promote('acme', 'acme/parity@1');
  const api = new EspalierClient({ baseUrl: server.url, apiKey: admin });
  await api.call('startCanary', { path: { task: 'parity' }, body: { version: 2, share: 0.5 } });
  const counted = (): readonly (readonly [count: number, sum: number])[] => {
    const counts = delivery.canaries.report('acme', 'parity')?.counts;
    assert.ok(counts);
    return [counts.canary, counts.stable].map(({ scores }) => [scores.count, scores.sum]);
  };
  const total = (): readonly number[] => counted().reduce((all, one) => [all[0] + one[0], all[1] + one[1]], [0, 0]);
  await using tab = await open();
  const { page } = tab;
  await tab.go('/playground');
  await choose(tab, 'Model 1', 'parity, by its route');
  await page.getByLabel('Question').focus();
  await page.keyboard.type('hello');
  await page.keyboard.press('Enter');
  const good = page.getByRole('button', { name: 'Good answer' });
  const bad = page.getByRole('button', { name: 'Bad answer' });
  await good.waitFor();
  assert.equal(await good.count(), 1, 'what a model answers by its own name is counted for no canary');
  assert.deepEqual(total(), [0, 0]);
  await good.focus();
  await page.keyboard.press('Enter');
  await page.getByText('counted for the canary').waitFor();
  assert.deepEqual(
    [await good.getAttribute('aria-pressed'), await bad.getAttribute('aria-pressed')],
    ['true', 'false'],
  );
  assert.deepEqual(total(), [1, 1]);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.locator('button[aria-label="Bad answer"][aria-pressed="true"]').waitFor();
  assert.deepEqual(total(), [1, 0], 'the second score takes the place of the first');
  await assertFits(tab, 'a scored answer', ['dark', 'light']);
  await api.call('stopCanary', { path: { task: 'parity' } });
});

test('the operator sees what an erasure would take, and types the name', async () => {
  const secret = server.keyOf('hooli');
  await using tab = await open({ key: server.operator });
  const { page } = tab;
  await tab.go('/tenants/hooli');
  await page.getByRole('button', { name: 'What would go' }).click();
  await page.getByRole('table', { name: 'What would go' }).getByRole('row', { name: 'Keys 1' }).waitFor();
  await assertFits(tab, 'a planned erasure', ['dark', 'light']);
  const erase = page.getByRole('button', { name: 'Erase the tenant' });
  await page.getByLabel('Type hooli to erase it').fill('hool');
  assert.ok(await erase.isDisabled());
  assert.equal(server.platform.keys.authenticate(secret).tenant, 'hooli', 'nothing has gone yet');
  await page.getByLabel('Type hooli to erase it').fill('hooli');
  await erase.click();
  await page.getByRole('heading', { level: 1, name: 'Tenants' }).waitFor();
  await page.getByRole('link', { name: 'globex' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'hooli' }).count(), 0);
  assert.throws(() => server.platform.keys.authenticate(secret));
  tab.assertClean('erase');

  await using asAdmin = await open();
  await asAdmin.go('/tenants/acme');
  assert.equal(await asAdmin.page.getByRole('button', { name: 'What would go' }).count(), 0);
});

test('the operator sets prices, and usage has its cost from then on; a tenant sees what it pays', async () => {
  const cost = ({ page }: ConsoleTab, row: RegExp) =>
    page.getByRole('region', { name: 'Bill lines' }).getByRole('row', { name: row }).first().getByRole('cell').last();
  await using asAdmin = await open();
  await asAdmin.go('/usage');
  assert.equal(await cost(asAdmin, /^acme/).textContent(), '–');
  await asAdmin.page.getByText('No price has been set').waitFor();
  assert.equal(await asAdmin.page.getByRole('button', { name: 'Set prices' }).count(), 0);

  await using tab = await open({ key: server.operator });
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
  const [row] = server.platform.prices.list();
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
