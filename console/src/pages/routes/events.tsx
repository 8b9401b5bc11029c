import { useState } from 'react';
import { Button, Text, Timeline } from '@mantine/core';
import type { DeliveryEvents } from '../../api/types.ts';
import { moment, words } from '../../parts/format.ts';
import { Section } from './section.tsx';

const FEW = 3;
const BAD = new Set(['promotion-refused', 'promoted-without-gate', 'canary-rolled-back']);

export function EventsSection({ events }: { readonly events: DeliveryEvents['data'] }) {
  const [areAll, setAll] = useState(false);
  if (events.length === 0) return null;
  const shown = areAll ? events : events.slice(0, FEW);
  return (
    <Section
      title="Events"
      about="By keys and by rules, the latest first"
      actions={
        events.length > FEW && (
          <Button variant="subtle" size="xs" onClick={() => setAll(!areAll)} aria-expanded={areAll}>
            {areAll ? 'Fewer' : `All ${events.length}`}
          </Button>
        )
      }
    >
      <Timeline bulletSize={12} lineWidth={2} mt={4}>
        {shown.map(({ seq, at, kind, version, actor, message }) => (
          <Timeline.Item
            key={seq}
            title={<Title of={words(kind.replaceAll('-', ' '))} version={version} isBad={BAD.has(kind)} />}
          >
            <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
              {message}
            </Text>
            <Text size="xs" c="dimmed">
              {moment(at)}, {actor === null ? 'by a rule' : `by ${actor}`}
            </Text>
          </Timeline.Item>
        ))}
      </Timeline>
    </Section>
  );
}

interface TitleProps {
  readonly of: string;
  readonly version: number | null;
  readonly isBad: boolean;
}

function Title({ of, version, isBad }: TitleProps) {
  return (
    <Text component="span" size="sm" fw={600} {...(isBad && { c: 'var(--bad)' })} className="fact">
      {of}
      {version === null ? '' : `, version ${version}`}
    </Text>
  );
}
