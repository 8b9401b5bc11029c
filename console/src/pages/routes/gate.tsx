import { useRef, useState } from 'react';
import { Button, FileButton, Group, Select, SimpleGrid } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { useAction } from '../../api/action.ts';
import { useAnswer } from '../../api/queries.ts';
import type { FileList, Gate, GateRequest, TaskRoute } from '../../api/types.ts';
import { tellProblem } from '../../parts/done.ts';
import { bytes, moment, score, shortDigest } from '../../parts/format.ts';
import { useSession } from '../../session/session.tsx';
import { uploadFile } from '../train/upload.ts';
import { useRouteChange } from './change.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { NumberField } from '../../parts/number-field.tsx';
import { Section } from './section.tsx';

const METRICS = ['accuracy', 'exact-match', 'macro-f1', 'rouge-l', 'bleu', 'loss', 'preference-accuracy'];
const FILES = '/v1/files?limit=100&order=desc';
const DEFAULT_TOKENS = 128;

/** `accuracy of at least 0.9, at most 0.01 worse than what answers`. */
export function boundOf({ metric, threshold, tolerance }: Gate): string {
  const bounds = [
    ...(threshold === null ? [] : [`of ${metric === 'loss' ? 'at most' : 'at least'} ${score(threshold)}`]),
    ...(tolerance === null ? [] : [`at most ${score(tolerance)} worse than what answers`]),
  ];
  return `${metric} ${bounds.join(', ')}`;
}

export function GateSection({ route }: { readonly route: TaskRoute }) {
  const { may } = useSession();
  const [isOpen, { open, close }] = useDisclosure(false);
  const { gate, task } = route;
  const remove = useRouteChange(route, {
    part: 'gate',
    method: 'DELETE',
    done: `${task} has no gate any more`,
    onError: tellProblem,
  });
  return (
    <Section
      title="Gate"
      about={
        gate === null ? (
          'None: whatever is promoted answers.'
        ) : (
          <>
            A version needs {boundOf(gate)} on {gate.filename} <span className="mono">({shortDigest(gate.data)})</span>,
            since {moment(gate.changed_at)}.
          </>
        )
      }
      actions={
        may.route && (
          <>
            {gate !== null && may.passGates && (
              <Button variant="default" size="xs" loading={remove.isPending} onClick={() => remove.mutate(undefined)}>
                Remove the gate
              </Button>
            )}
            <Button variant="default" size="xs" onClick={open}>
              {gate === null ? 'Set a gate' : 'Change the gate'}
            </Button>
          </>
        )
      }
    >
      {isOpen && <GateForm route={route} onClose={close} />}
    </Section>
  );
}

function GateForm({ route, onClose }: { readonly route: TaskRoute; readonly onClose: () => void }) {
  const { gate } = route;
  const [file, setFile] = useState<string | null>(null);
  const [metric, setMetric] = useState(gate?.metric ?? METRICS[0]);
  const [threshold, setThreshold] = useState(gate?.threshold ?? null);
  const [tolerance, setTolerance] = useState(gate?.tolerance ?? null);
  const [tokens, setTokens] = useState<number | null>(gate?.max_tokens ?? DEFAULT_TOKENS);
  const set = useRouteChange<GateRequest>(route, {
    part: 'gate',
    method: 'POST',
    done: `The gate of ${route.task} is set`,
    onDone: onClose,
  });
  const isLoss = metric === 'loss';
  return (
    <FormDialog
      title={`Gate of ${route.task}`}
      isOpen
      onClose={onClose}
      action="Set the gate"
      isReady={file !== null && (threshold !== null || tolerance !== null)}
      isPending={set.isPending}
      error={set.error}
      onSubmit={() =>
        file !== null && set.mutate({ file, metric, threshold, tolerance, max_tokens: tokens ?? DEFAULT_TOKENS })
      }
    >
      <FileField value={file} onFile={setFile} />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Select
          label="Metric"
          data={METRICS}
          value={metric}
          onChange={(next) => setMetric(next ?? metric)}
          allowDeselect={false}
        />
        <NumberField
          label="Tokens of an answer, at most"
          min={1}
          allowDecimal={false}
          value={tokens}
          onValue={setTokens}
          disabled={isLoss}
        />
        <NumberField
          label="Threshold"
          description={isLoss ? 'The loss is at most this.' : 'The score is at least this.'}
          step={isLoss ? 0.1 : 0.01}
          value={threshold}
          onValue={setThreshold}
        />
        <NumberField
          label="Tolerance"
          description="At most so much worse than what answers."
          min={0}
          step={0.01}
          value={tolerance}
          onValue={setTolerance}
        />
      </SimpleGrid>
    </FormDialog>
  );
}

interface FileFieldProps {
  readonly value: string | null;
  readonly onFile: (id: string | null) => void;
}

/** One of the tenant's files, or a new one. */
function FileField({ value, onFile }: FileFieldProps) {
  const { api } = useSession();
  const queries = useQueryClient();
  const found = useAnswer<FileList>(FILES);
  const reset = useRef<() => void>(null);
  const upload = useAction({
    mutationFn: (file: File) => uploadFile(api, file),
    onSuccess: async ({ id }) => {
      await queries.invalidateQueries({ queryKey: [FILES] });
      onFile(id);
    },
    onError: tellProblem,
    onSettled: () => reset.current?.(),
  });
  const files = (found.data?.data ?? []).filter(({ purpose, status }) => purpose === 'fine-tune' && status !== 'error');
  return (
    <Group align="flex-end" gap="xs" wrap="nowrap">
      <Select
        label="Held-out examples"
        description="The gate keeps a copy: the file may go."
        placeholder={files.length === 0 ? 'no file yet' : 'choose a file'}
        flex={1}
        data={files.map(({ id, filename, bytes: size, created_at: at }) => ({
          value: id,
          label: `${filename}, ${bytes(size)}, ${moment(at)}`,
        }))}
        value={value}
        onChange={onFile}
      />
      <FileButton resetRef={reset} onChange={(file) => file && upload.mutate(file)} accept=".jsonl,.json">
        {(props) => (
          <Button {...props} variant="default" loading={upload.isPending}>
            Upload
          </Button>
        )}
      </FileButton>
    </Group>
  );
}
