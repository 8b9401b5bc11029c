import { useId, useState } from 'react';
import { Group, NumberInput, Switch, Text } from '@mantine/core';
import { score } from '../../parts/format.ts';

interface AutoNumberProps {
  readonly label: string;
  readonly value: number | 'auto';
  readonly onChange: (value: number | 'auto') => void;
  readonly proposed: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
}

/** A number, or left to the server. */
export function AutoNumber({ label, value, onChange, proposed, min, max, step = 1 }: AutoNumberProps) {
  const id = useId();
  const isAuto = value === 'auto';
  const taken = isAuto ? Number(score(proposed)) : value;
  /** What stands in the field while it is written; what cannot be taken goes when the field is left. */
  const [written, setWritten] = useState<number | string | null>(null);
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text component="label" htmlFor={id} size="sm" fw={500}>
          {label}
        </Text>
        <Switch
          size="xs"
          label="auto"
          aria-label={`${label}: auto`}
          checked={isAuto}
          onChange={(event) => onChange(event.currentTarget.checked ? 'auto' : proposed)}
        />
      </Group>
      <NumberInput
        id={id}
        value={written ?? taken}
        disabled={isAuto}
        min={min}
        max={max}
        step={step}
        clampBehavior="strict"
        allowDecimal={!Number.isInteger(step)}
        onChange={(given) => {
          setWritten(given);
          if (typeof given === 'number' && given >= min) onChange(given);
        }}
        onBlur={() => setWritten(null)}
      />
    </div>
  );
}
