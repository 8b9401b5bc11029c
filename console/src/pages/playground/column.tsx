import { ActionIcon, Group, Loader, Select, Stack, Text } from '@mantine/core';
import { Cross2Icon } from '@radix-ui/react-icons';
import { duration, shortDigest } from '../../parts/format.ts';
import type { Turn } from './comparison.ts';
import { Score } from './score.tsx';
import type { Subject } from './subject.ts';

interface Props {
  readonly number: number;
  readonly model: string;
  readonly choices: readonly Subject[];
  readonly turns: readonly Turn[];
  readonly onModel: (model: string) => void;
  readonly onRemove: (() => void) | undefined;
}

/** One model's side of the comparison. */
export function Column({ number, model, choices, turns, onModel, onRemove }: Props) {
  return (
    <section className="panel" style={{ padding: 16, minWidth: 0 }} aria-label={`Model ${number}`}>
      <Group wrap="nowrap" gap="xs" mb="sm">
        <Select
          aria-label={`Model ${number}`}
          data={choices.map(({ value, label }) => ({ value, label }))}
          value={model}
          onChange={(chosen) => chosen !== null && onModel(chosen)}
          allowDeselect={false}
          searchable
          style={{ flex: 1 }}
        />
        {onRemove && (
          <ActionIcon variant="subtle" color="gray" onClick={onRemove} aria-label={`Leave out model ${number}`}>
            <Cross2Icon />
          </ActionIcon>
        )}
      </Group>
      <Stack gap="sm" mih={140} aria-live="polite">
        {turns.length === 0 && (
          <Text size="sm" c="dimmed">
            Nothing has been asked yet.
          </Text>
        )}
        {turns.map((turn, index) => (
          <OneTurn key={index} turn={turn} />
        ))}
      </Stack>
    </section>
  );
}

function OneTurn({ turn }: { readonly turn: Turn }) {
  const { question, answer, error, isRunning, isScored, firstTokenMs, tookMs } = turn;
  const requestId = isScored && !isRunning && answer?.finishReason != null ? answer.requestId : null;
  return (
    <>
      <div className="bubble answer" data-role="user">
        {question}
      </div>
      <div className="answer" data-testid="answer">
        {answer?.text}
        {isRunning && (answer === null || answer.text === '') && <Loader size="xs" type="dots" aria-label="Waiting" />}
      </div>
      {error !== null && (
        <Text size="sm" c="var(--bad)" role="alert">
          {error}
        </Text>
      )}
      {!isRunning && answer === null && error === null && (
        <Text size="xs" c="dimmed">
          stopped before it began
        </Text>
      )}
      {!isRunning && answer !== null && (
        <Text size="xs" c="dimmed" className="number">
          {[
            `${answer.model}${answer.digest === null ? '' : ` ${shortDigest(answer.digest)}`}`,
            answer.finishReason ?? 'stopped',
            firstTokenMs === null ? null : `first token ${duration(firstTokenMs / 1000)}`,
            answer.completionTokens === null || tookMs === null
              ? null
              : `${answer.completionTokens} ${answer.completionTokens === 1 ? 'token' : 'tokens'}, ${speedOf(answer.completionTokens, tookMs)}`,
          ]
            .filter((part) => part !== null)
            .join(' · ')}
        </Text>
      )}
      {requestId !== null && <Score requestId={requestId} />}
    </>
  );
}

function speedOf(tokens: number, tookMs: number): string {
  const perSecond = tokens / (tookMs / 1000);
  return `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} a second`;
}
