import { Anchor, createTheme, Modal, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

/** Foliage: the espalier. The eighth is dark enough for white text. */
const leaf: MantineColorsTuple = [
  '#effaf3',
  '#dcf1e4',
  '#b7e1c6',
  '#8ed0a6',
  '#68c088',
  '#48a96d',
  '#36905a',
  '#2a7d4c',
  '#1f6b40',
  '#134d2c',
];

export const theme = createTheme({
  respectReducedMotion: true,
  primaryColor: 'leaf',
  primaryShade: { light: 8, dark: 8 },
  colors: { leaf },
  autoContrast: true,
  defaultRadius: 'md',
  cursorType: 'pointer',
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: '650' },
  components: {
    Anchor: Anchor.extend({ defaultProps: { inherit: true } }),
    // The lock writes a style element without the page's nonce, which the policy refuses.
    Modal: Modal.extend({ defaultProps: { lockScroll: false, closeButtonProps: { 'aria-label': 'Close' } } }),
  },
});

/** Texts that the components leave too faint for their ground. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#545d66',
    '--mantine-color-placeholder': '#6b747c',
    '--mantine-color-error': '#b3261e',
    '--mantine-color-body': '#f7f9f8',
    '--mantine-color-anchor': '#1f6b40',
    '--panel': '#ffffff',
    '--line': '#e1e6e3',
  },
  dark: {
    '--mantine-color-dimmed': '#a4adb5',
    '--mantine-color-placeholder': '#8f989f',
    '--mantine-color-error': '#ff9189',
    '--mantine-color-body': '#121514',
    '--mantine-color-anchor': '#7fd09b',
    '--panel': '#1a1e1c',
    '--line': '#2c332f',
  },
});
