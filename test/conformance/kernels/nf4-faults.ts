import { type Fault, fault, nudge } from './fault.ts';

export const nf4Faults: readonly Fault[] = [
  fault('quantiseNf4', 'puts the first code in the low half', /quantiser/, (k) => ({
    quantiseNf4(weight) {
      const made = k.quantiseNf4(weight);
      return { ...made, codes: made.codes.map((byte) => ((byte & 15) << 4) | (byte >> 4)) };
    },
  })),
  fault('quantiseNf4', 'forgets the mean of the magnitudes', /quantiser/, (k) => ({
    quantiseNf4(weight) {
      const made = k.quantiseNf4(weight);
      return { ...made, nested: { ...made.nested, offset: 0 } };
    },
  })),
  fault('quantiseNf4', 'gives magnitudes that are off by one bit', /quantiser/, (k) => ({
    quantiseNf4(weight) {
      const made = k.quantiseNf4(weight);
      nudge(made.absmax, 0);
      return made;
    },
  })),
  fault('freezeNf4', 'starts a block in every row', /matrix of codes/, (k) => ({
    freezeNf4: ({ codes, magnitudes }, out, inputs) =>
      k.freezeNf4(
        {
          codes,
          magnitudes: magnitudes.map(
            (_, block) => magnitudes[Math.min(magnitudes.length - 1, Math.floor((block * 64) / inputs))],
          ),
        },
        out,
        inputs,
      ),
  })),
  fault('packNf4Into', 'leaves one byte as it was', /codes are packed/, (k) => ({
    packNf4Into(target, matrix, out, inputs) {
      const before = target[1];
      k.packNf4Into(target, matrix, out, inputs);
      target[1] = before;
    },
  })),
];
