import { useState } from 'react';
import { Button, type ButtonProps } from '@mantine/core';

const WORDS = { idle: 'Copy', copied: 'Copied', refused: 'Mark it and copy it by hand' } as const;

/** A button that copies a text. Over plain HTTP a browser has no clipboard for pages but on the machine itself: there the older way is tried. */
export function Copy({ value, ...button }: ButtonProps & { readonly value: string }) {
  const [state, setState] = useState<keyof typeof WORDS>('idle');
  const copy = async (): Promise<void> => {
    const isCopied = await navigator.clipboard.writeText(value).then(
      () => true,
      () => false,
    );
    setState(isCopied ? 'copied' : 'refused');
  };
  const order = (): void => {
    // The types do not know of pages without one.
    if ('clipboard' in navigator) void copy();
    else setState(copyBySelection(value) ? 'copied' : 'refused');
  };
  return (
    <Button variant="default" {...button} onClick={order} aria-live="polite">
      {WORDS[state]}
    </Button>
  );
}

function copyBySelection(value: string): boolean {
  const focused = document.activeElement;
  const field = document.createElement('textarea');
  field.value = value;
  field.style.position = 'fixed';
  field.style.opacity = '0';
  // Inside an open dialog: it takes the focus back from what is outside.
  (document.querySelector('[role=dialog]') ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
