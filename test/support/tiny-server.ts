/** The real server in this process: a tiny base, tenants with adapters, the engine on its thread, a socket. */
import {
  importAdapter,
  importModel,
  openPlatform,
  serve,
  type AppConfig,
  type Platform,
  type ServeOptions,
} from '../../src/app/index.ts';
import type { Log } from '../../src/base/index.ts';
import { TemporaryFolder } from './processes.ts';
import { writeRandomAdapter, type RandomAdapterOptions } from './tiny-adapters.ts';
import { tinySites, writeTinyBase } from './tiny-base.ts';

export interface TinyServerOptions {
  readonly contextLength?: number;
  /** By TENANT/TASK, on the first base unless told. */
  readonly adapters: Readonly<Record<string, RandomAdapterOptions & { readonly base?: string }>>;
  /** Names of bases that differ in their weights; `tiny` unless told. */
  readonly bases?: readonly string[];
  /** Of {@link bases}, those that are here and not served. */
  readonly unserved?: readonly string[];
  readonly serve?: Partial<ServeOptions>;
}

export interface TinyServer extends AsyncDisposable {
  readonly url: string;
  /** The first base's folder. */
  readonly basePath: string;
  /** The PEFT folder of an adapter. */
  adapterPath(name: string): string;
  /** A key of a tenant. */
  keyOf(tenant: string): string;
  /** The state that the server works on. */
  readonly platform: Platform;
  readonly config: AppConfig;
  /** What the server has logged as errors. */
  readonly errors: readonly Record<string, unknown>[];
  /** Its lines about requests. */
  readonly requests: readonly Record<string, unknown>[];
}

export async function startTinyServer({
  contextLength = 512,
  adapters,
  bases = ['tiny'],
  unserved = [],
  serve: options,
}: TinyServerOptions): Promise<TinyServer> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new TemporaryFolder());
  const home = folder.join('home');
  const config: AppConfig = {
    home,
    hfHome: folder.join('none'),
    hfEndpoint: 'http://localhost:1',
    hfToken: undefined,
    threads: 1,
    // What the answers are compared with is computed in float32, on every machine.
    compute: 'f32',
  };
  for (const [index, base] of bases.entries()) {
    writeTinyBase(folder.join(base), { contextLength, seed: index + 1 });
    importModel(home, folder.join(base), base);
  }
  const names = Object.keys(adapters);
  const keys = new Map<string, string>();
  {
    await using platform = await openPlatform(config);
    for (const tenant of new Set(names.map((name) => name.split('/')[0]))) {
      platform.tenants.create(tenant);
      keys.set(tenant, platform.keys.create({ tenant, role: 'admin' }).secret);
    }
  }
  const adapterPath = (name: string): string => folder.join(name.replace('/', '-'));
  for (const name of names) {
    const { base = bases[0], ...adapter } = adapters[name];
    writeRandomAdapter(adapterPath(name), tinySites(), adapter);
    await importAdapter(config, adapterPath(name), name, base);
  }
  const errors: Record<string, unknown>[] = [];
  const requests: Record<string, unknown>[] = [];
  const info: Log['info'] = (fields, message) => void (message === 'request' && requests.push(fields));
  const log: Log = { info, warn() {}, error: (fields) => void errors.push(fields) };
  const served = bases.filter((base) => !unserved.includes(base));
  const address = { host: '127.0.0.1', port: 0 };
  const { url, platform } = stack.use(await serve(config, { bases: served, ...address, ...options }, log));
  const owned = stack.move();
  return {
    url,
    basePath: folder.join(bases[0]),
    adapterPath,
    platform,
    config,
    requests,
    keyOf(tenant) {
      const key = keys.get(tenant);
      if (key === undefined) throw new Error(`no tenant ${tenant}`);
      return key;
    },
    errors,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
