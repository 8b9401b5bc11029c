import type { MachineFigures } from './machine.ts';
import { PROCESS_BYTES } from './memory.ts';

/** No core of any machine does so many operations a second: such a price was drawn from noise. */
const MAX_GIGAFLOPS_A_THREAD = 1_000;
/** A runtime alone takes more. */
const MIN_PROCESS_BYTES = 30 * 2 ** 20;
/** Activations that are planned are held, with some gaps between them. */
const BUFFER_FACTORS = [0.5, 3] as const;
/** Whoever was measured in peace is explained far better. */
const MAX_ERROR = 0.3;

/** What is not to be believed of a machine's figures, in words; nothing when it was measured in peace. */
export function doubtsOf(machine: MachineFigures): string[] {
  const { formats, threads, processBytes, bufferFactor, error } = machine;
  const doubts: string[] = [];
  for (const [format, { perFlop }] of Object.entries(formats)) {
    if (perFlop === 0) doubts.push(`the price of an operation in ${format} came out as zero`);
    else if (1e-9 / perFlop > MAX_GIGAFLOPS_A_THREAD * Math.max(1, threads)) {
      doubts.push(
        `${format} came out at ${(1e-9 / perFlop).toFixed(0)} GFLOP/s, which no machine of ${threads} threads does`,
      );
    }
  }
  if (!isProcess(processBytes)) doubts.push(`a process came out at ${(processBytes / 2 ** 20).toFixed(0)} MiB`);
  if (!isBuffer(bufferFactor)) doubts.push(`buffers came out at ${bufferFactor.toFixed(2)} times what is planned`);
  for (const [what, worst] of [
    ['time', error?.time],
    ['memory', error?.memory],
  ] as const) {
    if (worst !== undefined && worst > MAX_ERROR)
      doubts.push(`the ${what} of a measured run is missed by ${(100 * worst).toFixed(0)} %`);
  }
  return doubts;
}

/** Whether the time of runs on a base in this format can be told. */
export function isPriced({ formats, threads }: MachineFigures, format: keyof MachineFigures['formats']): boolean {
  const price = formats[format];
  return (
    price !== undefined && price.perFlop > 0 && 1e-9 / price.perFlop <= MAX_GIGAFLOPS_A_THREAD * Math.max(1, threads)
  );
}

/** What a training process and its buffers take, by a machine's figures as far as they can be believed. */
export function memoryFigures(
  machine: MachineFigures | undefined,
  otherwise: { readonly bufferFactor: number },
): { readonly processBytes: number; readonly bufferFactor: number } {
  return {
    processBytes: machine && isProcess(machine.processBytes) ? machine.processBytes : PROCESS_BYTES,
    bufferFactor: machine && isBuffer(machine.bufferFactor) ? machine.bufferFactor : otherwise.bufferFactor,
  };
}

function isProcess(bytes: number): boolean {
  return bytes >= MIN_PROCESS_BYTES;
}

function isBuffer(factor: number): boolean {
  return factor >= BUFFER_FACTORS[0] && factor <= BUFFER_FACTORS[1];
}
