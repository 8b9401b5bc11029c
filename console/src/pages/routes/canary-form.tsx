import { useState } from 'react';
import { SimpleGrid, Switch, TextInput } from '@mantine/core';
import type { CanaryRequest, TaskRoute } from '../../api/types.ts';
import { useRouteChange } from './change.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { NumberField } from '../../parts/number-field.tsx';
import { VersionField, WithoutGate } from './fields.tsx';

const SHARES = /^\s*\d+(\.\d+)?\s*%?(\s*[,;\s]\s*\d+(\.\d+)?\s*%?)*\s*$/;

type Rule = 'max_error_increase' | 'max_error_rate' | 'min_score' | 'max_score_drop' | 'max_latency_factor';
interface RuleField {
  readonly field: Rule;
  readonly label: string;
  readonly about: string;
  /** Typed in per cent. */
  readonly isShare: boolean;
}
const RULES: readonly RuleField[] = [
  { field: 'max_error_increase', label: 'Errors above the others, %', about: 'At most.', isShare: true },
  { field: 'max_error_rate', label: 'Errors, %', about: 'At most.', isShare: true },
  { field: 'min_score', label: 'Mean score', about: 'At least; 0 to 1.', isShare: false },
  { field: 'max_score_drop', label: 'Score below the others', about: 'At most.', isShare: false },
  { field: 'max_latency_factor', label: 'Times as slow', about: 'At most.', isShare: false },
];
type Values = Readonly<Record<Rule | 'min_requests' | 'min_seconds', number | null>>;

const DEFAULTS: Values = {
  min_requests: 100,
  min_seconds: 0,
  max_error_increase: 2,
  max_error_rate: null,
  min_score: null,
  max_score_drop: null,
  max_latency_factor: null,
};

/** The shares of the steps as they are typed: `10, 50, 100`. */
function sharesOf(text: string): number[] {
  if (!SHARES.test(text)) return [];
  return (text.match(/\d+(\.\d+)?/g) ?? []).map((percent) => Number(percent) / 100);
}

export function CanaryForm({ route, onClose }: { readonly route: TaskRoute; readonly onClose: () => void }) {
  const [version, setVersion] = useState<number | null>(null);
  const [steps, setSteps] = useState('10');
  const [values, setValues] = useState(DEFAULTS);
  const [isPromoted, setPromoted] = useState(false);
  const [isFree, setFree] = useState(false);
  const start = useRouteChange<CanaryRequest>(route, {
    part: 'canary',
    method: 'POST',
    done: `The canary of ${route.task} answers from the next request on`,
    onDone: onClose,
  });
  const [share, ...more] = sharesOf(steps);
  const set = (field: keyof Values) => (value: number | null) => setValues({ ...values, [field]: value });
  const submit = (): void => {
    if (version === null || share === undefined) return;
    const { min_requests, min_seconds, ...rules } = values;
    start.mutate({
      version,
      share,
      steps: more,
      promote: isPromoted,
      gate: !isFree,
      ...(min_requests !== null && { min_requests }),
      ...(min_seconds !== null && { min_seconds }),
      ...ruleBody(rules),
    });
  };
  return (
    <FormDialog
      title={`Canary of ${route.task}`}
      size="lg"
      isOpen
      onClose={onClose}
      action="Start the canary"
      isReady={version !== null && share !== undefined}
      isPending={start.isPending}
      error={start.error}
      onSubmit={submit}
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <VersionField route={route} value={version} onValue={setVersion} />
        <TextInput
          label="Share of the sessions, %"
          placeholder="10, 50, 100"
          value={steps}
          onChange={(event) => setSteps(event.currentTarget.value)}
          error={share === undefined && 'One share, or several that rise: 10, 50, 100'}
        />
        <NumberField
          label="Requests of each step"
          description="At least."
          min={1}
          allowDecimal={false}
          value={values.min_requests}
          onValue={set('min_requests')}
        />
        <NumberField
          label="Seconds of each step"
          description="At least."
          min={0}
          value={values.min_seconds}
          onValue={set('min_seconds')}
        />
        {RULES.map(({ field, label, about }) => (
          <NumberField
            key={field}
            label={label}
            description={`${about}${field === 'max_error_increase' ? '' : ' Empty: not looked at.'}`}
            min={0}
            value={values[field]}
            onValue={set(field)}
          />
        ))}
      </SimpleGrid>
      <Switch
        label="Promote it after the last step"
        description={route.gate === null ? 'Else it keeps its share.' : 'Through the gate; else it keeps its share.'}
        checked={isPromoted}
        onChange={(event) => setPromoted(event.currentTarget.checked)}
      />
      <WithoutGate route={route} checked={isFree} onChecked={setFree} />
    </FormDialog>
  );
}

/** The rules as the API has them: shares from 0 to 1, and what is left empty not sent. */
function ruleBody(rules: Readonly<Record<Rule, number | null>>): Partial<Record<Rule, number>> {
  return Object.fromEntries(
    RULES.flatMap(({ field, isShare }) => {
      const value = rules[field];
      return value === null ? [] : [[field, isShare ? value / 100 : value]];
    }),
  );
}
