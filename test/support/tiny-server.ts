/** The real server in this process: a tiny base, tenants with adapters, the engine on its thread, a socket. */
import {
  importAdapter,
  importModel,
  openPlatform,
  serve,
  type AppConfig,
  type ServeOptions,
} from '../../src/app/index.ts';
import type { Log } from '../../src/base/index.ts';
import { TemporaryFolder } from './processes.ts';
import { writeRandomAdapter, type RandomAdapterOptions } from './tiny-adapters.ts';
import { tinySites, writeTinyBase } from './tiny-base.ts';

export interface TinyServerOptions {
  readonly contextLength?: number;
  /** By TENANT/TASK. */
  readonly adapters: Readonly<Record<string, RandomAdapterOptions>>;
  readonly serve?: Partial<ServeOptions>;
}

export interface TinyServer extends AsyncDisposable {
  readonly url: string;
  /** For what is done beside the server. */
  readonly config: AppConfig;
  /** The base's folder. */
  readonly basePath: string;
  /** The PEFT folder of an adapter. */
  adapterPath(name: string): string;
  /** A key of a tenant. */
  keyOf(tenant: string): string;
  /** What the server has logged as errors. */
  readonly errors: readonly Record<string, unknown>[];
}

export async function startTinyServer({
  contextLength = 512,
  adapters,
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
  };
  const basePath = folder.join('tiny');
  writeTinyBase(basePath, { contextLength });
  importModel(home, basePath, 'tiny');
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
    writeRandomAdapter(adapterPath(name), tinySites(), adapters[name]);
    await importAdapter(config, adapterPath(name), name, 'tiny');
  }
  const errors: Record<string, unknown>[] = [];
  const log: Log = { info() {}, warn() {}, error: (fields) => void errors.push(fields) };
  const { url } = stack.use(await serve(config, { base: 'tiny', host: '127.0.0.1', port: 0, ...options }, log));
  const owned = stack.move();
  return {
    url,
    config,
    basePath,
    adapterPath,
    keyOf(tenant) {
      const key = keys.get(tenant);
      if (key === undefined) throw new Error(`no tenant ${tenant}`);
      return key;
    },
    errors,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
