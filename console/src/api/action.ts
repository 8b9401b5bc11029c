import { useCallback, useRef } from 'react';
import { useMutation, type UseMutationOptions, type UseMutationResult } from '@tanstack/react-query';

/**
 * A change that somebody orders. While it is on its way it is not ordered again: a button shows that it is busy only after the click that
 * made it so, and a double click is two.
 */
export function useAction<Data = unknown, Variables = void>(
  options: UseMutationOptions<Data, Error, Variables>,
): UseMutationResult<Data, Error, Variables> {
  const isOnItsWay = useRef(false);
  const mutation = useMutation<Data, Error, Variables>({
    ...options,
    onSettled(...settled) {
      isOnItsWay.current = false;
      return options.onSettled?.(...settled);
    },
  });
  const { mutate } = mutation;
  const order = useCallback<typeof mutate>(
    (...given) => {
      if (isOnItsWay.current) return;
      isOnItsWay.current = true;
      mutate(...given);
    },
    [mutate],
  );
  return { ...mutation, mutate: order };
}
