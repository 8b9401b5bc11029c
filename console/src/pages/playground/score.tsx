import { useState } from 'react';
import { ActionIcon, Group, Text } from '@mantine/core';
import { useAction } from '../../api/action.ts';
import { tellProblem } from '../../parts/done.ts';
import { ThumbIcon } from '../../parts/thumb-icon.tsx';
import { useSession } from '../../session/session.tsx';

const CHOICES = [
  { score: 1, name: 'Good answer' },
  { score: 0, name: 'Bad answer' },
] as const;

/** Scores an answer for the task's canary; a second choice takes the first one's place. */
export function Score({ requestId }: { readonly requestId: string }) {
  const { api } = useSession();
  const [given, setGiven] = useState<number | null>(null);
  const give = useAction({
    mutationFn: (score: number) =>
      api.json('/api/feedback', { method: 'POST', body: { request_id: requestId, score } }),
    onSuccess: (_, score) => setGiven(score),
    onError: tellProblem,
  });
  return (
    <Group gap={4} role="group" aria-label="Score of this answer">
      {CHOICES.map(({ score, name }) => (
        <ActionIcon
          key={score}
          variant={given === score ? 'filled' : 'subtle'}
          color={given === score ? 'leaf' : 'gray'}
          aria-label={name}
          aria-pressed={given === score}
          // Not disabled while it is on its way: the focus would be lost.
          onClick={() => !give.isPending && give.mutate(score)}
        >
          <ThumbIcon isDown={score === 0} />
        </ActionIcon>
      ))}
      {given !== null && (
        <Text size="xs" c="dimmed">
          counted for the canary
        </Text>
      )}
    </Group>
  );
}
