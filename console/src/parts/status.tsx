import type { Canary, Job, Residences } from '../api/types.ts';

type Tone = 'good' | 'bad' | 'busy' | 'wait' | 'quiet';

const TONES: Readonly<Record<Job['status'] | Residences['data'][number]['state'] | Canary['status'], Tone>> = {
  validating_files: 'busy',
  queued: 'wait',
  running: 'busy',
  paused: 'wait',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'quiet',
  waiting: 'wait',
  loading: 'busy',
  ready: 'good',
  'in-use': 'busy',
  evicting: 'quiet',
  host: 'quiet',
  passed: 'good',
  promoting: 'busy',
  promoted: 'good',
  'rolled-back': 'bad',
  stopped: 'quiet',
};

export function Status({ of }: { readonly of: keyof typeof TONES }) {
  return <Toned tone={TONES[of]}>{of.replaceAll('_', ' ')}</Toned>;
}

export function Toned({ tone, children }: { readonly tone: Tone; readonly children: string }) {
  return (
    <span className="status" data-tone={tone}>
      {children}
    </span>
  );
}

export function Tag({ children, isStrong = false }: { readonly children: string; readonly isStrong?: boolean }) {
  return (
    <span className="tag" {...(isStrong && { 'data-strong': true })}>
      {children}
    </span>
  );
}
