/**
 * `npm run console:screenshots`: pictures of every page of the console in docs/console, from a server of its own with the real base, the
 * demonstration's data, jobs that it trains and traffic that it makes. With `--quick FOLDER` the base is a tiny one: for a look at the pages,
 * not at the answers.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { loadCrawlerTask, loadSpamTask, type DemoTask } from '../src/demo/index.ts';
import { ConsoleTab, launchBrowser, type Size, type Theme } from '../test/support/console-browser.ts';
import { startConsoleServer } from '../test/support/console-server.ts';

const isQuick = process.argv[2] === '--quick';
const FOLDER = isQuick ? process.argv[3] : join(import.meta.dirname, '..', 'docs', 'console');
/** Requests come in steps, of which each counts for so much time. */
const STEPS = 30;
const STEP_MS = 60_000;
const TENANT = 'mailroom';

let behindMs = STEPS * STEP_MS;
const clock = { nowMs: () => performance.now(), epochMs: () => Date.now() - behindMs };

mkdirSync(FOLDER, { recursive: true });
await using server = await startConsoleServer({
  tenants: [TENANT, 'weblogs', 'helpdesk'],
  hasRealBase: !isQuick,
  clock,
});
const admin = server.keyOf(TENANT);
const [spam, crawlers] = [await loadSpamTask(), await loadCrawlerTask()];
await train(spam, TENANT, 'spam', 20, 1);
await train(spam, TENANT, 'spam', 32, 1);
await train(crawlers, TENANT, 'crawlers', 8, 1);
await train(crawlers, 'weblogs', 'crawlers', 8, 1);
for (const [task, version] of [
  ['spam', 1],
  ['spam', 2],
  ['crawlers', 1],
] as const) {
  server.platform.registry.promote(TENANT, `${TENANT}/${task}@${version}`);
}
server.platform.registry.promote('weblogs', 'weblogs/crawlers@1');
server.platform.registry.setSplit(TENANT, 'spam', [
  { version: 'latest', weight: 90 },
  { version: '1', weight: 10 },
]);
server.platform.registry.tag(TENANT, `${TENANT}/spam@2`, { add: ['reviewed'], remove: [] });
server.platform.tenants.setLimits(TENANT, {
  weight: 2,
  requestsPerMinute: 600,
  tokensPerMinute: 60_000,
  maxAdapters: 50,
});
await deliver();
await makeTraffic();
await takePictures();

function clientOf(tenant: string): OpenAI {
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.keyOf(tenant), maxRetries: 0 });
}

/** A gate that version 1 does not pass, and version 1 beside version 2 all the same: pictures of all three. */
async function deliver(): Promise<void> {
  const post = async (part: string, body: object): Promise<void> => {
    const headers = { Authorization: `Bearer ${admin}` };
    const path = `/api/routes/spam/${part}`;
    const response = await fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  };
  const { data } = await clientOf(TENANT).files.list();
  const file = data.find(({ filename }) => filename === 'spam-held-out.jsonl')?.id;
  await post('gate', { file, metric: 'loss', threshold: 0.001, tolerance: 0.02 });
  const rules = { min_requests: 500, max_score_drop: 0.1, max_latency_factor: 2 };
  await post('canary', { version: 1, share: 0.2, steps: [0.5, 1], promote: true, gate: false, ...rules });
  await post('shadow', { version: 1, share: 0.5 });
}

/** Trains as any client would. @returns the job */
async function train(
  task: DemoTask,
  tenant: string,
  suffix: string,
  count: number,
  epochs: number,
  isAwaited = true,
): Promise<string> {
  const client = clientOf(tenant);
  const upload = (examples: DemoTask['train'], name: string) =>
    toFile(Buffer.from(examples.map((one) => `${JSON.stringify(one)}\n`).join('')), name).then((file) =>
      client.files.create({ file, purpose: 'fine-tune' }),
    );
  const training = await upload(task.train.slice(0, count), `${suffix}.jsonl`);
  const validation = await upload(task.valid.slice(0, 6), `${suffix}-held-out.jsonl`);
  const { id } = await client.fineTuning.jobs.create({
    model: server.base,
    training_file: training.id,
    validation_file: validation.id,
    suffix,
    method: {
      type: 'supervised',
      supervised: { hyperparameters: { n_epochs: epochs, batch_size: 2, learning_rate_multiplier: 3 } },
    },
  });
  if (!isAwaited) {
    while ((await client.fineTuning.jobs.listEvents(id, { limit: 100 })).data.length < 16) await sleep(200);
    return id;
  }
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (job.status === 'succeeded') return id;
    if (job.status === 'failed') throw new Error(`${suffix}: ${job.error?.message}`);
    await sleep(200);
  }
}

/** Three quarters of an hour of requests, in a minute or two. */
async function makeTraffic(): Promise<void> {
  const tenants = [
    { client: clientOf(TENANT), model: server.base, route: 'spam', task: spam, share: 3 },
    { client: clientOf('weblogs'), model: 'weblogs/crawlers', task: crawlers, share: 2 },
    { client: clientOf('helpdesk'), model: server.base, task: spam, share: 1 },
  ];
  for (let step = 0; step < STEPS; step++) {
    // A slow wave over the hour.
    const busy = 1 + Math.sin((step / STEPS) * 7) ** 2;
    const asked = tenants.flatMap(({ client, model, route, task, share }, n) =>
      Array.from({ length: Math.round((busy * share) / 2) }, async (_, index) => {
        const { messages } = task.test[(step * 3 + index) % task.test.length];
        const isWrong = (step * 7 + index * 3 + n) % 41 === 0;
        await client.chat.completions
          .create({
            model: isWrong ? `${model}-typo` : model,
            // Who names a task is routed; each step is a session.
            ...(route !== undefined && { metadata: { task: route }, user: `${step}-${index}` }),
            messages: messages.slice(0, -1),
            max_tokens: 2,
          })
          .catch(() => undefined);
      }),
    );
    await Promise.all(asked);
    behindMs -= STEP_MS;
  }
}

