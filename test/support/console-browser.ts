/** The console in a real browser: Chromium as the system has it, driven over its own protocol. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Of axe's rules, those that another theme can break. */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];
/** What is in the page's tab while it is signed in. */
const STORED = 'espalier.key';

export const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } } as const;
export type Size = keyof typeof SIZES;
export type Theme = 'light' | 'dark';

export function launchBrowser(): Promise<Browser> {
  const executablePath = process.env['ESPALIER_CHROMIUM'] ?? PLACES.find((place) => existsSync(place));
  assert.ok(executablePath, 'Chromium is needed: apt-get install chromium, or name one by ESPALIER_CHROMIUM');
  // Whoever is root has no sandbox to give; the pages are our own.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
}

/** A text, because the types of a page's globals are not here. */
const REST = `(async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  await frame();
  await frame();
  const ends = (one) => one.effect?.getComputedTiming().endTime !== Infinity;
  await Promise.allSettled(document.getAnimations().filter(ends).map((one) => one.finished));
})()`;

export interface ConsoleOptions {
  readonly url: string;
  /** Null: nobody is signed in. */
  readonly key: string | null;
  readonly size?: Size;
  readonly theme?: Theme;
  /** Of the browser; the machine's unless told. */
  readonly timeZone?: string;
}

/** A tab with the console. What the page complains of, and where it asks, is kept. */
export class ConsoleTab implements AsyncDisposable {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #url: string;
  readonly complaints: string[] = [];
  readonly #foreign: string[] = [];

  private constructor(context: BrowserContext, page: Page, url: string) {
    this.#context = context;
    this.page = page;
    this.#url = url;
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(`${url}/`))
        this.#foreign.push(request.url());
    });
  }

  static async open(
    browser: Browser,
    { url, key, size = 'desktop', theme = 'light', timeZone }: ConsoleOptions,
  ): Promise<ConsoleTab> {
    const context = await browser.newContext({
      viewport: SIZES[size],
      hasTouch: size === 'phone',
      colorScheme: theme,
      reducedMotion: 'reduce',
      locale: 'en-GB',
      ...(timeZone !== undefined && { timezoneId: timeZone }),
    });
    if (key !== null) {
      await context.addInitScript(([name, value]) => sessionStorage.setItem(name, value), [STORED, key] as const);
    }
    return new ConsoleTab(context, await context.newPage(), url);
  }

  /** Goes to a page of the console and waits for its heading and for what it asked. */
  async go(path: string): Promise<void> {
    await this.page.goto(`${this.#url}/console${path}`);
    await this.settle();
  }

  async settle(): Promise<void> {
    await this.page.getByRole('heading', { level: 1 }).waitFor();
    // One after the other: what has come may begin to wait for something else.
    const busy = this.page.locator('[aria-busy="true"]');
    while ((await busy.count()) > 0) await busy.first().waitFor({ state: 'detached' });
  }

  /** What the system wishes: the console follows it where nothing was chosen. */
  async wish(theme: Theme): Promise<void> {
    await this.page.emulateMedia({ colorScheme: theme });
    await this.page.locator(`html[data-mantine-color-scheme=${theme}]`).waitFor();
    await this.#rest();
  }

  /** The layout and the colours that the page comes to rest in: some of both is set a frame after what caused it. */
  async #rest(): Promise<void> {
    await this.page.evaluate(REST);
  }

  /** Nothing went wrong in the page, and nothing was asked of anybody else. */
  assertClean(where: string): void {
    assert.deepEqual(this.complaints, [], where);
    assert.deepEqual(this.#foreign, [], where);
    assert.ok(!this.page.url().includes('esp_'), 'the key is in no address');
  }

  /**
   * What axe finds that is serious or critical, in words.
   * @param of only what depends on the theme, where the rest was looked at already
   */
  async barriers(of: 'all' | 'colours' = 'all'): Promise<string[]> {
    if (!(await this.page.evaluate<boolean>('"axe" in globalThis'))) await this.page.evaluate(AXE);
    const runOnly = of === 'colours' ? COLOUR_RULES : null;
    const found = await this.page.evaluate(async (rules) => {
      interface Axe {
        run(options: object): Promise<{
          violations: { id: string; impact: string | null; nodes: { html: string; failureSummary?: string }[] }[];
        }>;
      }
      const { axe } = globalThis as unknown as { axe: Axe };
      const { violations } = await axe.run({ resultTypes: ['violations'], ...(rules && { runOnly: rules }) });
      return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`));
    }, runOnly);
    return found;
  }

  /** By how many pixels the page is wider than the screen. */
  async overflow(): Promise<number> {
    await this.#rest();
    return this.page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.close();
  }
}
