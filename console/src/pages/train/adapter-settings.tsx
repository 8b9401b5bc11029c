import { useRef } from 'react';
import { Select, SimpleGrid } from '@mantine/core';
import type { DataCheck } from '../../api/types.ts';
import { AutoNumber } from './auto-number.tsx';
import { PEFT_METHODS, TARGETS, type PeftMethod, type Recipe } from './recipe.ts';

interface Props {
  readonly recipe: Recipe;
  readonly onChange: (changes: Partial<Recipe>) => void;
  /** Has what the method makes of what was left to the server. */
  readonly estimate: DataCheck['estimate'] | undefined;
}

/** How the adapter is made. What a method has not is not asked for. */
export function AdapterSettings({ recipe, onChange, estimate }: Props) {
  const made = estimate?.peft;
  // Where the estimate is refused, perhaps for these, the method has what it had.
  const known = useRef(new Map<PeftMethod, { readonly hasRank: boolean; readonly hasTargets: boolean }>());
  if (made) known.current.set(recipe.peft, { hasRank: made.rank !== null, hasTargets: made.target_modules !== null });
  const { hasRank, hasTargets } = known.current.get(recipe.peft) ?? { hasRank: true, hasTargets: true };
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }}>
      <Select
        label="Adapter"
        data={Object.entries(PEFT_METHODS).map(([value, label]) => ({ value, label }))}
        value={recipe.peft}
        // Rank and targets of one method say nothing about another's.
        onChange={(peft) => peft !== null && onChange({ peft: peft as PeftMethod, rank: 'auto', targets: 'auto' })}
        allowDeselect={false}
      />
      {hasRank && (
        <AutoNumber
          label="Rank"
          value={recipe.rank}
          onChange={(rank) => onChange({ rank })}
          proposed={made?.rank ?? 8}
          min={1}
          max={256}
        />
      )}
      {hasTargets && (
        <Select
          label="Adapted layers"
          data={Object.entries(TARGETS).map(([value, label]) => ({ value, label }))}
          value={recipe.targets}
          onChange={(targets) => targets !== null && onChange({ targets: targets as Recipe['targets'] })}
          allowDeselect={false}
        />
      )}
    </SimpleGrid>
  );
}
