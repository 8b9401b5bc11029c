import { useEffect, useRef, useState, type KeyboardEvent } from 'react';
import { Button, Group, SimpleGrid, Slider, Stack, Text, Textarea } from '@mantine/core';
import { PlusIcon } from '@radix-ui/react-icons';
import { useSearch } from 'wouter';
import { useAnswer } from '../../api/queries.ts';
import type { ModelList, TaskRouteList } from '../../api/types.ts';
import { offerFocus } from '../../focus/kept-focus.ts';
import { Answered } from '../../parts/answer-state.tsx';
import { NumberField } from '../../parts/number-field.tsx';
import { Page, Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { Column } from './column.tsx';
import { useComparison, type Settings } from './comparison.ts';
import { subjectOfModel, subjectOfTask, type Subject } from './subject.ts';

/** The base and up to three adapters. */
const MAX_COLUMNS = 4;
/** Canaries begin and end by themselves. */
const EVERY_MS = 10_000;

export default function Playground() {
  const models = useAnswer<ModelList>('/v1/models');
  return (
    <Page title="Playground" about="The same question to the base and up to three adapters, side by side">
      <Answered query={models} what="Models">
        {({ data }) => <Comparison known={data} />}
      </Answered>
    </Page>
  );
}

function Comparison({ known }: { readonly known: ModelList['data'] }) {
  const { api, may } = useSession();
  // Tasks belong to a tenant: the operator has none of its own.
  const routes = useAnswer<TaskRouteList>('/api/routes', {
    enabled: !may.isOperator && api.offers('get', '/api/routes'),
    every: EVERY_MS,
  });
  const firstBase = api.session.bases[0]?.name;
  const names = known.map(({ id }) => id).filter((id) => !id.includes('/ft-checkpoints@'));
  const asked = new URLSearchParams(useSearch()).get('model');
  const subjectOf = (name: string): Subject => subjectOfModel(name, known);
  const [models, setModels] = useState<readonly string[]>(() => firstModels(firstBase, names, asked));
  const [settings, setSettings] = useState<Settings>({ system: '', temperature: 0, maxTokens: 128 });
  const tasks = (routes.data?.data ?? []).flatMap((route) => subjectOfTask(route, known, firstBase) ?? []);
  const choices: readonly Subject[] = [
    ...(asked === null || names.includes(asked) ? names : [asked, ...names]).map(subjectOf),
    ...tasks,
  ];
  const chosen = models.map((value) => choices.find((one) => one.value === value) ?? subjectOf(value));
  const { turns, isRunning, ask, stop, clear, drop } = useComparison(chosen);
  const next = (choices.find(({ value }) => !models.includes(value)) ?? choices[0])?.value;
  return (
    <>
      <SimpleGrid cols={{ base: 1, sm: Math.min(2, models.length), lg: models.length }} spacing="md">
        {models.map((model, index) => (
          <Column
            key={index}
            number={index + 1}
            model={model}
            choices={choices}
            turns={turns[index] ?? []}
            onModel={(value) => setModels(models.map((one, n) => (n === index ? value : one)))}
            onRemove={
              models.length > 1 && !isRunning
                ? () => {
                    setModels(models.filter((_, n) => n !== index));
                    drop(index);
                  }
                : undefined
            }
          />
        ))}
      </SimpleGrid>
      <Composer
        settings={settings}
        onSettings={setSettings}
        isRunning={isRunning}
        onAsk={(question) => void ask(question, settings)}
        onStop={stop}
        onClear={turns.length > 0 && !isRunning ? clear : undefined}
        onAdd={
          models.length < MAX_COLUMNS && next !== undefined && !isRunning
            ? () => setModels([...models, next])
            : undefined
        }
      />
    </>
  );
}

/** The base, and beside it the adapter that is asked for, or the first that there is. */
function firstModels(base: string | undefined, names: readonly string[], asked: string | null): readonly string[] {
  const adapter = asked ?? names.find((name) => name !== base);
  return [base, adapter].filter((name, index, all) => name !== undefined && all.indexOf(name) === index) as string[];
}

interface ComposerProps {
  readonly settings: Settings;
  readonly onSettings: (settings: Settings) => void;
  readonly isRunning: boolean;
  readonly onAsk: (question: string) => void;
  readonly onStop: () => void;
  readonly onClear: (() => void) | undefined;
  readonly onAdd: (() => void) | undefined;
}

function Composer({ settings, onSettings, isRunning, onAsk, onStop, onClear, onAdd }: ComposerProps) {
  const [question, setQuestion] = useState('');
  const field = useRef<HTMLTextAreaElement>(null);
  // Behind the answer the button can do nothing until something is asked.
  const wasRunning = useRef(false);
  useEffect(() => {
    if (wasRunning.current && !isRunning) offerFocus(field.current);
    wasRunning.current = isRunning;
  }, [isRunning]);
  const send = (): void => {
    if (question.trim() === '' || isRunning) return;
    onAsk(question);
    setQuestion('');
  };
  const clear = (): void => {
    onClear?.();
    field.current?.focus();
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <Panel>
      <Stack gap="md">
        <Textarea
          ref={field}
          label="Question"
          description="Enter asks, shift and Enter begins a new line."
          autosize
          minRows={2}
          maxRows={10}
          value={question}
          onChange={(event) => setQuestion(event.currentTarget.value)}
          onKeyDown={onKey}
        />
        <Group justify="space-between">
          <Group gap="xs">
            <Button variant="default" leftSection={<PlusIcon />} disabled={onAdd === undefined} onClick={onAdd}>
              Compare one more
            </Button>
            <Button variant="subtle" disabled={onClear === undefined} onClick={clear}>
              Clear
            </Button>
          </Group>
          {isRunning ? (
            <Button variant="default" onClick={onStop}>
              Stop
            </Button>
          ) : (
            <Button onClick={send} disabled={question.trim() === ''}>
              Ask
            </Button>
          )}
        </Group>
        <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="lg">
          <Textarea
            label="System prompt"
            autosize
            minRows={1}
            maxRows={4}
            value={settings.system}
            onChange={(event) => onSettings({ ...settings, system: event.currentTarget.value })}
          />
          <div>
            <Group justify="space-between">
              <Text size="sm" fw={600}>
                Temperature
              </Text>
              <Text size="sm" className="number">
                {settings.temperature === 0 ? '0: always the likeliest' : settings.temperature}
              </Text>
            </Group>
            <Slider
              mt={10}
              min={0}
              max={2}
              step={0.1}
              label={null}
              thumbLabel="Temperature"
              value={settings.temperature}
              onChange={(temperature) => onSettings({ ...settings, temperature })}
            />
          </div>
          <NumberField
            label="Tokens of an answer, at most"
            min={1}
            max={4096}
            allowDecimal={false}
            value={settings.maxTokens}
            onValue={(value) =>
              value !== null && value >= 1 && value <= 4096 && onSettings({ ...settings, maxTokens: value })
            }
          />
        </SimpleGrid>
      </Stack>
    </Panel>
  );
}
