/** What answers a task, changed at the console: splits, rollbacks and promotions, gates, canaries, shadows. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EspalierClient } from '../../src/client/index.ts';
import { SIZES } from '../support/console-browser.ts';
import { chatLines } from '../support/tuning-data.ts';
import { assertFits, choose, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

test('a split is set by keys alone, and undone; a rollback and a promotion hold at once', async () => {
  await using tab = await journey.open();
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
  const split = journey.server.platform.registry.split('acme', 'parity')?.entries;
  assert.deepEqual(
    split?.map(({ version, weight }) => [version, weight]),
    [
      ['latest', 100],
      ['1', 25],
    ],
  );
  await page.getByRole('button', { name: 'All to latest' }).click();
  await page.getByRole('slider').first().waitFor({ state: 'detached' });
  assert.equal(journey.server.platform.registry.split('acme', 'parity')?.entries.length ?? 0, 0);

  const latest = () => journey.server.platform.registry.resolve('acme', 'acme/parity').version;
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
  const { registry, delivery } = journey.server.platform;
  const latest = () => registry.resolve('acme', 'acme/parity').version;
  registry.promote('acme', 'acme/parity@2');
  await using tab = await journey.open();
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

  await using asWriter = await journey.open({ key: journey.server.keyOf('acme', 'writer') });
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

test('a canary counts both sides as they answer, a shadow reports, and both stop', async () => {
  const { registry, delivery } = journey.server.platform;
  delivery.gates.remove('acme', 'parity');
  registry.promote('acme', 'acme/parity@1');
  const client = journey.client();
  const ask = async (user: string): Promise<string> => {
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const body = { model: journey.server.base, metadata: { task: 'parity' }, user, messages, max_tokens: 2 };
    return (await client.chat.completions.create(body)).model;
  };
  await using tab = await journey.open();
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
  const { registry, delivery } = journey.server.platform;
  registry.promote('acme', 'acme/parity@1');
  const api = new EspalierClient({ baseUrl: journey.server.url, apiKey: journey.admin });
  await api.call('startCanary', { path: { task: 'parity' }, body: { version: 2, share: 0.5 } });
  const counted = (): readonly (readonly [count: number, sum: number])[] => {
    const counts = delivery.canaries.report('acme', 'parity')?.counts;
    assert.ok(counts);
    return [counts.canary, counts.stable].map(({ scores }) => [scores.count, scores.sum]);
  };
  const total = (): readonly number[] => counted().reduce((all, one) => [all[0] + one[0], all[1] + one[1]], [0, 0]);
  await using tab = await journey.open();
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
