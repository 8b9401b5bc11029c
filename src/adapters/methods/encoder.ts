/** The small networks that make virtual tokens while they are trained, with PyTorch's parameters and first values. */
import { assert, type Rng } from '../../base/index.ts';
import {
  activate,
  addColumns,
  addInPlace,
  denseLinear,
  joinColumns,
  joinRows,
  multiply,
  sliceColumns,
  type Floats,
  type Graph,
  type Tensor,
} from '../../numeric/index.ts';
import { requireTensor, type AdapterTensors, type ParameterSpec } from '../method.ts';
import { fillUniform } from './initial-values.ts';

/** A parameter of an encoder. */
export interface EncoderParameter extends ParameterSpec {
  /** Its first values are U(−bound, bound); N(0, 1) when missing, as `torch.nn.Embedding` has it. */
  readonly bound?: number;
}

const PREFIX = 'prompt_encoder';

/** A parameter's name: PEFT's, without the name of the adapter in it. */
export const encoderName = (suffix: string): string => `${PREFIX}.${suffix}`;

/** `torch.nn.Embedding(rows, width)`. */
export function embeddingParameter(rows: number, width: number): EncoderParameter {
  return { name: encoderName('embedding.weight'), shape: [rows, width] };
}

/** `torch.nn.Linear(inputs, outputs)`. */
export function linearParameters(module: string, inputs: number, outputs: number): EncoderParameter[] {
  const bound = 1 / Math.sqrt(inputs);
  return [
    { name: encoderName(`${module}.weight`), shape: [outputs, inputs], bound },
    { name: encoderName(`${module}.bias`), shape: [outputs], bound },
  ];
}

const DIRECTIONS = ['', '_reverse'] as const;

/** `torch.nn.LSTM(inputs, hidden, num_layers, bidirectional=True)`. */
export function lstmParameters(module: string, inputs: number, hidden: number, numLayers: number): EncoderParameter[] {
  const bound = 1 / Math.sqrt(hidden);
  return Array.from({ length: numLayers }, (_, layer) =>
    DIRECTIONS.flatMap((direction): EncoderParameter[] => {
      const name = (kind: string): string => encoderName(`${module}.${kind}_l${layer}${direction}`);
      return [
        { name: name('weight_ih'), shape: [4 * hidden, layer === 0 ? inputs : 2 * hidden], bound },
        { name: name('weight_hh'), shape: [4 * hidden, hidden], bound },
        { name: name('bias_ih'), shape: [4 * hidden], bound },
        { name: name('bias_hh'), shape: [4 * hidden], bound },
      ];
    }),
  ).flat();
}

/** Writes the first values of the parameter with this name. */
export function initialiseEncoder(
  parameters: readonly EncoderParameter[],
  { name }: ParameterSpec,
  values: Floats,
  rng: Rng,
): void {
  const parameter = parameters.find((one) => one.name === name);
  assert(parameter, `${name} is a parameter of the encoder`);
  if (parameter.bound !== undefined) fillUniform(values, parameter.bound, rng);
  else for (let i = 0; i < values.length; i++) values[i] = rng.nextNormal();
}

/** x_NI · Wᵀ + b of a `torch.nn.Linear`. */
export function encoderLinear(g: Graph, tensors: AdapterTensors, module: string, x: Tensor): Tensor {
  const y = denseLinear(g, x, requireTensor(tensors, encoderName(`${module}.weight`)));
  addColumns(g, y, requireTensor(tensors, encoderName(`${module}.bias`)), 1);
  return y;
}

/**
 * A bidirectional LSTM (Hochreiter and Schmidhuber, 1997; PyTorch's gates) over x_NI as one sequence of N: [N, 2·hidden].
 * @param between applied to the output of every layer but the last
 */
export function encoderLstm(
  g: Graph,
  tensors: AdapterTensors,
  module: string,
  x: Tensor,
  numLayers: number,
  between: (x: Tensor) => Tensor,
): Tensor {
  let output = x;
  for (let layer = 0; layer < numLayers; layer++) {
    const input = layer === 0 ? output : between(output);
    const sides = DIRECTIONS.map((direction) => {
      const name = (kind: string): Tensor =>
        requireTensor(tensors, encoderName(`${module}.${kind}_l${layer}${direction}`));
      return lstmDirection(g, input, name, direction !== '');
    });
    output = joinColumns(g, sides);
  }
  return output;
}

function lstmDirection(g: Graph, x: Tensor, parameter: (kind: string) => Tensor, isReverse: boolean): Tensor {
  const N = x.shape[0];
  const recurrent = parameter('weight_hh');
  const H = recurrent.shape[1];
  const fromInput = denseLinear(g, x, parameter('weight_ih'));
  addColumns(g, fromInput, parameter('bias_ih'), 1);
  addColumns(g, fromInput, parameter('bias_hh'), 1);
  const outputs: Tensor[] = [];
  let hidden: Tensor | undefined;
  let cell: Tensor | undefined;
  for (let n = 0; n < N; n++) {
    const place = isReverse ? N - 1 - n : n;
    let gates = g.rows(fromInput, place, place + 1);
    if (hidden) {
      const sum = denseLinear(g, hidden, recurrent);
      addInPlace(g, sum, gates);
      gates = sum;
    }
    const gate = (index: number): Tensor => sliceColumns(g, gates, index * H, (index + 1) * H);
    const added = multiply(g, activate(g, gate(0), 'sigmoid'), activate(g, gate(2), 'tanh'));
    if (cell) addInPlace(g, added, multiply(g, activate(g, gate(1), 'sigmoid'), cell));
    cell = added;
    hidden = multiply(g, activate(g, gate(3), 'sigmoid'), activate(g, cell, 'tanh'));
    outputs.push(hidden);
  }
  return joinRows(g, isReverse ? outputs.reverse() : outputs);
}
