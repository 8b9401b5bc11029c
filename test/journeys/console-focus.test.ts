/** Where the focus is after what a keyboard does at the console: never at nothing, and where one goes on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { chatLines } from '../support/tuning-data.ts';
import { choose, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme', 'globex'], hasRealBase: false });
  await journey.trainParity();
});
after(() => journey?.[Symbol.asyncDispose]());

/** A text, because the types of a page's globals are not here. */
const FOCUSED = `(() => {
  const one = document.activeElement;
  const label = one.labels?.[0]?.textContent ?? one.getAttribute('aria-label') ?? one.textContent;
  if (one === document.body) return 'nothing';
  return one.tagName.toLowerCase() + ' ' + label.trim();
})()`;

async function assertFocus(page: Page, what: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  let focused = '';
  do {
    focused = await page.evaluate<string>(FOCUSED);
    if (focused === what) {
      // Nor does it go on from there, once all that is on its way has come.
      await page.waitForTimeout(300);
      focused = await page.evaluate<string>(FOCUSED);
    }
  } while (focused !== what && performance.now() < deadline);
  assert.equal(focused, what);
}

/** As a keyboard does: the focus is on it, and Enter is pressed. */
async function press(page: Page, name: string, role: 'button' | 'link' = 'button'): Promise<void> {
  await page.getByRole(role, { name, exact: true }).first().focus();
  await page.keyboard.press('Enter');
}

test('who signs in, follows a link, goes back or signs out is at the heading of the page, or in its only field', async () => {
  await using tab = await journey.open({ key: null });
  const { page } = tab;
  await page.goto(`${journey.server.url}/console/adapters`);
  await assertFocus(page, 'input API key');
  await page.keyboard.type(journey.admin);
  await page.keyboard.press('Enter');
  await assertFocus(page, 'h1 Adapters');
  await press(page, 'acme/parity@1', 'link');
  await assertFocus(page, 'h1 acme/parity@1');
  await page.goBack();
  await assertFocus(page, 'h1 Adapters');
  await press(page, 'Sign out');
  await assertFocus(page, 'input API key');
  await page.keyboard.type('esp_none');
  await press(page, 'Sign in');
  await page.getByText('The server does not know this key.').waitFor();
  await assertFocus(page, 'button Sign in');
});

test('the menu of a phone leads to the heading of the page', async () => {
  await using tab = await journey.open({ size: 'phone' });
  const { page } = tab;
  await tab.go('/');
  await press(page, 'Menu');
  await press(page, 'Jobs', 'link');
  await assertFocus(page, 'h1 Jobs');
});

test('a dialog that is left leads back to what opened it', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/routes');
  for (const [button, title] of [
    ['Set a gate', 'Gate of parity'],
    ['Start a canary', 'Canary of parity'],
    ['Start a shadow', 'Shadow of parity'],
    ['Promote', 'Promote a version of parity'],
  ]) {
    await press(page, button);
    await page.getByRole('dialog', { name: title }).waitFor();
    await page.keyboard.press('Escape');
    await assertFocus(page, `button ${button}`);
  }
  await press(page, 'Start a shadow');
  await choose(tab, 'Version', '1');
  await page.getByRole('dialog').getByRole('button', { name: 'Start the shadow' }).focus();
  await page.keyboard.press('Enter');
  await assertFocus(page, 'button Stop the shadow');
  await page.keyboard.press('Enter');
  await assertFocus(page, 'button Start a shadow');
  await using asOperator = await journey.open({ key: journey.server.operator });
  await asOperator.go('/usage');
  await press(asOperator.page, 'Set prices');
  await press(asOperator.page, 'Leave it');
  await assertFocus(asOperator.page, 'button Set prices');
});

