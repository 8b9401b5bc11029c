/**
 * Does the server keep the promises of its own description? `npm run peers:fuzz` starts `espalier serve` with a tiny base and adapters of
 * two tenants, and lets schemathesis send every route of /openapi.json what its schemas allow and what they do not, with a tenant's key and with an
 * operator's. It looks for statuses of 500 and above, statuses, headers and content types that are not documented, answers that are not of
 * their schema, and requests that should have been refused. Exit code 1 when it finds any.
 *
 *   node test/peers/fuzz.ts [--examples=100] [--seed=1] [--report=FOLDER] [--url=http://… --key=esp_… --models=NAME,…]
 *
 * `--url` and `--key` name a server that runs already, and `--models` what it has.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runJson, startServe, TemporaryFolder } from '../support/processes.ts';
import { writeRandomAdapter } from '../support/tiny-adapters.ts';
import { tinySites, writeTinyBase } from '../support/tiny-base.ts';
import { fuzzPython } from './python.ts';

/**
 * Not among them: that whatever the schemas allow is accepted. They cannot say that two fields contradict one another, that a model is
 * unknown, or that a grammar is too much work.
 */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'missing_required_header',
  'unsupported_method',
  'allow_header_conformance',
  'ignored_auth',
];
/** Short, so that an answer without a limit is short too. */
const CONTEXT = 256;
/** Four runs, on a machine that may be busy. */
const SERVER_LIMIT_MS = 30 * 60_000;
const REQUEST_TIMEOUT_S = 60;
/** What can be asked for, and what cannot: another tenant's, and nobody's. */
const MODELS = ['tiny', 'acme/reply', 'acme/reply@1', 'globex/reply', 'acme/none'];

/** Fields that say what others say too, or need them. */
const NOTHING = { type: 'null' };
const AGREEING: Readonly<Record<string, object>> = {
  adapters: NOTHING,
  metadata: NOTHING,
  structured_outputs: NOTHING,
  guided_json: NOTHING,
  guided_regex: NOTHING,
  guided_choice: NOTHING,
  stream_options: NOTHING,
  top_logprobs: NOTHING,
  max_completion_tokens: NOTHING,
  best_of: NOTHING,
  min_tokens: NOTHING,
  ignore_eos: NOTHING,
  tool_choice: { enum: ['auto', 'none'] },
  response_format: {
    enum: [
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'integer' } } },
    ],
  },
  max_tokens: { type: 'integer', minimum: 1, maximum: 20 },
  n: { type: 'integer', minimum: 1, maximum: 2 },
  dimensions: { type: 'integer', minimum: 1, maximum: 32 },
};

const EVENT = { type: 'object', required: ['data'], properties: { data: { type: 'string' } } };

interface Operation {
  parameters?: readonly { readonly name: string }[] | undefined;
  readonly responses: Readonly<Record<string, { readonly content?: Record<string, object> }>>;
}

interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly properties?: Record<string, object> }>>;
  };
}

/** Makes the key of a run. */
type KeyMaker = () => Promise<string>;

const { values: options } = parseArgs({
  options: {
    examples: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    report: { type: 'string' },
    url: { type: 'string' },
    key: { type: 'string' },
    models: { type: 'string' },
  },
});
if ((options.url === undefined) !== (options.key === undefined)) throw new Error('--url and --key go together');
const models = options.models?.split(',') ?? MODELS;
const python = fuzzPython();
using folder = new TemporaryFolder();
process.exitCode =
  options.url !== undefined && options.key !== undefined
    ? await fuzz(options.url, [async () => options.key ?? ''])
    : await fuzzServerOfItsOwn();

async function fuzzServerOfItsOwn(): Promise<number> {
  const home = folder.join('home');
  writeTinyBase(folder.join('tiny'), { contextLength: CONTEXT });
  await runJson(['models', 'import', folder.join('tiny'), '--name', 'tiny'], { home });
  for (const [seed, tenant] of ['globex', 'acme'].entries()) {
    await runJson(['tenants', 'create', tenant], { home });
    const adapter = folder.join(`adapter-${tenant}`);
    writeRandomAdapter(adapter, tinySites(), { seed, rank: 4, targets: 'all-linear' });
    await runJson(['adapters', 'publish', adapter, `${tenant}/reply`, '--base', 'tiny'], { home });
  }
  await using server = await startServe(['--base', 'tiny'], { home, timeLimitMs: SERVER_LIMIT_MS });
  // The operator's come last: its requests revoke keys and erase tenants.
  const code = await fuzz(server.url, [
    () => keyOf(['acme', '--role', 'writer'], home),
    () => keyOf(['--operator'], home),
  ]);
  const errors = server.program.stderr.split('\n').filter((line) => /"level":50\b/.test(line));
  for (const line of errors) console.error(line);
  if (server.program.hasEnded) {
    const last = server.program.stderr.trimEnd().split('\n').slice(-5).join('\n');
    console.error(`the server ended before the fuzz did; its last lines:\n${last}`);
    return 1;
  }
  return Math.max(code, errors.length > 0 ? 1 : 0);
}

