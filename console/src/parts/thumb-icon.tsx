/** A thumb, up or down, in the size and colour of the other icons. */
export function ThumbIcon({ isDown }: { readonly isDown: boolean }) {
  return (
    <svg
      width="15"
      height="15"
      viewBox="0 0 15 15"
      fill="none"
      stroke="currentColor"
      strokeLinejoin="round"
      aria-hidden
    >
      <path
        transform={isDown ? 'rotate(180 7.5 7.5)' : undefined}
        d="M1.5 6.5h2.5v7h-2.5zM4 7l2.6-5.2c1.1 0 1.7.8 1.5 1.8L7.7 5.8h4.1c1 0 1.7.9 1.4 1.8l-1.4 4.9c-.2.6-.7 1-1.4 1H4"
      />
    </svg>
  );
}
