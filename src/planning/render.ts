import type { Plan } from './plan.ts';

/** `13.5 GB`, `4.9 MB`: powers of ten, three significant figures. */
export function formatBytes(bytes: number): string {
  return formatUnits(bytes, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
}

/** `4.59 M`, `70.6 B` (10^9). */
export function formatCount(count: number): string {
  return formatUnits(count, ['', 'k', 'M', 'B', 'T']).trimEnd();
}

/** `0.143 %`. */
function formatShare(share: number): string {
  return `${significant(share * 100)} %`;
}

/** `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) return `${significant(seconds)} s`;
  const whole = Math.round(seconds);
  const units: readonly [name: string, seconds: number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  const first = units.findIndex(([, length]) => whole >= length);
  const [name, length] = units[first];
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((whole % length) / next[1]);
  const head = `${Math.floor(whole / length)} ${name}`;
  return next === undefined || rest === 0 ? head : `${head} ${rest} ${next[0]}`;
}

function formatUnits(value: number, units: readonly string[]): string {
  let scaled = value;
  let unit = 0;
  // 999.5 would print as 1000: it belongs to the next unit.
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(scaled) : significant(scaled)} ${units[unit]}`;
}

function significant(value: number): string {
  return value === 0 ? '0' : Number(value.toPrecision(3)).toString();
}

/** Two or three columns; the second is aligned to the right. */
function table(rows: readonly (readonly [name: string, value: string, note?: string])[]): string[] {
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const valueWidth = Math.max(...rows.map(([, value]) => value.length));
  return rows.map(([name, value, note = '']) =>
    `  ${name.padEnd(nameWidth)}  ${value.padStart(valueWidth)}  ${note}`.trimEnd(),
  );
}

/** A plan for people. The same figures as JSON are the plan itself. */
export function renderPlan(plan: Plan): string {
  const { model, method, trainable, training, serving, storage, time } = plan;
  const counts = model.parameters;
  const methodText = method.rank === null ? method.name : `${method.name}, rank ${method.rank} on ${method.targets}`;
  const nominal =
    model.nominal === null
      ? ''
      : `a round ${formatCount(model.nominal.parameters)} would be ${formatBytes(model.nominal.bytes16)}`;
  const parts = (of: Plan['training']['parts'], total: number): string[] =>
    table([
      ...of.map(({ part, bytes, how }) => [part, formatBytes(bytes), how] as const),
      ['total', formatBytes(total)] as const,
    ]);
  const sections: readonly [title: string, lines: readonly string[]][] = [
    [
      `${model.name} (${model.architecture}), ${methodText}`,
      table([
        [
          'parameters',
          formatCount(counts.total),
          `embedding ${formatCount(counts.embedding)}, attention ` +
            `${formatCount(counts.attention)}, mlp ${formatCount(counts.mlp)}, head ${formatCount(counts.head)}`,
        ],
        ['weights in 16 bit', formatBytes(model.bytes16), nominal],
        ['trainable', formatCount(trainable.parameters), `${formatShare(trainable.share)} of the parameters`],
        [method.rank === null ? 'a variant' : 'an adapter', formatBytes(trainable.adapterBytes)],
      ]),
    ],
    [`training memory, ${training.tokensPerStep} tokens a step`, parts(training.parts, training.totalBytes)],
    [
      'full fine-tuning for comparison (weights, gradients, optimizer)',
      table(
        plan.fullFineTuning.map(({ recipe, bytes, timesWeights }) => [
          recipe,
          formatBytes(bytes),
          `${significant(timesWeights)} x the weights`,
        ]),
      ),
    ],
    ['serving memory', parts(serving.parts, serving.totalBytes)],
    [
      `storage of ${storage.variants} ${storage.variants === 1 ? 'variant' : 'variants'}`,
      table(
        method.rank === null
          ? [['full copies', formatBytes(storage.fullCopiesBytes)]]
          : [
              [
                'base + adapters',
                formatBytes(storage.withAdaptersBytes),
                `${formatBytes(storage.baseBytes)} + ${formatBytes(storage.variants * storage.adapterBytes)}`,
              ],
              ['full copies', formatBytes(storage.fullCopiesBytes)],
            ],
      ),
    ],
    [
      'time',
      table([
        [
          `${formatCount(time.tokens)} tokens`,
          formatDuration(time.seconds),
          `${significant(time.tokensPerSecond)} tokens/s at ${significant(time.gigaflopsPerSecond)} GFLOP/s`,
        ],
      ]),
    ],
    ['assumptions', plan.assumptions.map((assumption) => `  - ${assumption}`)],
  ];
  return sections.map(([title, lines]) => [title, ...lines].join('\n')).join('\n\n');
}