test('a button that was busy has the focus again; one that is gone leaves it to what stands beside it', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/routes');
  await press(page, 'Roll back');
  await page.getByText('parity is answered by acme/parity@1 again').waitFor();
  await assertFocus(page, 'button Roll back');
  await choose(tab, 'Add a version', '1');
  await choose(tab, 'Add a version', '2');
  await press(page, 'Leave out version 1');
  await assertFocus(page, 'div Share of parity@2');
  await press(page, 'Save the split');
  await assertFocus(page, 'button All to latest');
  await page.keyboard.press('Enter');
  await assertFocus(page, 'input Add a version');
  await tab.go('/adapters/acme/parity@2');
  await press(page, 'Make it latest');
  await page.getByText('parity is answered by version 2').waitFor();
  await assertFocus(page, 'a Ask it');
});

test('a key that is made is copied next, one that is revoked is followed by the next', async () => {
  const { platform } = journey.server;
  for (const label of ['first', 'second']) platform.keys.create({ tenant: 'acme', role: 'reader', label });
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/keys');
  await press(page, 'New key');
  await page.getByLabel('Name').fill('third');
  await page.keyboard.press('Enter');
  await assertFocus(page, 'button Copy');
  await page.evaluate('delete Navigator.prototype.clipboard');
  await page.keyboard.press('Enter');
  await assertFocus(page, 'button Copied');
  await press(page, 'Done');
  await assertFocus(page, 'button New key');
  const row = (name: string) => page.getByRole('row', { name }).getByRole('button', { name: 'Revoke' });
  await row('second').focus();
  await page.keyboard.press('Enter');
  await press(page, 'Revoke it');
  await page.getByRole('row', { name: 'second' }).getByText('revoked').waitFor();
  await assertFocus(page, 'button Revoke');
  assert.equal(await row('first').and(page.locator(':focus')).count(), 1);
});

test('a step of the wizard begins at its heading', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/train');
  const asked = page.waitForEvent('filechooser');
  await press(page, 'Choose a file');
  const buffer = Buffer.from(chatLines(8));
  await (await asked).setFiles({ name: 'parity.jsonl', mimeType: 'application/jsonl', buffer });
  await assertFocus(page, 'h2 parity.jsonl');
  await page.getByText('Every line can be trained on').waitFor();
  await press(page, 'Go on');
  await assertFocus(page, 'h2 Settings');
  await press(page, 'Back');
  await assertFocus(page, 'h2 parity.jsonl');
});

test('limits that are saved or undone, and what an erasure would take', async () => {
  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/tenants/globex');
  for (const button of ['Undo', 'Save the limits']) {
    await page.getByLabel('Weight').fill('7');
    await press(page, button);
    await assertFocus(page, 'input Bytes of adapters');
  }
  await press(page, 'What would go');
  await assertFocus(page, 'h3 What would go');
  await press(page, 'Keep it');
  await assertFocus(page, 'button What would go');
});

test('in the playground one asks again', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/playground');
  await page.getByLabel('Tokens of an answer, at most').fill('2');
  await page.getByLabel('Question').fill('hello');
  await press(page, 'Ask');
  await page
    .getByText(/first token/)
    .nth(1)
    .waitFor();
  await assertFocus(page, 'textarea Question');
  await press(page, 'Clear');
  await assertFocus(page, 'textarea Question');
  await press(page, 'Leave out model 2');
  await assertFocus(page, 'input Model 1');
});

test('who clicks beside everything wants the focus nowhere', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/adapters');
  await page.getByLabel('Search').focus();
  await page.mouse.click(100, 760);
  await page.evaluate(`document.querySelector('[role=switch]').click()`);
  await page.getByText('acme/ft-checkpoints').first().waitFor();
  await assertFocus(page, 'nothing');
});

test('it stays nowhere also where the page has changed just before', async () => {
  await using tab = await journey.open();
  const { page } = tab;
  await tab.go('/adapters');
  await page.getByLabel('Search').focus();
  // The focus goes when what looks after it is late already.
  await page.evaluate(`new Promise((resolve) => {
    document.body.append(document.createElement('i'));
    setTimeout(() => {
      const until = performance.now() + 100;
      while (performance.now() < until);
      setTimeout(() => document.activeElement.blur());
      setTimeout(resolve, 200);
    });
  })`);
  await assertFocus(page, 'nothing');
});
