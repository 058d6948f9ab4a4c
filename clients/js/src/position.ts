// Where a room is read up to: what was seen already, and what was one's own.
//
// A position `EPOCH-OFFSET` is the place behind that many publications. Pure.

interface Position {
  epoch: string;
  offset: number;
}

/** What is to become of a publication. */
export type Judgement = "new" | "seen" | "own";

/** A room's place, which moves as its publications come. */
export class Cursor {
  #at: Position | undefined;
  /** Places behind own broadcasts that lie ahead of the cursor: in a replay they come back. */
  #own = new Set<number>();

  constructor(text?: string) {
    this.#at = parse(text);
  }

  /** As it is sent. */
  get text(): string | undefined {
    return this.#at && `${this.#at.epoch}-${this.#at.offset}`;
  }

  /** Stands at `text`, wherever it stood: a join's answer, a gap. */
  stand(text: string | undefined): void {
    const to = parse(text);
    if (!to) return;
    if (this.#at?.epoch !== to.epoch) this.#own.clear();
    this.#at = to;
    this.#passOwn();
  }

  /** Takes a publication, `text` being the place behind it; none where the room keeps no history. */
  receive(text: string | undefined): Judgement {
    const to = parse(text);
    if (!to) return "new";
    if (this.#isBehind(to)) return "seen";
    const own = this.#at?.epoch === to.epoch && this.#own.has(to.offset);
    this.stand(text);
    return own ? "own" : "new";
  }

  /** Remembers an own broadcast by its ack. It does not pass what others said before: that may be on its way still. */
  acknowledge(text: string | undefined): void {
    const to = parse(text);
    if (!to || this.#at?.epoch !== to.epoch || this.#isBehind(to)) return;
    this.#own.add(to.offset);
    this.#passOwn();
    const [oldest] = this.#own;
    if (this.#own.size > OWN_MAX && oldest !== undefined) this.#own.delete(oldest);
  }

  #isBehind({ epoch, offset }: Position): boolean {
    return this.#at?.epoch === epoch && offset <= this.#at.offset;
  }

  #passOwn(): void {
    const at = this.#at;
    if (!at || this.#own.size === 0) return;
    while (this.#own.delete(at.offset + 1)) at.offset += 1;
    for (const offset of this.#own) if (offset <= at.offset) this.#own.delete(offset);
  }
}

function parse(text: string | undefined): Position | undefined {
  const found = text === undefined ? null : /^([0-9a-f]{8})-(\d{1,20})$/.exec(text);
  return found ? { epoch: found[1]!, offset: Number(found[2]) } : undefined;
}

/** Own broadcasts that are remembered of one room; of older ones a replay may bring some back. */
const OWN_MAX = 1000;