async function keyOf(args: readonly string[], home: string): Promise<string> {
  return (await runJson<{ secret: string }>(['keys', 'create', ...args], { home })).secret;
}

/** @returns the highest exit code: 0 when nothing was found by any key */
async function fuzz(url: string, keys: readonly KeyMaker[]): Promise<number> {
  const description = forPeer((await (await fetch(`${url}/openapi.json`)).json()) as Description);
  const codes: number[] = [];
  for (const make of keys) {
    codes.push(await runPeer(url, await acceptedKey(url, make), description, 'all'));
    // Narrower than the server is: what is outside of it need not be refused.
    codes.push(await runPeer(url, await acceptedKey(url, make), withoutContradictions(description), 'positive'));
  }
  return Math.max(...codes);
}

/** A key for a run, which asks nothing if it is refused. @throws Error it is */
async function acceptedKey(url: string, make: KeyMaker): Promise<string> {
  const key = await make();
  const { status } = await fetch(`${url}/api/session`, { headers: { Authorization: `Bearer ${key}` } });
  if (status !== 200) throw new Error(`the server refuses the key of the next run with ${status}`);
  return key;
}

/** @returns the exit code of schemathesis */
async function runPeer(url: string, key: string, description: Description, mode: 'all' | 'positive'): Promise<number> {
  const file = folder.join('openapi.json');
  writeFileSync(file, JSON.stringify(description));
  const settings = [
    ['--url', url],
    ['--header', `Authorization: Bearer ${key}`],
    ['--checks', CHECKS.join(',')],
    ['--mode', mode],
    ['--max-examples', options.examples],
    ['--seed', options.seed],
    ['--request-timeout', String(REQUEST_TIMEOUT_S)],
    options.report === undefined ? [] : ['--report', 'har', '--report-dir', options.report],
  ].flat();
  const args = ['-m', 'schemathesis.cli', 'run', file, ...settings, '--continue-on-failure'];
  // Its cache of examples goes where it does not stay.
  const child = spawn(python, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: folder.path });
  const [code] = (await once(child, 'close')) as [number | null];
  return code ?? 1;
}

/**
 * The description for schemathesis. Models have names that exist, without which every request ends at an unknown model; and the schema of a stream, which
 * as in OpenAI's own description is that of each event's data, becomes that of an event, as schemathesis reads it.
 */
function forPeer(description: Description): Description {
  const named = structuredClone(description);
  for (const properties of requestsOf(named)) {
    for (const field of ['model', 'lora_path']) {
      if (properties[field]) properties[field] = { ...properties[field], enum: models };
    }
  }
  for (const { content = {} } of operationsOf(named).flatMap(({ responses }) => Object.values(responses))) {
    if (content['text/event-stream']) content['text/event-stream'] = { schema: EVENT };
  }
  return named;
}

/** A description without what contradicts other fields in most requests: more of them are answered. */
function withoutContradictions(description: Description): Description {
  const narrow = structuredClone(description);
  for (const properties of requestsOf(narrow)) {
    for (const [field, schema] of Object.entries(AGREEING)) if (properties[field]) properties[field] = schema;
  }
  for (const operation of operationsOf(narrow)) {
    operation.parameters = operation.parameters?.filter(({ name }) => name !== 'X-Task');
  }
  return narrow;
}

/** The fields of each body. */
function requestsOf({ components }: Description): Record<string, object>[] {
  return Object.entries(components.schemas).flatMap(([name, { properties }]) =>
    name.endsWith('Request') && properties ? [properties] : [],
  );
}

function operationsOf({ paths }: Description): Operation[] {
  return Object.values(paths).flatMap((methods) => Object.values(methods));
}
