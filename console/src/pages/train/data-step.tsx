import { Code, SegmentedControl, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useAction } from '../../api/action.ts';
import { withQuery } from '../../api/queries.ts';
import type { StoredFile } from '../../api/types.ts';
import { Problem } from '../../parts/answer-state.tsx';
import { ago, bytes } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';
import { useSession } from '../../session/session.tsx';
import { DropZone } from './drop-zone.tsx';
import type { Recipe } from './recipe.ts';
import { uploadFile } from './upload.ts';

interface Props {
  readonly recipe: Recipe;
  readonly onChange: (changes: Partial<Recipe>) => void;
  readonly onFile: (file: StoredFile) => void;
}

const METHODS = [
  { value: 'supervised', label: 'Answers to give' },
  { value: 'dpo', label: 'Answers to prefer' },
  { value: 'classification', label: 'Labels' },
] as const satisfies { value: Recipe['method']; label: string }[];
const LINES = {
  supervised: '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
  dpo: '{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}',
  classification: '{"text": "…", "label": "billing"}',
} as const;

export function DataStep({ recipe, onChange, onFile }: Props) {
  const { api } = useSession();
  // Side by side the last of three would be cut off.
  const isNarrow = useMediaQuery('(max-width: 30em)');
  const upload = useAction({ mutationFn: (file: File) => uploadFile(api, file), onSuccess: onFile });
  const earlier = useQuery({
    queryKey: ['/v1/files'],
    queryFn: ({ signal }) =>
      api.json<{ data: StoredFile[] }>(withQuery('/v1/files', { purpose: 'fine-tune', limit: 100 }), { signal }),
  });
  const files = earlier.data?.data ?? [];
  return (
    <Panel title="What to learn from">
      <Stack gap="md">
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Select
            label="Base model"
            data={api.session.bases.map(({ name }) => name)}
            value={recipe.model}
            onChange={(model) => model !== null && onChange({ model })}
            allowDeselect={false}
          />
          <div>
            <Text size="sm" fw={600} id="method-label">
              What the lines hold
            </Text>
            <SegmentedControl
              fullWidth
              orientation={isNarrow === true ? 'vertical' : 'horizontal'}
              data={[...METHODS]}
              value={recipe.method}
              onChange={(method) => onChange({ method })}
              aria-labelledby="method-label"
            />
          </div>
        </SimpleGrid>
        <DropZone
          label="Drop a JSONL file here"
          about="One example a line. It is uploaded to this server and nowhere else."
          isBusy={upload.isPending}
          onFile={(file) => upload.mutate(file)}
        />
        <Text size="sm" c="dimmed">
          A line is <Code style={{ overflowWrap: 'anywhere' }}>{LINES[recipe.method]}</Code>
        </Text>
        {upload.error !== null && <Problem error={upload.error} what="Files" />}
        {files.length > 0 && (
          <Select
            label="Or a file that is here already"
            placeholder="choose one"
            searchable
            data={files.map(({ id, filename, bytes: size, created_at: at }) => ({
              value: id,
              label: `${filename} (${bytes(size)}, ${ago(at)})`,
            }))}
            value={null}
            onChange={(id) => {
              const file = files.find((one) => one.id === id);
              if (file) onFile(file);
            }}
          />
        )}
      </Stack>
    </Panel>
  );
}
