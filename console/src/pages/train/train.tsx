import { useEffect, useRef, useState } from 'react';
import { Button, Group, Stack, Stepper } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { useAction } from '../../api/action.ts';
import type { DataCheck, Job, StoredFile } from '../../api/types.ts';
import { headingOf } from '../../focus/neighbour.ts';
import { NotOffered, Problem } from '../../parts/answer-state.tsx';
import { tellDone } from '../../parts/done.ts';
import { Page } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { CheckStep } from './check-step.tsx';
import { DataStep } from './data-step.tsx';
import { jobRequest, methodOf, peftOf, SUFFIX, type Recipe } from './recipe.ts';
import { StartStep } from './start-step.tsx';

const PREVIEW = 5;

export default function Train() {
  const { api, may } = useSession();
  return (
    <Page title="Train" about="From a JSONL file to a model that answers">
      {may.train ? (
        api.offers('post', '/v1/fine_tuning/jobs') ? (
          <Wizard />
        ) : (
          <NotOffered what="Training" />
        )
      ) : (
        <Problem error={new Error('A writer’s key of a tenant trains; this key may not.')} what="Training" />
      )}
    </Page>
  );
}

/** Three steps: the data, a look at it, the run. What is behind a step is kept when one goes back. */
function Wizard() {
  const { api } = useSession();
  const [, go] = useLocation();
  const isNarrow = useMediaQuery('(max-width: 48em)');
  const [step, setStep] = useState(0);
  const [file, setFile] = useState<StoredFile | null>(null);
  const [heldOut, setHeldOut] = useState<StoredFile | null>(null);
  const [recipe, setRecipe] = useState<Recipe>({
    model: api.session.bases[0]?.name ?? '',
    method: 'supervised',
    epochs: 'auto',
    batchSize: 'auto',
    rate: 'auto',
    suffix: '',
    peft: 'lora',
    rank: 'auto',
    targets: 'auto',
  });
  const { model } = recipe;
  const method = methodOf(recipe);
  const peft = peftOf(recipe);
  const check = useQuery({
    queryKey: ['/api/data/check', file?.id, model, method, peft],
    queryFn: ({ signal }) =>
      api.json<DataCheck>('/api/data/check', {
        method: 'POST',
        body: { file: file?.id, model, method, peft, preview: PREVIEW },
        signal,
      }),
    enabled: file !== null,
    staleTime: Infinity,
    placeholderData: (before) => (before?.file === file?.id ? before : undefined),
  });
  const start = useAction({
    mutationFn: () =>
      api.json<Job>('/v1/fine_tuning/jobs', {
        method: 'POST',
        body: jobRequest(recipe, file?.id ?? '', heldOut?.id ?? null),
      }),
    onSuccess: ({ id }) => {
      tellDone('The job is in the queue');
      go(`/jobs/${id}`);
    },
  });
  const change = (changes: Partial<Recipe>): void => setRecipe((before) => ({ ...before, ...changes }));
  const take = (taken: StoredFile): void => {
    setFile(taken);
    setStep(1);
  };
  // What is shown meanwhile is of the settings before.
  const isSound = check.data !== undefined && !check.isPlaceholderData && check.data.problems.length === 0;
  const isNamed = recipe.suffix === '' || SUFFIX.test(recipe.suffix);
  // A step takes the place of the one in which the focus was.
  const steps = useRef<HTMLDivElement>(null);
  const focusedStep = useRef(step);
  useEffect(() => {
    if (focusedStep.current === step) return;
    focusedStep.current = step;
    if (steps.current) headingOf(steps.current)?.focus();
  }, [step]);
  return (
    <Stack gap="lg" ref={steps}>
      <Stepper
        active={step}
        onStepClick={setStep}
        size="sm"
        {...(isNarrow === true && { orientation: 'vertical' as const })}
      >
        <Stepper.Step label="Data" description="a JSONL file" />
        <Stepper.Step label="Check" description="lines, lengths, spans" allowStepSelect={file !== null} />
        <Stepper.Step label="Run" description="settings and estimate" allowStepSelect={isSound} />
      </Stepper>
      {step === 0 && <DataStep recipe={recipe} onChange={change} onFile={take} />}
      {step === 1 && file && <CheckStep file={file} check={check} />}
      {step === 2 && (
        <StartStep recipe={recipe} onChange={change} check={check.data} heldOut={heldOut} onHeldOut={setHeldOut} />
      )}
      {step === 2 && check.error !== null && <Problem error={check.error} what="The estimate" />}
      {start.error !== null && <Problem error={start.error} what="Training" />}
      {step > 0 && (
        <Group justify="space-between">
          <Button variant="default" onClick={() => setStep(step - 1)}>
            Back
          </Button>
          {step === 1 ? (
            <Button disabled={!isSound} onClick={() => setStep(2)}>
              Go on
            </Button>
          ) : (
            <Button disabled={!isSound || !isNamed} loading={start.isPending} onClick={() => start.mutate()}>
              Start training
            </Button>
          )}
        </Group>
      )}
    </Stack>
  );
}
