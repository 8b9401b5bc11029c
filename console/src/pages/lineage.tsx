import type { ReactNode } from 'react';
import { Anchor, Text } from '@mantine/core';
import { Link } from 'wouter';
import type { Adapter } from '../api/types.ts';
import { count, shortDigest } from '../parts/format.ts';

interface Step {
  readonly name: string;
  readonly value: ReactNode;
  readonly note: string;
}

/** Base, data and run on the left, the version, then what points at it. */
export function Lineage({ adapter }: { readonly adapter: Adapter }) {
  const { base, provenance, digest, version, task, aliases } = adapter;
  const text = (name: string): string | null => {
    const value = provenance[name];
    return typeof value === 'string' ? value : null;
  };
  const data = text('trainingData') ?? text('dataDigest') ?? text('data');
  const job = text('job');
  const run = text('importedFrom');
  const seed = provenance['seed'];
  const steps: Step[] = [
    { name: 'Base', value: base.name, note: shortDigest(base.digest) },
    ...(data === null
      ? []
      : [{ name: 'Data', value: <span className="mono">{shortDigest(data)}</span>, note: 'sha256' }]),
    job === null
      ? { name: run === null ? 'Run' : 'Import', value: run ?? adapter.method, note: runNote(adapter) }
      : {
          name: 'Job',
          value: (
            <Anchor component={Link} href={`/jobs/${job}`}>
              <span className="mono">{job.slice(0, 16)}…</span>
            </Anchor>
          ),
          note: typeof seed === 'number' ? `seed ${count(seed)}` : runNote(adapter),
        },
    { name: 'Version', value: `${task}@${version}`, note: shortDigest(digest) },
    {
      name: 'Answers as',
      value: aliases.length > 0 ? aliases.join(', ') : 'its number only',
      note: aliases.length > 0 ? 'moved by a promotion' : 'no alias points at it',
    },
  ];
  return (
    <ol className="lineage">
      {steps.map(({ name, value, note }) => (
        <li key={name}>
          <div className="lineage-step">
            <Text size="xs" c="dimmed">
              {name}
            </Text>
            <Text fw={600} style={{ overflowWrap: 'anywhere' }} component="div">
              {value}
            </Text>
            <Text size="xs" c="dimmed" className="mono">
              {note}
            </Text>
          </div>
        </li>
      ))}
    </ol>
  );
}

function runNote({ rank, method }: Adapter): string {
  return rank === null ? method : `${method}, rank ${rank}`;
}
