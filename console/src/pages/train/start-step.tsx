import { Button, Group, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { useAction } from '../../api/action.ts';
import type { DataCheck, StoredFile } from '../../api/types.ts';
import { Problem } from '../../parts/answer-state.tsx';
import { Figure, Figures } from '../../parts/figure.tsx';
import { bytes, compact, count, duration } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { AdapterSettings } from './adapter-settings.tsx';
import { AutoNumber } from './auto-number.tsx';
import { SUFFIX, type Recipe } from './recipe.ts';
import { uploadFile } from './upload.ts';

interface Props {
  readonly recipe: Recipe;
  readonly onChange: (changes: Partial<Recipe>) => void;
  readonly check: DataCheck | undefined;
  readonly heldOut: StoredFile | null;
  readonly onHeldOut: (file: StoredFile | null) => void;
}

export function StartStep({ recipe, onChange, check, heldOut, onHeldOut }: Props) {
  const estimate = check?.estimate;
  return (
    <>
      <Panel title="Settings" about="What is left to the server follows the size of the data">
        <Stack gap="md">
          <TextInput
            label="Task"
            description="Under this name the result is published; requests may name it."
            placeholder="triage"
            value={recipe.suffix}
            onChange={(event) => onChange({ suffix: event.currentTarget.value })}
            error={
              recipe.suffix !== '' && !SUFFIX.test(recipe.suffix)
                ? 'Lower-case letters, digits, ".", "_" and "-", at most 63, a letter or digit first'
                : undefined
            }
            maw={420}
          />
          <SimpleGrid cols={{ base: 1, sm: 3 }}>
            <AutoNumber
              label="Epochs"
              value={recipe.epochs}
              onChange={(epochs) => onChange({ epochs })}
              proposed={estimate?.n_epochs ?? 3}
              min={1}
              max={50}
            />
            <AutoNumber
              label="Examples a step"
              value={recipe.batchSize}
              onChange={(batchSize) => onChange({ batchSize })}
              proposed={estimate?.batch_size ?? 4}
              min={1}
              max={256}
            />
            <AutoNumber
              label="Learning rate, times"
              value={recipe.rate}
              onChange={(rate) => onChange({ rate })}
              proposed={estimate?.learning_rate_multiplier ?? 1}
              min={0.01}
              max={100}
              step={0.1}
            />
          </SimpleGrid>
          <AdapterSettings recipe={recipe} onChange={onChange} estimate={estimate} />
          <HeldOut file={heldOut} onFile={onHeldOut} />
        </Stack>
      </Panel>
      {estimate && (
        <Figures>
          <Figure
            name="Time, about"
            value={duration(estimate.seconds)}
            note={
              estimate.calibrated ? 'by what this machine was measured to do' : 'by the plan; nothing is measured yet'
            }
          />
          <Figure
            name="Steps"
            value={count(estimate.steps)}
            note={`${count(estimate.trained_tokens)} tokens are read`}
          />
          <Figure
            name="Trained parameters"
            value={compact(estimate.trainable_parameters)}
            note={`an adapter of ${bytes(estimate.adapter_bytes)}`}
          />
          <Figure name="Memory, about" value={bytes(estimate.memory_bytes)} note="of the training process" />
        </Figures>
      )}
    </>
  );
}

interface HeldOutProps {
  readonly file: StoredFile | null;
  readonly onFile: (file: StoredFile | null) => void;
}

/** Examples that are not trained on: their loss says whether what is learned holds elsewhere. */
function HeldOut({ file, onFile }: HeldOutProps) {
  const { api } = useSession();
  const upload = useAction({ mutationFn: (given: File) => uploadFile(api, given), onSuccess: onFile });
  const choose = (): void => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = '.jsonl';
    input.addEventListener('change', () => {
      const given = input.files?.[0];
      if (given) upload.mutate(given);
    });
    input.click();
  };
  return (
    <Stack gap={6}>
      <Group gap="sm">
        <Text size="sm" fw={600}>
          Held-out examples
        </Text>
        <Text size="sm" c="dimmed">
          {file ? `${file.filename} (${bytes(file.bytes)})` : 'none: only the training loss is shown'}
        </Text>
        <Button variant="default" size="compact-sm" loading={upload.isPending} onClick={choose}>
          {file ? 'Choose another' : 'Choose a file'}
        </Button>
        {file && (
          <Button variant="subtle" size="compact-sm" onClick={() => onFile(null)}>
            Do without
          </Button>
        )}
      </Group>
      {file?.status === 'error' && (
        <Problem error={new Error(file.status_details ?? 'It cannot be read.')} what="Files" />
      )}
      {upload.error !== null && <Problem error={upload.error} what="Files" />}
    </Stack>
  );
}
