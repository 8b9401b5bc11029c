import { useId } from 'react';
import { Group, Switch, Text } from '@mantine/core';
import { score } from '../../parts/format.ts';
import { NumberField } from '../../parts/number-field.tsx';

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
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text component="label" htmlFor={id} size="sm" fw={600}>
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
      <NumberField
        id={id}
        value={taken}
        disabled={isAuto}
        min={min}
        max={max}
        step={step}
        allowDecimal={!Number.isInteger(step)}
        onValue={(given) => given !== null && given >= min && given <= max && onChange(given)}
      />
    </div>
  );
}