async function takePictures(): Promise<void> {
  await using browser = await launchBrowser();
  const take = async (
    name: string,
    path: string,
    prepare: (tab: ConsoleTab) => Promise<unknown> = async () => undefined,
    { key = admin, size = 'desktop', theme = 'light' }: { key?: string | null; size?: Size; theme?: Theme } = {},
  ): Promise<void> => {
    await using tab = await ConsoleTab.open(browser, { url: server.url, key, size, theme });
    await tab.go(path);
    await prepare(tab);
    // Charts and thumbs take a frame or two to find their places.
    await sleep(400);
    await tab.page.screenshot({ path: join(FOLDER, `${name}.png`) });
    tab.assertClean(name);
    console.log(`docs/console/${name}.png`);
  };
  const dark = { theme: 'dark' } as const;
  const phone = { size: 'phone' } as const;
  const operator = { key: server.operator };
  await take('sign-in', '/', undefined, { key: null });
  await take('overview', '/', undefined, operator);
  await take('overview-dark', '/', undefined, { ...operator, ...dark });
  await take('adapters', '/adapters');
  await take('adapter', `/adapters/${TENANT}/spam@2`);
  await take('routes', '/routes');
  await take('routes-delivery', '/routes', toDelivery);
  await take('routes-refused', '/routes', async (tab) => {
    await tab.page.getByRole('button', { name: 'Promote' }).last().click();
    await tab.page.getByRole('combobox', { name: 'Version', exact: true }).click();
    await tab.page.getByRole('option', { name: '1', exact: true }).click();
    await tab.page.getByRole('button', { name: 'Promote it' }).click();
    await tab.page.getByRole('alert').waitFor({ timeout: 300_000 });
    // The browser notes the refusal.
    tab.complaints.length = 0;
  });
  await take('train-data', '/train');
  await take('train-problems', '/train', (tab) =>
    choose(tab, '{"messages": [\n{"messages": [{"role": "bot", "content": "x"}]}\n'),
  );
  await take('train-check', '/train', (tab) => choose(tab, lines(spam)));
  await take('train-run', '/train', async (tab) => {
    await choose(tab, lines(spam));
    await tab.page.getByRole('button', { name: 'Go on' }).click();
    await tab.page.getByLabel('Task', { exact: true }).fill('spam');
  });
  await take('playground', '/playground', ask);
  await take('playground-dark', '/playground', ask, dark);
  await take('tenants', '/tenants', undefined, operator);
  await take('tenant', `/tenants/${TENANT}`, undefined, operator);
  await take(
    'tenant-erase',
    '/tenants/helpdesk',
    async ({ page }) => {
      await page.getByRole('button', { name: 'What would go' }).click();
      await page.getByLabel('Type helpdesk to erase it').scrollIntoViewIfNeeded();
    },
    operator,
  );
  await take('keys', '/keys');
  await take('usage', '/usage', undefined, operator);
  await take('jobs', '/jobs');
  await take('audit', '/audit', undefined, operator);
  await take('overview-phone', '/', undefined, phone);
  await take('routes-phone', '/routes', undefined, { ...phone, ...dark });
  await take('playground-phone', '/playground', ask, phone);
  // The last, because it takes the machine.
  const running = await train(spam, TENANT, 'spam', 64, 2, false);
  await take('job-running', `/jobs/${running}`);
}

function lines(task: DemoTask): string {
  return task.train
    .slice(0, 64)
    .map((one) => `${JSON.stringify(one)}\n`)
    .join('');
}

/** The card of the task that has a gate, a canary and a shadow, from its gate on. */
async function toDelivery({ page }: ConsoleTab): Promise<void> {
  await page
    .getByRole('button', { name: 'Change the gate' })
    .evaluate((button) => button.scrollIntoView({ block: 'start' }));
  await page.mouse.wheel(0, -80);
}

async function choose({ page }: ConsoleTab, text: string): Promise<void> {
  await page
    .locator('input[type=file]')
    .setInputFiles({ name: 'mails.jsonl', mimeType: 'application/jsonl', buffer: Buffer.from(text) });
  await page.getByText(/Every line can be trained on|problems?:/).waitFor();
}

/** The base, and two adapters. */
async function ask({ page }: ConsoleTab): Promise<void> {
  await page.getByRole('button', { name: 'Compare one more' }).click();
  for (const [column, version] of ['1', '2'].entries()) {
    await page.getByRole('combobox', { name: `Model ${column + 2}` }).click();
    await page.getByRole('option', { name: `${TENANT}/spam@${version}` }).click();
  }
  const [system, user] = spam.question;
  await page.getByLabel('System prompt').fill(system.content);
  await page.getByLabel('Tokens of an answer, at most').fill('32');
  await page.getByLabel('Question').fill(user.content.slice(0, 420));
  await page.getByRole('button', { name: 'Ask', exact: true }).click();
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' });
  await page.evaluate('scrollTo(0, 0)');
}
