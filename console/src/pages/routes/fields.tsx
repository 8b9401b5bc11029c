import { Select, Switch } from '@mantine/core';
import type { TaskRoute } from '../../api/types.ts';
import { useSession } from '../../session/session.tsx';
import { latestVersion, useVersions } from './versions.ts';

interface VersionFieldProps {
  readonly route: TaskRoute;
  readonly value: number | null;
  readonly onValue: (version: number) => void;
}

/** A version of the task that is not the one that answers, the newest first. */
export function VersionField({ route, value, onValue }: VersionFieldProps) {
  const latest = latestVersion(route);
  const others = useVersions(route.task).filter(({ version }) => version !== latest);
  return (
    <Select
      label="Version"
      placeholder={others.length === 0 ? 'there is no other' : 'choose one'}
      data={others.map(({ version }) => String(version)).toReversed()}
      value={value === null ? null : String(value)}
      onChange={(version) => version !== null && onValue(Number(version))}
      allowDeselect={false}
      data-autofocus
    />
  );
}

interface WithoutGateProps {
  readonly route: TaskRoute;
  readonly checked: boolean;
  readonly onChecked: (checked: boolean) => void;
}

/** For an admin's key, of a task that has a gate. */
export function WithoutGate({ route, checked, onChecked }: WithoutGateProps) {
  const { may } = useSession();
  if (!may.passGates || route.gate === null) return null;
  return (
    <Switch
      label="Without the gate"
      description="Nothing is measured; that it was passed by is an event of its own."
      color="red.9"
      checked={checked}
      onChange={(event) => onChecked(event.currentTarget.checked)}
    />
  );
}
