/** What the operator does to tenants at the console: limits, and an erasure. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertFits, ConsoleJourney } from './console-harness.ts';

let journey: ConsoleJourney;
before(async () => {
  journey = await ConsoleJourney.start({ tenants: ['acme', 'globex', 'hooli'], hasRealBase: false });
});
after(() => journey?.[Symbol.asyncDispose]());

test('the operator sees what an erasure would take, and types the name', async () => {
  const secret = journey.server.keyOf('hooli');
  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/tenants/hooli');
  await page.getByRole('button', { name: 'What would go' }).click();
  await page.getByRole('table', { name: 'What would go' }).getByRole('row', { name: 'Keys 1' }).waitFor();
  await assertFits(tab, 'a planned erasure', ['dark', 'light']);
  const erase = page.getByRole('button', { name: 'Erase the tenant' });
  await page.getByLabel('Type hooli to erase it').fill('hool');
  assert.ok(await erase.isDisabled());
  assert.equal(journey.server.platform.keys.authenticate(secret).tenant, 'hooli', 'nothing has gone yet');
  await page.getByLabel('Type hooli to erase it').fill('hooli');
  await erase.click();
  await page.getByRole('heading', { level: 1, name: 'Tenants' }).waitFor();
  await page.getByRole('link', { name: 'globex' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'hooli' }).count(), 0);
  assert.throws(() => journey.server.platform.keys.authenticate(secret));
  tab.assertClean('erase');

  await using asAdmin = await journey.open();
  await asAdmin.go('/tenants/acme');
  assert.equal(await asAdmin.page.getByRole('button', { name: 'What would go' }).count(), 0);
});

test('the operator changes limits, and they hold', async () => {
  await using tab = await journey.open({ key: journey.server.operator });
  await tab.go('/tenants/globex');
  await tab.page.getByLabel('Requests a minute').fill('120');
  await tab.page.getByLabel('Weight').fill('3');
  await tab.page.getByRole('button', { name: 'Save the limits' }).click();
  await tab.page.getByText('The limits hold from the next request on').waitFor();
  const { requestsPerMinute, weight } = journey.server.platform.tenants.limitsOf('globex');
  assert.deepEqual([requestsPerMinute, weight], [120, 3]);
  tab.assertClean('limits');
});

test('a limit that is being written stays when another is changed elsewhere', async () => {
  await using tab = await journey.open({ key: journey.server.operator });
  await tab.go('/tenants/globex');
  const [tokens, requests] = ['Tokens a minute', 'Requests a minute'].map((label) => tab.page.getByLabel(label));
  await tokens.fill('777');
  journey.server.platform.tenants.setLimits('globex', { requestsPerMinute: 4321 });
  while ((await requests.inputValue()) !== '4 321') await tab.page.waitForTimeout(100);
  assert.equal(await tokens.inputValue(), '777');
  await tab.page.getByRole('button', { name: 'Save the limits' }).click();
  await tab.page.getByText('The limits hold from the next request on').waitFor();
  const { requestsPerMinute, tokensPerMinute } = journey.server.platform.tenants.limitsOf('globex');
  assert.deepEqual([requestsPerMinute, tokensPerMinute], [4321, 777]);
});

test('numbers are what was typed, key by key: decimals, and more digits than a number field holds', async () => {
  await using tab = await journey.open({ key: journey.server.operator });
  const { page } = tab;
  await tab.go('/tenants/globex');
  for (const [label, text] of [
    ['Weight', '0.05'],
    ['Bytes of adapters', '12345678901234'],
  ] as const) {
    const field = page.getByLabel(label);
    await field.fill('');
    await field.pressSequentially(text);
    assert.equal((await field.inputValue()).replaceAll(' ', ''), text);
    await page.keyboard.press('Tab');
    assert.equal((await field.inputValue()).replaceAll(' ', ''), text, 'left, it shows what was taken');
  }
  await page.getByRole('button', { name: 'Save the limits' }).click();
  await page.getByText('The limits hold from the next request on').waitFor();
  const { weight, maxAdapterBytes } = journey.server.platform.tenants.limitsOf('globex');
  assert.deepEqual([weight, maxAdapterBytes], [0.05, 12_345_678_901_234]);

  await tab.go('/usage');
  await page.getByRole('button', { name: 'Set prices' }).click();
  await page.getByLabel('Currency').fill('eur');
  const price = page.getByLabel('Prompt', { exact: true });
  await price.pressSequentially('0.25');
  assert.equal(await price.inputValue(), '0.25');
  await page.getByRole('button', { name: 'Set them' }).click();
  await page.getByText('The prices hold from today on').waitFor();
  assert.equal(journey.server.platform.prices.list()[0]?.prompt, 0.25);
});
