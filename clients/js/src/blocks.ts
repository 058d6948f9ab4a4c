// An event stream's text, block by block (WHATWG HTML, section 9.2), with the field `room` that Vestibule adds.
//
// Pure. Unlike an EventSource it hands on blocks without data too, for what else stands in them.

/** What stands between two blank lines. */
export interface Block {
  event?: string;
  data?: string;
  id?: string;
  room?: string;
  /** When to come back, in milliseconds. */
  retry?: number;
}

export class BlockReader {
  #rest = "";
  #afterCr = false;
  #block: Block = {};

  /** The blocks that end in `text`, which may be cut anywhere. */
  read(text: string): Block[] {
    if (text === "") return [];
    // The line feed of a CR LF that was cut in two.
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? "";
    const blocks: Block[] = [];
    for (const line of lines) {
      if (line !== "") {
        this.#field(line);
        continue;
      }
      if (Object.keys(this.#block).length > 0) blocks.push(this.#block);
      this.#block = {};
    }
    return blocks;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    const block = this.#block;
    switch (name) {
      case "data":
        block.data = block.data === undefined ? value : `${block.data}\n${value}`;
        break;
      case "event":
      case "room":
        block[name] = value;
        break;
      case "id":
        if (!value.includes("\0")) block.id = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) block.retry = Number(value);
        break;
    }
  }
}
