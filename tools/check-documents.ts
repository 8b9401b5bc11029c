/**
 * What the documents name must exist: files in backticks, and the functions of the journeys in ARCHITECTURE.md, whose
 * lines read `room/file   name(...)`. A picture of the house that nothing compares with the house is soon wrong.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RoomProblem } from './check-rooms.ts';
import { lineAt } from './source-text.ts';

const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'docs/*.md',
  'docs/guides/*.md',
  'docs/decisions/*.md',
  'examples/*.md',
];

/** `numeric/tape.ts`, `native/src/lib.rs`, `numeric/native*.ts`: a file by its path from the root or from src/. */
const NAMED_FILE = /`((?:\.?[a-z0-9_-]+\/)*[a-z0-9_*-]+(?:\.[a-z0-9*-]+)*\.(?:ts|rs|py|md|toml))`/g;
const JOURNEY_LINE = /^((?:[a-z0-9-]+\/)+[a-z0-9-]+) {2,}([A-Za-z]\w*)\(/gm;

/** @param root the folder that holds src/ and the documents */
export function checkDocuments(root: string): RoomProblem[] {
  return DOCUMENTS.flatMap((pattern) => globSync(pattern, { cwd: root }))
    .sort()
    .flatMap((document) => {
      const text = readFileSync(join(root, document), 'utf8');
      const problem = (offset: number, message: string): RoomProblem => ({
        severity: 'error',
        where: `${document}:${lineAt(text, offset)}`,
        message,
      });
      const files = [...text.matchAll(NAMED_FILE)]
        .filter((match) => !exists(root, match[1]))
        .map((match) => problem(match.index, `names ${match[1]}, which does not exist`));
      const steps = [...text.matchAll(JOURNEY_LINE)].flatMap((match) => {
        const path = join(root, 'src', `${match[1]}.ts`);
        const name = match[2];
        if (!existsSync(path)) return [problem(match.index, `names src/${match[1]}.ts, which does not exist`)];
        const isThere = new RegExp(`\\b${name}\\b`).test(readFileSync(path, 'utf8'));
        return isThere ? [] : [problem(match.index, `names ${name}, which src/${match[1]}.ts does not have`)];
      });
      return [...files, ...steps];
    });
}

/** A name without a folder may be any file of the project: `index.ts`. */
function exists(root: string, path: string): boolean {
  const places = path.includes('/')
    ? [path, `src/${path}`]
    : [path, `{src,console,tools,test,bench,docs,native,examples}/**/${path}`];
  return places.some((place) => globSync(place, { cwd: root, exclude: ['native/target/**'] }).length > 0);
}
