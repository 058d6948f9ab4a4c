// How long a token lasts, as far as it can be read. It is not judged here: that is the server's.

/**
 * Milliseconds until `token` ends, if it is a JWT that says so. A clock that is set wrong here makes them fewer, never
 * more than the token was made for.
 */
export function lastsMs(token: string, nowMs: number): number | undefined {
  try {
    const claims = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
    const { exp, iat } = JSON.parse(atob(claims)) as { exp?: unknown; iat?: unknown };
    if (typeof exp !== "number") return undefined;
    const left = exp * 1000 - nowMs;
    return typeof iat === "number" ? Math.min(left, (exp - iat) * 1000) : left;
  } catch {
    return undefined;
  }
}
