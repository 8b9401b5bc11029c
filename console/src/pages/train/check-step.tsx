import type { UseQueryResult } from '@tanstack/react-query';
import { Text } from '@mantine/core';
import type { DataCheck, StoredFile } from '../../api/types.ts';
import { Answered } from '../../parts/answer-state.tsx';
import { Figure, Figures } from '../../parts/figure.tsx';
import { bytes, count, percent } from '../../parts/format.ts';
import { Panel } from '../../parts/page.tsx';
import { Preview } from './preview.tsx';
import { Problems } from './problems.tsx';

interface Props {
  readonly file: StoredFile;
  readonly check: UseQueryResult<DataCheck>;
}

export function CheckStep({ file, check }: Props) {
  return (
    <>
      <Panel title={file.filename} about={`${bytes(file.bytes)}, ${file.id}`}>
        <Answered query={check} what="A look at data">
          {({ problems }) => (
            <Text fw={600} role="status" c={problems.length > 0 ? 'var(--bad)' : 'var(--good)'}>
              {problems.length > 0
                ? `${count(problems.length)} ${problems.length === 1 ? 'problem' : 'problems'}: mend the file and drop it again`
                : 'Every line can be trained on'}
            </Text>
          )}
        </Answered>
      </Panel>
      {check.data && <Found check={check.data} />}
    </>
  );
}

/** `billing 120, other 4` */
function mostAndLeast(labels: NonNullable<NonNullable<DataCheck['data']>['labels']>): string {
  const sorted = labels.toSorted((a, b) => b.examples - a.examples);
  return [sorted[0], sorted.at(-1)].map((one) => one && `${one.label} ${count(one.examples)}`).join(' … ');
}

function Found({ check: { data, problems, warnings } }: { readonly check: DataCheck }) {
  return (
    <>
      {problems.length > 0 && (
        <Problems title="Problems" about="Every line that is wrong, before anything is computed" problems={problems} />
      )}
      {data && (
        <Figures>
          <Figure name="Examples" value={count(data.examples)} note={data.form} />
          <Figure
            name="Tokens"
            value={count(data.tokens)}
            note={data.labels ? '' : `${percent(data.learned_tokens / data.tokens)} are learned`}
          />
          {data.labels && <Figure name="Labels" value={count(data.labels.length)} note={mostAndLeast(data.labels)} />}
          <Figure
            name="Longest example"
            value={count(data.lengths.max)}
            note={`of ${count(data.context_length)} tokens`}
          />
          <Figure
            name="Middle example"
            value={count(data.lengths.p50)}
            note={`95 % have at most ${count(data.lengths.p95)}`}
          />
        </Figures>
      )}
      {warnings.length > 0 && (
        <Problems title="Worth a look" about="It can be trained on all the same" problems={warnings} />
      )}
      {data && data.preview.length > 0 && <Preview examples={data.preview} />}
    </>
  );
}
