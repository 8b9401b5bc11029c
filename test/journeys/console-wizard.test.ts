/** The console's main way, in Chromium with the real base: a file is dropped, mended, looked at, trained on, and the result answers. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { referenceOf } from '../../src/registry/index.ts';
import { chatLines } from '../support/tuning-data.ts';
import { choose, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme'], hasRealBase: true });
});
after(() => journey?.[Symbol.asyncDispose]());

const jsonl = (name: string, text: string) => ({ name, mimeType: 'application/jsonl', buffer: Buffer.from(text) });

test('from a file to an answer', async () => {
  await using tab = await journey.open({ key: journey.server.keyOf('acme', 'writer') });
  const { page } = tab;
  await tab.go('/train');
  const drop = page.locator('input[type=file]');

  // What is wrong is told by line, and there is no way on.
  await drop.setInputFiles(
    jsonl('wrong.jsonl', `${chatLines(1)}{"messages": [\n{"messages": [{"role": "bot", "content": "x"}]}\n`),
  );
  await page.getByText('2 problems: mend the file and drop it again').waitFor();
  const problems = await page.getByRole('region', { name: 'Problems' }).getByRole('row').allTextContents();
  assert.match(problems[1], /^2is not valid JSON/);
  assert.match(problems[2], /^3messages\[0\]\.role must be one of system\|user\|assistant\|tool, got "bot"$/);
  assert.ok(await page.getByRole('button', { name: 'Go on' }).isDisabled());
  assert.deepEqual(await tab.barriers(), []);
  await page.getByRole('button', { name: 'Back' }).click();

  // A file that is dropped, as a hand would.
  const dropped = await page.evaluateHandle(
    `(() => { const data = new DataTransfer(); data.items.add(new File([${JSON.stringify(chatLines(8))}], 'parity.jsonl')); return data; })()`,
  );
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer: dropped });
  await page.getByText('Every line can be trained on').waitFor();
  const marked = await page.locator('.spans').first().locator('mark').allTextContents();
  assert.deepEqual(marked.join('').replace(/<\|im_end\|>\n?/, ''), 'even');
  assert.match((await page.locator('.spans').first().textContent()) ?? '', /what is 0\?/);
  assert.deepEqual(await tab.barriers(), []);
  await page.getByRole('button', { name: 'Go on' }).click();

  // The estimate follows the settings.
  const steps = page.locator('.figure', { hasText: 'Steps' });
  await steps.getByText('6', { exact: true }).waitFor();
  await page.getByRole('switch', { name: 'Epochs: auto' }).click();
  await page.getByLabel('Epochs', { exact: true }).fill('2');
  await steps.getByText('4', { exact: true }).waitFor();
  await page.getByRole('switch', { name: 'Learning rate, times: auto' }).click();
  await page.getByLabel('Learning rate, times', { exact: true }).fill('');
  await page.getByLabel('Learning rate, times', { exact: true }).pressSequentially('0.5');
  await page.keyboard.press('Tab');
  assert.equal(await page.getByLabel('Learning rate, times', { exact: true }).inputValue(), '0.5');
  await page.getByRole('switch', { name: 'Learning rate, times: auto' }).click();
  // What cannot be taken does not stay in the field: the run has what it shows.
  await page.getByLabel('Epochs', { exact: true }).fill('');
  await page.keyboard.press('Tab');
  assert.equal(await page.getByLabel('Epochs', { exact: true }).inputValue(), '2');
  const parameters = page.locator('.figure', { hasText: 'Trained parameters' });
  const before = await parameters.textContent();
  await page.getByRole('combobox', { name: 'Adapter' }).click();
  await page.getByRole('option', { name: 'DoRA' }).click();
  await page.getByRole('switch', { name: 'Rank: auto' }).click();
  await page.getByLabel('Rank', { exact: true }).fill('4');
  while ((await parameters.textContent()) === before) await page.waitForTimeout(50);
  await page.getByLabel('Task', { exact: true }).fill('Not A Name');
  assert.ok(await page.getByRole('button', { name: 'Start training' }).isDisabled());
  await page.getByLabel('Task', { exact: true }).fill('parity');
  assert.deepEqual(await tab.barriers(), []);
  await page.getByRole('button', { name: 'Start training' }).dblclick();

  // The job's page shows it live, to its end.
  await page.getByRole('heading', { level: 1, name: 'Fine-tuning job' }).waitFor();
  assert.equal((await journey.client().fineTuning.jobs.list()).data.length, 1, 'a double click starts one');
  await page.getByText('succeeded', { exact: true }).waitFor({ timeout: 240_000 });
  await page.getByText('4 / 4').waitFor();
  await page.getByText('supervised, dora of rank 4').waitFor();
  await page.getByRole('figure', { name: /Loss by step\. Training loss: 4 values/ }).waitFor();
  assert.deepEqual(await tab.barriers(), []);
  await page.getByRole('link', { name: 'Ask it' }).first().click();

  // Base and result, side by side.
  await page.getByRole('heading', { level: 1, name: 'Playground' }).waitFor();
  await page.getByLabel('Tokens of an answer, at most').fill('8');
  await page.getByLabel('Question').fill('what is 4?');
  await page.keyboard.press('Enter');
  await page
    .getByText(/first token/)
    .nth(1)
    .waitFor({ timeout: 120_000 });
  const answers = await page.getByTestId('answer').allTextContents();
  assert.equal(answers.length, 2);
  assert.ok(
    answers.every((answer) => answer.trim() !== ''),
    JSON.stringify(answers),
  );
  const notes = await page.getByText(/first token/).allTextContents();
  assert.match(notes[0], new RegExp(`^${journey.server.base} · `));
  const version = journey.server.platform.registry.resolve('acme', 'acme/parity@1');
  assert.match(notes[1], new RegExp(`${version.digest.replace('sha256:', '').slice(0, 12)} · `));
  assert.deepEqual(await tab.barriers(), []);

  // Its lineage leads back to the job.
  await tab.go('/adapters/acme/parity@1');
  await page
    .getByRole('listitem')
    .getByRole('link', { name: /^ftjob-/ })
    .click();
  await page.getByRole('heading', { level: 1, name: 'Fine-tuning job' }).waitFor();
  tab.assertClean('the wizard');
});

test('from labelled lines to labels', async () => {
  await using tab = await journey.open({ key: journey.server.keyOf('acme', 'writer') });
  const { page } = tab;
  await tab.go('/train');
  await page.getByText('Labels', { exact: true }).click();
  await page.getByText('"label": "billing"').waitFor();
  const lines = Array.from({ length: 16 }, (_, n) => {
    const label = n % 4 === 0 ? 'odd one' : 'plain';
    return `${JSON.stringify({ text: `${n} of the wall, ${label}`, label })}\n`;
  });
  await page.locator('input[type=file]').setInputFiles(jsonl('labels.jsonl', lines.join('')));
  await page.getByText('Every line can be trained on').waitFor();
  await page.locator('.figure', { hasText: 'Labels' }).getByText('plain 12 … odd one 4').waitFor();
  assert.deepEqual(await tab.barriers(), []);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('switch', { name: 'Epochs: auto' }).click();
  await page.getByLabel('Epochs', { exact: true }).fill('1');
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByText('succeeded', { exact: true }).waitFor({ timeout: 240_000 });
  await page.getByText('classification, lora of rank 8').waitFor();
  await page.getByRole('link', { name: 'Ask it' }).first().click();

  // The base answers, the classifier gives its label.
  await page.getByRole('heading', { level: 1, name: 'Playground' }).waitFor();
  await page.getByLabel('Tokens of an answer, at most').fill('4');
  await page.getByLabel('Question').fill('99 of the wall, plain');
  await page.keyboard.press('Enter');
  const label = page.getByText(/^(plain|odd one) \(\d+\.\d %; the next of 2 has \d+\.\d %\)$/);
  await label.waitFor({ timeout: 120_000 });
  assert.equal(
    await page
      .getByRole('region', { name: /^Model/ })
      .getByRole('alert')
      .count(),
    0,
  );
  assert.deepEqual(await tab.barriers(), []);

  // Whatever names it knows that it gives labels: a chat that is refused would be a complaint of the browser's.
  const { registry } = journey.server.platform;
  const version = [...registry.each('acme')].find(({ classes, task }) => classes !== null && task !== 'ft-checkpoints');
  assert.deepEqual(version?.classes, { labels: ['odd one', 'plain'], reads: 'text' });
  registry.promote('acme', referenceOf(version));
  await tab.go(`/adapters/${referenceOf(version)}`);
  await page.getByRole('row', { name: 'Labels odd one, plain' }).waitFor();
  await tab.go('/playground');
  await choose(tab, 'Model 2', referenceOf(version));
  await choose(tab, 'Model 1', `${version.task}, by its route`);
  await page.getByLabel('Question').fill('99 of the wall, plain');
  await page.keyboard.press('Enter');
  await label.nth(1).waitFor();
  tab.assertClean('the wizard of labels');
});
