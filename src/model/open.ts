import { join } from 'node:path';
import type { ComputeDtype, Kernels, PackingKernels, WeightFormat } from '../numeric/index.ts';
import { assembleBase, type BaseModel } from './base-model.ts';
import { baseLayout, packedReader, readPackedHeader, writePackedFile } from './packed-file.ts';
import { openSource, type WeightSource } from './source.ts';
import { matrixFormat } from './tensor-names.ts';

/** A base to open: plain data, so that it crosses to workers and child processes. */
export interface OpenBaseOptions {
  readonly name: string;
  /** A `.gguf` file or a Hugging Face folder. */
  readonly path: string;
  readonly format: WeightFormat;
  /** How products with its matrices are made; f32 unless given. */
  readonly computeDtype?: ComputeDtype | undefined;
  /** Where packed bases are kept. */
  readonly packedDirectory: string;
  /** The base's digest if it is known; it is computed from the files otherwise. */
  readonly digest?: string | undefined;
}

/** Opens a base by mapping its packed file, which is made first if it is missing. */
export function openBase(options: OpenBaseOptions, kernels: PackingKernels): BaseModel {
  const source = options.digest === undefined ? openSource(options.path) : undefined;
  try {
    const digest = options.digest ?? (source as WeightSource).digest();
    const wanted = { digest, format: options.format, layout: baseLayout(kernels, options.format) };
    const path = join(
      options.packedDirectory,
      `${digest.replace('sha256:', '').slice(0, 32)}-${options.format}-${wanted.layout}.pack`,
    );
    let header = readPackedHeader(path, wanted);
    if (!header) {
      const opened = source ?? openSource(options.path);
      try {
        writePackedFile(path, opened, kernels, wanted);
      } finally {
        if (opened !== source) opened.close();
      }
      header = readPackedHeader(path, wanted);
    }
    if (!header) throw new Error(`${path} could not be read back`);
    const { name, format, computeDtype = 'f32' } = options;
    const reader = packedReader(path, header, kernels, computeDtype);
    return assembleBase(header.config, kernels, reader, { name, digest, format, computeDtype });
  } finally {
    source?.close();
  }
}

/** Opens a base without a packed file, in memory: for the oracle and for tests. */
export function loadBase(
  path: string,
  name: string,
  kernels: Kernels,
  format: WeightFormat,
  computeDtype: ComputeDtype = 'f32',
): BaseModel {
  const source = openSource(path);
  try {
    const { config } = source;
    return assembleBase(
      config,
      kernels,
      {
        matrix: (tensor) => {
          const values = source.read(tensor);
          const columns = tensor.endsWith('down_proj.weight')
            ? config.intermediateSize
            : tensor.endsWith('o_proj.weight')
              ? config.numHeads * config.headWidth
              : config.hiddenSize;
          const rows = values.length / columns;
          const stored = matrixFormat(tensor, format);
          const codes = stored === 'nf4' ? source.readNf4(tensor) : undefined;
          return codes
            ? kernels.freezeNf4(codes, rows, columns)
            : kernels.freeze(values, rows, columns, stored, computeDtype);
        },
        vector: (tensor) =>
          kernels.name === 'reference' ? Float64Array.from(source.read(tensor)) : source.read(tensor),
      },
      { name, digest: source.digest(), format, computeDtype },
    );
  } finally {
    source.close();
  }
}
