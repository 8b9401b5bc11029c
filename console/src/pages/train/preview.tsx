import { Stack, Text } from '@mantine/core';
import type { DataCheck } from '../../api/types.ts';
import { Panel } from '../../parts/page.tsx';

/** The first examples as the model will see them: what is marked is learned, the rest is given. */
export function Preview({ examples }: { readonly examples: NonNullable<DataCheck['data']>['preview'] }) {
  return (
    <Panel
      title="What will be learned"
      about="The first examples with the base’s own template; what is marked is learned, the rest is given"
    >
      <Stack gap="md">
        {examples.map(({ line, spans }) => (
          <div key={line}>
            <Text size="xs" c="dimmed" mb={4}>
              line {line}
            </Text>
            <pre className="spans">
              {spans.map(({ text, weight }, index) =>
                weight === 0 ? <span key={index}>{text}</span> : <mark key={index}>{text}</mark>,
              )}
            </pre>
          </div>
        ))}
      </Stack>
    </Panel>
  );
}
