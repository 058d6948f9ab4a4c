// When to come back, and whether: what a close means, and how long to wait.
//
// Pure: randomness comes as an argument, and nobody waits here.

/** What to do about a connection that has ended. */
export type Verdict = "stop" | "hinted" | "fresh token" | "refused message" | "back off" | "back off long";

/** The close table of the protocol. What is not in it (1000, 1006, 1011, 1013, 4008, a proxy's own) is tried again. */
export function verdictOf(code: number, reason: string): Verdict {
  switch (code) {
    case 1001:
      return retryHintMs(reason) === undefined ? "back off" : "hinted";
    case 1002:
    case 1003:
    case 1007:
    case 1009:
      return "refused message";
    case 1008:
    case 4001:
    case 4003:
      return "stop";
    case 4010:
      return "fresh token";
    case 4029:
      return "back off long";
    default:
      return "back off";
  }
}

/** The milliseconds in a reason `retry=MS`. */
export function retryHintMs(reason: string): number | undefined {
  const found = /^retry=(\d{1,9})$/.exec(reason);
  return found ? Math.min(Number(found[1]), HINT_MS_MAX) : undefined;
}

/**
 * Exponential back-off with full jitter: anything from nothing to the whole step, so that those who were cut off
 * together do not come back together.
 */
export function backOffMs(attempt: number, minMs: number, maxMs: number, random: () => number): number {
  return random() * Math.min(maxMs, minMs * 2 ** attempt);
}

/** After too many messages: never soon. */
export function longBackOffMs(maxMs: number, random: () => number): number {
  return maxMs * (1 + random());
}

const HINT_MS_MAX = 300_000;
