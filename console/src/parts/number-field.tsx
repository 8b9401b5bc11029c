import { useState } from 'react';
import { NumberInput, type NumberInputProps } from '@mantine/core';

interface NumberFieldProps extends Omit<NumberInputProps, 'value' | 'onChange'> {
  readonly value: number | null;
  readonly onValue: (value: number | null) => void;
}

/**
 * A number, or nothing. What is being written stands in the field as it is: "0." on the way to "0.25" is a text, and would be gone if the field
 * showed the number that it is so far. When the field is left, it shows what was taken.
 */
export function NumberField({ value, onValue, onBlur, ...rest }: NumberFieldProps) {
  const [written, setWritten] = useState<string | number | null>(null);
  return (
    <NumberInput
      {...rest}
      value={written ?? value ?? ''}
      onChange={(given) => {
        setWritten(given);
        onValue(numberOf(given));
      }}
      onBlur={(event) => {
        setWritten(null);
        onBlur?.(event);
      }}
    />
  );
}

/** Very long numbers, and those that are not written to their end, come as texts. */
function numberOf(given: string | number): number | null {
  if (given === '') return null;
  const value = Number(given);
  return Number.isFinite(value) ? value : null;
}
