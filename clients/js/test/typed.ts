// What TypeScript has to let pass, and what it must not. Compiled, never run.
import { connect, VestibuleError, type Gap, type Meta, type Room } from "vestibule-client";

interface Chat {
  message: { text: string };
  typing: { who: string };
}

const client = connect<Chat>("wss://edge.example.com/ws", { token: async () => "t", retryLimit: 5, eventsUrl: false });
const room: Room<Chat> = await client.join("chat:1", { since: "earliest" });

room.on("message", ({ text }, meta: Meta) => console.log(text.length, meta.position?.length));
const stop: () => void = room.on("typing", ({ who }) => console.log(who.length));
room.on("gap", (gap: Gap) => console.log(gap.reason === "no_history"));
room.on("*", (payload) => console.log("text" in payload ? payload.text : payload.who));
// @ts-expect-error: no such event
room.on("other", () => {});
// @ts-expect-error: another payload
room.on("typing", ({ text }) => console.log(text));

const { position } = await room.publish({ text: "hi" });
await room.publish({ who: "ada" }, { event: "typing", timeoutMs: 100, queue: false });
// @ts-expect-error: a message has a text
await room.publish({ who: "ada" });
// @ts-expect-error: typing has who
await room.publish({ text: "hi" }, { event: "typing" });

const other = await client.join<{ moved: number }>("board:1");
other.on("moved", (by) => console.log(by + 1));

const anything = await connect("ws://localhost:8080").join("a");
anything.on("whatever", (payload: unknown) => console.log(payload));
await anything.publish([1, 2, 3], { event: "whatever" });

client.on("state", (state) => {
  if (state.status === "open") console.log(state.transport, state.userId);
  if (state.status === "waiting") console.log(state.retryInMs / 1000);
  // @ts-expect-error: only a closed one has an error
  console.log(state.error);
});
client.on("error", (error: VestibuleError) => console.log(error.code, error.closeCode));
console.log(stop, position, await client.ping());
client.close();
