import type { PreviewedExample } from '../app/index.ts';

/** Examples as the model will see them; `[[double brackets]]` mark what is learned. */
export function previewText(examples: readonly PreviewedExample[]): string {
  return examples
    .map(({ line, spans }) => {
      const text = spans.map(({ text: part, weight }) => (weight === 0 ? part : `[[${part}]]`)).join('');
      return `\nline ${line}:\n${text}`;
    })
    .join('\n');
}
