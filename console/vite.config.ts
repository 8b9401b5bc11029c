import { defineConfig } from 'vite';

/** The console is served by the server itself, below /console/; every file but the page has a name that changes with its content. */
export default defineConfig({
  root: import.meta.dirname,
  base: '/console/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // The first that have light-dark(), by which the themes differ.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The policy of the page lets in nothing that is written into it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The notices of what is bundled go with it.
    license: { fileName: 'licenses.md' },
    chunkSizeWarningLimit: 900,
    // "use client" is for servers that render; nothing of the kind is here.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
});
