// Listeners by the name of what they listen to.

type Listener = (...args: never[]) => void;

export class Emitter {
  #listeners = new Map<string, Set<Listener>>();

  /** The result takes it away again. */
  on(event: string, listener: Listener): () => void {
    const set = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, set.add(listener));
    return () => void set.delete(listener);
  }

  emit(event: string, ...args: unknown[]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...(args as never[]));
      } catch (error) {
        // A listener's fault is its own: it is reported as uncaught, and nobody else misses anything.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
