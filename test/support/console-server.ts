/** A server with a home of its own, for the console: with the real base, or with a tiny one whose answers mean nothing. */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { importModel, openPlatform, serve, type AppConfig, type Platform } from '../../src/app/index.ts';
import type { Clock, Log } from '../../src/base/index.ts';
import { smolBase } from './base-model.ts';
import { TemporaryFolder } from './processes.ts';
import { writeTinyBase } from './tiny-base.ts';

export interface ConsoleServer extends AsyncDisposable {
  readonly url: string;
  readonly base: string;
  readonly folder: TemporaryFolder;
  readonly platform: Platform;
  /** An operator's key. */
  readonly operator: string;
  /** A key of a tenant. */
  keyOf(tenant: string, role?: 'admin' | 'writer' | 'reader'): string;
}

export interface ConsoleServerOptions {
  readonly tenants: readonly string[];
  readonly hasRealBase: boolean;
  readonly clock?: Clock | undefined;
}

export async function startConsoleServer({
  tenants,
  hasRealBase,
  clock,
}: ConsoleServerOptions): Promise<ConsoleServer> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new TemporaryFolder());
  const home = folder.join('home');
  mkdirSync(home);
  const base = hasRealBase ? await linkRealBase(home) : writeTiny(home, folder);
  const config: AppConfig = {
    home,
    hfHome: folder.join('none'),
    hfEndpoint: 'http://localhost:1',
    hfToken: undefined,
    threads: 2,
  };
  let operator = '';
  {
    await using platform = await openPlatform(config);
    for (const tenant of tenants) platform.tenants.create(tenant);
    operator = platform.keys.create({ tenant: null, role: 'admin', label: 'operator' }).secret;
  }
  const log: Log = { info() {}, warn() {}, error: (fields, message) => console.error(message, fields) };
  const options = { bases: [base], host: '127.0.0.1', port: 0, clock };
  const { url, platform } = stack.use(await serve(config, options, log));
  const owned = stack.move();
  return {
    url,
    base,
    folder,
    platform,
    operator,
    keyOf: (tenant, role = 'admin') => platform.keys.create({ tenant, role, label: 'console' }).secret,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The base is read only: one copy of it is enough. */
async function linkRealBase(home: string): Promise<string> {
  const smol = await smolBase();
  for (const shared of ['models', 'packed']) {
    if (existsSync(join(smol.home, shared))) symlinkSync(join(smol.home, shared), join(home, shared));
  }
  return smol.name;
}

function writeTiny(home: string, folder: TemporaryFolder): string {
  writeTinyBase(folder.join('tiny'), { contextLength: 4096 });
  importModel(home, folder.join('tiny'), 'tiny');
  return 'tiny';
}
