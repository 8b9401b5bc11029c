/** The console's journeys share this: a server, a browser, and a task with two versions that jobs trained. */
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import type { Browser } from 'playwright-core';
import { ConsoleTab, launchBrowser, type ConsoleOptions, type Theme } from '../support/console-browser.ts';
import { startConsoleServer, type ConsoleServer, type ConsoleServerOptions } from '../support/console-server.ts';
import { chatLines } from '../support/tuning-data.ts';

export class ConsoleJourney implements AsyncDisposable {
  readonly server: ConsoleServer;
  /** An admin's key of acme. */
  readonly admin: string;
  readonly #browser: Browser;

  private constructor(server: ConsoleServer, browser: Browser) {
    this.server = server;
    this.#browser = browser;
    this.admin = server.keyOf('acme');
  }

  static async start(options: ConsoleServerOptions): Promise<ConsoleJourney> {
    // The browser first: where there is none, no server is left running.
    const browser = await launchBrowser();
    try {
      return new ConsoleJourney(await startConsoleServer(options), browser);
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  /** A tab, signed in with acme's admin key unless `options` have another. */
  open(options: Partial<ConsoleOptions> = {}): Promise<ConsoleTab> {
    return ConsoleTab.open(this.#browser, { url: this.server.url, key: this.admin, ...options });
  }

  /** OpenAI's client with acme's admin key. */
  client(): OpenAI {
    return new OpenAI({ baseURL: `${this.server.url}/v1`, apiKey: this.admin, maxRetries: 0 });
  }

  /** Two versions of acme's task parity, by jobs; the second answers, the first did before. Resolves to the second's job. */
  async trainParity(): Promise<string> {
    await this.#train(0);
    const job = await this.#train(100);
    this.server.platform.registry.promote('acme', 'acme/parity@1');
    this.server.platform.registry.promote('acme', 'acme/parity@2');
    return job;
  }

  /** @param first of the examples, so that two trainings have different ones */
  async #train(first: number): Promise<string> {
    const client = this.client();
    const file = await toFile(Buffer.from(chatLines(12, first)), 'parity.jsonl');
    const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
    const { id } = await client.fineTuning.jobs.create({ model: this.server.base, training_file, suffix: 'parity' });
    for (;;) {
      const { status, error } = await client.fineTuning.jobs.retrieve(id);
      if (status === 'succeeded') return id;
      assert.notEqual(status, 'failed', error?.message);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    await this.server[Symbol.asyncDispose]();
  }
}

/** As it is: nothing wider than the screen, no complaint, and no barrier in these themes. */
export async function assertFits(tab: ConsoleTab, where: string, themes: readonly Theme[]): Promise<void> {
  assert.ok((await tab.overflow()) <= 0, `${where} is wider than the screen`);
  for (const [n, theme] of themes.entries()) {
    await tab.wish(theme);
    assert.equal(await tab.page.locator('html').getAttribute('data-mantine-color-scheme'), theme);
    assert.deepEqual(await tab.barriers(n === 0 ? 'all' : 'colours'), [], `${where}, ${theme}`);
  }
  tab.assertClean(where);
}

/** Takes an option of a field by its name. */
export async function choose({ page }: ConsoleTab, field: string, option: string): Promise<void> {
  await page.getByRole('combobox', { name: field, exact: true }).click();
  await page.getByRole('option', { name: option, exact: true }).click();
}
