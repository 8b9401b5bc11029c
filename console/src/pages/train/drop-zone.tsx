import { useRef, useState, type DragEvent } from 'react';
import { Button, Text } from '@mantine/core';
import { UploadIcon } from '@radix-ui/react-icons';

interface Props {
  readonly label: string;
  readonly about: string;
  readonly isBusy: boolean;
  readonly onFile: (file: File) => void;
}

/** Takes a file that is dropped on it, or chosen. */
export function DropZone({ label, about, isBusy, onFile }: Props) {
  const [isOver, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const over = (is: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(is);
  };
  return (
    <div
      className="drop"
      {...(isOver && { 'data-over': true })}
      onDragOver={over(true)}
      onDragLeave={over(false)}
      onDrop={(event) => {
        over(false)(event);
        const file = event.dataTransfer.files[0];
        if (file && !isBusy) onFile(file);
      }}
    >
      <UploadIcon width={26} height={26} aria-hidden="true" />
      <Text fw={600} mt={6}>
        {label}
      </Text>
      <Text size="sm" c="dimmed" mb="sm">
        {about}
      </Text>
      <input
        ref={input}
        type="file"
        accept=".jsonl,.json,application/jsonl"
        aria-label={label}
        hidden
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          // The same file may be chosen again once it has been mended.
          currentTarget.value = '';
          if (file) onFile(file);
        }}
      />
      <Button variant="default" loading={isBusy} onClick={() => input.current?.click()}>
        Choose a file
      </Button>
    </div>
  );
}
