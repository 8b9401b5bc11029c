/** Small chats to train the tiny base on. */
export function chatLines(count: number, first = 0): string {
  const line = (n: number): string => {
    const messages = [
      { role: 'user', content: `what is ${n}?` },
      { role: 'assistant', content: n % 2 === 0 ? 'even' : 'odd' },
    ];
    return `${JSON.stringify({ messages })}\n`;
  };
  return Array.from({ length: count }, (_, n) => line(first + n)).join('');
}
