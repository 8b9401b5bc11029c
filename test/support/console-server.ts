/** A server with the real base and a home of its own, for the console. */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openPlatform, serve, type AppConfig, type Platform } from '../../src/app/index.ts';
import type { Clock, Log } from '../../src/base/index.ts';
import { smolBase } from './base-model.ts';
import { TemporaryFolder } from './processes.ts';

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

export async function startConsoleServer(tenants: readonly string[], clock?: Clock): Promise<ConsoleServer> {
  await using stack = new AsyncDisposableStack();
  const smol = await smolBase();
  const folder = stack.use(new TemporaryFolder());
  const home = folder.join('home');
  mkdirSync(home);
  // The base is read only: one copy of it is enough.
  for (const shared of ['models', 'packed']) {
    if (existsSync(join(smol.home, shared))) symlinkSync(join(smol.home, shared), join(home, shared));
  }
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
  const options = { bases: [smol.name], host: '127.0.0.1', port: 0, clock };
  const { url, platform } = stack.use(await serve(config, options, log));
  const owned = stack.move();
  return {
    url,
    base: smol.name,
    folder,
    platform,
    operator,
    keyOf: (tenant, role = 'admin') => platform.keys.create({ tenant, role, label: 'console' }).secret,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
